"""Which parts of the colour presets help? Each is left out, or put in, alone, for the same time of training.

Minutes become steps by the speeds in results/pictures_speed.json (those of the recipe; the preset's where it has none),
the step sizes falling to 0 by then: so that other load can change no picture. What a step costs beside one of the
preset's is measured in turns, in one process. Writes results/recipes.md. Fakes are kept in --folder, and what is there
is not trained again. On two cores it takes as many minutes as it says, for each seed and variant.

    python benchmarks/recipes.py --data-dir data --sets pokemon anime --seeds 0 1 2
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
import tensorflow as tf
from measures import judge, spread
from pictures import RESULTS, SETS, SPEED, head_of, recipe, steps_after, train_ours

from gan_tf.config import Config, one_sentence, preset_config
from gan_tf.datasets import load
from gan_tf.features import Features, rotation_network
from gan_tf.gan import GAN
from gan_tf.images import Images, batches

TURNS, STEPS = 7, 24
MEASURES = ("frechet", "thumbnails", "patches", "coverage", "copying")
VARIANTS = {
    "the preset": {},
    "no augmentation": {"augment": ()},
    "translation and cutout": {"augment": ("translation", "cutout")},
    "no R1": {"r1": 0.0},
    "no flips": {"flip": False},
}
# Two minutes are too short for few pictures to be learned by heart: whether augmentation helps takes ten.
RUNS = [
    ("pokemon", 2, ("the preset", "no augmentation", "no R1", "no flips")),
    ("anime", 10, ("the preset", "translation and cutout")),
    ("anime", 2, ("the preset", "no R1")),
    ("pokemon", 10, ("the preset", "no augmentation")),
]


def cost(config: Config, fields: dict, images: Images) -> float:
    """How many times as long a step takes as the preset's: the median ratio of turns."""

    def turns(config):
        gan, data = GAN(config, images.shape), iter(batches(images, config))
        step = tf.function(gan.train_step)
        while True:
            began = time.perf_counter()
            for _ in range(STEPS):
                step(next(data))
            yield time.perf_counter() - began

    pair = turns(config), turns(dataclasses.replace(config, **fields))
    ratios = [1 / (next(pair[0]) / next(pair[1])) for _ in range(TURNS + 1)]
    return statistics.median(ratios[1:])  # The first turn compiles.


def row(minutes: int, variant: str, config: Config, images: Images, features: Features, options) -> str:
    """Train what is not there yet, and judge it."""
    changed = dataclasses.replace(config, **VARIANTS[variant])
    steps = steps_after(minutes, speed_of(changed), config.batch_size, config.steps_per_epoch)
    own, found = made(options.folder / config.dataset / variant.replace(" ", "-")), []
    for seed in options.seeds:
        fakes = train_ours(dataclasses.replace(changed, seed=seed), images, own, [steps])[steps]
        found.append(judge(images.images[:], fakes, features))
    slower = cost(config, VARIANTS[variant], images) if VARIANTS[variant] else 1.0
    cells = [config.dataset, minutes, steps, variant, f"{slower:.2f}"]
    cells += [spread([one[measure] for one in found]) for measure in MEASURES]
    return f"| {' | '.join(map(str, cells))} |"


def speed_of(config: Config) -> float:
    """Images per second in training, as pictures.py measured them."""
    speeds = json.loads(SPEED.read_text())
    same = [speed["ours"] for speed in speeds.values() if speed["recipe"] == recipe(config)]
    return same[0] if same else speeds[config.dataset]["ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="as of gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=["pokemon", "anime"], choices=SETS, metavar="SET")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/recipes"))
    options = parser.parse_args()
    rows = head_of(("set", "minutes", "steps", "variant", "a step takes", *MEASURES))
    for name, minutes, variants in RUNS:
        if name in options.sets:
            config = preset_config(name, data_dir=options.data_dir)
            images = load(config)
            features = rotation_network(images, made(options.folder))
            for variant in variants:
                rows.append(row(minutes, variant, config, images, features, options))
                print(rows[-1], flush=True)
    head = f"Seeds {' '.join(map(str, options.seeds))}: median (lowest to highest). TensorFlow {tf.__version__}, "
    head += f"Keras {keras.__version__}; {os.cpu_count()} CPU cores."
    (RESULTS / "recipes.md").write_text("\n".join([head, "", *rows]) + "\n")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    with one_sentence():
        main()
