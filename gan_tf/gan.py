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
from gan_tf.data.images import ImageDataset, batches, steps_per_epoch
from gan_tf.losses import LOSSES, gradient_penalty, zero_centred_penalty
from gan_tf.models import make_discriminator, make_generator

# What a step's seed is folded with, so that no two uses of it draw the same numbers.
FLIPS, DISCRIMINATOR, GENERATOR, PENALTY = 1, 2, 3, 4


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """uint8 images [0, 255] -> float32 [-1, 1], the generator's range."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """float32 images [-1, 1] -> uint8 [0, 255], rounded to the nearest."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def sample(generator: keras.Model, latents: np.ndarray) -> np.ndarray:
    """Latent vectors (N, latent_dim) -> the uint8 images (N, height, width, channels) that `generator` makes of
    them. Always in whole batches of one size, so that an image is the same to the bit whatever it is drawn with.
    """
    height, width = generator.output_shape[1:3]
    size = max(1, min(64, 2**22 // (height * width)))
    padded = np.concatenate([latents, np.zeros((-len(latents) % size, latents.shape[1]))]).astype(np.float32)
    drawn = [to_uint8(generator(batch, training=False)).numpy() for batch in np.split(padded, len(padded) // size)]
    return np.concatenate(drawn)[: len(latents)]


def mean_distance(images: tf.Tensor) -> tf.Tensor:
    """The mean Euclidean distance of each image (N, ...) to the next one: of pairs at random, as a batch is."""
    flat = tf.reshape(images, (tf.shape(images)[0], -1))
    return tf.reduce_mean(tf.norm(flat - tf.roll(flat, 1, axis=0), axis=1))


class GAN(keras.Model):
    """Generator, discriminator, and the generator's running average, trained together by `fit`.

    A step's random numbers depend on (config.seed, step) alone, so that training goes the same way whether it
    was interrupted or not. What is counted, each a mean over the epoch so far:

        d_loss, g_loss     what each player minimises
        D(x)               sigmoid(logit) of real images: how real the discriminator finds them
        D(G(z))_before     the same for fakes, before the discriminator's update
        D(G(z))_after      and after it, for the same fakes: the gap is what the discriminator just learned

    and, in `means` only, as the progress bar has no room for them:

        accuracy_real      the share of real images that the discriminator calls real
        accuracy_fake      the share of fakes that it calls fake
        d_gradient         length of the gradient of the discriminator's loss, penalties included, by all its weights
        g_gradient         the same of the generator's
        spread             mean distance of two fakes over that of two real images: toward 0, they are all alike

    The logits of a critic (wasserstein, relativistic) have no zero: theirs is midway between the batch's mean real
    and mean fake.
    """

    # The first of `means`, which the progress bar shows.
    SHOWN = ("d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after")
    HEALTH = ("accuracy_real", "accuracy_fake", "d_gradient", "g_gradient", "spread")

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(name="gan")
        self.config = config
        self.losses_of = LOSSES[config.loss]
        keras.utils.set_random_seed(config.seed)  # The initial weights are drawn from it.
        self.generator = make_generator(image_shape, config.latent_dim, config.width, config.precision)
        self.discriminator = make_discriminator(
            image_shape, config.width, config.minibatch_std, config.spectral_norm, config.precision
        )
        # A second generator and not Keras's use_ema: that misses batch normalisation's statistics.
        self.ema_generator = make_generator(image_shape, config.latent_dim, config.width, config.precision)
        self.ema_generator.set_weights(self.generator.get_weights())
        g_rate, d_rate = config.rates
        self.g_optimizer = self._adam(self.generator, g_rate)
        self.d_optimizer = self._adam(self.discriminator, d_rate)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.means = {name: keras.metrics.Mean(name=name) for name in (*self.SHOWN, *self.HEALTH)}
        self.total_steps = math.inf  # `fit` knows, and only `decay` asks.

    def _adam(self, model: keras.Model, learning_rate: float) -> keras.optimizers.Optimizer:
        adam = keras.optimizers.Adam(learning_rate, beta_1=self.config.beta_1, beta_2=self.config.beta_2)
        adam.build(model.trainable_variables)  # Now, so that a checkpoint can be restored before the first step.
        return adam

    def fit(self, images: ImageDataset, epochs: int | None = None, **keras_fit) -> keras.callbacks.History:
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
        epochs = epochs or self.config.epochs
        self.total_steps = epochs * per_epoch
        self.compile(jit_compile=jit, steps_per_execution=together)
        from_here = functools.partial(super().fit, shuffle=False, **keras_fit)
        if done:  # The rest of an epoch that was interrupted is a short epoch of its own.
            data = batches(images, self.config, int(self.step))
            from_here(data, initial_epoch=epoch, epochs=epoch + 1, steps_per_epoch=per_epoch - done)
            epoch += 1
        data = batches(images, self.config, int(self.step))
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
        if self.config.decay != "none":
            self.set_rates()
        for update, reals in enumerate(tf.split(to_unit_range(images), self.config.d_steps)):
            seed = self.seed_of(update)
            if self.config.flip:
                reals = flip(reals, tf.random.fold_in(seed, FLIPS))
            with tf.GradientTape() as generator_tape:
                fakes = self.generator(self.latents(self.config.batch_size, update), training=True)
            d_loss, d_gradient, real_logits, fake_logits = self.update_discriminator(reals, fakes, seed)
        # The same fakes, and the tape that drew them, serve the generator: it is spared a second drawing.
        g_loss, g_gradient, logits_after = self.update_generator(generator_tape, reals, fakes, seed)
        self.update_average()
        self.step.assign_add(1)
        zero = 0.0 if self.losses_of.zero else (tf.reduce_mean(real_logits) + tf.reduce_mean(fake_logits)) / 2
        values = d_loss, g_loss, *map(tf.sigmoid, (real_logits - zero, fake_logits - zero, logits_after - zero))
        values += tf.cast(real_logits > zero, tf.float32), tf.cast(fake_logits < zero, tf.float32)
        for name, value in zip(self.means, (*values, d_gradient, g_gradient), strict=False):
            self.means[name].update_state(value)
        # Weighted, so that the mean is the ratio of the two mean distances.
        apart = mean_distance(reals)
        self.means["spread"].update_state(tf.math.divide_no_nan(mean_distance(fakes), apart), apart)
        return {name: self.means[name].result() for name in self.SHOWN}

    def set_rates(self) -> None:
        """Both step sizes as `decay` has them at this step."""
        done = tf.cast(self.step, tf.float32) / self.total_steps
        linear = self.config.decay == "linear"
        left = tf.minimum(1.0, 2.0 * (1.0 - done)) if linear else (1.0 + tf.cos(math.pi * done)) / 2
        for optimizer, rate in zip((self.g_optimizer, self.d_optimizer), self.config.rates, strict=True):
            optimizer.learning_rate.assign(left * rate)

    def logits(self, reals: tf.Tensor, fakes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The discriminator's logits, (N, 1) each."""
        if self.config.minibatch_std:  # It compares the images of a batch: fakes must not hide among reals.
            return self.discriminator(reals, training=True), self.discriminator(fakes, training=True)
        # One call on both halves costs less than two.
        return tf.split(self.discriminator(tf.concat([reals, fakes], axis=0), training=True), 2)

    def augmented(self, reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Both as the discriminator gets to see them, by the random numbers of `seed` (2,)."""
        return tf.split(augment(tf.concat([reals, fakes], axis=0), self.config.augment, seed), 2)

    def update_discriminator(
        self, reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Move the discriminator's weights, and only them: reals up, fakes down. Returns its loss, the length of its
        gradient, and the logits of both, (N, 1) each, from before the update."""
        reals, fakes = self.augmented(reals, fakes, tf.random.fold_in(seed, DISCRIMINATOR))
        # Only a loss with labels knows what smoothing is.
        smoothing = {"label_smoothing": self.config.label_smoothing} if self.config.label_smoothing else {}
        with tf.GradientTape() as tape:
            real_logits, fake_logits = self.logits(reals, fakes)
            loss = self.losses_of.discriminator(real_logits, fake_logits, **smoothing)
            penalised = loss + self.penalties(reals, fakes, tf.random.fold_in(seed, PENALTY))
        length = self.descend(self.d_optimizer, tape, penalised, self.discriminator)
        return loss, length, real_logits, fake_logits

    def penalties(self, reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The sum of the penalties asked for, at every `penalty_every`-th step and that many times as heavy; 0 between
        (Karras et al. 2020, arXiv:1912.04958, appendix B)."""
        config = self.config
        if not (config.r1 or config.r2 or config.gradient_penalty):
            return tf.constant(0.0)

        def now():
            total = 0.0
            if config.r1:
                total += config.r1 / 2 * zero_centred_penalty(self.discriminator, reals)
            if config.r2:
                total += config.r2 / 2 * zero_centred_penalty(self.discriminator, fakes)
            if config.gradient_penalty:
                total += config.gradient_penalty * gradient_penalty(self.discriminator, reals, fakes, seed)
            return config.penalty_every * total

        return tf.cond(self.step % config.penalty_every == 0, now, lambda: 0.0)

    def update_generator(
        self, tape: tf.GradientTape, reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Move the generator's weights, and only them, so that the discriminator finds `fakes`, drawn under `tape` and
        augmented anew, more real. Returns its loss, the length of its gradient, and the fakes' logits (N, 1)."""
        seed = tf.random.fold_in(seed, GENERATOR)
        with tape:
            if self.losses_of.paired:
                real_logits, logits = self.logits(*self.augmented(reals, fakes, seed))
                loss = self.losses_of.generator(logits, real_logits)
            else:
                logits = self.discriminator(augment(fakes, self.config.augment, seed), training=True)
                loss = self.losses_of.generator(logits)
        return loss, self.descend(self.g_optimizer, tape, loss, self.generator), logits

    def descend(self, optimizer, tape: tf.GradientTape, loss: tf.Tensor, model: keras.Model) -> tf.Tensor:
        """One step of `optimizer` down the slope of `loss` by the weights of `model`; returns how steep it was."""
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return tf.linalg.global_norm(gradients)

    def update_average(self) -> None:
        """average <- ema * average + (1 - ema) * weights, batch normalisation's statistics included
        (Karras et al. 2018, arXiv:1710.10196, section 6.1)."""
        for average, weight in zip(self.ema_generator.variables, self.generator.variables, strict=True):
            average.assign_add((1.0 - self.config.ema) * (weight - average))
