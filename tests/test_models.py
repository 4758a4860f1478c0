import keras
import numpy as np
import pytest

from gan_tf.models import make_discriminator, make_generator


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (96, 96, 1)])
def test_shapes_and_ranges(shape):
    latents = np.random.default_rng(0).standard_normal((4, 10)).astype(np.float32)
    fakes = make_generator(shape, latent_dim=10, width=16)(latents * 500)
    assert fakes.shape == (4, *shape)
    assert -1 <= fakes.numpy().min() < -0.5 and 0.5 < fakes.numpy().max() <= 1
    logits = make_discriminator(shape, width=4)(fakes)
    assert logits.shape == (4, 1)


def test_the_discriminator_gives_logits_of_both_signs_and_of_any_size():
    pixels = np.random.default_rng(0).uniform(-1, 1, (64, 28, 28, 1)).astype(np.float32)
    logits = make_discriminator()(pixels * 1000).numpy()
    assert abs(logits).max() > 1


def test_an_images_logit_does_not_depend_on_its_batch():
    pixels = np.random.default_rng(0).uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32)
    model = make_discriminator()
    np.testing.assert_allclose(model(pixels, training=True)[:1], model(pixels[:1], training=True), atol=1e-6)


def test_sequential_and_of_built_in_layers_only():
    for model in (make_generator(), make_discriminator()):
        assert isinstance(model, keras.Sequential)
        assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


def test_a_size_that_cannot_be_halved_is_named():
    with pytest.raises(ValueError, match="15 pixels cannot be halved"):
        make_generator((30, 30, 1))
