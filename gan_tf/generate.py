"""Draw new images with a trained run.

Example: python -m gan_tf.generate runs/NAME --count 64 --seed 1 --out fakes.png

The suffix of --out chooses what is written. A .png is a grid of images.

A .gif or .mp4 is a walk through latent space from one image to the next.

A .npz has the arrays images (uint8) and inputs (float32) that made them.

For a conditional run, --label 7 draws sevens, and --label all every label.

--interpolate 3 17 goes from image 3 to image 17.

--project picture.png draws the image that is nearest to a picture.
"""

import dataclasses
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.options import Checked, Must, at_least, optional, parse_options
from gan_tf.common.quiet import skip_optional_packages

if TYPE_CHECKING:
    import keras

    from gan_tf.projection import Projection

MAX_GRID = 2**28  # Bytes of pixels in a grid that image viewers still open.
MAX_BATCH = 4096  # Images held in memory at once.
ANIMATIONS = (".gif", ".mp4")
CANDIDATES = 256  # Fakes among which a projection looks for its starts.

Ends = Annotated[
    tuple[int, ...],
    Must(
        "two different whole numbers from 0 to 999999",
        lambda ends: len({*ends}) == len(ends) == 2 and all(0 <= end < 10**6 for end in ends),
    ),
]


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of the run whose generator draws. Only its config.json and generator.keras are needed."""
    label: Annotated[tuple[str, ...], optional("LABEL ...", "any, as often as in the data")] = ()
    """What to draw, if the run is conditional: labels, or all. A grid has a row for each, and each column is one latent
    drawn as each label. An animation walks from label to label and keeps the latent."""
    count: Annotated[
        Annotated[int, at_least(1)] | None,
        optional("INT", "64; of several labels 8, or for a walk 1; with --interpolate 8"),
    ] = None
    """How many images to draw, of each label if there is --label. A .gif or .mp4 walks through so many."""
    seed: Annotated[int, at_least(0)] = 0
    """The seed of the latents. The same seed gives the same images; with a smaller --count, the first of them."""
    truncation: Annotated[float, Must("a finite number of at least 0", lambda psi: 0 <= psi < np.inf)] = 1.0
    """Multiply the latents by this. Below 1, images vary less (Brock et al. 2018); chapter 9 measures what that
    costs."""
    interpolate: Annotated[Ends | None, optional("A B", "none")] = None
    """Draw the way from image A to image B. These are images of this --seed and --label, numbered from 0, row by row in
    a grid, as --individual numbers its files. An animation goes there and back."""
    project: Annotated[Path | None, optional("PICTURE", "none")] = None
    """Find the image that is nearest to this picture, which must have the generator's size, and draw both side by side,
    the picture on the left. An .npz has the image and the inputs that make it. A conditional run tries labels as often
    as they are in the data, or only those of --label."""
    out: Annotated[Path, tyro.conf.arg(metavar="NAME.{png,gif,mp4,npz}")] = Path("fakes.png")
    """The file to write. An existing file is replaced."""
    individual: bool = False
    """Instead of a grid, write one .png for each image in its own size: NAME_00000.png, NAME_00001.png and so on."""

    def __post_init__(self):
        super().__post_init__()
        if self.out.suffix not in (".png", ".npz", *ANIMATIONS):
            self.reject("out", "a name that ends in .png (a grid), .npz (arrays), .gif or .mp4 (animations)")
        if self.individual and self.out.suffix != ".png":
            raise InputError("--individual writes .png files: give --out a name that ends in .png.")
        if self.interpolate and (len(self.label) > 1 or self.label == ("all",)):
            raise InputError(
                "--interpolate takes one --label at most: --label 3 8 --out walk.gif walks between labels."
            )
        if self.interpolate and self.count and self.out.suffix in ANIMATIONS:
            raise InputError("--count does nothing for an animation of --interpolate: leave it out.")
        if self.project:
            self.check_projection()

    def check_projection(self) -> None:
        """Raise InputError for options that mean nothing with --project."""
        others = {
            "--interpolate": self.interpolate,
            "--count": self.count,
            "--individual": self.individual,
            "--truncation": self.truncation != 1,
        }
        for name, given in others.items():
            if given:
                raise InputError(f"{name} does nothing with --project, which draws one image: leave it out.")
        if self.out.suffix in ANIMATIONS:
            self.reject("out", "a name that ends in .png or .npz with --project")


@dataclasses.dataclass(frozen=True)
class Request:
    """What to draw with which generator."""

    generator: "keras.Model"
    count: int  # images; of each label, if there are some
    seed: int = 0
    shares: Sequence[float] = ()  # how frequent each class is in the data; empty if the generator is not conditional
    labels: Sequence[int] = ()  # classes to draw; empty is any, as frequent as in the data
    truncation: float = 1.0  # what latents are multiplied by

    @property
    def latent_dim(self) -> int:
        """The numbers of a latent vector: those of an input without its label."""
        return self.generator.input_shape[1] - len(self.shares)

    @property
    def total(self) -> int:
        """The number of images."""
        return self.count * max(1, len(self.labels))

    def latents(self) -> Iterator[np.ndarray]:
        """`count` latent vectors from N(0, 1), multiplied by `truncation`, in batches of float32 (n, latent_dim).

        A batch is small enough for its images to fit into memory at any image size. The vectors do not depend on the
        batch size.
        """
        random = np.random.default_rng(self.seed)
        height, width, _ = self.generator.output_shape[1:]
        batch = max(1, min(MAX_BATCH, 2**24 // (height * width)))
        for begin in range(0, self.count, batch):
            shape = min(batch, self.count - begin), self.latent_dim
            yield (self.truncation * random.standard_normal(shape)).astype(np.float32)

    def inputs(self) -> Iterator[np.ndarray]:
        """The generator's inputs, in batches of float32 (n, latent_dim + classes): the same latents for each label."""
        from gan_tf.gan import random_labels, with_labels

        if not len(self.shares):
            yield from self.latents()
            return
        any_label = [] if self.labels else [random_labels(self.count, self.shares, self.seed)]
        for labels in [np.full(self.count, label) for label in self.labels] or any_label:
            begin = 0
            for batch in self.latents():
                chosen = labels[begin : begin + len(batch)]
                yield with_labels(batch, chosen, len(self.shares)).astype(np.float32)
                begin += len(batch)

    def images(self) -> Iterator[np.ndarray]:
        """The images of `inputs`, in batches of uint8 (n, height, width, channels)."""
        from gan_tf.gan import sample

        return (sample(self.generator, inputs) for inputs in self.inputs())


@dataclasses.dataclass(frozen=True)
class Interpolation(Request):
    """`count` images on the way from one image of a request to another, both included."""

    ends: Sequence[int] = (0, 1)  # numbers of two images in the request, from 0

    def inputs(self) -> Iterator[np.ndarray]:
        """The generator's inputs, in one batch of float32 (count, latent_dim + classes)."""
        found, begin = {}, 0
        count = max(self.ends) + 1
        for batch in Request(self.generator, count, self.seed, self.shares, self.labels, self.truncation).inputs():
            found |= {end: batch[end - begin] for end in self.ends if begin <= end < begin + len(batch)}
            begin += len(batch)
        a, b = (found[end].astype(float) for end in self.ends)
        yield between(a, b, np.linspace(0, 1, self.count)[:, np.newaxis], self.latent_dim).astype(np.float32)


def walk(request: Request, steps: int = 16) -> np.ndarray:
    """A closed walk through the images of a request: uint8 (total * steps, height, width, channels).

    It visits each latent, and there each label that was asked for. It takes `steps` steps from one stop to the next:
    between latents by spherical interpolation (Shoemake 1985), as points on a straight line would be closer to the
    origin than any latent seen in training (White 2016, arXiv:1609.04468), and between labels along a straight line.
    """
    from gan_tf.gan import sample

    stops = np.concatenate(list(request.inputs())).astype(float)
    stops = np.concatenate([stops[i :: request.count] for i in range(request.count)])  # All labels of a latent.
    t = np.arange(steps)[:, np.newaxis] / steps
    ends = zip(stops, np.roll(stops, -1, axis=0), strict=True)
    return sample(request.generator, np.concatenate([between(a, b, t, request.latent_dim) for a, b in ends]))


def between(a: np.ndarray, b: np.ndarray, t: np.ndarray, size: int) -> np.ndarray:
    """The inputs (steps, size + classes) from `a` to `b`, at the shares `t` (steps, 1) of the way: the latents, of
    `size` numbers, on the arc between them, and the labels on a straight line."""
    return np.concatenate([slerp(a[:size], b[:size], t), (1 - t) * a[size:] + t * b[size:]], axis=1)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The points (steps, d) on the arc from `a` to `b`, (d,) each, at the shares `t` (steps, 1) of its length."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    angle = np.arccos(np.clip(a @ b / lengths, -1, 1)) if lengths else 0.0
    if angle < 1e-6:
        return np.broadcast_to(a, (len(t), len(a)))
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def write_npz(path: Path, request: Request) -> None:
    """Write the arrays `images` and `inputs` in the format of np.savez, one batch at a time."""
    generator = request.generator
    arrays = {
        "images": (np.uint8, generator.output_shape[1:], request.images()),
        "inputs": (np.float32, generator.input_shape[1:], request.inputs()),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, (dtype, shape, batches) in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (request.total, *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for batch in batches:
                    file.write(batch.tobytes())


def write_grid(path: Path, request: Request) -> None:
    """Write all images as one picture, with a row for each of several labels. Raises InputError if it would be too
    large for image viewers."""
    from gan_tf.run import plots

    height, width, channels = request.generator.output_shape[1:]
    if request.total * height * width * channels * plots.display_scale(max(height, width)) ** 2 > MAX_GRID:
        raise InputError(
            f"A grid of {request.total:,} images is too large for image viewers: use .npz or --individual."
        )
    in_a_row = len(request.labels) > 1 or isinstance(request, Interpolation)
    columns = request.count if in_a_row else None
    plots.save_png(path, plots.grid(np.concatenate(list(request.images())), columns=columns))


def write_walk(path: Path, request: Request) -> None:
    """Write a walk as an animation, enlarged to about 256 pixels. Raises InputError if there is only one image."""
    from gan_tf.run import plots

    if request.total < 2:
        raise InputError("--count is 1, but an animation walks between at least 2 images.")
    scale = max(1, 256 // max(request.generator.output_shape[1:3]))
    frames = [plots.grid(frame[np.newaxis], scale=scale) for frame in walk(request)]
    plots.save_animation(path, frames, seconds=0.05, hold=0)


def write_individually(path: Path, request: Request) -> None:
    """Write each image as a picture of its own, numbered from 0."""
    from gan_tf.run.folder import save_picture

    images = (image for batch in request.images() for image in batch)
    for number, image in enumerate(images):
        save_picture(path.with_name(f"{path.stem}_{number:05d}.png"), image, durable=False)


def find_labels(wanted: Sequence[str], names: Sequence[str], run: Path) -> list[int]:
    """The indices of the wanted labels among `names`, those of a run. Raises InputError for an unknown one, and if the
    run has none."""
    if wanted and not names:
        raise InputError(f"{run} is not conditional, so it cannot be told what to draw: leave --label out.")
    if tuple(wanted) == ("all",):
        return list(range(len(names)))
    for name in wanted:
        if name not in names:
            raise InputError(f"{run} has no label {name!r}; its labels are {', '.join(names)}. Or use --label all.")
    return [names.index(name) for name in wanted]


def make_request(options: Options) -> Request:
    """What the options ask for, with the run's generator. Raises InputError."""
    from gan_tf.run import devices
    from gan_tf.run.folder import Run

    devices.prepare()
    run = Run.open(options.run)
    classes = run.read_classes()
    labels = find_labels(options.label, list(classes), options.run)
    default = 64 if len(labels) < 2 else 1 if options.out.suffix in ANIMATIONS else 8
    count, shares, generator = options.count or default, list(classes.values()), run.load_generator()
    if options.interpolate:
        # An animation makes its own steps from end to end.
        count = 2 if options.out.suffix in ANIMATIONS else options.count or 8
        return Interpolation(generator, count, options.seed, shares, labels, options.truncation, options.interpolate)
    return Request(generator, count, options.seed, shares, labels, options.truncation)


def write_projection(options: Options, path: Path) -> "Projection":
    """Find the image that is nearest to the picture at `path`, write both and return it. Raises InputError."""
    from gan_tf.common.files import atomic_write
    from gan_tf.projection import project, read_picture
    from gan_tf.run import plots

    request = make_request(options)
    candidates = dataclasses.replace(request, count=-(-CANDIDATES // max(1, len(request.labels)))).inputs()
    picture = read_picture(path, request.generator.output_shape[1:])
    found = project(request.generator, picture, candidates, request.latent_dim)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(options.out) as temporary:
        if options.out.suffix == ".npz":
            np.savez(temporary, images=found.image, inputs=found.inputs)
        else:
            plots.save_png(temporary, plots.grid(np.concatenate([picture, found.image]), columns=2))
    return found


def write(options: Options) -> Request:
    """Draw the images, write them and return what was asked for. Raises InputError."""
    from gan_tf.common.files import atomic_write
    from gan_tf.run import plots

    if options.out.suffix == ".mp4" and not plots.can_write_mp4():
        raise InputError(plots.MP4_NEEDS_PYAV)
    request = make_request(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.individual:
        write_individually(options.out, request)
        return request
    writers = {".png": write_grid, ".npz": write_npz, ".gif": write_walk, ".mp4": write_walk}
    with atomic_write(options.out) as temporary:
        writers[options.out.suffix](temporary, request)
    return request


def parse(argv: list[str]) -> Options:
    """The command line's options. Raises InputError."""
    return parse_options(Options, prog="python -m gan_tf.generate", description=__doc__ or "", argv=argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command with `argv`, or else with the arguments of the process."""
    with exit_on_input_error():
        options = parse(sys.argv[1:] if argv is None else argv)
        try:
            if options.project:
                found = write_projection(options, options.project)
                print(
                    f"{options.out}: {options.project} and the nearest image, {found.error:.1f} grey levels away (root "
                    f"mean square). The nearest of {CANDIDATES} random ones is {found.first_error:.1f} away."
                )
                return
            drawn = write(options)
        except OSError as error:
            raise InputError(f"{options.out} could not be written ({error.strerror or error}).") from error
        shown = options.out.with_stem(f"{options.out.stem}_*") if options.individual else options.out
        print(f"{drawn.total:,} images: {shown}")


if __name__ == "__main__":
    skip_optional_packages()
    main()
