"""Draw new images with a trained run: python -m gan_tf.generate runs/NAME --count 64 --seed 1 --out fakes.png

It needs the run's folder and nothing else. What is written depends on the name: .png is a grid of them, .npz the
numbers (images, uint8, and their latents), .gif a walk from one to the next.
"""

import dataclasses
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from gan_tf.common.errors import InputError, exit_on_input_error

MAX_GRID = 2**28  # Bytes of pixels in a grid: what a picture viewer still opens.
BATCH = 4096  # Images drawn before they are written, at most.


@dataclasses.dataclass(frozen=True)
class Options:
    run: tyro.conf.Positional[Path]
    """The folder of the run whose generator to draw with."""
    count: int = 64
    """How many images; for .gif, how many to walk between. By default as many as a sample grid has."""
    seed: int = 0
    """Where the latents come from: the same seed gives the same images, and a smaller count the first of them."""
    out: Path = Path("fakes.png")
    """The file to write: .png, .npz or .gif. An existing one is replaced, as by any drawing program."""
    individual: bool = False
    """For .png: one file each, NAME_00000.png and so on, at the generator's own size, instead of a grid."""

    def __post_init__(self):
        if self.count < 1:
            raise InputError(f"--count is {self.count}, but it must be a whole number of at least 1.")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}, but it must be a whole number of at least 0.")
        if self.out.suffix not in (".png", ".npz", ".gif"):
            raise InputError(f"--out is {self.out}, but its name must end in .png (a grid), .npz (arrays) or .gif.")
        if self.individual and self.out.suffix != ".png":
            raise InputError("--individual writes one .png each: give --out a name that ends in .png.")
        if self.out.suffix == ".gif" and self.count < 2:
            raise InputError(f"--count is {self.count}, but a .gif walks between at least 2 images.")


def latent_batches(generator, count: int, seed: int) -> Iterator[np.ndarray]:
    """`count` latent vectors from N(0, 1), float32 (n, latent_dim) at a time, where n is so small that their images
    fit into memory at any size."""
    random = np.random.default_rng(seed)
    height, width, _ = generator.output_shape[1:]
    batch = max(1, min(BATCH, 2**24 // (height * width)))
    for begin in range(0, count, batch):
        shape = (min(batch, count - begin), generator.input_shape[1])
        yield random.standard_normal(shape).astype(np.float32)


def fakes(generator, count: int, seed: int) -> Iterator[np.ndarray]:
    """The images of those latents, uint8 (n, height, width, channels) at a time."""
    from gan_tf.gan import sample

    return (sample(generator, latents) for latents in latent_batches(generator, count, seed))


def walk(generator, count: int, seed: int, between: int = 16) -> np.ndarray:
    """A round trip through `count` latents, `between` frames for each way: uint8 (count * between, height, width,
    channels). Along the sphere (Shoemake 1985), as a straight line between two such vectors passes points closer
    to the middle than any that the generator was trained on (White 2016, arXiv:1609.04468)."""
    from gan_tf.gan import sample

    t = np.arange(between)[:, np.newaxis] / between
    ways = []
    stops = np.random.default_rng(seed).standard_normal((count, generator.input_shape[1]))
    for a, b in zip(stops, np.roll(stops, -1, axis=0), strict=True):
        angle = np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))
        ways.append((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))
    return sample(generator, np.concatenate(ways))


def write_npz(path: Path, generator, count: int, seed: int) -> None:
    """Write `images` and `latents` as np.savez does, but batch by batch."""
    arrays = {
        "images": (np.uint8, generator.output_shape[1:], fakes(generator, count, seed)),
        "latents": (np.float32, generator.input_shape[1:], latent_batches(generator, count, seed)),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, (dtype, shape, parts) in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (count, *shape)}
                np.lib.format.write_array_header_1_0(file, header)
                for part in parts:
                    file.write(part.tobytes())


def write_grid(path: Path, generator, count: int, seed: int) -> None:
    """Write one picture of all images. Raises InputError where no viewer would open it."""
    from gan_tf.run import plots

    height, width, channels = generator.output_shape[1:]
    if count * height * width * channels * plots.scale_of(max(height, width)) ** 2 > MAX_GRID:
        raise InputError(f"A grid of {count:,} images is too large to be looked at: use .npz, or --individual.")
    plots.save_png(path, plots.grid(np.concatenate(list(fakes(generator, count, seed)))))


def write_walk(path: Path, generator, count: int, seed: int) -> None:
    """Write the animation of a walk, enlarged to some 256 pixels."""
    from gan_tf.run import plots

    scale = max(1, 256 // max(generator.output_shape[1:3]))
    frames = [plots.grid(frame[np.newaxis], scale=scale) for frame in walk(generator, count, seed)]
    plots.save_gif(path, frames, seconds=0.05, hold=0)


def write_individually(path: Path, generator, count: int, seed: int) -> None:
    """Write one picture for each image, numbered from 0."""
    from gan_tf.run.folder import save_picture

    drawn = (image for images in fakes(generator, count, seed) for image in images)
    for i, image in enumerate(drawn):
        save_picture(path.with_name(f"{path.stem}_{i:05d}.png"), image)


def write(options: Options) -> None:
    """Draw and write what is asked for. Raises InputError."""
    from gan_tf.common.files import atomic_write
    from gan_tf.run.folder import Run

    generator = Run.open(options.run).load_generator()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.individual:
        write_individually(options.out, generator, options.count, options.seed)
        return
    writer = {".png": write_grid, ".npz": write_npz, ".gif": write_walk}[options.out.suffix]
    with atomic_write(options.out) as temporary:
        writer(temporary, generator, options.count, options.seed)


def parse(argv: list[str]) -> Options:
    """The command line's options."""
    return tyro.cli(Options, prog="python -m gan_tf.generate", description=__doc__, args=argv)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
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
