"""A run's folder: which files it holds, and how they are written, read and locked.

Every file is written atomically, so a file that exists is complete whatever stopped the program. The one exception is
history.csv, which grows by a line an epoch; resuming cuts it back to the checkpoint.
"""

import contextlib
import csv
import dataclasses
import datetime
import json
import os
import platform
import re
import shutil
import socket
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock
import keras
import numpy as np
import tensorflow as tf

from gan_tf import __version__
from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write
from gan_tf.common.options import convert
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN
from gan_tf.models import to_plain
from gan_tf.run import devices, plots

FORMAT = 6  # The format of config.json and of the checkpoints; raised whenever older code could not read them.


def save_picture(path: Path, picture: np.ndarray, durable: bool = True) -> None:
    """Write a uint8 picture (H, W, 1, 3 or 4) as PNG; for `durable`, see `atomic_write`."""
    with atomic_write(path, durable) as temporary:
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
        self.progress_mp4 = folder / "progress.mp4"
        self.generator_keras = folder / "generator.keras"
        self.best_generator_keras = folder / "best_generator.keras"
        self.discriminator_keras = folder / "discriminator.keras"

    @classmethod
    def create(cls, folder: Path | None, config: Config, images: ImageDataset, fallback: str | None) -> "Run":
        """Make the folder of a new run, with its config.json.

        Args:
            folder: where; None is runs/ with a name made of data set, labels and time.
            config: what will be trained.
            images: what it will be trained on.
            fallback: why `config` has another data set than the one that was asked for, or None.

        Raises:
            InputError: if the folder exists or cannot be made.
        """
        if folder is None:
            parts = [images.name, *config.label, datetime.datetime.now().strftime("%Y%m%d-%H%M%S")]
            folder = Path("runs", "-".join(parts))
        run = cls(folder)
        data = {
            "name": images.name,
            "images": len(images),
            "shape": images.shape,
            "source": images.source,
            "skipped": images.skipped,
            "fingerprint": images.fingerprint,
            "fallback": fallback,
            # What a conditional generator can be told, and how often it is so: {} if it is not conditional.
            "classes": dict(zip(images.classes.names, images.classes.shares.tolist(), strict=True))
            if config.told
            else {},
        }
        record = {"format": FORMAT, "config": dataclasses.asdict(config), "data": data, "phases": [], "starts": []}
        try:
            folder.mkdir(parents=True)
            try:
                run.samples.mkdir()
                run.write_json(run.config_json, record)
            except BaseException:  # The folder was made here, a line above, so it holds nothing of anyone else's.
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except FileExistsError:
            begun = run.config_json.exists()  # Otherwise, it is not a run's, or a start was killed in its first moment.
            advice = f"continue that run with --resume {folder}" if begun else "it holds no run, so remove it"
            raise InputError(f"{folder} exists already: {advice}, or name a new folder with --run.") from None
        except OSError as error:
            raise InputError(
                f"The run's folder {folder} cannot be made ({error.strerror}): name a writable one with --run."
            ) from error
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """The folder of an existing run. Raises InputError if it is none, or one that this version cannot read."""
        run = cls(folder)
        if not run.config_json.exists():
            raise InputError(f"{folder} is not the folder of a run: it has no config.json.")
        run.read_config()
        return run

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in this folder. The operating system releases the lock when the process
        ends, even by kill -9. Raises InputError, and changes nothing, if another process holds it."""
        lock = filelock.FileLock(self.folder / ".lock")
        owner = self.folder / ".lock_owner.json"
        try:
            lock.acquire(timeout=0)
            self.write_json(owner, {"pid": os.getpid(), "host": socket.gethostname(), "since": now()})
        except filelock.Timeout:
            raise InputError(
                f"{self.folder} is being trained by {describe_owner(owner)}: wait until that ends, or stop it with "
                "Ctrl-C, and then resume."
            ) from None
        except OSError as error:
            lock.release()
            raise self.unwritable(error) from error
        try:
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()

    def unwritable(self, error: OSError) -> InputError:
        """The InputError for a full or read-only disk."""
        return InputError(
            f"{self.folder} could not be written to ({error.strerror or error}): make room or make it writable, then "
            f"continue from the last checkpoint with --resume {self.folder}"
        )

    def read_config(self) -> tuple[Config, dict]:
        """The run's Config, and all of config.json. Raises InputError if this version cannot read it."""
        try:
            record = json.loads(self.config_json.read_text())
            if record["format"] == FORMAT:
                check_record(record)
                return Config(**record["config"]), record
            age = "an older" if record["format"] < FORMAT else "a newer"
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(f"{self.config_json} cannot be read ({error}): it is not as gan_tf wrote it.") from error
        raise InputError(
            f"{self.folder} was made by {age} gan_tf: its format is {record['format']}, and gan_tf {__version__} reads "
            f"format {FORMAT} only. Use that gan_tf, or train the run again."
        )

    def read_classes(self) -> dict[str, float]:
        """The labels that a conditional run can be told to draw, and how frequent each is in its data; empty if the run
        is not conditional."""
        return self.read_config()[1]["data"]["classes"]

    def record_start(self, config: Config, phases: Sequence[tuple[int, int]], step: int) -> None:
        """Add to config.json's "starts" that training starts now from `step`, here, with these versions. "config" and
        "phases" become what they are from now on; what resuming may change is in each start."""
        _, record = self.read_config()
        versions = {"gan_tf": __version__, "tensorflow": tf.__version__, "keras": keras.__version__}
        start = {
            "time": now(),
            "step": step,
            "epochs": config.epochs,
            "data_dir": config.data_dir,
            "device": devices.describe(),
            "versions": versions | {"python": platform.python_version()},
        }
        record |= {"config": dataclasses.asdict(config), "phases": phases, "starts": [*record["starts"], start]}
        self.write_json(self.config_json, record)

    def write_json(self, path: Path, record: dict) -> None:
        """Write a JSON file atomically."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")

    def read_metrics(self) -> dict:
        """metrics.json, or an empty dict before it exists. Raises InputError for a damaged one."""
        if not self.metrics_json.exists():
            return {}
        try:
            return dict(json.loads(self.metrics_json.read_text()))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{self.metrics_json} cannot be read ({error}): it is not as gan_tf wrote it.") from error

    def read_history(self) -> dict[str, list[float]]:
        """history.csv as column name -> one value per epoch, or an empty dict before it exists. Raises InputError for
        a damaged one."""
        if not self.history_csv.exists():
            return {}
        try:
            with open(self.history_csv, newline="") as file:
                # A last line without its end is that of a process that was killed while it wrote it.
                lines = csv.reader(line for line in file if line.endswith("\n"))
                columns: dict[str, list[float]] = {name: [] for name in next(lines, [])}
                for line in lines:
                    for values, cell in zip(columns.values(), line, strict=True):
                        values.append(float(cell))
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{self.history_csv} cannot be read ({error}): it is not as gan_tf wrote it.") from error
        return columns if any(columns.values()) else {}

    def cut_history(self, epochs: int) -> None:
        """Keep the first `epochs` rows of history.csv: later ones were written after the last checkpoint."""
        if self.history_csv.exists():
            lines = self.history_csv.read_text().splitlines(keepends=True)
            with atomic_write(self.history_csv) as temporary:
                temporary.write_text("".join(lines[: epochs + 1] if epochs else []))

    def sample_png(self, epoch: int) -> Path:
        """The path of the sample grid from the end of `epoch`; epoch 0 is before the first step."""
        return self.samples / f"epoch_{epoch:04d}.png"

    def sampled_epochs(self) -> np.ndarray:
        """The epochs whose sample grids are there, sorted integers (N,)."""
        names = (re.fullmatch("epoch_([0-9]+).png", path.name) for path in self.samples.glob("epoch_*.png"))
        return np.array(sorted(int(name[1]) for name in names if name), int)

    def thin_samples(self, epochs: int) -> None:
        """Delete the sample grids that a run no longer keeps after `epochs` epochs."""
        for epoch in self.sampled_epochs().tolist():
            if not is_sample_kept(epoch, epochs):
                self.sample_png(epoch).unlink()

    def save_models(self, gan: GAN) -> None:
        """Write generator.keras (the averaged weights) and discriminator.keras, both of built-in Keras layers only."""
        models = {self.generator_keras: gan.ema_generator, self.discriminator_keras: to_plain(gan.discriminator)}
        for path, model in models.items():
            with atomic_write(path) as temporary:
                model.save(temporary)

    def load_generator(self) -> keras.Model:
        """The averaged generator. Raises InputError, with both versions if Keras's is the reason, and if it is not the
        generator of config.json."""
        path = self.generator_keras
        if not path.exists():
            raise InputError(
                f"{self.folder} has no generator.keras yet: finish the run with python -m gan_tf.train --resume "
                f"{self.folder}"
            )
        model, (config, record) = load_model(path), self.read_config()
        inputs = config.latent_dim + len(record["data"]["classes"])
        # A model with several inputs has a list of shapes.
        if (model.input_shape, model.output_shape) != ((None, inputs), (None, *record["data"]["shape"])):
            raise InputError(f"{path} is not the generator that {self.config_json} describes: train the run again.")
        return model

    def load_discriminator(self) -> keras.Model | None:
        """The discriminator, or None if the folder has none. Raises InputError as `load_generator` does."""
        return load_model(self.discriminator_keras) if self.discriminator_keras.exists() else None


# What the commands read of config.json's "data", and its types.
DATA = {
    "name": str,
    "images": int,
    "shape": tuple[int, ...],
    "source": str,
    "fingerprint": str,
    "fallback": str | None,
}


def check_record(record: dict) -> None:
    """Raise ValueError, TypeError, KeyError or AttributeError unless all that the commands read of config.json is
    there."""
    data = record["data"]
    shares = list(data["classes"].values())
    try:
        for name, annotation in DATA.items():
            convert(data[name], annotation)
        convert(shares, tuple[float, ...])
        convert(record["starts"], tuple[dict, ...])
        phases = convert(record["phases"], tuple[tuple[int, ...], ...])
    except ValueError:
        raise ValueError("its data, phases or starts have another type") from None
    if not (
        len(data["shape"]) == 3
        and min(data["shape"]) > 0
        and (not shares or (min(shares) >= 0 and abs(sum(shares) - 1) < 1e-6))
        and all(len(phase) == 2 and phase[0] < phase[1] for phase in phases)
    ):
        raise ValueError("its shape, classes or phases are impossible")


def load_model(path: Path) -> keras.Model:
    """The Keras model in a .keras file. Raises InputError, with both versions if Keras's is the reason."""
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises nearly every type for a file that it cannot read.
        raise InputError(
            f"{path} cannot be opened by Keras {keras.__version__}: it {saved_by(path)}; install that version "
            "of Keras or a newer one, or train the run again."
        ) from error


def telling_epochs(epochs: int, count: int) -> np.ndarray:
    """Epoch 0 and up to `count` others, the last one included: more of the early ones, where most changes."""
    return np.unique([0, *np.geomspace(1, epochs, count).round().astype(int)])


def is_sample_kept(epoch: int, epochs: int) -> bool:
    """Whether the sample grid of `epoch` is kept when `epochs` are done.

    All are, of fewer than 128. Of more, 64 to 128 at even distances, for the animation, the last ten, and four of each
    doubling, as most changes early: fewer than 200 of 100,000. A grid that is not kept now is not kept later either, so
    a resumed run has the same ones.
    """
    even = 2 ** (epochs // 128).bit_length()
    early = 2 ** max(0, epoch.bit_length() - 3)
    return epoch % min(even, early) == 0 or epoch > epochs - 10


def nearest(there: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each of the wanted epochs, the first of the sorted epochs `there`, (N,) with N > 0, that is not before it, or
    else the last; each once."""
    return there[np.unique(np.searchsorted(there, wanted).clip(max=len(there) - 1))]


def now() -> str:
    """The time as people and JSON read it, with its offset from UTC."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def describe_owner(path: Path) -> str:
    """Who holds a run's lock, for a sentence. The file can be missing for a moment after the lock was taken."""
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return "another process"
    host = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
    return f"process {owner['pid']}{host} since {owner['since']}"


def saved_by(path: Path) -> str:
    """Which Keras saved a .keras file, or that it is damaged: the end of a sentence that begins with 'it'."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "was saved by Keras " + json.loads(archive.read("metadata.json"))["keras_version"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return "is damaged"
