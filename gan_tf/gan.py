"""The algorithm: `GAN`, a Keras model that trains a generator and a discriminator against each other.

Read `GAN.play` first, then the two methods it calls, `discriminator_step` and `generator_step`.
"""

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from gan_tf.augment import augment, flip
from gan_tf.losses import LOSSES, gradient_penalty, penalty_weights, zero_centred_penalty
from gan_tf.models import mixes_batch, power_iteration
from gan_tf.replicas import mean_gradients, own_rows

# Stream ids folded into a step's seed, one per consumer, so that no two draw the same numbers.
FLIPS, DISCRIMINATOR, GENERATOR, PENALTY = 1, 2, 3, 4


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Integer images in [0, 255] -> float32 in [-1, 1], the generator's range."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Float images in [-1, 1] -> uint8 in [0, 255], rounded to nearest."""
    return tf.cast(tf.clip_by_value(tf.round((images + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def sample(generator: keras.Model, latents: np.ndarray) -> np.ndarray:
    """The images of latents (N, latent_dim): uint8 (N, height, width, channels).

    All batches are padded to one size, so that an image is the same to the bit whichever others it is drawn with.
    """
    height, width = generator.output_shape[1:3]
    size = max(1, min(64, 2**22 // (height * width)))
    padded = np.concatenate([latents, np.zeros((-len(latents) % size, latents.shape[1]))]).astype(np.float32)
    images = [to_uint8(generator(batch, training=False)).numpy() for batch in np.split(padded, len(padded) // size)]
    return np.concatenate(images)[: len(latents)]


def with_labels(latents: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """A conditional generator's inputs: latents (N, latent_dim), each followed by its label, (N,), as a one-hot vector:
    (N, latent_dim + classes)."""
    return np.concatenate([latents, np.eye(classes)[labels]], axis=1)


def inputs_of_each_class(latents: np.ndarray, classes: int) -> np.ndarray:
    """The inputs for drawing all latents (N, latent_dim) as each class in turn: (classes * N, latent_dim + classes)."""
    return with_labels(np.tile(latents, (classes, 1)), np.repeat(np.arange(classes), len(latents)), classes)


def random_inputs(count: int, latent_dim: int, shares: Sequence[float] | np.ndarray = (), seed: int = 0) -> np.ndarray:
    """Inputs of a generator: latents (count, latent_dim) from N(0, 1); if it is conditional, each with a label that is
    drawn with the probabilities `shares` (classes,): (count, latent_dim + classes)."""
    latents = np.random.default_rng(seed).standard_normal((count, latent_dim))
    if not len(shares):
        return latents
    return with_labels(latents, random_labels(count, shares, seed), len(shares))


def random_labels(count: int, shares: Sequence[float] | np.ndarray, seed: int = 0) -> np.ndarray:
    """Labels (count,) drawn with the probabilities `shares`. With a smaller count, the first of them."""
    return np.random.default_rng((seed, 1)).choice(len(shares), count, p=shares)


def mean_distance(images: tf.Tensor) -> tf.Tensor:
    """The mean Euclidean distance of each image (N, ...) to the next one in the batch: N random pairs."""
    flat = tf.reshape(images, (tf.shape(images)[0], -1))
    return tf.reduce_mean(tf.norm(flat - tf.roll(flat, 1, axis=0), axis=1))


def apply_scaled(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], weights: Sequence[keras.Variable]
) -> tf.Tensor:
    """Apply the gradients of a loss that went through `optimizer.scale_loss`, which changes nothing except in float16:
    small gradients would be 0 there, so Keras's LossScaleOptimizer multiplies the loss. If some overflow, it skips the
    update and takes a smaller factor (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2).

    Returns the global norm of the gradients of the loss itself; 0 for a skipped update.
    """
    norm = tf.linalg.global_norm(gradients) / optimizer.scale_loss(1.0)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
    optimizer.apply(mean_gradients(gradients), weights)
    return norm


class GAN(keras.Model):
    """Two Keras models trained against each other, and a moving average of the generator.

        gan = GAN(make_generator((28, 28, 1)), make_discriminator((28, 28, 1)), loss="non-saturating", ema=0.99)
        gan.compile(keras.optimizers.Adam(2e-3, beta_1=0.0), keras.optimizers.Adam(2e-3, beta_1=0.0))
        gan.fit(images, epochs=8, batch_size=32)
        gan.ema_generator(latents)

    With `classes`, it is conditional: the generator draws what it is told. Each image has a label, `fit(images,
    labels)`, a whole number below `classes`.

    Args:
        generator: latents (N, latent_dim) -> images (N, height, width, channels) in [-1, 1]. With classes, a latent is
            followed by its label as a one-hot vector: (N, latent_dim + classes).
        discriminator: such images -> logits (N, 1), without a sigmoid. With classes, one logit per class, (N, classes):
            whether the image is a real one of that class.
        loss: a key of `losses.LOSSES`.
        r1, r2: weights gamma of the zero-centred gradient penalties at reals and at fakes.
        gradient_penalty: weight lambda of WGAN-GP's penalty. For all three, None means what `loss` needs.
        penalty_every: steps from one R1/R2 penalty to the next; see `penalties`.
        label_smoothing: lowers the real label to 1 minus this; only for losses with labels.
        d_steps: discriminator updates per generator update. Each training batch is split into so many parts.
        ema: share of the averaged generator that is kept at each step, in [0, 1); 0 copies the generator.
        augment: keys of `augment.AUGMENTATIONS`, applied to reals and fakes alike.
        flip: mirror half of the real images.
        classes: how many labels there are; 0 without labels.
        seed: where random numbers come from. They depend on (seed, step) alone, so that training goes the same way
            whether it was interrupted or not.

    Raises ValueError for an unknown loss, for shapes that do not fit together, and for label smoothing of a loss
    without labels.

    `fit` takes images as an array or a `tf.data.Dataset` of batches. Integers are taken as [0, 255], floats as [-1, 1].
    It logs running means over the epoch:

        d_loss, g_loss     what each player minimises, without penalties
        D(x)               sigmoid(logit) of reals: the probability that the discriminator gives them of being real
        D(G(z))_before     the same for fakes, before the discriminator's update
        D(G(z))_after      and after it, for the same fakes; the gap is what the discriminator just learned

    `trackers` holds these and more that `fit` does not show:

        accuracy_real      share of reals that the discriminator classifies as real
        accuracy_fake      share of fakes that it classifies as fake
        d_gradient         global norm of the gradient of the discriminator's loss, penalties included
        g_gradient         the same for the generator
        spread             mean distance of two fakes divided by that of two reals; near 0, all fakes are alike

    Critics (losses without a threshold) have no logit that separates real from fake. For them, the threshold is midway
    between the mean logits of reals and fakes in the batch.

    With `validation_data`, `fit` logs val_D(x), how real the discriminator finds images it was not trained on, and each
    metric given to `compile`, called on these images and as many fakes of the averaged generator.
    """

    LOGGED = ("d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after")
    DIAGNOSTICS = ("accuracy_real", "accuracy_fake", "d_gradient", "g_gradient", "spread")

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        loss: str = "non-saturating",
        *,
        r1: float | None = None,
        r2: float | None = None,
        gradient_penalty: float | None = None,
        penalty_every: int = 4,
        label_smoothing: float = 0.0,
        d_steps: int = 1,
        ema: float = 0.99,
        augment: Sequence[str] = (),
        flip: bool = False,
        classes: int = 0,
        seed: int = 0,
    ):
        super().__init__(name="gan")
        if loss not in LOSSES:
            raise ValueError(f"loss is {loss!r}, but it must be one of {', '.join(LOSSES)}")
        if generator.output_shape[1:] != discriminator.input_shape[1:]:
            raise ValueError(
                f"the generator makes images of {generator.output_shape[1:]}, but the discriminator takes "
                f"{discriminator.input_shape[1:]}: both must be one (height, width, channels)"
            )
        if discriminator.output_shape[-1] != max(1, classes):
            raise ValueError(
                f"the discriminator has {discriminator.output_shape[-1]} outputs, but with classes={classes} it needs "
                f"{max(1, classes)}: one logit per class, or a single one without classes"
            )
        if label_smoothing and loss not in ("non-saturating", "minimax"):
            raise ValueError(f"label_smoothing is {label_smoothing}, but the loss {loss} has no labels: leave it at 0")
        self.generator, self.discriminator = generator, discriminator
        # A second model instead of an optimizer's use_ema, which would miss batch normalisation's statistics.
        self.ema_generator = keras.models.clone_model(generator)
        self.ema_generator.set_weights(generator.get_weights())
        self.loss_fns = LOSSES[loss]
        self.d_loss_fn = self.loss_fns.discriminator
        if label_smoothing:
            self.d_loss_fn = partial(self.d_loss_fn, label_smoothing=label_smoothing)
        weights = penalty_weights(loss, r1=r1, r2=r2, gradient_penalty=gradient_penalty)
        self.r1, self.r2, self.gradient_penalty = weights["r1"], weights["r2"], weights["gradient_penalty"]
        self.penalty_every, self.d_steps, self.ema, self.seed = penalty_every, d_steps, ema, seed
        self.augmentations, self.flip = tuple(augment), flip
        self.classes, self.latent_dim = classes, generator.input_shape[-1] - classes
        self.validation_step = tf.Variable(0, dtype=tf.int64, trainable=False, name="validation_step")
        self.start_counting()
        self.validation_metrics: list[keras.metrics.Metric] = []

    def compile(
        self,
        g_optimizer: keras.optimizers.Optimizer,
        d_optimizer: keras.optimizers.Optimizer,
        metrics: Sequence[keras.metrics.Metric] = (),
        **keras_options,
    ) -> None:
        """Set the players' optimizers. `metrics` are Keras metrics whose `update_state(reals, fakes)` takes two batches
        of float images in [-1, 1] (such as `measure.keras_metrics.FrechetDistance`); they are computed on
        `validation_data`. `keras_options` go to `keras.Model.compile`: jit_compile, steps_per_execution, run_eagerly.
        """
        if not tf.config.get_visible_devices("GPU"):
            # XLA's convolutions are slower than TensorFlow's own on a CPU; elsewhere Keras decides.
            keras_options.setdefault("jit_compile", False)
            # TensorFlow's remapper, which fuses operations, fails on this step and saves no time. TensorFlow 2.18 would
            # write that error into the middle of the progress, whatever TF_CPP_MIN_LOG_LEVEL says.
            tf.config.optimizer.set_experimental_options({"remapping": False})
        super().compile(optimizer=None, **keras_options)
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        self.validation_metrics = list(metrics)
        # Built now, so that a checkpoint can be restored before the first step.
        g_optimizer.build(self.generator.trainable_variables)
        d_optimizer.build(self.discriminator.trainable_variables)

    def start_counting(self) -> None:
        """Make the step count, from 0, and a running mean for each value that is logged or shown."""
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.trackers = {name: keras.metrics.Mean(name=name) for name in (*self.LOGGED, *self.DIAGNOSTICS)}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """What Keras resets when an epoch, or a validation, begins."""
        return [*self.trackers.values(), *self.validation_metrics]

    def call(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images in [-1, 1] of the averaged generator."""
        return self.ema_generator(latents, training=False)

    def train_step(self, data) -> dict[str, tf.Tensor]:
        """One step of the game, and the running means of what is logged."""
        return self.finish_step(self.play(data))

    def finish_step(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Average the generator, count the step, and track its `measured` values. Returns the means that are logged."""
        self.update_average()
        self.step.assign_add(1)
        self.track(values)
        return {name: self.trackers[name].result() for name in self.LOGGED}

    def play(self, data) -> dict[str, tf.Tensor]:
        """One step of the game: `d_steps` updates of the discriminator, then one of the generator.

        `data` holds the reals of all updates, (d_steps * N, height, width, channels), and their labels if there are
        classes. Each real image has a fake of the same label beside it, so both players see labels equally often.

        Returns scalars: what `measured` finds.
        """
        images, labels = self.unpack(data)
        size = (images.shape[0] or tf.shape(images)[0]) // self.d_steps
        for update in range(self.d_steps):
            seed = self.step_seed(update)
            reals, asked = (x[update * size : (update + 1) * size] for x in (images, labels))
            if self.flip:
                reals = flip(reals, tf.random.fold_in(seed, FLIPS))
            # The tape records how the fakes were made, so that they serve both players and are drawn once.
            with tf.GradientTape() as drawing:
                fakes = self.generator(self.generator_inputs(reals, asked, seed), training=True)
            d_step = self.discriminator_step(reals, fakes, asked, seed)
        g_step = self.generator_step(reals, fakes, asked, drawing, seed)
        return self.measured(reals, fakes, d_step, g_step)

    def discriminator_step(
        self, reals: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Update the discriminator, and nothing else: raise the logits of reals, lower those of fakes.

        `labels` are one-hot, (N, classes), and those of both.

        Returns its loss without penalties, the norm of its gradient, and both kinds of logits before the update.
        """
        power_iteration(self.discriminator)
        reals, fakes = self.augment_both(reals, fakes, tf.random.fold_in(seed, DISCRIMINATOR))
        with tf.GradientTape() as tape:
            real_logits, fake_logits = self.logits(reals, fakes, labels)
            loss = self.d_loss_fn(real_logits, fake_logits)
            objective = loss + self.penalties(reals, fakes, labels, tf.random.fold_in(seed, PENALTY))
            objective = self.d_optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, self.discriminator.trainable_variables)
        norm = apply_scaled(self.d_optimizer, gradients, self.discriminator.trainable_variables)
        return {"loss": loss, "gradient": norm, "real_logits": real_logits, "fake_logits": fake_logits}

    def generator_step(
        self, reals: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor, drawing: tf.GradientTape, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Update the generator, and nothing else: make the discriminator find its fakes more real.

        The chain rule in two parts: how the loss changes with each pixel of the fakes, then, by the tape `drawing`
        under which the generator made them, how the pixels change with its weights.

        Returns its loss, the norm of its gradient, and the logits of the fakes.
        """
        seed = tf.random.fold_in(seed, GENERATOR)
        with tf.GradientTape() as tape:
            tape.watch(fakes)
            if self.loss_fns.paired:
                real_logits, fake_logits = self.logits(*self.augment_both(reals, fakes, seed), labels)
                loss = self.loss_fns.generator(fake_logits, real_logits)
            else:
                fake_logits = self.judge(augment(fakes, self.augmentations, seed), labels)
                loss = self.loss_fns.generator(fake_logits)
            objective = self.g_optimizer.scale_loss(loss)
        by_pixels = tape.gradient(objective, fakes)
        gradients = drawing.gradient(fakes, self.generator.trainable_variables, output_gradients=by_pixels)
        norm = apply_scaled(self.g_optimizer, gradients, self.generator.trainable_variables)
        return {"loss": loss, "gradient": norm, "fake_logits": fake_logits}

    def penalties(self, reals: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The weighted sum of the gradient penalties, a scalar.

        WGAN-GP's is computed at every step, as in its paper. R1 and R2 are lazy: computed at every `penalty_every`-th
        step and weighted that many times as much (Karras et al. 2020, arXiv:1912.04958, appendix B). That paper also
        corrects Adam's step size and betas, because its penalties are optimizer steps of their own, k + 1 for k
        steps. Here they are added to the loss of a step that is taken anyway, so there is nothing to correct.
        """
        total, judge = tf.constant(0.0), partial(self.judge, labels=labels)
        if self.gradient_penalty:
            total += self.gradient_penalty * gradient_penalty(judge, reals, fakes, seed)
        if self.r1 or self.r2:

            def zero_centred():
                at_reals = self.r1 / 2 * zero_centred_penalty(judge, reals) if self.r1 else 0.0
                at_fakes = self.r2 / 2 * zero_centred_penalty(judge, fakes) if self.r2 else 0.0
                return self.penalty_every * (at_reals + at_fakes)

            total += tf.cond(self.step % self.penalty_every == 0, zero_centred, lambda: 0.0)
        return total

    def judge(self, images: tf.Tensor, labels: tf.Tensor, training: bool = True) -> tf.Tensor:
        """The discriminator's logits of images under their labels (N, classes): (N, 1)."""
        logits = self.discriminator(images, training=training)
        return tf.reduce_sum(logits * labels, axis=1, keepdims=True) if self.classes else logits

    def logits(self, reals: tf.Tensor, fakes: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The logits of both, (N, 1) each."""
        if mixes_batch(self.discriminator):  # Fakes must not hide among reals.
            return self.judge(reals, labels), self.judge(fakes, labels)
        # One call on both halves is faster than two.
        both = tf.concat([reals, fakes], axis=0)
        return tf.split(self.judge(both, tf.concat([labels, labels], axis=0)), 2)

    def augment_both(self, reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Both as the discriminator sees them, with random numbers from `seed` (2,)."""
        if not self.augmentations:
            return reals, fakes
        # In turn, real, fake, real, fake: a replica's own rows of that are its reals and its fakes.
        both = tf.reshape(tf.stack([reals, fakes], axis=1), (-1, *reals.shape[1:]))
        both = tf.reshape(augment(both, self.augmentations, seed), (-1, 2, *reals.shape[1:]))
        return both[:, 0], both[:, 1]

    def step_seed(self, update: int) -> tf.Tensor:
        """The seed (2,) of the discriminator update with this number within the step."""
        return tf.stack([tf.constant(self.seed, tf.int64), self.step * self.d_steps + update])

    def generator_inputs(self, reals: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """What the generator draws a fake from beside each of the reals: latents from N(0, 1), each followed by its
        one-hot label, (N, latent_dim + classes). A subclass that conditions on a picture takes it from the reals
        instead, as image-to-image GANs do (Isola et al. 2017, arXiv:1611.07004)."""
        count = reals.shape[0] or tf.shape(reals)[0]
        latents = own_rows(lambda number: tf.random.stateless_normal((number, self.latent_dim), seed), count)
        return tf.concat([latents, labels], axis=1)

    def update_average(self) -> None:
        """average <- ema * average + (1 - ema) * weights, with batch normalisation's statistics (Karras et al. 2018,
        arXiv:1710.10196, appendix A.1)."""
        for average, weight in zip(self.ema_generator.weights, self.generator.weights, strict=True):
            average.assign_add((1.0 - self.ema) * (weight - average))

    def measured(self, reals: tf.Tensor, fakes: tf.Tensor, d_step: dict, g_step: dict) -> dict[str, tf.Tensor]:
        """What is known of a step: a scalar for each of `trackers`, except that `spread` is the ratio of two."""
        real_logits, fake_logits = d_step["real_logits"], d_step["fake_logits"]
        midway = (tf.reduce_mean(real_logits) + tf.reduce_mean(fake_logits)) / 2
        threshold = 0.0 if self.loss_fns.has_threshold else midway
        values = {
            "d_loss": d_step["loss"],
            "g_loss": g_step["loss"],
            "D(x)": tf.sigmoid(real_logits - threshold),
            "D(G(z))_before": tf.sigmoid(fake_logits - threshold),
            "D(G(z))_after": tf.sigmoid(g_step["fake_logits"] - threshold),
            "accuracy_real": tf.cast(real_logits > threshold, tf.float32),
            "accuracy_fake": tf.cast(fake_logits < threshold, tf.float32),
            "d_gradient": d_step["gradient"],
            "g_gradient": g_step["gradient"],
            "real_distance": mean_distance(reals),
            "fake_distance": mean_distance(fakes),
        }
        return {name: tf.reduce_mean(value) for name, value in values.items()}

    def track(self, values: dict[str, tf.Tensor]) -> None:
        """Add a step's `measured` values to the running means."""
        for name, tracker in self.trackers.items():
            if name != "spread":
                tracker.update_state(values[name])
        # Weighted by the reals' distance, so that the mean is the ratio of the two mean distances.
        apart = values["real_distance"]
        self.trackers["spread"].update_state(tf.math.divide_no_nan(values["fake_distance"], apart), apart)

    def test_step(self, data) -> dict[str, tf.Tensor]:
        """Compare a batch of held-out images with as many fakes of the averaged generator."""
        reals, labels = self.unpack(data)
        # Counts down from -1, so that validation never shares a seed with training.
        seed = tf.stack([tf.constant(self.seed, tf.int64), -1 - self.validation_step])
        self.validation_step.assign_add(1)
        fakes = self.ema_generator(self.generator_inputs(reals, labels, seed), training=False)
        self.trackers["D(x)"].update_state(tf.sigmoid(self.judge(reals, labels, training=False)))
        for metric in self.validation_metrics:
            metric.update_state(reals, fakes)
        return {metric.name: metric.result() for metric in (self.trackers["D(x)"], *self.validation_metrics)}

    def unpack(self, data) -> tuple[tf.Tensor, tf.Tensor]:
        """What Keras passes to a step, a tensor or (images,) or (images, labels), as images, float32 in [-1, 1], and
        one-hot labels (N, classes). Raises ValueError if there are classes but no labels."""
        images, *rest = data if isinstance(data, tuple | list) else (data,)
        if self.classes and not rest:
            raise ValueError("a conditional GAN learns from images and labels: fit(images, labels)")
        labels = tf.reshape(rest[0], (-1,)) if self.classes else tf.zeros(tf.shape(images)[:1], tf.int64)
        images = to_unit_range(images) if images.dtype.is_integer else tf.cast(images, tf.float32)
        return images, tf.one_hot(labels, self.classes)
