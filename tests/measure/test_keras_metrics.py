import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.measure import metrics
from gan_tf.measure.features import Features
from gan_tf.measure.keras_metrics import FrechetDistance, KernelDistance


def batches(count=300, size=50, seed=0):
    """Two sets of smooth images, float32 in [-1, 1], in batches."""
    random = np.random.default_rng(seed)
    images = np.tanh(random.standard_normal((2, count, 4, 4, 3)) + np.array([0, 0.3]).reshape(2, 1, 1, 1, 1))
    images = images.repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)
    return [images[:, start : start + size] for start in range(0, count, size)], images


def pixels(images):
    """4x4 pixels of each image."""
    return tf.reshape(images[:, ::4, ::4], (-1, 48))


def measured(metric, parts):
    """The result after all parts, in graph mode."""

    @tf.function
    def update(real, fake):
        metric.update_state(real, fake)
        return metric.result()

    for real, fake in parts:
        found = update(real, fake)
    return float(found)


@pytest.mark.parametrize("size", [50, 64, 300])
def test_the_frechet_distance_agrees_with_numpy_whatever_the_batches(size):
    parts, (real, fake) = batches(size=size)
    expected = metrics.frechet_distance(pixels(real).numpy(), pixels(fake).numpy())
    assert expected > 1
    assert measured(FrechetDistance(pixels), parts) == pytest.approx(expected, rel=1e-3)


def test_without_features_it_compares_thumbnails():
    parts, images = batches()
    small = [metrics.thumbnails(((x + 1) * 127.5).round().astype(np.uint8), 8) / 127.5 - 1 for x in images]
    expected = metrics.frechet_distance(*small)
    assert measured(FrechetDistance(), parts) == pytest.approx(expected, rel=0.01)


def test_a_keras_model_and_features_are_extractors():
    parts, (real, fake) = batches()
    inputs = keras.Input((16, 16, 3))
    model = keras.Sequential([keras.layers.AveragePooling2D(4), keras.layers.Flatten()])
    expected = metrics.frechet_distance(model.predict(real, verbose=0), model.predict(fake, verbose=0))
    assert measured(FrechetDistance(model), parts) == pytest.approx(expected, rel=1e-3)
    network = keras.Model(inputs, {"features": model(inputs / 127.5 - 1)})
    assert measured(FrechetDistance(Features("", 48, network, {}, {})), parts) == pytest.approx(expected, rel=1e-3)


def test_the_kernel_distance_is_the_mean_over_batches():
    parts, _ = batches(count=290)  # The last batch has 40 images and counts less.
    values = [metrics.kernel_distance(pixels(real).numpy(), pixels(fake).numpy())[0] for real, fake in parts]
    expected = np.average(values, weights=[len(real) for real, _ in parts])
    assert measured(KernelDistance(pixels), parts) == pytest.approx(expected, rel=1e-3)
    one = [x[:, :1] for x in parts[:1]]
    assert measured(KernelDistance(pixels), [*parts, *one]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", [FrechetDistance, KernelDistance])
def test_a_reset_starts_again(kind):
    metric = kind(pixels)
    assert float(metric.result()) == 0
    first, again = batches(seed=1)[0], batches(seed=2)[0]
    measured(metric, first)
    metric.reset_state()
    assert float(metric.result()) == 0
    assert measured(metric, again) == measured(kind(pixels), again)
    assert metric.name in ("frechet_distance", "kernel_distance")


@pytest.mark.filterwarnings("error")
def test_they_work_as_the_metrics_of_a_model():
    class Pair(keras.Model):
        """Compares each batch with a darker one."""

        def __init__(self, metrics):
            super().__init__()
            self.own = metrics

        @property
        def metrics(self):
            return self.own

        def test_step(self, images):
            for metric in self.own:
                metric.update_state(images, images * 0.5 - 0.5)
            return {metric.name: metric.result() for metric in self.own}

    _, (real, _) = batches()
    model = Pair([FrechetDistance(pixels), KernelDistance(pixels)])
    model.compile()
    for _ in range(2):  # Keras resets the metrics before each evaluation.
        found = model.evaluate(real, batch_size=64, verbose=0, return_dict=True)
        expected = metrics.frechet_distance(pixels(real).numpy(), pixels(real * 0.5 - 0.5).numpy())
        assert found["frechet_distance"] == pytest.approx(expected, rel=1e-3)
        assert found["kernel_distance"] > 0
