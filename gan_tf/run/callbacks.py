"""What happens between steps and after each epoch of a run.

The order in `make_callbacks` is part of the design: a value that is not finite stops the run before anything is saved,
and the checkpoint comes after all that belongs to the epoch it closes.
"""

import csv
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write, flush
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, class_shares
from gan_tf.gan import GAN, inputs_of_each_class, random_inputs, sample
from gan_tf.measure.features import Features, dataset_features
from gan_tf.measure.health import PATIENCE, HeldOutAccuracy, LabelAgreement, Watch
from gan_tf.measure.report import run_reference
from gan_tf.run import plots
from gan_tf.run.checkpoints import CheckpointStore
from gan_tf.run.folder import Run, save_picture

COLUMNS, ROWS = 8, 8  # Of a sample grid.
MOST_CLASSES = 26  # That a sample grid has a row for: the letters of the alphabet.

# Called with the GAN and the number of epochs done; returns columns for `epoch_row`.
Columns = Callable[[GAN, int], dict[str, float]]


class Diverged(InputError):
    """A loss or a weight became NaN or infinite."""


def diverged(gan: GAN, what: str) -> Diverged:
    """The error, with what to try."""
    return Diverged(
        f"Training diverged: at step {int(gan.step)}, {what}. Try a lower --learning-rate, a larger --batch-size or "
        "another --seed."
    )


def check_weights(gan: GAN) -> None:
    """Raise Diverged if a weight is not finite. The losses show that only at the next step."""
    for weight in (*gan.generator.variables, *gan.discriminator.variables):
        if not np.isfinite(weight.numpy()).all():
            raise diverged(gan, f"the weights {weight.path} are not finite")


def epoch_row(gan: GAN, epoch: int, extra: Sequence[Columns] = ()) -> dict[str, float]:
    """What is known of an epoch: its number, the mean of each of the GAN's trackers, and the columns of `extra`."""
    row = {"epoch": epoch} | {name: float(tracker.result()) for name, tracker in gan.trackers.items()}
    for columns in extra:
        row |= columns(gan, epoch)
    return row


class TerminateOnNonFinite(keras.callbacks.Callback):
    """Raises Diverged when a running mean, or at an epoch's end a weight, is not finite: before it is saved."""

    def on_train_batch_end(self, batch, logs: Any = None):
        for name in self.model.LOGGED:
            if not np.isfinite(logs[name]):
                raise diverged(self.model, f"{name} is {logs[name]}")

    def on_epoch_end(self, epoch, logs=None):
        check_weights(self.model)


class Progress(keras.callbacks.Callback):
    """Shows where training is: in a terminal a bar for each epoch, in its width, and elsewhere one line an epoch.

    Keras's own bar prints all logs in full length and wraps. Here are the four that one line of 80 columns holds; the
    others are in history.csv.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.images_per_step = config.batch_size * config.d_steps
        self.bar, self.clock = tqdm(disable=True), None  # No epoch has begun.

    def on_epoch_begin(self, epoch, logs=None):
        epochs, steps = self.params["epochs"], self.params["steps"]
        self.title, self.in_terminal = f"epoch {epoch + 1}/{epochs}", sys.stdout.isatty()
        self.bar = tqdm(
            total=steps,
            initial=int(self.model.step) % steps,
            file=sys.stdout,
            disable=not self.in_terminal,
            dynamic_ncols=True,
            bar_format=f"{self.title} {{bar}} {{n_fmt}}/{{total_fmt}}{{desc}}",
        )
        if self.clock:
            self.clock = time.perf_counter(), int(self.model.step)

    def on_train_batch_end(self, batch, logs: Any = None):
        now, step = time.perf_counter(), int(self.model.step)
        self.rate = ""
        if self.clock:
            images = (step - self.clock[1]) * self.images_per_step
            self.rate = f"  {images / (now - self.clock[0]):,.0f} images/s"
        else:  # The run's first call is not counted: it compiles the step.
            self.clock = now, step
        self.bar.set_description_str(self.rate + numbers(logs), refresh=False)
        self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch, logs: Any = None):
        self.close()
        if not self.in_terminal:
            print(self.title + self.rate + numbers(logs), flush=True)

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """End the bar's line, if there is one."""
        self.bar.close()


def numbers(logs: dict[str, float]) -> str:
    """The running means as short as a line needs them."""
    names = {"d_loss": "D", "g_loss": "G", "D(x)": "D(x)", "D(G(z))_before": "D(G(z))"}
    return "".join(f"  {short} {logs[name]:.2f}" for name, short in names.items())


class History(keras.callbacks.Callback):
    """Writes history.csv: the `epoch_row` of each epoch, counted from 1. `row` is that of the last one. Earlier rows
    are only in the file, so that a run of a week does not fill the memory."""

    def __init__(self, run: Run, extra: Sequence[Columns] = ()):
        super().__init__()
        self.run, self.extra, self.row = run, extra, {}

    def on_epoch_end(self, epoch, logs=None):
        self.row = epoch_row(self.model, epoch + 1, self.extra)
        path = self.run.history_csv
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, self.row, lineterminator="\n")
            is_new = file.tell() == 0
            if is_new:
                writer.writeheader()
            writer.writerow(self.row)
        # A checkpoint of this epoch follows, and a power cut must not leave it without its row.
        flush(path)
        if is_new:
            flush(path.parent)


class Health(keras.callbacks.Callback):
    """Prints each diagnosis of a history once, with its epoch, or at the end that there was none."""

    def __init__(self, history: History, config: Config):
        super().__init__()
        self.history, self.watch, self.reported, self.first = history, Watch(config), set(), 0

    def on_train_begin(self, logs=None):
        # A resumed run does not repeat itself.
        past = self.history.run.read_history()
        for row in zip(*past.values(), strict=True):
            self.reported |= {*self.watch.add(dict(zip(past, row, strict=True)))}
        self.first = self.watch.epochs

    def on_epoch_end(self, epoch, logs=None):
        for name, sentence in self.watch.add(self.history.row).items():
            if name not in self.reported:
                self.reported.add(name)
                print(f"Health, epoch {epoch + 1}: {sentence}", flush=True)

    def on_train_end(self, logs=None):
        row, epochs = self.history.row, self.watch.epochs
        if self.reported or epochs < PATIENCE or epochs == self.first or self.model.stop_training:
            return
        print(
            f"Health, epoch {epochs}: all well. The discriminator is right about {row['accuracy_real']:.0%} of "
            f"real images and {row['accuracy_fake']:.0%} of fakes; two fakes are {row['spread']:.2f} times as far "
            "apart as two real images."
        )


def grid_inputs(config: Config, shares: np.ndarray) -> np.ndarray:
    """The generator's inputs for a sample grid of COLUMNS by ROWS images, row by row. `shares` (classes,) says how
    frequent each class is.

    A conditional grid has as many rows for each of its classes, all with the same latents: with eight or more classes,
    a column is one latent, drawn as each class. With more than MOST_CLASSES, its images have random classes.
    """
    if not 0 < len(shares) <= MOST_CLASSES:
        return random_inputs(COLUMNS * ROWS, config.latent_dim, shares, config.seed)
    random = np.random.default_rng(config.seed)
    latents = random.standard_normal((COLUMNS * max(1, ROWS // len(shares)), config.latent_dim))
    return inputs_of_each_class(latents, len(shares))


class Samples(keras.callbacks.Callback):
    """Writes samples/epoch_NNNN.png: the averaged generator's images of the same inputs after each epoch. 0000 is
    before the first step. Of a long run, some are deleted again (`gan_tf.run.folder.is_sample_kept`)."""

    def __init__(self, run: Run, inputs: np.ndarray):
        super().__init__()
        self.run, self.inputs = run, inputs

    def on_train_begin(self, logs=None):
        if int(self.model.step) == 0:
            self.save(0)

    def on_epoch_end(self, epoch, logs=None):
        self.save(epoch + 1)
        self.run.thin_samples(epoch + 1)

    def save(self, epoch: int) -> None:
        fakes = sample(self.model.ema_generator, self.inputs)
        save_picture(self.run.sample_png(epoch), plots.grid(fakes, columns=COLUMNS))


class Checkpoint(keras.callbacks.Callback):
    """Saves a checkpoint and both models at the end of each epoch. Once `stop_requested` is set, it does so after the
    current step and stops training."""

    def __init__(self, run: Run, store: CheckpointStore):
        super().__init__()
        self.run, self.store, self.stop_requested = run, store, False

    def on_train_batch_end(self, batch, logs=None):
        if self.stop_requested and batch + 1 < self.params["steps"]:
            check_weights(self.model)
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.save()

    def save(self) -> None:
        # The checkpoint last: a resumed run makes nothing that belongs before it.
        self.run.save_models(self.model)
        self.store.save()
        self.model.stop_training = self.stop_requested


class Evaluate:
    """Columns `frechet_distance` and `coverage` at each config.evaluate_every-th epoch, and nan between.

    They compare the averaged generator's images of the same latents each time with real ones that it was trained on,
    in `features`, equally many of both (`gan_tf.measure.report`). The generator with the lowest distance so far is kept
    as best_generator.keras.
    """

    def __init__(self, run: Run, images: ImageDataset, config: Config, features: Features):
        self.run, self.every = run, config.evaluate_every
        self.reference = run_reference(images, config, features)
        shares = class_shares(images, config)
        self.inputs = random_inputs(self.reference.count, config.latent_dim, shares, config.seed)
        distances = run.read_history().get("frechet_distance", ())
        self.best = min((distance for distance in distances if np.isfinite(distance)), default=np.inf)

    def __call__(self, gan: GAN, epoch: int) -> dict[str, float]:
        if epoch % self.every:
            return {"frechet_distance": np.nan, "coverage": np.nan}
        scores = self.reference.measure_features(sample(gan.ema_generator, self.inputs))
        row = {name: float(np.mean(scores[name])) for name in ("frechet_distance", "coverage")}
        if row["frechet_distance"] < self.best:
            self.best = row["frechet_distance"]
            with atomic_write(self.run.best_generator_keras) as temporary:
                gan.ema_generator.save(temporary)
        return row


def make_callbacks(
    run: Run, store: CheckpointStore, images: ImageDataset, config: Config, tensorboard: bool
) -> list[keras.callbacks.Callback]:
    """All callbacks of a run, in their order: Progress is the first and Checkpoint the last."""
    extra: list[Columns] = [HeldOutAccuracy(images, config), LabelAgreement(images, config)]
    if config.evaluate_every:
        extra.append(Evaluate(run, images, config, dataset_features(images, config)))
    boards = [keras.callbacks.TensorBoard(str(run.tensorboard), write_graph=False)] if tensorboard else []
    history = History(run, extra)
    return [
        Progress(config),
        TerminateOnNonFinite(),
        history,
        Health(history, config),
        Samples(run, grid_inputs(config, class_shares(images, config))),
        *boards,
        Checkpoint(run, store),
    ]
