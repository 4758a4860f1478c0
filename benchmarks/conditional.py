"""How much does it help to tell both players what each image is, and do they draw what they are told?

For each data set, its preset with labels, with clusters instead, and with neither, for the same number of steps, from
several seeds:

    python benchmarks/conditional.py --data-dir data --sets mnist fashion --seeds 0 1 2

Colour sets are trained for a third of their preset's epochs, three minutes on two cores, so that three seeds of
everything end within an evening. mnist takes two minutes and fashion three. Fakes are kept in --folder and never
trained twice. Writes results/conditional.md, and results/conditional_SET.png with a row of fakes for each label or
cluster.
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from engine import RESULTS, environment, table, train_fakes, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import numpy as np

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, class_shares, train_holdout_split
from gan_tf.data.registry import load
from gan_tf.gan import random_labels
from gan_tf.measure import report
from gan_tf.measure.features import Features, make_features
from gan_tf.measure.features import split as features_split
from gan_tf.measure.health import recalls
from gan_tf.run import plots

# Trained on equally many images of each label. There are two cats to a dog.
BALANCED = "labels, balanced"
THIRD = {"epochs": 9}
CLUSTERS = {"epochs": 9, "clusters": 12}
# What each set's players are told: what differs from the preset.
SETS: dict[str, dict[str, dict]] = {
    "mnist": {"labels": {"epochs": 5}, "nothing": {"epochs": 5}},
    "fashion": {"labels": {}, "nothing": {}},
    "creatures": {"labels": THIRD, "clusters": CLUSTERS, "nothing": THIRD},
    "animal_faces": {"labels": THIRD, BALANCED: THIRD, "clusters": CLUSTERS, "nothing": THIRD},
    "pokemon": {"clusters": {"epochs": 8, "clusters": 12}, "nothing": {"epochs": 8}},
    "anime": {"clusters": CLUSTERS, "nothing": THIRD},
    "celeba": {"clusters": CLUSTERS, "nothing": THIRD},
}
ROWS = 12  # Of a picture, at most.
HEAD = ("set", "told", "seed", "steps", "minutes", "Frechet distance", "floor", "kernel distance x 1000", "coverage")
HEAD += ("floor", "as asked", "real images", "worst label")


def settings(name: str, told: str, data_dir: str | None) -> Config:
    """The Config of a set whose players are told labels, clusters or nothing."""
    changed = {"conditional": told in ("labels", BALANCED), "clusters": 0} | SETS[name][told]
    return preset_config(name, data_dir=data_dir, **changed)


def balanced_split(images: ImageDataset, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """As train_holdout_split, with training images of the rarer labels repeated until all are equally frequent."""
    rows, held_out = train_holdout_split(images, config)
    by_label = [rows[images.classes.labels[rows] == number] for number in range(len(images.classes.names))]
    most = max(map(len, by_label))
    return np.concatenate([np.resize(some, most) for some in by_label]), held_out


def measure(
    images: ImageDataset, config: Config, told: str, features: Features, reference: report.Reference, folder: Path
) -> tuple[list[str], np.ndarray]:
    """Train one seed: its row of the table, and its fakes."""
    began = time.perf_counter()
    split = balanced_split if told == BALANCED else train_holdout_split
    with mock.patch("gan_tf.data.images.train_holdout_split", split):
        ((step, fakes),) = train_fakes(config, images, folder / f"{images.name}-{told}").items()
    minutes = (time.perf_counter() - began) / 60
    scores, floor = reference.measure_features(fakes), reference.feature_floor
    row = [images.name, told, str(config.seed), f"{step:,}", f"{minutes:.1f}"]
    row += [report.show(scores["frechet_distance"]), report.show(floor["frechet_distance"])]
    row += [report.show(1000 * scores["kernel_distance"])]
    row += [report.show(scores["coverage"]), report.show(floor["coverage"])]
    return [*row, *(as_asked(images, config, features, fakes) if config.conditional else ["", "", ""])], fakes


def as_asked(images: ImageDataset, config: Config, features: Features, fakes: np.ndarray) -> list[str]:
    """The share of fakes that were drawn as asked, the same of real images, and the label that is drawn worst."""
    names, new = images.classes.names, features_split(len(images))[0]
    asked, known = random_labels(len(fakes), class_shares(images, config), seed=1), images.classes.labels[new]
    found, output = [features.read(pixels) for pixels in (fakes, images.images[new])], report.label_output(features)
    shares, real = (recalls(x[output], y, len(names)) for x, y in zip(found, (asked, known), strict=True))
    worst = int(shares.argmin())
    overall = f"{np.mean(found[0][output] == asked):.1%}", f"{np.mean(found[1][output] == known):.1%}"
    return [*overall, f"{names[worst]}: {shares[worst]:.0%} (real {real[worst]:.0%})"]


def draw_rows(images: ImageDataset, config: Config, fakes: np.ndarray) -> np.ndarray:
    """A picture of the first fakes of each class, not selected."""
    shares, columns = class_shares(images, config), 12
    labels = random_labels(len(fakes), shares, seed=1)
    rows = max(1, 6 // len(shares))
    shown = [fakes[labels == number][: rows * columns] for number in range(min(ROWS, len(shares)))]
    return plots.grid(np.concatenate(shown), columns=columns)


def run_set(name: str, seeds: Sequence[int], data_dir: str | None, folder: Path) -> list[list[str]]:
    """All rows of a set."""
    configs = {told: settings(name, told, data_dir) for told in SETS[name]}
    sets = {told: load(config) for told, config in configs.items()}
    one = next(iter(sets.values()))
    features, rows = make_features(one), []
    reference = report.run_reference(one, next(iter(configs.values())), features)
    for seed in seeds:
        for told, images in sets.items():
            config = dataclasses.replace(configs[told], seed=seed)
            row, fakes = measure(images, config, told, features, reference, folder)
            rows.append(row)
            print(*row, flush=True)
            if told == next(iter(SETS[name])) and seed == seeds[0] and len(fakes):
                with atomic_write(RESULTS / f"conditional_{name}.png") as temporary:
                    plots.save_png(temporary, draw_rows(images, config, fakes))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/conditional"))
    options = parser.parse_args()
    rows = [row for name in options.sets for row in run_set(name, options.seeds, options.data_dir, options.folder)]
    write_results(
        "conditional",
        environment(),
        table(HEAD, rows),
        "Every distance and coverage is the mean over 5 random splits, ± their standard deviation, with equally many "
        "fakes and real images, in the features that gan_tf.evaluate uses. As asked: the share of fakes that a "
        "classifier takes for the label that was asked for, and beside it the same for real images that the classifier "
        "has not seen; then the label that is drawn worst. Minutes include the compilation; 0.0 means that the fakes "
        "were kept from an earlier call.",
    )


if __name__ == "__main__":
    with exit_on_input_error():
        main()
