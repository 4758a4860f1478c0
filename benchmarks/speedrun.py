"""How many seconds of training until the pictures are good? Anyone may try to beat the records in RECORDS.md.

    taskset -c 0 python benchmarks/speedrun.py --data-dir data --targets fives --seeds 0 1 2
    taskset -c 0 python benchmarks/speedrun.py --data-dir data --targets fives --set learning_rate=0.004 ema=0.995

A target is a set and a distance. The clock starts before the networks are built, so it includes compiling, and stands
still while a checkpoint is judged, which is after each epoch. It stops when the fair Frechet distance (mean over 5
random splits, as many fakes as real images) is below the target for the first time. --set changes fields of the set's
preset: that is how you try something without changing code.

With --pictures, a training goes on to its end after it has reached the target, and keeps the fakes that pictures.py
needs in its --folder, so that no seed is trained twice. Judging takes up to ten seconds: --first leaves out the first
epochs, which are far from the target.

Writes results/speedrun.md. Compare seconds only with those of the same machine, from turns that alternate.
"""

import argparse
import ast
import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pictures
from engine import ROOT, environment, fakes_paths, keep_fakes, read_speeds, table, write_results

# isort: split
# After the engine, which imports TensorFlow without its messages.
import keras

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.config import Config, preset_config
from gan_tf.data.images import ImageDataset, class_shares
from gan_tf.data.registry import load
from gan_tf.gan import random_inputs, sample
from gan_tf.measure import report
from gan_tf.measure.features import dataset_features, rotation_network
from gan_tf.run.build import build_for
from gan_tf.run.callbacks import Diverged, TerminateOnNonFinite
from gan_tf.run.loop import train_epochs


@dataclasses.dataclass(frozen=True)
class Target:
    """What a training has to reach."""

    dataset: str
    fields: Mapping = dataclasses.field(default_factory=dict)  # what differs from the data set's preset
    distance: float = 0.0  # a Frechet distance; 0 if `floors` says it
    floors: float = 0.0  # the same as a multiple of the floor


# The distances are those that the presets without labels ended with after ten minutes, seed 0, judged by pictures.py.
TARGETS = {
    "fives": Target("mnist", {"label": ("5",)}, floors=1.5),
    "animal_faces": Target("animal_faces", distance=1.10),
    "pokemon": Target("pokemon", distance=0.93),
    "anime": Target("anime", distance=0.086),
    "creatures": Target("creatures", distance=0.075),
}
HEAD = ("target", "distance", "seed", "seconds", "steps", "reached", "changed")


class Judge(keras.callbacks.Callback):
    """Judges the averaged generator after each epoch from `first` on, until the target is reached. Then it ends the
    training, unless that is to go on."""

    def __init__(self, reference: report.Reference, inputs, target: float, first: int = 1, go_on: bool = False):
        super().__init__()
        self.reference, self.inputs, self.target, self.first, self.go_on = reference, inputs, target, first, go_on
        self.began, self.seconds, self.steps, self.distance = time.perf_counter(), 0.0, 0, float("inf")

    def on_epoch_begin(self, epoch, logs=None):
        if epoch:  # The first begins earlier: building counts, too.
            self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if self.distance < self.target:
            return
        self.seconds += time.perf_counter() - self.began
        self.steps = int(self.model.step)
        if epoch + 1 >= self.first:
            scores = self.reference.measure_features(sample(self.model.ema_generator, self.inputs))
            self.distance = float(scores["frechet_distance"].mean())
            print(f"step {self.steps}, {self.seconds:.0f} s: {self.distance:.3g}", flush=True)
            self.model.stop_training = self.distance < self.target and not self.go_on


def run(
    config: Config,
    images: ImageDataset,
    reference: report.Reference,
    target: float,
    first: int = 1,
    keep: keras.callbacks.Callback | None = None,
) -> tuple[float, int, float]:
    """Train until the target or the end: seconds, steps and the last distance; infinite if the training diverged.
    With `keep`, a callback that keeps fakes, the training goes on to its end."""
    inputs = random_inputs(2 * reference.count, config.latent_dim, class_shares(images, config), seed=1)
    judge = Judge(reference, inputs, target, first, go_on=keep is not None)
    gan = build_for(images, config)
    # Keeping comes last: by then the judge has stopped its clock.
    try:
        train_epochs(gan, images, config, [TerminateOnNonFinite(), judge, *([keep] if keep else [])])
    except Diverged as error:
        print(error, flush=True)
        return judge.seconds, int(gan.step), float("inf")
    return judge.seconds, judge.steps, judge.distance


def prepare(name: str, changed: Mapping, data_dir: str | None) -> tuple[Config, ImageDataset, report.Reference, float]:
    """What `run` needs for a target."""
    target = TARGETS[name]
    config = preset_config(target.dataset, data_dir=data_dir, **{**target.fields, **changed})
    images = load(config)
    if target.floors:
        features = dataset_features(images, config)
    else:  # As in pictures.py, for whose distances these targets are.
        features = rotation_network(images, ROOT / "runs" / "speedrun")
    reference = report.run_reference(images, config, features)
    floor = float(reference.feature_floor["frechet_distance"].mean())
    return config, images, reference, target.distance or target.floors * floor


def keep_for_pictures(config: Config, images: ImageDataset, folder: Path) -> keras.callbacks.Callback:
    """The callback that keeps the fakes that pictures.py looks for in `folder`."""
    stem = pictures.set_folder(folder, images) / "ours"
    ours_after, _ = pictures.marks(config, images, read_speeds().get(images.name, {}))
    return keep_fakes(config, images, fakes_paths(config, images, stem, [*ours_after.values()]))


def read_changes(pairs: Sequence[str]) -> dict:
    """Fields of a Config from NAME=VALUE; a value is a Python literal or else text. Raises InputError."""
    fields = {field.name for field in dataclasses.fields(Config)}
    changes = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in fields or not value:
            raise InputError(f"--set {pair}: write NAME=VALUE, where NAME is one of {', '.join(sorted(fields))}.")
        try:
            changes[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            changes[name] = value
    return changes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=TARGETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="fields of the Config to change")
    parser.add_argument("--first", type=int, default=1, metavar="EPOCH", help="judge from this epoch on")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="the --folder of pictures.py")
    parser.add_argument("--folder", type=Path, help="where to write speedrun.md; by default results/")
    options = parser.parse_args()
    changes, rows = read_changes(options.set), []
    for name in options.targets:
        config, images, reference, target = prepare(name, changes, options.data_dir)
        found = []
        for seed in options.seeds:
            seeded = dataclasses.replace(config, seed=seed)
            keep = keep_for_pictures(seeded, images, options.pictures) if options.pictures else None
            seconds, steps, distance = run(seeded, images, reference, target, options.first, keep)
            found.append(seconds if distance < target else float("inf"))
            reached = "yes" if distance < target else f"no: {distance:.3g}"
            rows.append([name, f"{target:.3g}", seed, f"{seconds:.0f}", f"{steps:,}", reached, " ".join(options.set)])
            print(*rows[-1], flush=True)
        rows.append([name, f"{target:.3g}", "median", f"{statistics.median(found):.0f}", "", "", " ".join(options.set)])
    write_results("speedrun", environment(), table(HEAD, rows), folder=options.folder)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
