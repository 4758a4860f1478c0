"""What a run is made of: one frozen dataclass, and the values that suit each data set.

The command line, the notebooks and a run's config.json are all this one thing. The sentence under each
field is its documentation on the command line too: what it is, and the reason for its default.
"""

import contextlib
import dataclasses
import math
import sys
from typing import Literal


class InputError(Exception):
    """Something a person gave or asked for cannot be used. Its message is made for them: the commands print it
    without a traceback and exit with 1. (No ValueError, as tyro would catch that and draw a box around it.)"""


@contextlib.contextmanager
def one_sentence():
    """Ends the program with an InputError's message instead of its traceback."""
    try:
        yield
    except InputError as error:
        sys.exit(f"gan_tf: {error}")
    except KeyboardInterrupt:
        print("\ngan_tf: stopped.", file=sys.stderr)
        sys.exit(130)


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run is a function of: the same Config gives the same pictures."""

    dataset: str = "digits"
    """Which images to learn: digits (1,797 handwritten digits inside scikit-learn, no download) or mnist
    (60,000 of 28x28 pixels). digits by default, as it is there on every machine."""
    digit: tuple[int, ...] = ()
    """Which digits to learn, such as 5, or 3 8; none means all ten. One digit is the quickest to learn."""
    data_dir: str | None = None
    """The folder to look into for mnist.npz before any download. By default the environment variable
    GAN_TF_DATA, else data, so that files of your own are found without an option."""
    preset: str | None = None
    """The data set whose measured defaults to start from; every other option still wins. By default that of
    --dataset."""
    epochs: int = 20
    """How many epochs to train for. By default enough for clean digits in half a minute on two cores."""
    steps_per_epoch: int = 64
    """Steps in an epoch; 0 means one pass over the images. A small set's pass is over in no time: then a
    fixed number keeps what happens once per epoch (a grid, a checkpoint) cheap."""
    batch_size: int = 32
    """Real images, and fakes, in one update. Small, because on a CPU an update costs what its images do, and many
    updates on few images learn faster than few on many."""
    learning_rate: float = 2e-3
    """Adam's step size for both players. High for a GAN: the averaged weights take the jitter out."""
    beta_1: float = 0.0
    """Adam's momentum. None, because the opponent moves: an average over old gradients points to where it was
    (as in WGAN-GP and StyleGAN; DCGAN has 0.5)."""
    beta_2: float = 0.99
    """Adam's memory of squared gradients: about 100 steps, short enough for a run of some thousand."""
    latent_dim: int = 64
    """Length of the vector of N(0, 1) numbers that an image is drawn from. Digits need no more."""
    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    """What the generator minimises: -log D(G(z)), or the original log(1 - D(G(z))), whose gradient fades
    while the discriminator wins (Goodfellow et al. 2014, section 3)."""
    label_smoothing: float = 0.0
    """Real labels become 1 minus this; fakes stay 0 (Salimans et al. 2016). Off, as nothing here needs it."""
    d_steps: int = 1
    """Updates of the discriminator, each on new real images, for one of the generator. The original 1."""
    ema: float = 0.99
    """How much of the averaged generator stays at each step: an average over about 100 steps, as a short run
    needs. The averaged weights draw all the pictures that you see (Karras et al. 2018). 0 is no average."""
    seed: int = 0
    """Where every random number comes from: the same seed gives the same run, another seed another."""

    def __post_init__(self):
        # As json has only lists, and a notebook's reader writes digit=5.
        digit = (self.digit,) if isinstance(self.digit, int) else tuple(self.digit)
        object.__setattr__(self, "digit", digit)
        check(self, "epochs", "a whole number of at least 1", self.epochs >= 1)
        check(self, "steps_per_epoch", "0 (one pass over the images) or more", self.steps_per_epoch >= 0)
        check(self, "batch_size", "at least 2, as batch normalisation needs more than one", self.batch_size >= 2)
        check(self, "learning_rate", "above 0 and finite", 0 < self.learning_rate < math.inf)
        check(self, "beta_1", "in [0, 1)", 0 <= self.beta_1 < 1)
        check(self, "beta_2", "in [0, 1)", 0 <= self.beta_2 < 1)
        check(self, "latent_dim", "a whole number of at least 1", self.latent_dim >= 1)
        check(self, "label_smoothing", "in [0, 1)", 0 <= self.label_smoothing < 1)
        check(self, "d_steps", "a whole number of at least 1", self.d_steps >= 1)
        check(self, "ema", "in [0, 1)", 0 <= self.ema < 1)
        check(self, "seed", "a whole number from 0 to 2**32 - 1", 0 <= self.seed < 2**32)
        once = len(set(digit)) == len(digit)
        check(self, "digit", "digits from 0 to 9, each once", once and set(digit) <= set(range(10)))
        check(self, "loss", "non-saturating or minimax", self.loss in ("non-saturating", "minimax"))
        check(self, "preset", f"one of {', '.join(PRESETS)}", self.preset is None or self.preset in PRESETS)


def check(config: Config, field: str, allowed: str, good: bool) -> None:
    if not good:
        value = getattr(config, field)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{field.replace('_', '-')} is {shown}, but it must be {allowed}.")


# The values in which a data set's measured best differs from the defaults above, which are those of digits.
PRESETS: dict[str, dict] = {
    "digits": {},
    "mnist": {"epochs": 8, "steps_per_epoch": 0},
}


def preset_config(dataset: str, **fields) -> Config:
    """The Config for a data set: its preset, or that of `preset=NAME`, with `fields` on top of it."""
    values = PRESETS.get(fields.get("preset") or dataset, {})
    return Config(**{"dataset": dataset, **values, **fields})
