"""Which parts of the colour presets help? Each is left out, or put in, alone, for the same number of steps.

As many steps as the preset takes in two minutes by results/pictures_speed.json, the step sizes falling to 0 by then: so
what else the machine does can change no picture. What a variant's step costs beside the preset's is measured in turns,
in one process. Writes results/recipes.md. Fakes are kept in --folder, and what is there is not trained again. On two
cores about two minutes for each set, seed and variant.

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
import tensorflow as tf
from measures import judge, spread
from pictures import RESULTS, SETS, SPEED, head_of, steps_after, train_ours

from gan_tf.config import Config, one_sentence, preset_config
from gan_tf.datasets import load
from gan_tf.features import Features, rotation_network
from gan_tf.gan import GAN
from gan_tf.images import Images, batches

MINUTES, TURNS, STEPS = 2, 7, 24
MEASURES = ("frechet", "thumbnails", "patches", "coverage", "copying")
VARIANTS = {
    "the preset": {},
    "no augmentation": {"augment": ()},
    "translation only": {"augment": ("translation",)},
    "translation and cutout": {"augment": ("translation", "cutout")},
    "colours augmented too": {"augment": ("color", "translation", "cutout")},
    "no flips": {"flip": False},
    "no R1": {"r1": 0.0},
    "R1 of 0.1": {"r1": 0.1},
    "R1 of 3": {"r1": 3.0},
    "minibatch deviation": {"minibatch_std": True},
    "bfloat16": {"precision": "bfloat16"},
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


def row(variant: str, config: Config, images: Images, features: Features, seeds: list[int], folder: Path) -> str:
    """Train what is not there yet, and judge it."""
    changed = dataclasses.replace(config, **VARIANTS[variant])
    speed = json.loads(SPEED.read_text())[config.dataset]["ours"]
    steps = steps_after(MINUTES, speed, config.batch_size, config.steps_per_epoch)
    own, found = made(folder / config.dataset / variant.replace(" ", "-")), []
    for seed in seeds:
        fakes = train_ours(dataclasses.replace(changed, seed=seed), images, own, [steps])[steps]
        found.append(judge(images.images[:], fakes, features))
    slower = cost(config, VARIANTS[variant], images) if VARIANTS[variant] else 1.0
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
    rows = head_of(("set", "variant", "a step takes", *MEASURES))
    for name in options.sets:
        config = preset_config(name, data_dir=options.data_dir)
        images = load(config)
        features = rotation_network(images, made(options.folder))
        for variant in options.variants:
            if VARIANTS[variant] and dataclasses.replace(config, **VARIANTS[variant]) == config:
                continue  # It is the preset.
            rows.append(row(variant, config, images, features, options.seeds, options.folder))
            print(rows[-1], flush=True)
    head = f"As many steps as the preset takes in {MINUTES} minutes. Seeds {' '.join(map(str, options.seeds))}: median "
    head += f"(lowest to highest). TensorFlow {tf.__version__}, Keras {keras.__version__}; {os.cpu_count()} CPU cores."
    (RESULTS / "recipes.md").write_text("\n".join([head, "", *rows]) + "\n")


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    with one_sentence():
        main()
