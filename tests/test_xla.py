"""XLA compiles the training step under every switch, and computes the same.

On a CPU, Keras does not ask it to (gan_tf.gan.GAN.compile), so nothing else would notice a step that it cannot compile.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import AUGMENTATIONS
from gan_tf.config import Config
from gan_tf.losses import LOSSES
from gan_tf.run.build import build_gan

pytestmark = pytest.mark.slow

# Together, all switches that change the step. Penalties apply at the first step and not at the second.
SWITCHES = {
    "non-saturating": {"augment": (*AUGMENTATIONS,), "flip": True, "label_smoothing": 0.1, "r1": 1.0, "classes": 3},
    "minimax": {"precision": "float16", "minibatch_std": True, "label_smoothing": 0.1, "decay": "linear", "r2": 1.0},
    "hinge": {"spectral_norm": True, "d_steps": 2, "gradient_penalty": 1.0, "classes": 3},
    "wasserstein": {"decay": "cosine", "minibatch_std": True, "classes": 3, "ema": 0.0},
    "least-squares": {"precision": "bfloat16", "r1": 1.0, "spectral_norm": True, "minibatch_std": True},
    "relativistic": {"augment": ("translation",), "flip": True, "d_steps": 2},
}


def spread(shape, low, high, dtype=tf.float32):
    """Numbers that look random and are the same wherever they are computed: XLA has random generators of its own."""
    count = tf.reduce_prod(tf.cast(shape, tf.int32))
    share = tf.math.floormod(0.6180339887 * tf.cast(tf.range(1, count + 1), tf.float32), 1.0)
    return tf.cast(tf.reshape(tf.cast(low, tf.float32) + share * tf.cast(high - low, tf.float32), shape), dtype)


@pytest.fixture(autouse=True)
def without_chance(monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_normal", lambda shape, seed, **_: spread(shape, -1.7, 1.7))
    monkeypatch.setattr(
        tf.random,
        "stateless_uniform",
        lambda shape, seed, minval=0.0, maxval=1.0, dtype=tf.float32: spread(shape, minval, maxval, dtype),
    )


def two_steps(loss, jit_compile):
    """Each tracker's value after two steps, by name."""
    switches = dict(SWITCHES[loss])
    classes = switches.pop("classes", 0)
    config = Config(
        loss=loss, epochs=1, steps_per_epoch=2, batch_size=4, latent_dim=8, width=16, penalty_every=2, **switches
    )
    gan = build_gan(config, (28, 28, 1), classes=classes)
    gan.compile(gan.g_optimizer, gan.d_optimizer, jit_compile=jit_compile)
    random, count = np.random.default_rng(0), 2 * 4 * config.d_steps
    images, labels = random.integers(0, 256, (count, 28, 28, 1), np.uint8), np.arange(count) % 3
    gan.fit(images, labels, batch_size=count // 2, shuffle=False, verbose=0)
    assert gan.jit_compile is jit_compile and int(gan.step) == 2
    return {name: float(tracker.result()) for name, tracker in gan.trackers.items()}


def test_every_loss_and_augmentation_has_its_turn():
    assert SWITCHES.keys() == LOSSES.keys()
    assert {name for switches in SWITCHES.values() for name in switches.get("augment", ())} == AUGMENTATIONS.keys()


@pytest.mark.parametrize("loss", SWITCHES)
def test_the_compiled_step_computes_the_same(loss):
    plain, compiled = two_steps(loss, False), two_steps(loss, True)
    assert np.isfinite([*plain.values()]).all() and plain["d_gradient"] > 0 and plain["g_gradient"] > 0
    coarse = "precision" in SWITCHES[loss]
    for name, value in plain.items():
        assert compiled[name] == pytest.approx(value, rel=0.05 if coarse else 2e-3, abs=5e-3 if coarse else 1e-4), name


def test_a_step_that_xla_cannot_compile_is_noticed(monkeypatch):
    def draw(shape, seed, **_):
        return tf.py_function(lambda: np.zeros(shape, np.float32), [], tf.float32) + spread(shape, -1.7, 1.7)

    monkeypatch.setattr(tf.random, "stateless_normal", draw)
    with pytest.raises(tf.errors.InvalidArgumentError, match="EagerPyFunc"):
        two_steps("minimax", True)
    keras.backend.clear_session()
