"""How much do labels help, and does a conditional generator draw what it is told?

For each labelled set, the preset with --conditional and without, for the same number of steps, from several seeds:

    python benchmarks/conditional.py --data-dir data --sets mnist fashion --seeds 0 1 2

On two cores, a seed takes two minutes (mnist), three (fashion), five (creatures) or four (animal_faces), and as long
again without labels. Fakes are kept in --folder and never trained twice. Writes results/conditional.md, and
results/conditional_SET.png with a row of fakes for each label.
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from engine import RESULTS, environment, table, train_fakes, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import numpy as np

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, class_shares
from gan_tf.data.registry import load
from gan_tf.gan import random_labels
from gan_tf.measure import report
from gan_tf.measure.features import Features, make_features
from gan_tf.measure.features import split as features_split
from gan_tf.measure.health import recalls
from gan_tf.run import plots

# What differs from the set's preset. Cats and dogs are learned with the preset of anime, which does not augment.
SETS = {
    "mnist": {"epochs": 5},
    "fashion": {},
    "creatures": {},
    "animal_faces": {"preset": "anime", "epochs": 20},
}
HEAD = ("set", "labels", "seed", "steps", "minutes", "Frechet distance", "floor", "coverage", "floor", "as asked")
HEAD += ("real images", "worst label")


def measure(
    images: ImageDataset, config: Config, features: Features, reference: report.Reference, folder: Path
) -> tuple[list[str], np.ndarray]:
    """Train one seed: its row of the table, and its fakes."""
    began, told = time.perf_counter(), config.conditional
    ((step, fakes),) = train_fakes(config, images, folder / f"{images.name}-{'told' if told else 'untold'}").items()
    minutes = (time.perf_counter() - began) / 60
    row = [images.name, "yes" if told else "no", str(config.seed), f"{step:,}", f"{minutes:.1f}"]
    scores, floor = reference.measure_features(fakes), reference.feature_floor
    for name in ("frechet_distance", "coverage"):
        row += [report.show(scores[name]), report.show(floor[name])]
    if not told:
        return [*row, "", "", ""], fakes
    names, new = images.classes.names, features_split(len(images))[0]
    asked, known = random_labels(len(fakes), class_shares(images, config), seed=1), images.classes.labels[new]
    found, output = [features.read(pixels) for pixels in (fakes, images.images[new])], report.label_output(features)
    shares, real = (recalls(x[output], y, len(names)) for x, y in zip(found, (asked, known), strict=True))
    worst = int(shares.argmin())
    overall = f"{np.mean(found[0][output] == asked):.1%}", f"{np.mean(found[1][output] == known):.1%}"
    return [*row, *overall, f"{names[worst]}: {shares[worst]:.0%} (real {real[worst]:.0%})"], fakes


def draw_rows(images: ImageDataset, config: Config, fakes: np.ndarray) -> np.ndarray:
    """A picture of the first fakes of each label, not selected."""
    labels, columns = random_labels(len(fakes), class_shares(images, config), seed=1), 12
    rows = max(1, 6 // len(images.classes.names))
    shown = [fakes[labels == number][: rows * columns] for number in range(len(images.classes.names))]
    return plots.grid(np.concatenate(shown), columns=columns)


def run_set(name: str, seeds: Sequence[int], data_dir: str | None, folder: Path) -> list[list[str]]:
    """All rows of a set."""
    config = preset_config(name, data_dir=data_dir, conditional=True, **SETS[name])
    images = load(config)
    features, rows = make_features(images), []
    reference = report.run_reference(images, config, features)
    for seed in seeds:
        for conditional in (True, False):
            one = dataclasses.replace(config, seed=seed, conditional=conditional)
            row, fakes = measure(images, one, features, reference, folder)
            rows.append(row)
            print(*row, flush=True)
            if conditional and seed == seeds[0]:
                with atomic_write(RESULTS / f"conditional_{name}.png") as temporary:
                    plots.save_png(temporary, draw_rows(images, one, fakes))
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
        "fakes and real images. As asked: the share of fakes that a classifier takes for the label that was asked for, "
        "and beside it the same for real images that the classifier has not seen; then the label that is drawn worst. "
        "Minutes include the compilation; 0.0 means that the fakes were kept from an earlier call.",
    )


if __name__ == "__main__":
    with exit_on_input_error():
        main()
