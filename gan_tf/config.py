"""The options of a run: one frozen dataclass, and the values that suit each data set.

The command line, the notebooks and a run's config.json all use this dataclass. The docstring below each field is also
its text in --help: what the option does, then the reason for its default.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from numbers import Integral
from typing import Annotated, Any, Literal

import tyro

from gan_tf.common.options import Checked, Must, at_least, optional

Loss = Literal["non-saturating", "minimax", "hinge", "wasserstein", "least-squares", "relativistic"]
SIDES = (28, *range(8, 513, 8))  # Pixels that a side of an image can have.


def parse_size(size: int | str) -> tuple[int, int]:
    """(height, width) of an `image_size`: one number for a square, or text such as "96x64", which is width times
    height. Raises ValueError for anything else."""
    width, *height = map(int, str(size).split("x"))
    (height,) = height or (width,)
    if width not in SIDES or height not in SIDES:
        raise ValueError(size)
    return height, width


def format_size(height: int, width: int) -> int | str:
    """A size as `Config.image_size` holds it: a whole number for a square, otherwise text such as "96x64"."""
    return width if height == width else f"{width}x{height}"


def each_once(values: tuple) -> bool:
    return len(set(values)) == len(values)


Count = Annotated[int, at_least(1)]
Share = Annotated[float, Must("a number from 0 to below 1", lambda number: 0 <= number < 1)]
StepSize = Annotated[float, Must("a finite number above 0", lambda number: 0 < number < math.inf)]
Weight = Annotated[float, Must("a finite number of at least 0", lambda number: 0 <= number < math.inf)]
PenaltyWeight = Annotated[Weight | None, optional("FLOAT", "what the loss needs")]


@dataclasses.dataclass(frozen=True)
class DataOptions(Checked):
    dataset: Annotated[str, tyro.conf.arg(metavar="NAME|DIR")] = "digits"
    """Which images to learn: the name of a data set (python -m gan_tf.data lists them) or the path of a folder of
    pictures. digits are the handwritten digits inside scikit-learn, which need no download."""
    label: Annotated[
        tuple[str, ...],
        Must("labels of the data set, each once", each_once),
        tyro.conf.arg(aliases=["--digit"]),
        optional("LABEL ...", "all"),
    ] = ()
    """Which labels of the data set to learn, such as 5, A, or cat dog. In a folder of your own, the labels are the
    names of its subfolders. One kind of thing is the quickest to learn."""
    image_size: Annotated[int | str, tyro.conf.arg(metavar="SIDE|WIDTHxHEIGHT")] = 28
    """Size in pixels: one number for a square, or WIDTHxHEIGHT: 96x64 is 96 wide and 64 high. Each side is 28 or a
    multiple of 8 up to 512. From 64 on, each doubling of both makes a step three to four times as slow."""
    preset: Annotated[str | None, optional("NAME", "the preset of --dataset")] = None
    """The data set whose defaults to start from, or UNTRIED ones for large networks on a GPU: gpu-64, gpu-256 or
    gpu-512. Options that you give override them."""
    data_dir: Annotated[str | None, optional("DIR", "$GAN_TF_DATA, or else data")] = None
    """The folder to search for the data set's own folder (or mnist.npz) before anything is downloaded."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How to give a picture the proportions of --image-size: crop keeps its middle, pad adds --background around it,
    stretch distorts it. Most pictures have their subject in the middle."""
    background: Annotated[str, tyro.conf.arg(metavar="COLOUR")] = "white"
    """The colour behind transparent pictures and beside padded ones: a name or #rrggbb."""
    alpha: bool = False
    """Learn transparency too, as a fourth channel, instead of putting pictures on --background. Opaque pictures may be
    among them; padding is transparent. Creatures then have no background."""
    max_bad: Annotated[float, Must("a number from 0 to 1", lambda share: 0 <= share <= 1)] = 0.05
    """The largest share of unreadable files in a folder; they are skipped. With more, the folder is probably not what
    you think, and the command ends."""
    conditional: bool = False
    """Tell both players each image's label, so that the generator draws what it is told: generate --label 7. Needs
    images with at least two labels."""
    clusters: Annotated[int, Must("0, or a number from 2 to 1000", lambda count: count == 0 or 2 <= count <= 1000)] = 0
    """Sort the images into this many clusters of like ones, and tell both players each image's cluster as
    --conditional tells its label (self-conditioned GANs, Liu et al. 2020). 0 means no clusters."""
    held_out: Share = 0.05
    """The share of images, at most 256, to keep out of training. If the discriminator tells them from the training
    images, it overfits, which no loss shows."""

    def __post_init__(self):
        labels = self.label if isinstance(self.label, (tuple, list)) else (self.label,)
        # Labels are text, but people write label=5.
        object.__setattr__(self, "label", tuple(str(x) if isinstance(x, Integral) else x for x in labels))
        try:  # The same size is written in one way only.
            object.__setattr__(self, "image_size", format_size(*parse_size(self.image_size)))
        except ValueError:
            sides = "28 or a multiple of 8 from 8 to 512"
            self.reject("image_size", f"{sides} for a square, or two of these as WIDTHxHEIGHT, such as 96x64")
        super().__post_init__()
        if self.preset is not None and self.preset not in PRESETS:
            self.reject("preset", f"one of {', '.join(PRESETS)}")
        if self.conditional and self.clusters:
            self.reject("clusters", "0 with --conditional, as the players are told either labels or clusters")


@dataclasses.dataclass(frozen=True)
class LengthOptions(Checked):
    epochs: Count = 20
    """How many epochs to train for. Digits need 20: half a minute on two CPU cores."""
    steps_per_epoch: Annotated[int, at_least(0)] = 64
    """Steps in an epoch; 0 means one pass over the images. A fixed number suits small sets: one pass over them is
    short, and a checkpoint and a picture after each would take most of the time."""
    batch_size: Annotated[int, at_least(2)] = 32
    """Real images in one update, and as many fakes. On a CPU, many updates on few images learn faster than few
    updates on many."""
    d_steps: Count = 1
    """Discriminator updates for each generator update, each on new real images."""
    seed: Annotated[int, Must("a whole number from 0 to 2**32 - 1", lambda seed: 0 <= seed < 2**32)] = 0
    """The source of every random number. On a CPU, the same seed gives the same run to the bit."""


@dataclasses.dataclass(frozen=True)
class OptimizerOptions(Checked):
    learning_rate: StepSize = 2e-3
    """Adam's step size for both players. The default is high for a GAN; averaging the generator's weights (--ema)
    takes out the jitter."""
    d_learning_rate: Annotated[StepSize | None, optional("FLOAT", "--learning-rate")] = None
    """Adam's step size for the discriminator, if it should differ (two time scales, Heusel et al. 2017)."""
    decay: Literal["none", "linear", "cosine"] = "none"
    """How the step sizes fall to 0 at the last step: linear in the second half (as in CycleGAN), or along a cosine
    (Loshchilov and Hutter 2017). none keeps them constant."""
    beta_1: Share = 0.0
    """Adam's momentum. The default is 0 because the opponent changes and old gradients soon point the wrong way (as in
    WGAN-GP and StyleGAN; DCGAN uses 0.5)."""
    beta_2: Share = 0.99
    """Adam's decay rate for squared gradients: an average over about 100 steps, which suits short runs."""
    ema: Share = 0.99
    """Decay rate of the generator's averaged weights, which draw all the pictures you see (Karras et al. 2018). 0.99
    averages over about 100 steps; 0 does not average."""


@dataclasses.dataclass(frozen=True)
class NetworkOptions(Checked):
    latent_dim: Count = 64
    """Length of the latent vector: how many numbers from N(0, 1) an image is made from."""
    width: Annotated[int, at_least(16)] = 64
    """The most channels in any layer. Few are fast; DCGAN's tutorials use 512 on a GPU."""
    min_width: Annotated[Count | None, optional("INT", "32 in the generator, 16 in the discriminator")] = None
    """The fewest channels: those next to the image, from where each layer has twice as many, up to --width. DCGAN's
    tutorials use 64 in both networks."""
    minibatch_std: bool = False
    """Show the discriminator how much the images of a batch differ, so that it can reject fakes that all look alike
    (Karras et al. 2018, section 3)."""
    spectral_norm: bool = False
    """Divide each kernel of the discriminator by its largest singular value, which bounds the discriminator's slope
    (Miyato et al. 2018). Off, because neither fives nor creatures got better or worse by it."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the layers' computations; weights and losses stay float32. bfloat16 is faster on processors
    that support it. float16 is for GPUs that don't; its losses are scaled, so that no gradient vanishes."""


@dataclasses.dataclass(frozen=True)
class LossOptions(Checked):
    loss: Loss = "non-saturating"
    """What the players minimise; gan_tf/losses.py names the paper of each. wasserstein and relativistic bring the
    penalties they need. The default is DCGAN's."""
    r1: PenaltyWeight = None
    """Weight of the R1 penalty on the discriminator's gradient at real images (gamma in Mescheder et al. 2018). If
    unset: 1 for relativistic, otherwise 0, which is no penalty."""
    r2: PenaltyWeight = None
    """Weight of the R2 penalty on the discriminator's gradient at fakes (Huang et al. 2024). If unset: 1 for
    relativistic, otherwise 0."""
    gradient_penalty: PenaltyWeight = None
    """Weight of the penalty that keeps the norm of the discriminator's gradient near 1 between reals and fakes (lambda
    in Gulrajani et al. 2017). If unset: 10 for wasserstein, otherwise 0."""
    penalty_every: Count = 4
    """Apply R1 and R2 only every this many steps, with this many times their weight. They are slow, and every fourth
    step is enough (Karras et al. 2020, appendix B)."""
    label_smoothing: Share = 0.0
    """Train the discriminator to call real images 1 minus this instead of 1 (Salimans et al. 2016). Only for
    non-saturating and minimax."""

    def __post_init__(self):
        super().__post_init__()
        if self.label_smoothing and self.loss not in ("non-saturating", "minimax"):
            self.reject("label_smoothing", f"0 with --loss {self.loss}, which has no labels")


@dataclasses.dataclass(frozen=True)
class AugmentationOptions(Checked):
    augment: Annotated[
        tuple[Literal["color", "translation", "cutout"], ...],
        Must("color, translation or cutout, each once", each_once),
        optional("{color,translation,cutout} ...", "none"),
    ] = ()
    """How to alter reals and fakes at random before the discriminator sees them, so that it cannot memorise a small
    set (Zhao et al. 2020). Only small sets need it, so a folder of your own gets it below 2,000 images."""
    flip: bool = False
    """Mirror half of the real images. Only for things that face left as often as right: not for digits, letters or
    Pokemon. For a folder of your own, it is measured which way they face."""


@dataclasses.dataclass(frozen=True)
class OutputOptions(Checked):
    evaluate_every: Annotated[int, at_least(0)] = 0
    """Measure the Frechet distance every this many epochs and keep the best generator; 0 means never. It takes
    seconds each time, and up to a minute before the first."""


# The headings of --help, in order.
GROUPS: dict[str, type[Checked]] = {
    "data": DataOptions,
    "length and batch": LengthOptions,
    "optimizer": OptimizerOptions,
    "network": NetworkOptions,
    "loss and regularisation": LossOptions,
    "augmentation": AugmentationOptions,
    "output": OutputOptions,
}


# The bases are in reverse because a dataclass puts the fields of its last base first.
@dataclasses.dataclass(frozen=True)
class Config(
    OutputOptions,
    AugmentationOptions,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    LengthOptions,
    DataOptions,
):
    """Everything that determines a run: on a CPU, the same Config gives the same pictures to the bit.

    Raises InputError if a value has the wrong type or is out of range.
    """

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) of the images in pixels, in the order of their arrays."""
        return parse_size(self.image_size)

    @property
    def told(self) -> bool:
        """Whether the players are told a class of each image: its label or its cluster."""
        return self.conditional or self.clusters > 0

    @property
    def rates(self) -> tuple[float, float]:
        """The step sizes of generator and discriminator."""
        return self.learning_rate, self.learning_rate if self.d_learning_rate is None else self.d_learning_rate


# Losses that bring their own penalties (losses.LOSSES has the weights), so a preset's R1 does not apply to them.
PENALISED_LOSSES = ("wasserstein", "relativistic")

# Shared by all colour presets: eight minutes on two CPU cores.
COLOUR: dict[str, Any] = {
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
# The discriminator soon memorises so few images.
ABOUT_A_THOUSAND: dict[str, Any] = {**COLOUR, "epochs": 26, "augment": ("translation", "cutout")}

# DCGAN's widths, batch and step size, and COLOUR's losses. UNTRIED: nobody had a GPU to choose or measure them with.
GPU: dict[str, Any] = {
    **COLOUR,
    "epochs": 100,
    "batch_size": 128,
    "learning_rate": 2e-4,
    "min_width": 64,
    "width": 512,
}
GPU_PRESETS: dict[str, dict] = {
    "gpu-64": GPU,
    # With the images of a batch in proportion to what a GPU's memory holds of them.
    "gpu-256": {**GPU, "image_size": 256, "batch_size": 32},
    "gpu-512": {**GPU, "image_size": 512, "batch_size": 16},
}

# Where a data set's best measured options differ from Config's defaults, which are those of digits.
PRESETS: dict[str, dict] = {
    "digits": {},
    "mnist": {"epochs": 8, "steps_per_epoch": 0, "conditional": True},
    "fashion": {"epochs": 8, "steps_per_epoch": 0, "conditional": True},
    "letters": {"epochs": 8, "steps_per_epoch": 0},
    "creatures": {**COLOUR, "conditional": True},
    "pokemon": {**ABOUT_A_THOUSAND, "clusters": 12},
    "animal_faces": {**COLOUR, "conditional": True},
    "dogs": COLOUR,
    "anime": COLOUR,
    "celeba": COLOUR,
    "folder": ABOUT_A_THOUSAND,
    **GPU_PRESETS,
}


def is_path(dataset: str) -> bool:
    """Whether `dataset` is the path of a folder, not a data set's name: it has a separator or a dot, or it exists."""
    return dataset not in PRESETS and (bool({*"/\\.~"} & {*dataset}) or os.path.isdir(dataset))


def preset_values(dataset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a data set's preset, or that of given["preset"], without those that what is `given` rules out."""
    values = PRESETS.get(given.get("preset") or ("folder" if is_path(dataset) else dataset), {})
    label = given.get("label") or ()
    ruled_out = {
        "r1": given.get("loss") in PENALISED_LOSSES,
        # Images of one label have nothing to be told apart by, and those of a folder may have no labels.
        "conditional": given.get("clusters")
        or not isinstance(label, tuple | list)
        or len(label) == 1
        or is_path(dataset),
        "clusters": given.get("conditional"),
    }
    return {name: value for name, value in values.items() if not ruled_out.get(name)}


def preset_config(dataset: str | os.PathLike[str], **fields) -> Config:
    """The Config of a data set: its preset, or that of `preset=NAME`, overridden by `fields`. Raises InputError."""
    return Config(**{"dataset": dataset, **preset_values(str(dataset), fields), **fields})
