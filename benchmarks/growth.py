"""How do time and memory grow with the batch, and with the number of training images?

    python benchmarks/growth.py

Both train the colour preset on creatures, each setting in a process of its own, so its peak memory is known. Time is
the processor time of the last epoch, which other load on the machine changes little. Training sets are folders of PNG
files on disk: a few thousand creatures, repeated with another last byte, so that no file equals another. How both grow
with the image size is in sizes.md. Writes results/growth.md and results/growth.png. On two cores and a disk with 12 GB
of room it takes half an hour; --counts makes it shorter.
"""

import argparse
import contextlib
import io
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from engine import RESULTS, EpochSeconds, build_for, environment, run_process, table, train_epochs, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.creatures import draw, parameters
from gan_tf.data.registry import load
from gan_tf.run import plots

BATCHES = (2, 4, 8, 16, 32, 64)
COUNTS = (1000, 10_000, 100_000, 1_000_000)
DISTINCT = 2000  # creatures, which are repeated
STEPS, SMALL = 128, {"image_size": 28, "batch_size": 16, "width": 64}
SETTINGS_OF_BATCHES = {"image_size": 64, "width": 128}
BATCH_HEAD = ("batch", "processor ms an image", "peak memory, GB")
COUNT_HEAD = ("images", "loading the first time: s", "µs an image", "loading again: s")
COUNT_HEAD += ("training: processor ms an image", "peak memory, GB")


def train(config: Config) -> tuple[float, float]:
    """Train. Returns the seconds that loading took, and the processor milliseconds of an image in the last epoch,
    because the first one compiles."""
    began = time.perf_counter()
    images = load(config)
    loading = time.perf_counter() - began
    timer = EpochSeconds(time.process_time)
    train_epochs(build_for(images, config), images, config, [timer])
    return loading, 1000 * timer.seconds[-1] / (config.steps_per_epoch * config.batch_size)


def config_of(dataset: str, batch: int, steps: int) -> Config:
    """The colour preset on "creatures" or on a folder."""
    sizes = SETTINGS_OF_BATCHES if dataset == "creatures" else SMALL
    fields = sizes | {"batch_size": batch, "steps_per_epoch": steps, "epochs": 3, "conditional": False, "augment": ()}
    return preset_config(dataset, **fields)


def in_process(dataset: str, batch: int, steps: int = STEPS) -> tuple[float, float, float]:
    """Train in a process of its own: seconds of loading, processor ms an image, and the peak memory in GB."""
    text, _, memory = run_process([__file__, "--one", dataset, str(batch), str(steps)])
    loading, milliseconds = map(float, re.findall(r"[\d.]+", text.splitlines()[-1]))
    return loading, milliseconds, memory


def png(picture: np.ndarray) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    plots.to_pillow(picture).save(buffer, "PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def creatures_on_disk(count: int, size: int = SMALL["image_size"]) -> Iterator[Path]:
    """A folder with so many PNG files, a thousand in each subfolder of a subfolder, and an empty cache for their
    pixels."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(parameters(min(count, DISTINCT)), size)
        files = [png(picture) for picture in drawn]
        for start in range(0, count, 1000):
            part = Path(folder, "pictures", "all", f"{start // 1000:04}")
            part.mkdir(parents=True)
            for i in range(start, min(count, start + 1000)):
                # A decoder ignores what follows a PNG's end.
                (part / f"{i:07}.png").write_bytes(files[i % len(files)] + i.to_bytes(4, "little"))
        with mock.patch.dict(os.environ, {"KERAS_HOME": str(Path(folder, "cache"))}):
            yield Path(folder, "pictures")


def batch_rows(batches: Sequence[int], steps: int = STEPS) -> list[tuple[float, ...]]:
    """(batch, processor ms an image, GB)."""
    return [(batch, *in_process("creatures", batch, max(2, steps * 8 // batch))[1:]) for batch in batches]


def count_rows(counts: Sequence[int], steps: int = STEPS) -> list[tuple[float, ...]]:
    """(images, seconds of the first loading, of the second, processor ms an image, GB of both processes at most)."""
    found = []
    for count in counts:
        with creatures_on_disk(count) as folder:
            first, _, decoding_memory = in_process(str(folder), SMALL["batch_size"], steps)
            again, milliseconds, memory = in_process(str(folder), SMALL["batch_size"], steps)
        found.append((count, first, again, milliseconds, max(memory, decoding_memory)))
        print(found[-1], flush=True)
    return found


def draw_figure(by_batch: Sequence[tuple[float, ...]], by_count: Sequence[tuple[float, ...]], path: Path) -> None:
    """Time and memory against the batch, and against the number of images."""
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (rows, label) in zip(
        figure.subplots(2, 2, sharex="col").T, ((by_batch, "batch"), (by_count, "training images")), strict=True
    ):
        for panel, column, name in zip(axes, (-2, -1), ("processor ms an image", "peak memory, GB"), strict=True):
            panel.plot([row[0] for row in rows], [row[column] for row in rows], marker="o")
            panel.set(xscale="log", ylabel=name, ylim=(0, 1.1 * max(row[column] for row in rows)))
            panel.set_xticks([row[0] for row in rows], [f"{row[0]:,}" for row in rows])
            panel.minorticks_off()
            panel.grid(alpha=0.3)
        axes[1].set_xlabel(label)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def write(by_batch: Sequence[tuple[float, ...]], by_count: Sequence[tuple[float, ...]], folder: Path | None = None):
    """results/growth.md and results/growth.png."""
    draw_figure(by_batch, by_count, (folder or RESULTS) / "growth.png")
    batches = [(f"{batch:,}", f"{ms:.2f}", f"{memory:.2f}") for batch, ms, memory in by_batch]
    counts = [
        (f"{n:,}", f"{first:.1f}", f"{1e6 * first / n:.0f}", f"{again:.1f}", f"{ms:.2f}", f"{memory:.2f}")
        for n, first, again, ms, memory in by_count
    ]
    about = f"{environment()} Training: {STEPS} steps an epoch, the last of three."
    first = f"64x64, {SETTINGS_OF_BATCHES['width']} channels at most:\n\n{table(BATCH_HEAD, batches)}"
    second = f"28x28 colour, batch {SMALL['batch_size']}, a folder of PNG files:\n\n{table(COUNT_HEAD, counts)}"
    return write_results("growth", about, first, second, folder=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="numbers of training images")
    options = parser.parse_args()
    if options.one:
        dataset, batch, steps = options.one
        loading, milliseconds = train(config_of(dataset, int(batch), int(steps)))
        print(f"{loading:.3f} {milliseconds:.5f}")
        return
    write(batch_rows(BATCHES), count_rows(options.counts))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
