"""For test_distribute.py, in a process of its own, whose CPU it divides into two devices: after some steps, the weights
of one replica with whole batches beside those of two with half of each, for every loss and penalty. Prints JSON."""

import dataclasses
import json

import gan_tf  # noqa: F401 (before TensorFlow)

# isort: split
import keras
import numpy as np
import tensorflow as tf

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.run.build import build_for
from gan_tf.run.loop import train_epochs

STEPS = 20
BASE = Config(
    width=16, latent_dim=8, batch_size=8, epochs=1, steps_per_epoch=STEPS, loss="non-saturating", held_out=0.0
)
VARIANTS = {
    "non-saturating, augmentation, R1": {"r1": 1.0, "augment": ("translation", "cutout", "color"), "flip": True},
    "minimax, spectral normalisation": {"loss": "minimax", "spectral_norm": True},
    "hinge, two discriminator steps": {"loss": "hinge", "d_steps": 2},
    "wasserstein, gradient penalty": {"loss": "wasserstein"},
    "least squares, labels": {"loss": "least-squares", "conditional": True},
    "relativistic, R1, R2": {"loss": "relativistic", "augment": ("cutout",)},
}


def trained(config: Config, images: ImageDataset, strategy: tf.distribute.Strategy):
    gan = build_for(images, config, strategy=strategy)
    with strategy.scope():
        # Adam divides by the size of a gradient, which enlarges the rounding of those near 0.
        gan.compile(keras.optimizers.SGD(0.002), keras.optimizers.SGD(0.002))
    begun = [weight.numpy() for weight in gan.generator.weights + gan.discriminator.weights]
    history = train_epochs(gan, images, config).history
    return gan, begun, {name: values[-1] for name, values in history.items()}


def copies(gan) -> list[list[np.ndarray]]:
    """Each weight, on each replica."""
    models = (gan.generator, gan.discriminator, gan.ema_generator)
    values = [weight.value for model in models for weight in model.weights]
    return [[copy.numpy() for copy in getattr(value, "values", [value])] for value in values]


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    random = np.random.default_rng(0)
    pixels = random.integers(256, size=(64, 28, 28, 1)).astype(np.uint8)
    images = ImageDataset("noise", pixels, random.integers(2, size=64), "tests", ("a", "b"))
    found = {}
    for name, fields in VARIANTS.items():
        config = dataclasses.replace(BASE, **fields)
        one_gan, begun, one_logs = trained(config, images, tf.distribute.get_strategy())
        two_gan, _, two_logs = trained(config, images, two)
        pairs = list(zip(copies(one_gan), copies(two_gan), strict=True))
        moved = [np.abs(one[0] - start).max() for (one, _), start in zip(pairs, begun, strict=False)]
        found[name] = {
            "difference": max(float(np.abs(one[0] - copy).max()) for one, both in pairs for copy in both),
            "moved": float(max(moved)),
            "same on both": all(len(both) == 2 and np.array_equal(*both) for _, both in pairs),
            "logs": max(abs(one_logs[key] - two_logs[key]) for key in one_logs),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
