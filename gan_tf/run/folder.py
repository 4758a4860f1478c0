"""A run's folder: what lies in it, and how it is made, opened, saved and loaded.

Every file is written beside its place and then renamed, so that whatever stops the program, a file that is
there is whole. The one exception, history.csv, is cut back to the checkpoint when the run is resumed.
"""

import csv
import dataclasses
import datetime
import json
import os
import platform
import shutil
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gan_tf import __version__
from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.run import plots

FORMAT = 3  # Of config.json and of what lies beside it; one more whenever older code could not read it.


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture (H, W, 1 or 3) as PNG."""
    with atomic_write(path) as temporary:
        plots.save_png(temporary, picture)


class Run:
    """The folder of one run. Its attributes are the paths in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.config_json = folder / "config.json"
        self.history_csv = folder / "history.csv"
        self.metrics_json = folder / "metrics.json"
        self.samples = folder / "samples"
        self.checkpoints = folder / "checkpoints"
        self.tensorboard = folder / "tensorboard"
        self.reals_png = folder / "reals.png"
        self.copies_png = folder / "copies.png"
        self.curves_png = folder / "curves.png"
        self.strip_png = folder / "strip.png"
        self.progress_gif = folder / "progress.gif"
        self.generator_keras = folder / "generator.keras"
        self.best_generator_keras = folder / "best_generator.keras"
        self.discriminator_keras = folder / "discriminator.keras"

    @classmethod
    def create(cls, folder: Path | None, config: Config, images: ImageDataset, fallback: str | None) -> "Run":
        """A new folder with its config.json; named by data set, labels and time where `folder` is None.

        `fallback` says why another data set was asked for than config has, or is None. Raises InputError.
        """
        if folder is None:
            parts = [images.name, *config.label, datetime.datetime.now().strftime("%Y%m%d-%H%M%S")]
            folder = Path("runs", "-".join(parts))
        run = cls(folder)
        try:
            folder.mkdir(parents=True)
            try:
                run.samples.mkdir()
                run.write_config(config, images, fallback)
            except BaseException:  # Only what was made here, a line above, is removed again.
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except FileExistsError:
            raise InputError(
                f"{folder} exists already; go on with it by --resume {folder}, or name a new folder with --run."
            ) from None
        except OSError as error:
            raise InputError(
                f"The run's folder {folder} cannot be made ({error.strerror}); name a writable one with --run."
            ) from error
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The folder of a run that was made before. Raises InputError where it is none."""
        run = cls(folder)
        if not run.config_json.exists():
            raise InputError(f"{folder} is no run's folder: there is no config.json in it.")
        run.read_config()
        return run

    def write_config(self, config: Config, images: ImageDataset, fallback: str | None) -> None:
        """What was run, on what, and with which versions, for people and for --resume."""
        versions = {"gan_tf": __version__, "tensorflow": tf.__version__, "keras": keras.__version__}
        record = {
            "format": FORMAT,
            "config": dataclasses.asdict(config),
            "data": {
                "name": images.name,
                "images": len(images),
                "shape": images.shape,
                "source": images.source,
                "skipped": images.skipped,
                "fingerprint": images.fingerprint,
                "fallback": fallback,
            },
            "device": device(),
            "versions": versions | {"python": platform.python_version()},
        }
        self.write_json(self.config_json, record)

    def read_config(self) -> tuple[Config, dict]:
        """The run's Config, and all of config.json. Raises InputError where this gan_tf cannot read it."""
        try:
            record = json.loads(self.config_json.read_text())
            written, version = record["format"], record["versions"]["gan_tf"]
            if written <= FORMAT:
                values = record["config"]
                if written < FORMAT:  # Such a run can be drawn with, but not resumed: what is no field now is nothing.
                    values = {
                        field.name: values[field.name] for field in dataclasses.fields(Config) if field.name in values
                    }
                return Config(**values), record
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{self.config_json} cannot be read ({error}); it is not as gan_tf wrote it.") from error
        raise InputError(
            f"{self.folder} was made by gan_tf {version} in format {written}, which is newer than this gan_tf "
            f"{__version__} (format {FORMAT}); update gan_tf to open it."
        )

    def write_json(self, path: Path, record: dict) -> None:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")

    def read_metrics(self) -> dict:
        """metrics.json; empty where it is not there yet."""
        return json.loads(self.metrics_json.read_text()) if self.metrics_json.exists() else {}

    def read_history(self) -> dict[str, list[float]]:
        """history.csv by column; empty where it is not there yet."""
        if not self.history_csv.exists():
            return {}
        with open(self.history_csv, newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}

    def cut_history(self, epochs: int) -> None:
        """Keep the first `epochs` rows of history.csv: the rest is from after the last checkpoint."""
        if self.history_csv.exists():
            lines = self.history_csv.read_text().splitlines(keepends=True)
            with atomic_write(self.history_csv) as temporary:
                temporary.write_text("".join(lines[: epochs + 1] if epochs else []))

    def sample_png(self, epoch: int) -> Path:
        """Where the grid from the end of an epoch lies; epoch 0 is from before the first step."""
        return self.samples / f"epoch_{epoch:04d}.png"

    def save_models(self, gan) -> None:
        """Write generator.keras (the averaged weights) and discriminator.keras."""
        for path, model in ((self.generator_keras, gan.ema_generator), (self.discriminator_keras, gan.discriminator)):
            with atomic_write(path) as temporary:
                model.save(temporary)

    def load_generator(self):
        """The averaged generator. Raises InputError, saying which versions are at odds if they are."""
        path = self.generator_keras
        if not path.exists():
            raise InputError(
                f"{self.folder} has no generator.keras yet; finish the run with python -m gan_tf.train --resume "
                f"{self.folder}"
            )
        try:
            return keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises nearly every type for a file that it cannot read.
            raise InputError(
                f"{path} cannot be opened by Keras {keras.__version__}: it {saved_by(path)}; install that version "
                "of Keras or a newer one, or train the run again."
            ) from error


def saved_by(path: Path) -> str:
    """How a .keras file came to be, as the end of a sentence that begins with 'it'."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "was saved by Keras " + json.loads(archive.read("metadata.json"))["keras_version"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return "is damaged"


def device() -> str:
    """What TensorFlow computes on."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return ", ".join(names) or f"CPU, {os.cpu_count()} cores"


class Checkpoints:
    """All that training needs to go on, saved by step: both models, the average, both optimizers, the step, and
    the means of the epoch so far. TensorFlow writes and renames, and keeps a checksum of every tensor."""

    def __init__(self, gan, folder: Path):
        self.gan = gan
        self.state = tf.train.Checkpoint(
            generator=gan.generator,
            discriminator=gan.discriminator,
            ema_generator=gan.ema_generator,
            g_optimizer=gan.g_optimizer,
            d_optimizer=gan.d_optimizer,
            step=gan.step,
            # Keras's metrics are nothing that TensorFlow would look into.
            means=[variable.value for mean in gan.metrics for variable in mean.variables],
        )
        # Two, so that there is one before the newest.
        self.manager = tf.train.CheckpointManager(self.state, str(folder), max_to_keep=2, checkpoint_name="step")

    def save(self) -> None:
        """Write a checkpoint of now. Raises OSError."""
        try:
            self.manager.save(checkpoint_number=int(self.gan.step))
        except tf.errors.OpError as error:
            raise OSError(None, error.message.splitlines()[0], str(self.manager.directory)) from error

    def restore_or_begin(self) -> None:
        """Go back to the newest checkpoint; where there is none yet, save the first."""
        if self.manager.checkpoints:
            self.restore()
        else:
            self.save()

    def restore(self) -> None:
        """Go back to the newest checkpoint that is whole, naming those that are not. Raises InputError."""
        saved = self.manager.checkpoints
        for path in reversed(saved):
            try:
                self.state.restore(path).assert_existing_objects_matched()
                return
            except Exception as error:  # TensorFlow's own, or IndexError, or AssertionError: as the damage wants.
                why = str(error).splitlines()[0]
                print(f"gan_tf: the checkpoint {path} is damaged ({why}); trying the one before it.", file=sys.stderr)
        raise InputError(
            f"{self.manager.directory} holds no checkpoint that can be read (of {len(saved)}); start again in "
            "another folder with --run."
        )
