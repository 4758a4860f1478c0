"""What happens after a step and at an epoch's end. The order in `make_callbacks` is part of the design: what is
not finite stops everything, and the checkpoint comes after all that belongs to the epoch it closes."""

import csv
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN, sample
from gan_tf.measure.health import EPOCHS, HeldOutAccuracy, diagnose
from gan_tf.measure.metrics import coverage, frechet_distance
from gan_tf.run import plots
from gan_tf.run.folder import Checkpoints, Run, save_picture

GRID = 64  # Images in a sample grid, 8 by 8.


class Diverged(InputError):
    """A loss or a weight became NaN or infinite."""


class Interrupted(Exception):
    """Training was asked to stop, and everything is saved."""


def stop(gan: GAN, what: str) -> None:
    """Raises Diverged, with what to try."""
    raise Diverged(
        f"Training diverged: {what} at step {int(gan.step)}. Try a lower --learning-rate (it was "
        f"{gan.config.learning_rate:g}), a larger --batch-size (it was {gan.config.batch_size}) or another --seed."
    )


def check_weights(gan: GAN) -> None:
    """Raises Diverged where a weight is not finite, which the losses show only at the next step."""
    for weight in (*gan.generator.variables, *gan.discriminator.variables):
        if not np.isfinite(weight.numpy()).all():
            stop(gan, f"the weights {weight.path} are not finite")


class TerminateOnNonFinite(keras.callbacks.Callback):
    """Raises Diverged as soon as a loss is not a number any more, or a weight at an epoch's end: before
    anything of it is saved."""

    def on_train_batch_end(self, batch, logs=None):
        for name in self.model.SHOWN:
            if not np.isfinite(logs[name]):
                stop(self.model, f"{name} became {logs[name]}")

    def on_epoch_end(self, epoch, logs=None):
        check_weights(self.model)


class History(keras.callbacks.Callback):
    """history.csv: a row for each epoch, counted from 1, of all of the GAN's means and of what `more` adds: functions
    of (gan, epoch) that return columns."""

    def __init__(self, run: Run, more: Sequence[Callable[[GAN, int], dict[str, float]]] = ()):
        super().__init__()
        self.path, self.more = run.history_csv, more

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1} | {name: float(mean.result()) for name, mean in self.model.means.items()}
        for columns in self.more:
            row |= columns(self.model, epoch + 1)
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)


class Evaluate:
    """Columns of history.csv at every `evaluate_every`-th epoch, between which they are nan: Frechet distance and
    coverage of 2,000 fakes at most, in a small network's features (gan_tf/measure/features.py). The generator with the lowest
    distance so far is kept as best_generator.keras."""

    def __init__(self, run: Run, images: ImageDataset, features: Callable[[np.ndarray], np.ndarray], config: Config):
        rows = np.random.default_rng(0).permutation(len(images))[:2000]
        self.run, self.features, self.every = run, features, config.evaluate_every
        self.reals = features(images.images[np.sort(rows)])
        count = min(2000, max(1000, len(images)), 2**29 // int(np.prod(images.shape)))
        self.latents = np.random.default_rng(config.seed).standard_normal((count, config.latent_dim))
        distances = run.read_history().get("frechet_distance", ())
        self.best = min((distance for distance in distances if np.isfinite(distance)), default=np.inf)

    def __call__(self, gan: GAN, epoch: int) -> dict[str, float]:
        if epoch % self.every:
            return {"frechet_distance": np.nan, "coverage": np.nan}
        fakes = self.features(sample(gan.ema_generator, self.latents))
        distance = frechet_distance(self.reals, fakes)
        if distance < self.best:
            self.best = distance
            with atomic_write(self.run.best_generator_keras) as temporary:
                gan.ema_generator.save(temporary)
        return {"frechet_distance": distance, "coverage": coverage(self.reals, fakes)}


class Health(keras.callbacks.Callback):
    """Says what is wrong, or at the end that nothing is, each once, with the epoch."""

    def __init__(self, run: Run):
        super().__init__()
        self.run, self.said, self.waiting = run, set(), []

    def on_train_begin(self, logs=None):
        history = self.run.read_history()
        for epochs in range(len(history.get("epoch", ()))):
            self.said |= {*diagnose({name: values[:epochs] for name, values in history.items()}, self.model.config)}

    def on_epoch_end(self, epoch, logs=None):
        for name, sentence in diagnose(self.run.read_history(), self.model.config).items():
            if name not in self.said:
                self.said.add(name)
                self.waiting.append(f"Health, epoch {epoch + 1}: {sentence}")

    def on_epoch_begin(self, epoch, logs=None):  # As the progress bar's line is not at its end before.
        while self.waiting:
            print(self.waiting.pop(0), flush=True)

    def on_train_end(self, logs=None):
        self.on_epoch_begin(0)
        history = self.run.read_history()
        if not self.said and len(history["epoch"]) >= EPOCHS:
            print(
                f"Health, epoch {len(history['epoch'])}: all well. D is right about {history['accuracy_real'][-1]:.0%} "
                f"of real images and {history['accuracy_fake'][-1]:.0%} of fakes; two fakes are "
                f"{history['spread'][-1]:.2f} times as far apart as two real images."
            )


class Samples(keras.callbacks.Callback):
    """samples/epoch_NNNN.png: what the averaged generator makes of always the same latent vectors; 0000 is from
    before the first step."""

    def __init__(self, run: Run, latents: np.ndarray):
        super().__init__()
        self.run, self.latents = run, latents

    def on_train_begin(self, logs=None):
        if int(self.model.step) == 0:
            self.save(0)

    def on_epoch_end(self, epoch, logs=None):
        self.save(epoch + 1)

    def save(self, epoch: int) -> None:
        fakes = sample(self.model.ema_generator, self.latents)
        save_picture(self.run.sample_png(epoch), plots.grid(fakes, columns=8))


class Save(keras.callbacks.Callback):
    """A checkpoint and the two models at the end of every epoch, and when `stop_requested` is set: then it
    raises Interrupted. A resumed epoch goes on with the means that it had."""

    def __init__(self, run: Run, checkpoints: Checkpoints, steps_per_epoch: int):
        super().__init__()
        self.run, self.checkpoints, self.steps_per_epoch = run, checkpoints, steps_per_epoch
        self.stop_requested = False
        self.means = [variable for mean in checkpoints.gan.metrics for variable in mean.variables]
        self.means_so_far = [variable.numpy() for variable in self.means]

    def on_epoch_begin(self, epoch, logs=None):
        if int(self.model.step) % self.steps_per_epoch:  # `fit` has just reset what the checkpoint brought back.
            for variable, value in zip(self.means, self.means_so_far, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        if self.stop_requested and int(self.model.step) % self.steps_per_epoch:
            check_weights(self.model)
            self.save()
            raise Interrupted

    def on_epoch_end(self, epoch, logs=None):
        self.save()
        if self.stop_requested:
            raise Interrupted

    def save(self) -> None:
        self.checkpoints.save()
        self.run.save_models(self.model)


class Speed(keras.callbacks.Callback):
    """Adds real images per second, of the epoch so far, to the logs that the progress bar shows."""

    def __init__(self):
        super().__init__()
        self.began = self.rate = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.began:
            self.began = time.perf_counter(), int(self.model.step)

    def on_train_batch_end(self, batch, logs=None):
        now, step = time.perf_counter(), int(self.model.step)
        if not self.began:  # The first execution of all is left out: it compiles the step.
            self.began = now, step
            return
        images = (step - self.began[1]) * self.model.config.batch_size * self.model.config.d_steps
        logs["images/s"] = self.rate = images / (now - self.began[0])

    def on_epoch_end(self, epoch, logs=None):
        if self.rate:
            logs["images/s"] = self.rate


def make_callbacks(
    run: Run,
    checkpoints: Checkpoints,
    images: ImageDataset,
    latents: np.ndarray,
    steps_per_epoch: int,
    tensorboard: bool,
) -> list[keras.callbacks.Callback]:
    """All of them, in their order; the last one is Save."""
    config = checkpoints.gan.config
    more = [HeldOutAccuracy(images, config)]
    if config.evaluate_every:
        from gan_tf.measure.features import dataset_features

        more.append(Evaluate(run, images, dataset_features(images, config), config))
    boards = [keras.callbacks.TensorBoard(str(run.tensorboard), write_graph=False)] if tensorboard else []
    return [
        TerminateOnNonFinite(),
        History(run, more),
        Health(run),
        Samples(run, latents),
        Speed(),
        *boards,
        Save(run, checkpoints, steps_per_epoch),
    ]
