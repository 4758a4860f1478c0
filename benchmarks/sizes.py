"""What does each doubling of the image size cost? Speed and memory of the colour preset at every size, on creatures.

    python benchmarks/sizes.py

Each size is a process of its own, so its peak memory is known. Writes results/sizes.md. On two cores it takes ten
minutes. The last rows are the smallest runs at 512 pixels.
"""

import argparse
import dataclasses

from engine import EpochSeconds, build_for, environment, run_process, table, train_epochs, write_results

from gan_tf.common.errors import exit_on_input_error
from gan_tf.config import Config, preset_config
from gan_tf.data.registry import load

HEAD = ("size", "batch", "width", "steps", "process, s", "images/s", "peak memory, GB")


@dataclasses.dataclass(frozen=True)
class Setting:
    """One row: a short run of three epochs with so many steps each."""

    size: int
    batch: int = 8
    width: int = 128
    steps: int = 2

    def config(self) -> Config:
        fields = {"image_size": self.size, "batch_size": self.batch, "width": self.width, "steps_per_epoch": self.steps}
        return preset_config("creatures", conditional=False, epochs=3, **fields)


# Fewer steps at the larger sizes, where each takes longer.
SETTINGS = [Setting(size, steps=max(2, 64 * 64**2 // max(size, 64) ** 2)) for size in (28, 32, 64, 96, 128, 256, 512)]
SETTINGS += [Setting(512, batch=4), Setting(512, batch=4, width=512)]


def train(setting: Setting) -> float:
    """Train, and return the images per second of the last epoch. The first one compiles."""
    config, timer = setting.config(), EpochSeconds()
    images = load(config)
    images.images[:]  # Draws all creatures, so that no epoch waits for them.
    train_epochs(build_for(images, config), images, config, [timer])
    return setting.steps * setting.batch / timer.seconds[-1]


def row(setting: Setting) -> list[str]:
    """Train in a process of its own: a row of the table."""
    numbers = [str(value) for value in dataclasses.astuple(setting)]
    text, seconds, memory = run_process([__file__, "--one", *numbers])
    speed = float(text.split()[-1])
    return [*numbers[:3], str(3 * setting.steps), f"{seconds:.1f}", f"{speed:.1f}", f"{memory:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=int, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(train(Setting(*options.one)))
        return
    rows = []
    for setting in SETTINGS:
        rows.append(row(setting))
        print(table(HEAD, rows[-1:]), flush=True)
    write_results("sizes", environment(), table(HEAD, rows))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
