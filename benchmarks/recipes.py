"""Which switches help the colour presets? The same preset with one of them on and off, for the same time of training.

Minutes become steps by the speeds in results/pictures_speed.json (those of the recipe; the preset's where it has none),
the step sizes falling to 0 by then: so that other load can change no picture. What a step costs beside one of the
preset's is measured in turns, in one process. Writes results/recipes.md. Fakes are kept in --folder, and what is there
is not trained again. On two cores it takes as many minutes as it says, for each seed and variant.

    python benchmarks/recipes.py --data-dir data --sets pokemon anime
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
import tensorflow as tf
from measures import judge, spread
from pictures import RESULTS, SPEED, costly, head_of, steps_after, train_ours

from gan_tf.common.errors import exit_on_input_error
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, batches
from gan_tf.data.registry import load
from gan_tf.gan import GAN
from gan_tf.measure.features import Features, rotation_network
from gan_tf.measure.metrics import sliced_wasserstein, thumbnails

TURNS, STEPS = 7, 24
DISTANCES = ("frechet", "thumbnails", "patches")
MEASURES = (*DISTANCES, "coverage", "copying")
SWITCHES = {
    "R1": {"r1": 1.0},
    "flips": {"flip": True},
    "augmentation": {"augment": ("translation", "cutout")},
}
OFF = {"r1": 0.0, "flip": False, "augment": ()}
ALL = tuple(SWITCHES)
# Of each set: minutes, and of each row the switches that are on.
RUNS = {
    "pokemon": [
        (2, (ALL, ("R1", "flips"), ("R1", "augmentation"), ("flips", "augmentation"))),
        (10, (ALL, ("R1", "flips"), ("R1", "augmentation"), ("R1",), ("augmentation",))),
    ],
    "anime": [(2, (("R1", "flips"), ("R1",), ("flips",))), (10, (ALL, ("R1", "flips"), ("R1",)))],
    "animal_faces": [(2, (ALL, ("R1", "flips"), ("R1", "augmentation"), ("flips", "augmentation")))],
    "creatures": [(2, (ALL, ("R1", "flips"), ("R1",), ("flips",))), (10, (("R1", "flips"), ("R1",)))],
}


def with_only(config: Config, on: tuple[str, ...]) -> Config:
    """`config` with these switches on and the others off."""
    fields = dict(OFF)
    for name in on:
        fields |= SWITCHES[name]
    return dataclasses.replace(config, **fields)


def switches_of(config: Config) -> tuple[str, ...]:
    """Those that are on."""
    return tuple(name for name, fields in SWITCHES.items() if dataclasses.replace(config, **fields) == config)


def cost(config: Config, changed: Config, images: ImageDataset) -> float:
    """How many times as long a step of `changed` takes: the median ratio of turns."""

    def turns(config):
        gan, data = GAN(config, images.shape), iter(batches(images, config))
        step = tf.function(gan.train_step)
        while True:
            began = time.perf_counter()
            for _ in range(STEPS):
                step(next(data))
            yield time.perf_counter() - began

    pair = turns(config), turns(changed)
    ratios = [1 / (next(pair[0]) / next(pair[1])) for _ in range(TURNS + 1)]
    return statistics.median(ratios[1:])  # The first turn compiles.


def judged(minutes: int, config: Config, images: ImageDataset, features: Features, options) -> list[dict[str, float]]:
    """The measures of each seed, trained first where that was not done yet."""
    steps, found = steps_of(minutes, config), []
    own = made(options.folder / config.dataset / ("-".join(switches_of(config)) or "none"))
    for seed in options.seeds:
        fakes = train_ours(dataclasses.replace(config, seed=seed), images, own, [steps])[steps]
        found.append(judge(images.images[:], fakes, features))
    return found


def row(minutes: int, config: Config, preset: Config, images: ImageDataset, found: list[dict[str, float]]) -> str:
    slower, name = (1.0, " (the preset)") if config == preset else (cost(preset, config, images), "")
    cells = [config.dataset, minutes, steps_of(minutes, config), (", ".join(switches_of(config)) or "none") + name]
    cells += [f"{slower:.2f}", *(spread([one[measure] for one in found]) for measure in MEASURES)]
    return f"| {' | '.join(map(str, cells))} |"


def pairs(found: dict[tuple, list[dict[str, float]]]) -> list[str]:
    """What each switch does: the medians with it and without it, from trainings that differ in nothing else. A word
    says so where every seed with it is beyond every seed without."""
    rows = head_of(("set", "minutes", "switch", "beside", *(f"{name}, with and without" for name in DISTANCES)))
    for (name, minutes, on), trained_with in found.items():
        for switch in on:
            others = tuple(other for other in on if other != switch)
            if (name, minutes, others) in found:
                cells = [name, minutes, switch, ", ".join(others) or "none"]
                for measure in DISTANCES:
                    values = [[one[measure] for one in some] for some in (trained_with, found[name, minutes, others])]
                    helps, harms = max(values[0]) < min(values[1]), min(values[0]) > max(values[1])
                    medians = ", ".join(f"{statistics.median(some):.2f}" for some in values)
                    cells.append(medians + (": **helps**" if helps else ": *harms*" if harms else ""))
                rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def steps_of(minutes: int, config: Config) -> int:
    return steps_after(minutes, speed_of(config), config.batch_size, config.steps_per_epoch)


def halves(images: ImageDataset) -> tuple[float, float]:
    """How far the thumbnails of two halves are apart, and how far when one half is mirrored: further, where more of the
    images face one way, so that mirror images are not like them."""
    one, other = np.array_split(np.random.default_rng(0).permutation(images.images[:]), 2)
    return tuple(sliced_wasserstein(thumbnails(one), thumbnails(some)) for some in (other, other[:, :, ::-1]))


def speed_of(config: Config) -> float:
    """Images per second in training, as pictures.py measured them, or those of the set's preset."""
    speeds = json.loads(SPEED.read_text())
    same = [speed["ours"] for speed in speeds.values() if speed["recipe"] == costly(config)]
    return same[0] if same else speeds[config.dataset]["ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="as of gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=[*RUNS], choices=RUNS, metavar="SET")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/recipes"))
    options = parser.parse_args()
    rows = head_of(("set", "minutes", "steps", "switches that are on", "a step takes", *MEASURES))
    found, facing = {}, head_of(("set", "thumbnails of two halves apart", "with one half mirrored"))
    for name in options.sets:
        preset = preset_config(name, data_dir=options.data_dir)
        images = load(preset)
        facing.append(f"| {name} | {' | '.join(f'{distance:.2f}' for distance in halves(images))} |")
        features = rotation_network(images, made(options.folder))
        for minutes, rows_of in RUNS[name]:
            for on in rows_of:
                config = with_only(preset, on)
                found[name, minutes, on] = judged(minutes, config, images, features, options)
                rows.append(row(minutes, config, preset, images, found[name, minutes, on]))
                print(rows[-1], flush=True)
    head = f"Seeds {' '.join(map(str, options.seeds))}: median (lowest to highest). TensorFlow {tf.__version__}, "
    head += f"Keras {keras.__version__}; {os.cpu_count()} CPU cores."
    (RESULTS / "recipes.md").write_text("\n".join([head, "", *pairs(found), "", *rows, "", *facing]) + "\n")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    with exit_on_input_error():
        main()
