import keras
import numpy as np
import pytest
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.gan import random_inputs, sample
from gan_tf.models import make_generator
from gan_tf.projection import project, read_picture


def test_the_descent_finds_a_fake_again_from_starts_far_from_it():
    generator = make_generator((28, 28, 1), latent_dim=8, width=16, seed=0)
    for variable in generator.trainable_variables:
        variable.assign(3 * variable)  # For pictures with contrast.
    secret = random_inputs(1, 8, seed=1)
    target = sample(generator, secret)
    # In batches, as a request gives them.
    found = project(generator, target, np.split(random_inputs(32, 8, seed=2), 4), 8)
    assert found.first_error > 20 and found.error < found.first_error / 8
    np.testing.assert_array_equal(sample(generator, found.inputs), found.image)
    assert found.error == pytest.approx(np.sqrt(np.mean((found.image.astype(float) - target) ** 2)))


def test_labels_stay_as_they_are():
    generator = keras.Sequential([keras.Input([3]), keras.layers.Dense(4, "tanh"), keras.layers.Reshape([2, 2, 1])])
    # The first number brightens the picture, and the label, the other two, does so far more.
    generator.set_weights([np.array([[0.1] * 4, [-1.0] * 4, [3.0] * 4]), np.zeros(4)])
    candidates = np.array([[0.0, 1, 0], [1.0, 1, 0]])
    found = project(generator, np.full((1, 2, 2, 1), 255, np.uint8), [candidates], latent_dim=1)
    assert found.inputs[0, 1:].tolist() == [1, 0] and found.inputs[0, 0] > 2


def test_pictures_become_what_the_generator_draws(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(colour).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", (4, 4, 3))[0], colour)
    grey = read_picture(tmp_path / "a.png", (4, 4, 1))
    assert grey.shape == (1, 4, 4, 1)
    np.testing.assert_allclose(grey[0, ..., 0], colour @ [0.299, 0.587, 0.114], atol=1)
    Image.fromarray(grey[0, ..., 0]).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png", (4, 4, 3))[0], grey[0].repeat(3, axis=-1))
    clear = np.concatenate([colour, np.tile(np.array([[0, 255]], np.uint8), (4, 2))[..., None]], axis=-1)
    Image.fromarray(clear).save(tmp_path / "c.png")
    seen = np.where(clear[..., 3:], colour, 255)
    np.testing.assert_array_equal(read_picture(tmp_path / "c.png", (4, 4, 3))[0], seen)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "c.png", (4, 4, 4))[0], np.concatenate([seen, clear[..., 3:]], axis=-1)
    )
    with pytest.raises(InputError, match=r"b\.png has 4x4 pixels, but the generator draws 8x8"):
        read_picture(tmp_path / "b.png", (8, 8, 1))
