"""Which parts of the colour presets help? Each is left out, or put in, alone, for the same time of training.

A variant's cost is first measured against the preset's in turns, in one process, and kept in results/recipes_cost.json;
it says how many steps two minutes are. So what else the machine does can change no picture. Writes results/recipes.md.
On two cores two minutes for each set, seed and variant.

    python benchmarks/recipes.py --data-dir data --sets pokemon creatures --seeds 0 1 2
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
from measures import judge
from pictures import RESULTS, SETS, SPEED, recipe, steps_after, train_ours

from gan_tf.config import Config, one_sentence, preset_config
from gan_tf.datasets import load
from gan_tf.features import Features, rotation_network
from gan_tf.gan import GAN
from gan_tf.images import Images, batches

MINUTES, TURNS, STEPS = 2, 7, 24
COST = RESULTS / "recipes_cost.json"
MEASURES = ("frechet", "thumbnails", "patches", "coverage", "copying")
VARIANTS = {
    "as it is": {},
    "no augmentation": {"augment": ()},
    "colours augmented too": {"augment": ("color", "translation", "cutout")},
    "no flips": {"flip": False},
    "no R1": {"r1": 0.0},
    "R1 of 0.1": {"r1": 0.1},
    "minibatch deviation": {"minibatch_std": True},
    "bfloat16": {"precision": "bfloat16"},
    "batches of 32": {"batch_size": 32},
    "wider": {"width": 256},
    "longer average": {"ema": 0.9995},
}


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


def cost_of(variant: str, config: Config, images: Images) -> float:
    """The same, measured once."""
    costs = json.loads(COST.read_text()) if COST.exists() else {}
    changed = recipe(dataclasses.replace(config, **VARIANTS[variant]))
    if costs.get(variant, {}).get("recipe") != changed:
        costs[variant] = {"recipe": changed, "cost": cost(config, VARIANTS[variant], images)}
        COST.write_text(json.dumps(costs, indent=2) + "\n")
    return costs[variant]["cost"]


def row(variant: str, config: Config, images: Images, features: Features, seeds: list[int], folder: Path) -> str:
    """Train what is not there yet, and judge it."""
    slower = cost_of(variant, config, images)
    images_per_second = json.loads(SPEED.read_text())[config.dataset]["ours"] / slower
    changed = dataclasses.replace(config, **VARIANTS[variant])
    steps = steps_after(MINUTES, images_per_second, config.batch_size, config.steps_per_epoch)
    found = []
    for seed in seeds:
        own = made(folder / config.dataset / variant.replace(" ", "-"))
        fakes = train_ours(dataclasses.replace(changed, seed=seed), images, own, [steps])[steps]
        found.append(judge(images.images[:], fakes, features))
    cells = [f"{slower:.2f}", *(spread([one[measure] for one in found]) for measure in MEASURES)]
    return f"| {config.dataset} | {variant} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="as of gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=["pokemon", "creatures"], choices=SETS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/recipes"))
    options = parser.parse_args()
    rows = [f"| set | variant | step | {' | '.join(MEASURES)} |", "|---" * (3 + len(MEASURES)) + "|"]
    for name in options.sets:
        # Short epochs, so that two minutes are a whole number of them however dear a step is.
        config = preset_config(name, data_dir=options.data_dir, steps_per_epoch=64)
        images = load(config)
        features = rotation_network(images, made(options.folder))
        for variant in options.variants:
            rows.append(row(variant, config, images, features, options.seeds, options.folder))
            print(rows[-1], flush=True)
    head = f"{MINUTES} minutes each, seeds {' '.join(map(str, options.seeds))}: median (lowest to highest). TensorFlow "
    head += f"{tf.__version__}, Keras {keras.__version__}; {os.cpu_count()} CPU cores."
    (RESULTS / "recipes.md").write_text("\n".join([head, "", *rows]) + "\n")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def spread(values: list[float]) -> str:
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    with one_sentence():
        main()
