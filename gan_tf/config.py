"""What a run is made of: one frozen dataclass, and the values that suit each data set.

The command line, the notebooks and a run's config.json are all this one thing. The sentence under each
field is its documentation on the command line too: what it is, and the reason for its default.
"""

import dataclasses
import math
import os
from typing import Annotated, Literal, get_args

import tyro

from gan_tf.common.errors import InputError

SIZES = (28, 32, 64, 96, 128, 256, 512)
Loss = Literal["non-saturating", "minimax", "hinge", "wasserstein", "least-squares", "relativistic"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that a run is a function of: the same Config gives the same pictures."""

    dataset: str = "digits"
    """Which images to learn: a name (python -m gan_tf.data lists them) or the path of a folder of pictures.
    digits by default, the handwritten digits inside scikit-learn, as they are there on every machine."""
    label: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--digit"])] = ()
    """Which of the data set's labels to learn, such as 5, A, or cat dog; of a folder of your own, the names of the
    folders in it. None means all. One kind of thing is the quickest to learn."""
    data_dir: str | None = None
    """The folder to look into for <name>/ (or mnist.npz) before any download. By default the environment variable
    GAN_TF_DATA, else data, so that files of your own are found without an option."""
    image_size: int = 28
    """Height and width in pixels: 28, 32, 64, 96, 128, 256 or 512. From 64 on, each doubling makes a
    step about three to four times as slow."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How a picture becomes a square: its middle, all of it on --background, or all of it distorted. Most pictures
    have their subject in the middle."""
    background: str = "white"
    """The colour under transparent pictures and beside those that --fit pad makes square: a name or #rrggbb."""
    held_out: float = 0.05
    """The share of images, 256 at most, that are not trained on: a discriminator that tells them from those that it
    was trained on has learned those by heart, which no loss shows."""
    max_bad: float = 0.05
    """The share of files in a folder that may be unreadable, and are then skipped. More than a few say that the
    folder is not what you think."""
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
    d_learning_rate: float | None = None
    """Step size of the discriminator, if another (two time scales, Heusel et al. 2017). None means --learning-rate."""
    decay: Literal["none", "linear", "cosine"] = "none"
    """How both step sizes fall to 0 at the last step: linear in the second half (as CycleGAN's), or along a cosine
    (Loshchilov and Hutter 2017). None by default, as only a run without it can be made longer."""
    beta_1: float = 0.0
    """Adam's momentum. None, because the opponent moves: an average over old gradients points to where it was
    (as in WGAN-GP and StyleGAN; DCGAN has 0.5)."""
    beta_2: float = 0.99
    """Adam's memory of squared gradients: about 100 steps, short enough for a run of some thousand."""
    latent_dim: int = 64
    """Length of the vector of N(0, 1) numbers that an image is drawn from. Digits need no more."""
    width: int = 64
    """The most channels that a layer may have. Few are fast, the tutorials' 512 are for a GPU."""
    loss: Loss = "non-saturating"
    """What the players minimise (gan_tf/losses.py has each with its paper). wasserstein comes with its gradient
    penalty and relativistic with R1 and R2, as neither trains without. The default is DCGAN's."""
    label_smoothing: float = 0.0
    """Real labels become 1 minus this; fakes stay 0 (Salimans et al. 2016). Only for non-saturating and minimax,
    which have labels. Off, as nothing here needs it."""
    d_steps: int = 1
    """Updates of the discriminator, each on new real images, for one of the generator. The original 1."""
    ema: float = 0.99
    """How much of the averaged generator stays at each step: an average over about 100 steps, as a short run
    needs. The averaged weights draw all the pictures that you see (Karras et al. 2018). 0 is no average."""
    augment: tuple[Literal["color", "translation", "cutout"], ...] = ()
    """What reals and fakes go through before the discriminator sees them, so that it cannot learn few images by
    heart (Zhao et al. 2020): color, translation, cutout. None, as some thousands learn faster without."""
    flip: bool = False
    """Whether half of the real images are mirrored. Only where they face left as often as right: never for digits and
    letters, and of Pokemon it made thumbnails and patches worse."""
    r1: float | None = None
    """Weight of the R1 penalty on the discriminator's gradient at real images (gamma in Mescheder et al. 2018). None
    means what the loss needs: 1 for relativistic, 0 (no penalty) for the others."""
    r2: float | None = None
    """Weight of the R2 penalty, the same at fakes (Huang et al. 2024). None means what the loss needs: 1 for
    relativistic, 0 for the others."""
    gradient_penalty: float | None = None
    """Weight of the penalty that keeps the discriminator's gradient norm near 1 between reals and fakes (lambda in
    Gulrajani et al. 2017). None means what the loss needs: 10 for wasserstein, 0 for the others."""
    penalty_every: int = 4
    """Apply R1 and R2 every this many steps, with their weights multiplied by it. The penalties are slow, and every
    fourth step is enough (Karras et al. 2020, appendix B). --gradient-penalty is applied at every step."""
    spectral_norm: bool = False
    """Whether each layer of the discriminator is divided by its largest singular value (Miyato et al. 2018), which
    bounds how steep it can be. Off: R1 does so too, and leaves the kernels as they are."""
    minibatch_std: bool = False
    """Whether the discriminator sees how much the images of a batch differ, so that fakes all alike give themselves
    away (Karras et al. 2018, section 3)."""
    evaluate_every: int = 0
    """Epochs from one measurement of the Frechet distance to the next, which keeps the best generator; 0 measures none.
    Off, as it takes seconds each time, and a minute before the first."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What layers compute in; weights and losses are float32 either way. bfloat16 is faster where the processor
    has units for it."""
    seed: int = 0
    """Where every random number comes from: the same seed gives the same run, another seed another."""

    def __post_init__(self):
        # As json has only lists, and a notebook's reader writes label=5.
        labels = (self.label,) if isinstance(self.label, (int, str)) else self.label
        object.__setattr__(self, "label", tuple(map(str, labels)))
        object.__setattr__(self, "augment", tuple(self.augment))
        check(self, "epochs", "a whole number of at least 1", self.epochs >= 1)
        check(self, "steps_per_epoch", "0 (one pass over the images) or more", self.steps_per_epoch >= 0)
        check(self, "batch_size", "at least 2, as batch normalisation needs more than one", self.batch_size >= 2)
        check(self, "learning_rate", "above 0 and finite", 0 < self.learning_rate < math.inf)
        check(
            self,
            "d_learning_rate",
            "above 0 and finite",
            self.d_learning_rate is None or 0 < self.d_learning_rate < math.inf,
        )
        check(self, "decay", "none, linear or cosine", self.decay in ("none", "linear", "cosine"))
        check(self, "held_out", "a share from 0 to below 1", 0 <= self.held_out < 1)
        check(self, "beta_1", "in [0, 1)", 0 <= self.beta_1 < 1)
        check(self, "beta_2", "in [0, 1)", 0 <= self.beta_2 < 1)
        check(self, "latent_dim", "a whole number of at least 1", self.latent_dim >= 1)
        check(self, "label_smoothing", "in [0, 1)", 0 <= self.label_smoothing < 1)
        check(self, "d_steps", "a whole number of at least 1", self.d_steps >= 1)
        check(self, "ema", "in [0, 1)", 0 <= self.ema < 1)
        check(self, "seed", "a whole number from 0 to 2**32 - 1", 0 <= self.seed < 2**32)
        check(self, "label", "labels of the data set, each once", len(set(self.label)) == len(self.label))
        check(self, "image_size", f"one of {', '.join(map(str, SIZES))}", self.image_size in SIZES)
        check(self, "fit", "crop, pad or stretch", self.fit in ("crop", "pad", "stretch"))
        check(self, "max_bad", "a share from 0 to 1", 0 <= self.max_bad <= 1)
        check(self, "width", "a whole number of at least 16", self.width >= 16)
        kinds = {"color", "translation", "cutout"}
        check(
            self,
            "augment",
            "color, translation or cutout, each once",
            sorted(self.augment) == sorted(kinds & {*self.augment}),
        )
        check(self, "r1", "0 (none) or more, and finite", self.r1 is None or 0 <= self.r1 < math.inf)
        check(self, "r2", "0 (none) or more, and finite", self.r2 is None or 0 <= self.r2 < math.inf)
        check(
            self,
            "gradient_penalty",
            "0 (none) or more, and finite",
            self.gradient_penalty is None or 0 <= self.gradient_penalty < math.inf,
        )
        check(self, "penalty_every", "a whole number of at least 1", self.penalty_every >= 1)
        check(self, "evaluate_every", "0 (never) or a whole number of epochs", self.evaluate_every >= 0)
        check(self, "precision", "float32 or bfloat16", self.precision in ("float32", "bfloat16"))
        check(self, "loss", f"one of {', '.join(get_args(Loss))}", self.loss in get_args(Loss))
        labelled = self.loss in ("non-saturating", "minimax")
        check(
            self,
            "label_smoothing",
            f"0 with --loss {self.loss}, which has no labels",
            labelled or not self.label_smoothing,
        )
        check(self, "preset", f"one of {', '.join(PRESETS)}", self.preset is None or self.preset in PRESETS)

    @property
    def rates(self) -> tuple[float, float]:
        """The step sizes of generator and discriminator."""
        return self.learning_rate, self.learning_rate if self.d_learning_rate is None else self.d_learning_rate


def check(config: Config, field: str, allowed: str, good: bool) -> None:
    if not good:
        value = getattr(config, field)
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        raise InputError(f"--{field.replace('_', '-')} is {shown}, but it must be {allowed}.")


# Losses that bring their own penalties (losses.LOSSES has the weights), so a preset's R1 does not apply to them.
PENALISED_LOSSES = ("wasserstein", "relativistic")

# What all colour presets share: ten minutes on two cores.
COLOUR = {
    "epochs": 27,
    "steps_per_epoch": 512,
    "image_size": 64,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "decay": "linear",
    "width": 128,
    "latent_dim": 128,
    "ema": 0.998,
    "r1": 1.0,
}
# A discriminator soon knows so few by heart. From some thousands on, augmentation only slows learning.
ABOUT_A_THOUSAND = {**COLOUR, "epochs": 26, "augment": ("translation", "cutout")}
# Photographs face left as often as right. Pokemon and anime characters do not: there, mirror images do harm.
MIRRORED = {**ABOUT_A_THOUSAND, "flip": True}

# The values in which a data set's measured best differs from the defaults above, which are those of digits.
PRESETS: dict[str, dict] = {
    "digits": {},
    "mnist": {"epochs": 8, "steps_per_epoch": 0},
    "fashion": {"epochs": 8, "steps_per_epoch": 0},
    "letters": {"epochs": 8, "steps_per_epoch": 0},
    "creatures": COLOUR,
    "pokemon": ABOUT_A_THOUSAND,
    "animal_faces": MIRRORED,
    "dogs": COLOUR,
    "anime": COLOUR,
    "celeba": COLOUR,
    "folder": MIRRORED,
}


def is_path(dataset: str) -> bool:
    """Whether `dataset` is a folder of pictures and not a data set's name: names have no separators and no dots."""
    return dataset not in PRESETS and (bool({*"/\\.~"} & {*dataset}) or os.path.isdir(dataset))


def preset_config(dataset: str, **fields) -> Config:
    """The Config for a data set: its preset, or that of `preset=NAME`, with `fields` on top of it."""
    values = PRESETS.get(fields.get("preset") or ("folder" if is_path(dataset) else dataset), {})
    if fields.get("loss") in PENALISED_LOSSES:
        values = {name: value for name, value in values.items() if name != "r1"}
    return Config(**{"dataset": dataset, **values, **fields})
