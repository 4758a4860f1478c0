"""The game: a `keras.Model` whose train step updates the discriminator, then the generator.

Keras's `fit` brings the progress bar, `tf.function` and the callbacks; what a GAN is stands in `GAN.train_step`.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from gan_tf.augment import augment, flip
from gan_tf.config import Config
from gan_tf.images import Images, batches, steps_per_epoch
from gan_tf.losses import LOSSES, r1_penalty
from gan_tf.models import make_discriminator, make_generator

# What a step's seed is folded with, so that no two uses of it draw the same numbers.
FLIPS, DISCRIMINATOR, GENERATOR = 1, 2, 3


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """uint8 images [0, 255] -> float32 [-1, 1], the generator's range."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float32 images [-1, 1] -> uint8 [0, 255], rounded to the nearest."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def draw(generator: keras.Model, latents: np.ndarray) -> np.ndarray:
    """Latent vectors (N, latent_dim) -> the uint8 images (N, height, width, channels) that `generator` makes of
    them. Always in whole batches of one size, so that an image is the same to the bit whatever it is drawn with.
    """
    height, width = generator.output_shape[1:3]
    size = max(1, min(64, 2**22 // (height * width)))
    padded = np.concatenate([latents, np.zeros((-len(latents) % size, latents.shape[1]))]).astype(np.float32)
    drawn = [to_uint8(generator(batch, training=False)).numpy() for batch in np.split(padded, len(padded) // size)]
    return np.concatenate(drawn)[: len(latents)]


class GAN(keras.Model):
    """Generator, discriminator, and the generator's running average, trained together by `fit`.

    A step's random numbers depend on (config.seed, step) alone, so that training goes the same way whether it
    was interrupted or not. The logs are, each a mean over the epoch so far:

        d_loss, g_loss     what each player minimises
        D(x)               sigmoid(logit) of real images: how real the discriminator finds them
        D(G(z))_before     the same for fakes, before the discriminator's update
        D(G(z))_after      and after it, for the same fakes: the gap is what the discriminator just learned
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(name="gan")
        self.config = config
        self.losses_of = LOSSES[config.loss]
        keras.utils.set_random_seed(config.seed)  # The initial weights are drawn from it.
        self.generator = make_generator(image_shape, config.latent_dim, config.width, config.precision)
        self.discriminator = make_discriminator(image_shape, config.width, config.minibatch_std, config.precision)
        # A second generator and not Keras's use_ema: that misses batch normalisation's statistics.
        self.ema_generator = make_generator(image_shape, config.latent_dim, config.width, config.precision)
        self.ema_generator.set_weights(self.generator.get_weights())
        self.g_optimizer = self._adam(self.generator)
        self.d_optimizer = self._adam(self.discriminator)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        names = ("d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after")
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def _adam(self, model: keras.Model) -> keras.optimizers.Optimizer:
        adam = keras.optimizers.Adam(self.config.learning_rate, beta_1=self.config.beta_1, beta_2=self.config.beta_2)
        adam.build(model.trainable_variables)  # Now, so that a checkpoint can be restored before the first step.
        return adam

    def fit(self, images: Images, epochs: int | None = None, **keras_fit) -> keras.callbacks.History:
        """Train until `epochs` (by default config.epochs) are done, counted from step 0: from wherever `step`
        stands, so that a restored GAN goes on. `keras_fit` is what `keras.Model.fit` takes, such as callbacks.
        """
        per_epoch = steps_per_epoch(images, self.config)
        epoch, done = divmod(int(self.step), per_epoch)
        # Several steps in one call of the compiled function, as Python's part of a step costs as much as a small
        # network's. They must end where the epoch does, hence a divisor.
        together = max(k for k in range(1, 17) if math.gcd(per_epoch, done) % k == 0)
        # On a CPU, XLA's convolutions are slower than TensorFlow's own; elsewhere Keras decides.
        jit = "auto" if tf.config.list_physical_devices("GPU") else False
        self.compile(jit_compile=jit, steps_per_execution=together)
        from_here = functools.partial(super().fit, shuffle=False, **keras_fit)
        if done:  # The rest of an epoch that was interrupted is a short epoch of its own.
            data = batches(images, self.config, int(self.step))
            from_here(data, initial_epoch=epoch, epochs=epoch + 1, steps_per_epoch=per_epoch - done)
            epoch += 1
        data = batches(images, self.config, int(self.step))
        epochs = epochs or self.config.epochs
        return from_here(data, initial_epoch=epoch, epochs=epochs, steps_per_epoch=per_epoch)

    @property
    def metrics(self):
        """What `fit` resets when an epoch begins."""
        return list(self.means.values())

    def seed_of(self, update: int) -> tf.Tensor:
        """The seed (2,) of what is drawn at random for this step's update of the discriminator of that number."""
        return tf.stack([tf.constant(self.config.seed, tf.int64), self.step * self.config.d_steps + update])

    def latents(self, count: int, update: int) -> tf.Tensor:
        """Latent vectors, (count, latent_dim) from N(0, 1), for one update."""
        return tf.random.stateless_normal((count, self.config.latent_dim), self.seed_of(update))

    def train_step(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of the game: `d_steps` updates of the discriminator, then one of the generator."""
        for update, reals in enumerate(tf.split(to_unit_range(images), self.config.d_steps)):
            seed = self.seed_of(update)
            if self.config.flip:
                reals = flip(reals, tf.random.fold_in(seed, FLIPS))
            with tf.GradientTape() as generator_tape:
                fakes = self.generator(self.latents(self.config.batch_size, update), training=True)
            d_loss, real_logits, logits_before = self.update_discriminator(reals, fakes, seed)
        # The same fakes, and the tape that drew them, serve the generator: it is spared a second drawing.
        g_loss, logits_after = self.update_generator(generator_tape, fakes, seed)
        self.update_average()
        self.step.assign_add(1)
        now = d_loss, g_loss, tf.sigmoid(real_logits), tf.sigmoid(logits_before), tf.sigmoid(logits_after)
        for mean, value in zip(self.metrics, now, strict=True):
            mean.update_state(value)
        return {name: mean.result() for name, mean in self.means.items()}

    def logits(self, reals: tf.Tensor, fakes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The discriminator's logits, (N, 1) each."""
        if self.config.minibatch_std:  # It compares the images of a batch: fakes must not hide among reals.
            return self.discriminator(reals, training=True), self.discriminator(fakes, training=True)
        # One call on both halves costs less than two.
        return tf.split(self.discriminator(tf.concat([reals, fakes], axis=0), training=True), 2)

    def update_discriminator(
        self, reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Move the discriminator's weights, and only them: reals up, fakes down, all augmented as `seed` (2,) has
        it. Returns its loss and the logits, (N, 1) each, from before the update."""
        both = tf.concat([reals, fakes], axis=0)
        reals, fakes = tf.split(augment(both, self.config.augment, tf.random.fold_in(seed, DISCRIMINATOR)), 2)
        with tf.GradientTape() as tape:
            real_logits, fake_logits = self.logits(reals, fakes)
            loss = self.losses_of.discriminator(real_logits, fake_logits, self.config.label_smoothing)
            penalised = loss + self.lazy_r1(reals) if self.config.r1 else loss
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply_gradients(zip(tape.gradient(penalised, weights), weights, strict=True))
        return loss, real_logits, fake_logits

    def lazy_r1(self, reals: tf.Tensor) -> tf.Tensor:
        """The R1 penalty at every `r1_every`-th step, and that many times as heavy; 0 between
        (Karras et al. 2020, arXiv:1912.04958, appendix B)."""
        weight = self.config.r1 / 2 * self.config.r1_every
        due = self.step % self.config.r1_every == 0
        return tf.cond(due, lambda: weight * r1_penalty(self.discriminator, reals), lambda: 0.0)

    def update_generator(self, tape: tf.GradientTape, fakes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Move the generator's weights, and only them, so that the discriminator finds `fakes`, drawn under
        `tape` and augmented anew, more real. Returns the generator's loss and the fakes' logits (N, 1)."""
        seed = tf.random.fold_in(seed, GENERATOR)
        with tape:
            logits = self.discriminator(augment(fakes, self.config.augment, seed), training=True)
            loss = self.losses_of.generator(logits)
        weights = self.generator.trainable_variables
        self.g_optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss, logits

    def update_average(self) -> None:
        """average <- ema * average + (1 - ema) * weights, batch normalisation's statistics included
        (Karras et al. 2018, arXiv:1710.10196, section 6.1)."""
        for average, weight in zip(self.ema_generator.variables, self.generator.variables, strict=True):
            average.assign_add((1.0 - self.config.ema) * (weight - average))
