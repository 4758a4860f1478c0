"""The runs behind tests/measure/histories, and the script that trains them again:

    python -m tests.measure.make_histories [NAME ...]

NAME is a file's name without .csv; all of them take an hour on two cores. MNIST's must be there or downloadable.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import keras

from gan_tf.config import Config, preset_config
from gan_tf.data import registry
from gan_tf.losses import LOSSES
from gan_tf.measure.health import HeldOutAccuracy, LabelAgreement
from gan_tf.run.build import build_for
from gan_tf.run.callbacks import epoch_row
from gan_tf.run.loop import train_epochs

FOLDER = Path(__file__).parent / "histories"

SHORT = {"epochs": 16, "steps_per_epoch": 24, "seed": 0}
BRIEF = {"epochs": 6, "steps_per_epoch": 24, "seed": 1}
# What each kind of run changes in its data set's preset.
KINDS = {
    # These succeed.
    "digits": {"dataset": "digits", **SHORT},
    "fives": {"dataset": "mnist", "label": "5", "seed": 0},
    "creatures": {"dataset": "creatures", "epochs": 8, "steps_per_epoch": 128, "seed": 0},
    # The discriminator is twenty times as fast as the generator. With all losses but minimax, digits appear late.
    "slow": {"dataset": "digits", "learning_rate": 2e-4, "d_learning_rate": 4e-3, **SHORT},
    # The generator is ten times as fast as the discriminator, which takes most fakes for real until it catches up.
    "outpaced": {"dataset": "digits", "learning_rate": 2e-3, "d_learning_rate": 2e-4, **SHORT},
    # These fail.
    "too_fast": {"dataset": "digits", "learning_rate": 2e-2, "epochs": 6, "steps_per_epoch": 64, "seed": 1},
    "far_too_fast": {"dataset": "digits", "learning_rate": 0.1, "epochs": 6, "steps_per_epoch": 64, "seed": 1},
    "has_won": {"dataset": "digits", "learning_rate": 1e-6, "d_learning_rate": 2e-3, **BRIEF},
    "is_left_behind": {"dataset": "digits", "learning_rate": 5e-3, "d_learning_rate": 1e-5, **BRIEF},
    "frozen": {
        "dataset": "digits",
        "learning_rate": 2e-2,
        "d_learning_rate": 1e-9,
        "epochs": 8,
        "steps_per_epoch": 64,
        "seed": 1,
    },
    "momentum": {"dataset": "digits", "beta_1": 0.9, **SHORT},
    "overfits": {
        "dataset": "digits",
        "label": "5",
        "held_out": 0.3,
        "epochs": 10,
        "steps_per_epoch": 64,
        "seed": 1,
    },
}
# A missing combination was not trained: the run would fail otherwise than its kind says, or takes long.
LACKING = {
    "creatures": {"wasserstein", "relativistic", "hinge", "minimax"},
    "slow": {"relativistic"},
    "too_fast": {"minimax"},
    "momentum": {"hinge", "wasserstein", "relativistic"},
    "overfits": {"minimax", "relativistic"},
}
NAMES = [f"{kind}_{loss}" for kind in KINDS for loss in LOSSES if loss not in LACKING.get(kind, ())]


def config_of(name: str) -> Config:
    """The Config of a stored run."""
    kind, _, loss = name.rpartition("_")
    return preset_config(loss=loss, **KINDS[kind])


def read(name: str) -> dict[str, list[float]]:
    """A stored history, as `diagnose` takes it."""
    with open(FOLDER / f"{name}.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column]) for row in rows] for column in rows[0]}


def train(config: Config, images=None, callbacks: Sequence[keras.callbacks.Callback] = ()) -> dict[str, list[float]]:
    """The history of a run: its columns, with one value per epoch."""
    images = images or registry.load(config)
    gan, history = build_for(images, config), {}
    extra = [HeldOutAccuracy(images, config), LabelAgreement(images, config)]

    def keep(epoch, logs):
        for column, value in epoch_row(gan, epoch + 1, extra).items():
            history.setdefault(column, []).append(value)

    train_epochs(gan, images, config, [*callbacks, keras.callbacks.LambdaCallback(on_epoch_end=keep)])
    return history


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or NAMES:
        history = train(config_of(name))
        with open(FOLDER / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(history)
            writer.writerows([f"{value:.4g}" for value in row] for row in zip(*history.values(), strict=True))
        print(name, flush=True)


if __name__ == "__main__":
    main()
