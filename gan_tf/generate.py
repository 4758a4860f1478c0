"""Draw new images with a trained run.

Example: python -m gan_tf.generate runs/NAME --count 64 --seed 1 --out fakes.png

The suffix of --out chooses what is written. A .png is a grid of images.

A .gif or .mp4 is a walk through latent space from one image to the next.

A .npz has the arrays images (uint8) and latents (float32).
"""

import dataclasses
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.options import Checked, at_least, parse_options

if TYPE_CHECKING:
    import keras

MAX_GRID = 2**28  # Bytes of pixels in a grid that image viewers still open.
MAX_BATCH = 4096  # Images held in memory at once.
ANIMATIONS = (".gif", ".mp4")


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of the run whose generator draws. Only its config.json and generator.keras are needed."""
    count: Annotated[int, at_least(1)] = 64
    """How many images to draw. For .gif and .mp4: how many images the walk passes through."""
    seed: Annotated[int, at_least(0)] = 0
    """The seed of the latents. The same seed gives the same images; with a smaller --count, the first of them."""
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
        if self.out.suffix in ANIMATIONS and self.count < 2:
            raise InputError(f"--count is {self.count}, but an animation walks between at least 2 images.")


def latent_batches(generator: "keras.Model", count: int, seed: int) -> Iterator[np.ndarray]:
    """Draw `count` latent vectors from N(0, 1), in batches of float32 (n, latent_dim).

    A batch is small enough for its images to fit into memory at any image size. The vectors do not depend on the batch
    size.
    """
    random = np.random.default_rng(seed)
    height, width, _ = generator.output_shape[1:]
    batch = max(1, min(MAX_BATCH, 2**24 // (height * width)))
    for begin in range(0, count, batch):
        shape = (min(batch, count - begin), generator.input_shape[1])
        yield random.standard_normal(shape).astype(np.float32)


def fakes(generator: "keras.Model", count: int, seed: int) -> Iterator[np.ndarray]:
    """Generate the images of `latent_batches`, in batches of uint8 (n, height, width, channels)."""
    from gan_tf.gan import sample

    return (sample(generator, latents) for latents in latent_batches(generator, count, seed))


def walk(generator: "keras.Model", count: int, seed: int, steps: int = 16) -> np.ndarray:
    """Generate a closed walk through `count` random latents: uint8 (count * steps, height, width, channels).

    The walk takes `steps` steps from one latent to the next by spherical interpolation (Shoemake 1985). Points on a
    straight line would be closer to the origin than any latent seen in training (White 2016, arXiv:1609.04468).
    """
    from gan_tf.gan import sample

    t = np.arange(steps)[:, np.newaxis] / steps
    legs = []
    stops = np.random.default_rng(seed).standard_normal((count, generator.input_shape[1]))
    for a, b in zip(stops, np.roll(stops, -1, axis=0), strict=True):
        angle = np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))
        legs.append((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))
    return sample(generator, np.concatenate(legs))


def write_npz(path: Path, generator: "keras.Model", count: int, seed: int) -> None:
    """Write the arrays `images` and `latents` in the format of np.savez, one batch at a time."""
    arrays = {
        "images": (np.uint8, generator.output_shape[1:], fakes(generator, count, seed)),
        "latents": (np.float32, generator.input_shape[1:], latent_batches(generator, count, seed)),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, (dtype, shape, batches) in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (count, *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for batch in batches:
                    file.write(batch.tobytes())


def write_grid(path: Path, generator: "keras.Model", count: int, seed: int) -> None:
    """Write all images as one picture. Raises InputError if it would be too large for image viewers."""
    from gan_tf.run import plots

    height, width, channels = generator.output_shape[1:]
    if count * height * width * channels * plots.display_scale(max(height, width)) ** 2 > MAX_GRID:
        raise InputError(f"A grid of {count:,} images is too large for image viewers: use .npz or --individual.")
    plots.save_png(path, plots.grid(np.concatenate(list(fakes(generator, count, seed)))))


def write_walk(path: Path, generator: "keras.Model", count: int, seed: int) -> None:
    """Write a walk as an animation, enlarged to about 256 pixels."""
    from gan_tf.run import plots

    scale = max(1, 256 // max(generator.output_shape[1:3]))
    frames = [plots.grid(frame[np.newaxis], scale=scale) for frame in walk(generator, count, seed)]
    plots.save_animation(path, frames, seconds=0.05, hold=0)


def write_individually(path: Path, generator: "keras.Model", count: int, seed: int) -> None:
    """Write each image as a picture of its own, numbered from 0."""
    from gan_tf.run.folder import save_picture

    images = (image for batch in fakes(generator, count, seed) for image in batch)
    for number, image in enumerate(images):
        save_picture(path.with_name(f"{path.stem}_{number:05d}.png"), image)


def write(options: Options) -> None:
    """Draw the images and write them. Raises InputError."""
    from gan_tf.common.files import atomic_write
    from gan_tf.run import plots
    from gan_tf.run.folder import Run

    if options.out.suffix == ".mp4" and not plots.can_write_mp4():
        raise InputError(plots.MP4_NEEDS_PYAV)
    generator = Run.open(options.run).load_generator()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.individual:
        write_individually(options.out, generator, options.count, options.seed)
        return
    writers = {".png": write_grid, ".npz": write_npz, ".gif": write_walk, ".mp4": write_walk}
    with atomic_write(options.out) as temporary:
        writers[options.out.suffix](temporary, generator, options.count, options.seed)


def parse(argv: list[str]) -> Options:
    """The command line's options. Raises InputError."""
    return parse_options(Options, prog="python -m gan_tf.generate", description=__doc__ or "", argv=argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command with `argv`, or else with the arguments of the process."""
    with exit_on_input_error():
        options = parse(sys.argv[1:] if argv is None else argv)
        try:
            write(options)
        except OSError as error:
            raise InputError(f"{options.out} could not be written ({error.strerror or error}).") from error
        shown = options.out.with_stem(f"{options.out.stem}_*") if options.individual else options.out
        print(f"{options.count:,} images: {shown}")


if __name__ == "__main__":
    main()
