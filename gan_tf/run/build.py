"""A Config -> a compiled GAN: the two networks, and Adam with the step sizes and the decay that the Config asks for."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, class_shares, steps_per_epoch
from gan_tf.gan import GAN
from gan_tf.models import make_discriminator, make_generator

Phases = Sequence[tuple[int, int]]  # (first step, last step) of each stretch over which the step sizes decay once

WARM_UP = 0.05  # The share of a second or later phase in which the step sizes rise from 0, before they decay again.


class Decay(keras.optimizers.schedules.LearningRateSchedule):
    """A step size that falls from `rate` to 0 over each of `phases`.

    `kind` is "linear" (constant in the first half, then a line to 0: CycleGAN, Zhu et al. 2017, section 4) or "cosine"
    (half a cosine: SGDR, Loshchilov and Hutter 2017, equation 5 without restarts). Every phase but the first begins
    with a linear warm-up, because Adam's old statistics belong to a step size of nearly 0.

    It is called with the optimizer's update count, of which a GAN's step has `updates_per_step`, and depends on nothing
    else. So a restored optimizer continues exactly where it stopped. After the last phase it is 0.
    """

    def __init__(self, rate: float, kind: str, phases: Phases, updates_per_step: int = 1):
        self.rate, self.kind, self.updates_per_step = rate, kind, updates_per_step
        self.phases = [(int(first), int(last)) for first, last in phases]

    def __call__(self, step) -> tf.Tensor:
        step = tf.cast(step, tf.int64) // self.updates_per_step
        scale = tf.constant(0.0)
        for number, (first, last) in enumerate(self.phases):
            done = tf.cast(step - first, tf.float32) / (last - first)
            left = tf.minimum(1.0, 2.0 * (1.0 - done)) if self.kind == "linear" else (1.0 + tf.cos(math.pi * done)) / 2
            if number:
                left *= tf.minimum(1.0, (done + 1 / (last - first)) / WARM_UP)
            scale = tf.where((first <= step) & (step < last), left, scale)
        return self.rate * scale

    def get_config(self) -> dict:
        """What Keras saves of it."""
        return {
            "rate": self.rate,
            "kind": self.kind,
            "phases": self.phases,
            "updates_per_step": self.updates_per_step,
        }


def first_phase(images: ImageDataset, config: Config) -> Phases:
    """The phases of a new run: one, from its first step to its last."""
    return [(0, config.epochs * steps_per_epoch(images, config))]


def extend(phases: Phases, last_step: int, config: Config) -> Phases:
    """The phases of a run that is to go on until `last_step`: without decay the one it has, made longer; with decay,
    one more from where the last one ends."""
    if last_step <= phases[-1][1]:
        return phases
    if config.decay == "none":
        return [(0, last_step)]
    return [*phases, (phases[-1][1], last_step)]


def build_gan(config: Config, image_shape: tuple[int, int, int], phases: Phases | None = None, classes: int = 0) -> GAN:
    """A compiled GAN for images (height, width, channels), conditional if there are `classes`.

    The initial weights are drawn from config.seed, and no global random state is touched. `phases` says over which
    steps the step sizes decay (`first_phase`); without it, over config.epochs times config.steps_per_epoch. Raises
    ValueError where neither says how long the run is. A checkpoint can be restored before the first step.
    """
    if phases is None and config.decay != "none" and not config.steps_per_epoch:
        raise ValueError("an epoch is one pass over the images: pass phases=first_phase(images, config)")
    phases = phases or [(0, config.epochs * config.steps_per_epoch)]
    same = {"precision": config.precision, "classes": classes, "seed": config.seed, "min_width": config.min_width}
    generator = make_generator(image_shape, config.latent_dim, config.width, **same)
    discriminator = make_discriminator(image_shape, config.width, config.minibatch_std, config.spectral_norm, **same)
    gan = GAN(
        generator,
        discriminator,
        config.loss,
        r1=config.r1,
        r2=config.r2,
        gradient_penalty=config.gradient_penalty,
        penalty_every=config.penalty_every,
        label_smoothing=config.label_smoothing,
        d_steps=config.d_steps,
        ema=config.ema,
        augment=config.augment,
        flip=config.flip,
        classes=classes,
        seed=config.seed,
    )
    g_rate, d_rate = config.rates
    gan.compile(adam(g_rate, config, phases), adam(d_rate, config, phases, config.d_steps))
    return gan


def build_for(
    images: ImageDataset, config: Config, phases: Phases | None = None, strategy: tf.distribute.Strategy | None = None
) -> GAN:
    """The compiled GAN of a run on `images`, by default of a new one, with a replica on each device of `strategy`."""
    over: tf.distribute.Strategy = strategy or tf.distribute.get_strategy()  # type: ignore[assignment]
    with over.scope():
        classes = len(class_shares(images, config))
        gan = build_gan(config, images.shape, phases or first_phase(images, config), classes)
    if over.num_replicas_in_sync > 1:
        # Of the whole batch, not of a replica's part of it.
        for layer in gan.generator.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True
        # Outside of the scope, so that each process has its own, which it reads without asking the others.
        gan.start_counting()
    return gan


def adam(rate: float, config: Config, phases: Phases, updates_per_step: int = 1) -> keras.optimizers.Optimizer:
    """Adam for one player, with `rate` as its step size before any decay. In float16, it scales the loss."""
    schedule = rate if config.decay == "none" else Decay(rate, config.decay, phases, updates_per_step)
    optimizer = keras.optimizers.Adam(schedule, beta_1=config.beta_1, beta_2=config.beta_2)
    return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "float16" else optimizer
