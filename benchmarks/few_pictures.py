"""Does augmentation keep the discriminator from learning a few hundred pictures by heart, and are the fakes better?

Pokemon's preset with its augmentation and without, for the same number of steps, from several seeds. A tenth of the
pictures is held out: 818 are left to train on.

    python benchmarks/few_pictures.py --data-dir data --seeds 0 1 2

On two cores, a training of 1,536 steps takes about a minute and a half. Trainings are kept in --folder and never
repeated. Writes results/few_pictures.md (how good the fakes are), results/few_pictures.csv (the discriminator's
accuracy epoch by epoch) and results/few_pictures.png (fakes of the first seed).
"""

import argparse
import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine import RESULTS, environment, separated, spread, table, train_fakes, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import keras
import numpy as np

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.data.registry import load
from gan_tf.measure import report
from gan_tf.measure.features import make_features
from gan_tf.measure.health import HeldOutAccuracy
from gan_tf.run import plots
from gan_tf.run.callbacks import epoch_row

STEPS_PER_EPOCH = 128
ARMS: dict[str, dict] = {"augmented": {}, "plain": {"augment": ()}}  # What differs from the preset.
FAKES = 1000  # Kept of each generator.
CURVES = ("D(x)", "D(G(z))_before", "accuracy_trained", "accuracy_held_out")
MEASURES = {  # Heading: (name in the scores, factor).
    "Frechet distance": ("frechet_distance", 1),
    "kernel distance x 1000": ("kernel_distance", 1000),
    "thumbnails": ("thumbnails", 1),
    "coverage": ("coverage", 1),
    "copying": ("copying_ratio", 1),
    "held-out ratio": ("held_out_ratio", 1),
}


class Curves(keras.callbacks.Callback):
    """Writes the CURVES of each epoch into a CSV file when the training ends."""

    def __init__(self, path: Path, images: ImageDataset, config: Config):
        super().__init__()
        self.path, self.accuracy, self.rows = path, HeldOutAccuracy(images, config), []

    def on_epoch_end(self, epoch, logs=None):
        row = epoch_row(self.model, epoch + 1, [self.accuracy])
        self.rows.append({"step": int(self.model.step)} | {name: round(row[name], 4) for name in CURVES})

    def on_train_end(self, logs=None):
        write_csv(self.path, self.rows)


def write_csv(path: Path, rows: Sequence[Mapping]) -> None:
    """Rows with the same keys, which become the header."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by their header."""
    with open(path, newline="") as file:
        return [*csv.DictReader(file)]


def train(arm: str, config: Config, images: ImageDataset, folder: Path) -> tuple[np.ndarray, list[dict]]:
    """The fakes of one training and its rows of the curves."""
    path = folder / f"{arm}-{config.seed}.csv"
    if not path.exists():  # Without its curves, a training has to be repeated.
        for kept in folder.glob(f"{arm}-{config.seed}-*.npz"):
            kept.unlink()
    watch = [Curves(path, images, config)]
    (fakes,) = train_fakes(config, images, folder / arm, count=FAKES, callbacks=watch).values()
    rows = read_csv(path)
    return fakes, [{"training": arm, "seed": config.seed} | row for row in rows]


def cells(scores: report.Scores) -> list[str]:
    """The table's cells of one training or of the floor."""
    return [report.show(factor * scores[name]) for name, factor in MEASURES.values()]


def verdict(scores: Mapping[str, Sequence[report.Scores]]) -> str:
    """A line for each measure that separates the seeds of both arms."""
    lines = []
    for heading, (name, factor) in MEASURES.items():
        first, second = ([factor * one[name].mean() for one in scores[arm]] for arm in ARMS)
        if where := separated(first, second):
            lines.append(
                f"- {heading}: {spread(first)} augmented, {spread(second)} plain: all {where} with augmentation."
            )
    return "\n".join(lines) or "- No measure separates the two."


def train_all(
    images: ImageDataset, config: Config, seeds: Sequence[int], folder: Path
) -> dict[tuple[str, int], tuple[np.ndarray, dict]]:
    """Train both arms from all seeds: (arm, seed) -> the fakes and the last row of the curves. The curves of all are in
    results/few_pictures.csv, which is written anew after each seed."""
    found, curves = {}, []
    for seed in seeds:
        for arm, changed in ARMS.items():
            fakes, rows = train(arm, dataclasses.replace(config, seed=seed, **changed), images, folder)
            curves += rows
            found[arm, seed] = fakes, rows[-1]
            print(arm, rows[-1], flush=True)
        write_csv(RESULTS / "few_pictures.csv", curves)
    return found


def run(images: ImageDataset, config: Config, seeds: Sequence[int], folder: Path) -> None:
    """Train both arms from all seeds, judge them, and write the results."""
    found = train_all(images, config, seeds, folder)
    with atomic_write(RESULTS / "few_pictures.png") as temporary:
        shown = [found[arm, seeds[0]][0][:16] for arm in ARMS]
        plots.save_png(temporary, plots.grid(np.concatenate(shown), columns=8))
    reference = report.run_reference(images, config, make_features(images))
    held_out = len(train_holdout_split(images, config)[1])
    rows = [["perfect generator (floor)", "", "", "", "", *cells(reference.floor)]]
    scores = {arm: [] for arm in ARMS}
    for (arm, seed), (fakes, last) in found.items():
        score = reference.measure(fakes)
        scores[arm].append(score)
        accuracy = [f"{float(last[name]):.0%}" for name in ("accuracy_trained", "accuracy_held_out")]
        rows.append([arm, str(seed), f"{int(last['step']):,}", *accuracy, *cells(score)])
    write_results(
        "few_pictures",
        f"{environment()} {images.name}, {len(images) - held_out} pictures to train on, {held_out} held out.",
        table(("training", "seed", "steps", "trained called real", "held out called real", *MEASURES), rows),
        f"{report.SPLITS} splits: {reference.count} fakes against {reference.count} training images. Features: "
        f"{reference.extract.name}. The discriminator's accuracy is that of the last epoch, on up to 256 training "
        "images and on the held-out ones; results/few_pictures.csv has it for all epochs.",
        f"{len(MEASURES)} comparisons from {len(seeds)} seeds each. From three seeds, chance alone separates one in "
        "ten comparisons.",
        verdict(scores),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--steps", type=int, default=1536, help="a multiple of 128; 1536 by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/few_pictures"))
    options = parser.parse_args()
    length = {"epochs": options.steps // STEPS_PER_EPOCH, "steps_per_epoch": STEPS_PER_EPOCH}
    config = preset_config("pokemon", data_dir=options.data_dir, held_out=0.1, **length)
    run(load(config), config, options.seeds, options.folder)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
