"""What does an epoch's bookkeeping cost after 100,000 epochs?

    python benchmarks/long_run.py

No training: the losses are random numbers and the fakes are grey. A run's folder is filled as it is after so many
epochs, and the callbacks that write the history, diagnose it and save and thin samples go through 50 epochs more. Also
measured is what a resumed run does once with its history: read it, diagnose it again and draw its curves and animation.

Writes results/long_run.md.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from engine import environment, table, write_results
from soak import resident

# isort: split
# After the engine, which imports TensorFlow without its messages.
import os

import numpy as np

from gan_tf import train
from gan_tf.common.files import atomic_write
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN
from gan_tf.run import callbacks, plots
from gan_tf.run.folder import Run, is_sample_kept

HEAD = ("epochs done", "ms an epoch (median of 50)", "samples kept", "history.csv, MB", "s to resume", "s to finish")
HEAD += ("memory that resuming takes, MB",)


class FakeGAN:
    """Has the losses of a GAN, and nothing else."""

    stop_training, generator, ema_generator = False, None, None

    def __init__(self, random: np.random.Generator):
        draw = type("Mean", (), {"result": lambda self: random.uniform(0.6, 0.7)})()
        self.trackers = {name: draw for name in (*GAN.LOGGED, *GAN.DIAGNOSTICS)}


def fill(run: Run, epochs: int, picture: np.ndarray) -> None:
    """Write the history and the samples of a run of so many epochs."""
    names = ("epoch", *GAN.LOGGED, *GAN.DIAGNOSTICS)
    values = np.random.default_rng(0).uniform(0.6, 0.7, (epochs, len(names) - 1))
    with open(run.history_csv, "w") as file:
        file.write(",".join(names) + "\n")
        for epoch, row in enumerate(values, start=1):
            file.write(",".join(map(str, (epoch, *row))) + "\n")
    plots.save_png(run.sample_png(0), picture)
    for epoch in range(1, epochs + 1):
        if is_sample_kept(epoch, epochs):
            os.link(run.sample_png(0), run.sample_png(epoch))


def measure(epochs: int, folder: Path, more: int = 50) -> tuple[str, ...]:
    """A row of the table."""
    config = Config(epochs=epochs + more)
    images = ImageDataset("grey", np.zeros((64, 28, 28, 1), np.uint8), None, "nowhere")
    run = Run.create(folder, config, images, None)
    fakes = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), np.uint8)
    fill(run, epochs, plots.grid(fakes, columns=callbacks.COLUMNS))
    callbacks.sample = lambda generator, inputs: fakes
    history = callbacks.History(run)
    watchers = [history, callbacks.Health(history, config), callbacks.Samples(run, np.zeros((64, 2)))]
    before, began = resident(os.getpid()), time.process_time()
    for watcher in watchers:
        watcher.set_model(FakeGAN(np.random.default_rng(1)))
    watchers[1].on_train_begin()
    resuming, memory = time.process_time() - began, resident(os.getpid()) - before
    times = []
    for epoch in range(epochs, epochs + more):
        began = time.process_time()
        for watcher in watchers:
            watcher.on_epoch_end(epoch)
        times.append(1000 * (time.process_time() - began))
    began = time.process_time()
    train.finish(run, config, 0, epochs + more)
    finishing = time.process_time() - began
    size = run.history_csv.stat().st_size / 1e6
    figures = (f"{statistics.median(times):.1f}", str(len(run.sampled_epochs())), f"{size:.1f}")
    return f"{epochs:,}", *figures, f"{resuming:.1f}", f"{finishing:.1f}", f"{memory:.0f}"


# KB of what an epoch of a small run writes: a sample, the two files of a checkpoint, and both models.
FILES = {"epoch.png": 24, "step.data": 284, "step.index": 8, "generator.keras": 80, "discriminator.keras": 68}


def flushing(folder: Path, pairs: int = 30) -> float:
    """Milliseconds by the clock that flushing adds to writing FILES: the median of pairs, each with and without."""

    def write(durable: bool) -> float:
        began = time.perf_counter()
        for name, size in FILES.items():
            with atomic_write(folder / name, durable) as temporary:
                temporary.write_bytes(bytes(1000 * size))
        return 1000 * (time.perf_counter() - began)

    return statistics.median(write(True) - write(False) for _ in range(pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where to write long_run.md; by default results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = [measure(epochs, Path(temporary, str(epochs))) for epochs in options.epochs]
        added = flushing(Path(temporary))
    about = (
        f"{environment()} Times in the table are the processor's, so that other load on the machine does not count, "
        "nor does waiting for the disk. Flushing the five files of an epoch to this disk, so that a power cut loses "
        f"nothing, takes {added:.0f} ms by the clock (median of 30 pairs, with and without; on average "
        f"{os.getloadavg()[2]:.1f} processes ran on {os.cpu_count()} cores in the last 15 minutes)."
    )
    write_results("long_run", about, table(HEAD, rows), folder=options.folder)


if __name__ == "__main__":
    main()
