"""The experiment engine behind every script in this folder: train, time, judge, write a table.

* `train_fakes` trains a Config and keeps what its generator draws. Nothing is trained twice.
* `in_turns` times several contenders alternately, so that other load on the machine slows all of them alike.
* `gan_tf.measure.report.Reference` judges: fakes, and the floor that a perfect generator would get, from equally many
  images against the same real ones, over several random splits. `show` makes a table's cell of it.
* `verdicts` compares variants by an exact rank test, corrected for the number of comparisons.
* `table`, `gan_tf.sweep.spread` and `write_results` make the Markdown.
"""

import dataclasses
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gan_tf  # noqa: F401

# isort: split
# After gan_tf, which imports TensorFlow without its messages.
import keras
import numpy as np
import tensorflow as tf

from gan_tf.common.files import atomic_write
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, class_shares, steps_per_epoch
from gan_tf.gan import random_inputs, sample
from gan_tf.losses import penalty_weights
from gan_tf.measure import report
from gan_tf.run.build import build_for
from gan_tf.run.callbacks import Diverged, TerminateOnNonFinite
from gan_tf.run.loop import compile_steps, feed, train_epochs
from gan_tf.sweep import spread

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FORMAT = 2  # Raise it when the code trains a Config differently from before: kept fakes are then trained again.
FAKES = 5000  # Kept of each generator; each split of the judge takes as many as it needs.


# --- Train ------------------------------------------------------------------------------------------------------------

# Fields that do not change what a Config trains on these images, which the fingerprint identifies.
NOT_IN_RECIPE = {"dataset", "label", "data_dir", "preset", "image_size", "fit", "background", "alpha", "max_bad"}
NOT_IN_RECIPE |= {"evaluate_every", "seed"}


def resolve(config: Config) -> dict:
    """The fields of `config` by name, with the weights and step sizes that None stands for. Other fields that are None
    are left out, so that what was kept before there was such a field still counts."""
    implied = {**penalty_weights(config.loss), "d_learning_rate": config.learning_rate}
    fields = {name: implied.get(name) if value is None else value for name, value in dataclasses.asdict(config).items()}
    return {name: value for name, value in fields.items() if value is not None}


def recipe(config: Config, images: ImageDataset) -> dict:
    """Everything that decides what `config` learns from `images`, except the seed, as JSON would give it back."""
    fields = {name: value for name, value in resolve(config).items() if name not in NOT_IN_RECIPE}
    return json.loads(json.dumps({"format": FORMAT, "images": images.fingerprint, **fields}))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name."""
    with np.load(path) as arrays:
        return dict(arrays)


class KeepFakes(keras.callbacks.Callback):
    """Save fakes of the averaged generator, always from the same inputs, at the epoch ends in `paths` (by step)."""

    def __init__(self, paths: Mapping[int, Path], inputs: np.ndarray, made_by: dict):
        super().__init__()
        self.paths, self.inputs, self.made_by = paths, inputs, json.dumps(made_by)

    def on_epoch_end(self, epoch, logs=None):
        path = self.paths.get(int(self.model.step))
        if path:
            self.save(path, sample(self.model.ema_generator, self.inputs))

    def save(self, path: Path, fakes: np.ndarray) -> None:
        with atomic_write(path) as temporary:
            np.savez(temporary, images=fakes, recipe=self.made_by)


def fakes_paths(
    config: Config, images: ImageDataset, stem: Path, marks: Sequence[int] | None = None
) -> dict[int, Path]:
    """The files of fakes after each of `marks`, by default after the last step: STEM-SEED-STEP.npz."""
    steps = [config.epochs * steps_per_epoch(images, config)]
    return {step: stem.with_name(f"{stem.name}-{config.seed}-{step}.npz") for step in marks or steps}


def keep_fakes(config: Config, images: ImageDataset, paths: Mapping[int, Path], count: int = FAKES) -> KeepFakes:
    """The callback that keeps `count` fakes of a training of `config` in each of `paths`, by step."""
    inputs = random_inputs(count, config.latent_dim, class_shares(images, config), seed=1)
    return KeepFakes(paths, inputs, recipe(config, images))


def train_fakes(
    config: Config,
    images: ImageDataset,
    stem: Path,
    marks: Sequence[int] | None = None,
    count: int = FAKES,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[int, np.ndarray]:
    """Train `config` and return fakes, uint8 (count, height, width, channels), by step: after each of `marks`, which
    are ends of epochs, by default only after the last step.

    The fakes are kept in STEM-SEED-STEP.npz together with the recipe. Files whose recipe and count still agree are
    returned without any training. A training that diverges leaves no fakes, arrays of length 0, at the marks it did
    not reach. `callbacks` watch a training that does take place.
    """
    paths, wanted = fakes_paths(config, images, stem, marks), recipe(config, images)
    if not all(is_kept(path, wanted, count) for path in paths.values()):
        stem.parent.mkdir(parents=True, exist_ok=True)
        keep = keep_fakes(config, images, paths, count)
        for path in paths.values():
            path.unlink(missing_ok=True)
        try:
            gan = build_for(images, config)
            train_epochs(gan, images, config, [TerminateOnNonFinite(), keep, *callbacks])
        except Diverged as error:
            print(error, flush=True)
            for path in paths.values():
                if not path.exists():
                    keep.save(path, np.zeros((0, *images.shape), np.uint8))
    return {step: read_npz(path)["images"] for step, path in paths.items()}


def is_kept(path: Path, wanted: dict, count: int) -> bool:
    """Whether `path` holds `count` fakes of the recipe `wanted`, or the record that it diverged."""
    if not path.exists():
        return False
    kept = read_npz(path)
    return json.loads(str(kept["recipe"])) == wanted and len(kept["images"]) in (0, count)


# --- Time -------------------------------------------------------------------------------------------------------------


class EpochSeconds(keras.callbacks.Callback):
    """The seconds of each epoch, by a clock such as time.process_time."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        super().__init__()
        self.clock, self.seconds = clock, []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = self.clock()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(self.clock() - self.began)


def stepper(
    config: Config,
    images: ImageDataset,
    steps: int,
    jit_compile: bool | None = None,
    on_device: bool | None = None,
) -> Callable[..., float]:
    """A function that trains `steps` further steps, or as many as it is called with, and returns the seconds they took.

    Whether XLA compiles the step, and whether the images lie on the device, is as in training where it is None.
    """
    gan = build_for(images, config)
    if jit_compile is not None:
        gan.compile(gan.g_optimizer, gan.d_optimizer, jit_compile=jit_compile)
    with_room = {} if on_device is None else {"has_room": lambda size: on_device}
    data, to_batch = feed(images, config, gan, **with_room)
    run_steps, data = compile_steps(gan, to_batch), iter(data)

    def advance(steps: int = steps) -> float:
        began = time.perf_counter()
        logs = run_steps(data, tf.constant(steps))
        float(logs["d_loss"])  # Waits for a GPU that is still at work.
        return time.perf_counter() - began

    return advance


def in_turns(contenders: Mapping[str, Callable[[], float]], turns: int = 7) -> dict[str, list[float]]:
    """What each contender returned in `turns` rounds, in each of which all are called once. A first round, which
    compiles, is left out."""
    rounds = [{name: contender() for name, contender in contenders.items()} for _ in range(turns + 1)]
    return {name: [results[name] for results in rounds[1:]] for name in contenders}


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the ratios within each turn: load that slows a whole turn cancels out."""
    return statistics.median(x / y for x, y in zip(above, below, strict=True))


# Fields that change numbers in a step but not how much is computed.
SAME_COST = {"learning_rate", "d_learning_rate", "decay", "beta_1", "beta_2", "label_smoothing", "epochs", "seed"}


def relative_cost(config: Config, changed: Config, images: ImageDataset, turns: int = 7, steps: int = 24) -> float:
    """How many times as long a step of `changed` takes as one of `config`: 1 where both compute the same amount, else
    the median ratio over turns."""
    values, others = resolve(config), resolve(changed)
    if all(values.get(name) == others.get(name) for name in {*values, *others} - SAME_COST):
        return 1.0
    seconds = in_turns({"changed": stepper(changed, images, steps), "config": stepper(config, images, steps)}, turns)
    return median_ratio(seconds["changed"], seconds["config"])


SPEED = RESULTS / "pictures_speed.json"


def step_recipe(config: Config) -> dict:
    """What decides how long a step on images of one size takes. Mirror images cost nothing that can be measured,
    labels and clusters 1%."""
    left_out = NOT_IN_RECIPE | SAME_COST | {"steps_per_epoch", "held_out", "flip", "conditional", "clusters"}
    return json.loads(json.dumps({name: v for name, v in resolve(config).items() if name not in left_out}))


def read_speeds() -> dict[str, dict]:
    """Images per second in training, by data set, as pictures.py --speed measured them."""
    return json.loads(SPEED.read_text()) if SPEED.exists() else {}


def steps_in(minutes: float, images_per_second: float, batch: int, per_epoch: int = 1) -> int:
    """The number of steps in that time, rounded to whole epochs."""
    return max(1, round(minutes * 60 * images_per_second / batch / per_epoch)) * per_epoch


# Runs the command given after a file name, and writes the command's peak memory in kB into that file.
WATCHER = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


def run_process(arguments: Sequence[str]) -> tuple[str, float, float]:
    """Run Python with `arguments`: its output, its seconds, and its peak memory in GB. Exits with the output where the
    process failed."""
    # Not measured from here: Linux counts what this process holds, TensorFlow included, to the peak of its children.
    with tempfile.NamedTemporaryFile("r") as memory:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", WATCHER, memory.name, sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            sys.exit(done.stdout)
        return done.stdout, seconds, int(memory.read()) / 2**20


# --- Compare ----------------------------------------------------------------------------------------------------------

Strata = Sequence[tuple[Sequence[float], Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome of one comparison: does the variant have lower values than the control?"""

    p: float  # the probability of a difference at least this clear, in either direction, by chance alone
    lower: bool  # the direction
    significant: bool  # after correction for all comparisons of the table


def rank_test(strata: Strata) -> tuple[float, bool]:
    """The exact two-sided p-value of the stratified rank-sum test (van Elteren 1960), and whether the first sample has
    the lower values.

    Each stratum holds the values of two samples measured under the same conditions, for example on one data set. The
    statistic is the number of pairs of one value each in which the first is higher, ties counting one half, summed
    over strata. Three values all beyond three others give p = 2/20 in one stratum, 2/400 in two.
    """
    distribution, higher = np.ones(1), 0.0
    for first, second in strata:
        n, m = len(first), len(second)
        statistics_of_orders = [sum(ranks) - n * (n - 1) // 2 for ranks in itertools.combinations(range(n + m), n)]
        distribution = np.convolve(distribution, np.bincount(statistics_of_orders) / len(statistics_of_orders))
        higher += sum((x > y) + 0.5 * (x == y) for x in first for y in second)
    below = distribution[: int(np.floor(higher)) + 1].sum()
    above = distribution[int(np.ceil(higher)) :].sum()
    return float(min(1.0, 2 * min(below, above))), higher < (len(distribution) - 1) / 2


def verdicts(comparisons: Mapping[str, Strata], level: float = 0.1) -> dict[str, Verdict]:
    """A verdict on each comparison, such that the probability of any false one among them is at most `level` (Holm
    1979's correction of the p-values of `rank_test`)."""
    tested = {name: rank_test(strata) for name, strata in comparisons.items()}
    found, still = {}, True
    for rank, (name, (p, lower)) in enumerate(sorted(tested.items(), key=lambda item: item[1][0])):
        still = still and p <= level / (len(tested) - rank) + 1e-12
        found[name] = Verdict(p, lower, still)
    return {name: found[name] for name in comparisons}


def separated(first: Sequence[float], second: Sequence[float]) -> str:
    """'lower' or 'higher' where every value of `first` is beyond every one of `second`, else ''."""
    if max(first) < min(second):
        return "lower"
    return "higher" if min(first) > max(second) else ""


def expected_separations(strata: Strata) -> float:
    """In how many of these comparisons chance alone is expected to separate the two samples, in either direction."""
    return sum(2 / math.comb(len(first) + len(second), len(first)) for first, second in strata)


# --- Judge ------------------------------------------------------------------------------------------------------------

Scores = report.Scores


def judge_or_fail(reference: report.Reference, fakes: np.ndarray) -> Scores | None:
    """The measures of features, or None for the empty fakes of a training that diverged."""
    return reference.measure_features(fakes) if len(fakes) else None


def show(judged: Sequence[Scores | None], name: str) -> str:
    """One training: mean ± standard deviation over the splits. Several: the median of their means and the range."""
    if None in judged:
        return "diverged"
    if len(judged) == 1:
        return report.show(judged[0][name])
    return spread(scores[name].mean() for scores in judged)


def show_of_floor(judged: Sequence[Scores], floor: Scores, name: str) -> str:
    """The measure as a multiple of the floor: a perfect generator reads 1."""
    return spread((report.of_floor(scores, floor, name).mean() for scores in judged), ".2f")


GLOSSARY = (
    "The kernel distance is unbiased: a perfect generator reads about 0. Copying is the distance from a fake to the "
    "nearest training image, relative to that of new images: 0 for copies. The held-out ratio is the distance from a "
    "held-out image to the nearest fake, relative to that of a training image: well above the floor's, the generator "
    "has overfitted."
)


def protocol(reference: report.Reference) -> str:
    """How figures of this reference were measured, in two sentences."""
    return (
        f"Every figure is the mean over {len(reference.splits)} random splits, ± their standard deviation: "
        f"{reference.count:,} fakes against {reference.count:,} training images. The floor is what a "
        f"perfect generator would get: {reference.count:,} other real images against the same ones."
    )


# --- Write ------------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A Markdown table. Each row has as many cells as `head`."""
    lines = [[*head], ["---"] * len(head), *([*row] for row in rows)]
    if any(len(line) != len(head) for line in lines):
        raise ValueError(f"A row does not have the {len(head)} cells of the head {head}.")
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def environment() -> str:
    """The versions and the machine that figures were measured with."""
    return f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} CPU cores."


def write_results(name: str, *parts: str, folder: Path | None = None) -> Path:
    """Write results/NAME.md, its parts as paragraphs, whole or not at all, and print it."""
    text = "\n\n".join(parts) + "\n"
    path = (folder or RESULTS) / f"{name}.md"
    with atomic_write(path) as temporary:
        temporary.write_text(text)
    print(text, flush=True)
    return path


README_TABLE = "readme_table"
README_HEAD = ("set", "minutes", "first dozen, not selected (the peer above ours)")
README_HEAD += (
    "Frechet distance: **ours** / floor / peer",
    "thumbnails: **ours** / floor / peer",
    "coverage: **ours** / floor / peer",
)
README_SETS = ("mnist fives", "creatures", "pokemon", "anime", "animal_faces", "celeba")


def update_readme_table(row: Sequence[str], folder: Path | None = None) -> None:
    """Put one set's row into results/readme_table.md, which the README includes, in place of the row it had."""
    path = (folder or RESULTS) / f"{README_TABLE}.md"
    lines = path.read_text().splitlines()[2:] if path.exists() else []
    rows = {cells[0]: cells for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)}
    rows[row[0]] = [*row]
    write_results(README_TABLE, table(README_HEAD, [rows[name] for name in README_SETS if name in rows]), folder=folder)


def readme_cell(ours: Sequence[Scores], floor: Scores, peers: Sequence[Scores], name: str) -> str:
    """'**ours** / floor / peer' for one measure."""
    values = [statistics.median(scores[name].mean() for scores in some) if some else None for some in (ours, peers)]
    mine, peer = ("-" if value is None else f"{value:.2g}" for value in values)
    return f"**{mine}** / {floor[name].mean():.2g} / {peer}"
