"""How good is a trained run? python -m gan_tf.evaluate runs/NAME

Prints a table of measures, each beside what real images, noise, blurred images and copies get, as a measure without
its floor means nothing; writes metrics.json, and copies.png with the fakes that are nearest to a training image.
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from gan_tf.common.errors import InputError, exit_on_input_error

MOST = 5000  # Images of a kind that are compared: more would change no digit that counts.
COPY = 0.5  # Fakes that are nearer than this part of the usual distance to a training image are copies of it.


@dataclasses.dataclass(frozen=True)
class Options:
    run: tyro.conf.Positional[Path]
    """The folder of the run to evaluate."""
    count: int = 0
    """How many fakes to draw. By default as many as there are real images, but 2,000 at least and 5,000 at most."""
    features: Literal["own", "inception"] = "own"
    """What to compare images by: a small network that is trained on the data set, or InceptionV3, which is a download
    and slow. Own by default, as it works anywhere."""
    seed: int = 0
    """Where the fakes' latents come from."""
    data_dir: str | None = None
    """Where the run's data lies now. By default where it lay."""

    def __post_init__(self):
        if self.count < 0:
            raise InputError(f"--count is {self.count}, but it must be 0 (as many as real images) or more.")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}, but it must be a whole number of at least 0.")


def fakes_of(generator, real_count: int, options: Options) -> np.ndarray:
    """The fakes to judge, uint8: at a large size fewer, as they have to fit into memory."""
    from gan_tf.generate import fakes

    in_memory = 2**30 // int(np.prod(generator.output_shape[1:]))
    count = options.count or min(MOST, max(2000, real_count), in_memory)
    return np.concatenate([*fakes(generator, count, options.seed)])


def some(images) -> np.ndarray:
    """MOST images or fewer, at random, but the same each time."""
    rows = np.random.default_rng(0).permutation(len(images))[:MOST]
    return images.images[np.sort(rows)]


def known_outlines(images: np.ndarray, mirror: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """What fakes may be copies of: the outlines of `images`, and where `mirror`, those of their mirror images."""
    from gan_tf.measure.metrics import copy_descriptors

    return copy_descriptors(images), copy_descriptors(images[:, :, ::-1]) if mirror else None


def measure(real: np.ndarray, fake: np.ndarray, known: tuple, reals: np.ndarray, fakes: np.ndarray) -> dict[str, float]:
    """Every measure of two sets of uint8 images with these features, by name; `known` is from `known_outlines` of all
    training images."""
    from gan_tf.measure import metrics

    kernel, error = metrics.kernel_distance(reals, fakes)
    return {
        "frechet_distance": metrics.frechet_distance(reals, fakes),
        "kernel_distance": kernel,
        "kernel_distance_error": error,
        "precision": metrics.precision(reals, fakes),
        "recall": metrics.recall(reals, fakes),
        "density": metrics.density(reals, fakes),
        "coverage": metrics.coverage(reals, fakes),
        **{f"pyramid_{side}": value for side, value in metrics.pyramid_distance(real, fake).items()},
        "copying_ratio": metrics.copying_ratio(known[0], metrics.copy_descriptors(fake), known[1]),
    }


def measure_labels(fake: np.ndarray, features, asked: list[int]) -> dict[str, float]:
    """The share of images that the classifier gives a label that was asked for, and over how many labels they are
    spread: e to the entropy of the labels, as many as there are where all are equally frequent, 1 where all agree."""
    kind = next(iter(features.right), "rotation")
    if kind == "rotation":
        return {}
    called = features.read(fake)[kind]
    shares = np.bincount(called) / len(called)
    shares = shares[shares > 0]
    return {
        "accuracy": float(np.mean(np.isin(called, asked))),
        "labels": float(np.exp(-np.sum(shares * np.log(shares)))),
    }


def baselines(real: np.ndarray) -> dict[str, np.ndarray]:
    """What the measures' values are to be read against, made of the real images."""
    from scipy.ndimage import gaussian_filter

    random, side = np.random.default_rng(0), real.shape[1]
    return {
        "noise": random.integers(0, 256, real.shape, np.uint8),
        "blurred real images": gaussian_filter(real, (0, side / 28, side / 28, 0)),
        "the real images themselves": real,
    }


# Every measure's name, and what is good.
MEASURES = {
    "frechet_distance": ("Frechet distance", "low"),
    "kernel_distance": ("kernel distance", "about 0"),
    "precision": ("precision", "high"),
    "recall": ("recall", "high"),
    "density": ("density", "about 1"),
    "coverage": ("coverage", "high"),
    "pyramid": ("7x7 patches at {}", "low"),
    "copying_ratio": ("copying", "about 1"),
    "accuracy": ("called what was asked for", "high"),
    "labels": ("labels, as if equally frequent", "as real"),
}


def table(rows: dict[str, dict[str, float]]) -> list[str]:
    """The rows as columns of Markdown, a line for each measure; the last says which are copies."""
    lines = [f"| measure | {' | '.join(rows)} | good |", "|---" * (len(rows) + 2) + "|"]
    for name in next(iter(rows.values())):
        if name == "kernel_distance_error":
            continue
        kind, _, side = name.partition("_") if name.startswith("pyramid") else (name, "", "")
        title, good = MEASURES[kind]
        cells = [f"{found[name]:.1%}" if name == "accuracy" else f"{found[name]:.3g}" for found in rows.values()]
        if name == "kernel_distance":
            errors = (f"{found['kernel_distance_error']:.1g}" for found in rows.values())
            cells = [f"{cell} ± {error}" for cell, error in zip(cells, errors, strict=True)]
        lines.append(f"| {title.format(f'{side}x{side}')} | {' | '.join(cells)} | {good} |")
    copies = ["copies" if found["copying_ratio"] < COPY else "no" for found in rows.values()]
    return [*lines, f"| copies of training images? | {' | '.join(copies)} | no |"]


def count_creatures(real: np.ndarray, fake: np.ndarray, features) -> dict[str, dict[str, list]]:
    """Of the species, hues and poses, how often each is there among the real creatures and the fakes, and which are
    lost: less than a quarter as frequent as they should be."""
    from gan_tf.data.creatures import SPECIES
    from gan_tf.measure.features import HUES

    names = {
        "species": SPECIES,
        "hue": [f"{360 * hue // HUES} degrees" for hue in range(HUES)],
        "turn": ["left", "ahead", "right"],
        "tilt": ["left", "upright", "right"],
    }
    reals, fakes, result = features.read(real), features.read(fake), {}
    for kind, classes in names.items():
        usual, found = (np.bincount(read[kind], minlength=len(classes)) / len(read[kind]) for read in (reals, fakes))
        lost = [name for name, share, usual_share in zip(classes, found, usual, strict=True) if share < usual_share / 4]
        result[kind] = {"classes": list(classes), "real": usual.tolist(), "fake": found.tolist(), "lost": lost}
    return result


def say_creatures(counted: dict[str, dict[str, list]]) -> None:
    for kind, found in counted.items():
        there = sum(share > 0 for share in found["real"])
        lost = f"; lost: {', '.join(found['lost'])}" if found["lost"] else ""
        print(f"{kind:8} {there - len(found['lost'])} of {there} covered{lost}")


def reopen(options: Options):
    """The run, its Config, its images, and all images of its data set, whatever their labels. Raises InputError where
    they are not those that it was trained on."""
    from gan_tf.data import registry as datasets
    from gan_tf.run.folder import Run

    run = Run.open(options.run)
    config, record = run.read_config()
    config = dataclasses.replace(config, data_dir=options.data_dir or config.data_dir)
    images = datasets.load(config)
    if images.fingerprint != record["data"]["fingerprint"]:
        raise InputError(
            f"{images.source} has changed since {run.folder} was trained on it, so that the two cannot be compared: "
            "restore it, or say with --data-dir where it lies now."
        )
    return run, config, images, datasets.load(dataclasses.replace(config, label=())) if config.label else images


def check_counts(real: int, fake: int, size: int) -> None:
    """Raises InputError where a covariance of so many features cannot be computed."""
    if real // 2 <= size or fake <= size:
        raise InputError(
            f"A Frechet distance in {size} features takes at least {size + 1} fakes and {2 * size + 2} real images, as "
            f"halves of those are compared; there are {fake} and {real}. Use a larger --count or more pictures."
        )


def save_closest(path: Path, images, known: tuple, fake: np.ndarray) -> None:
    """A picture of the eight fakes nearest to a training image, above, and these images below."""
    from gan_tf.measure import metrics
    from gan_tf.run import plots
    from gan_tf.run.folder import save_picture

    both = known[0] if known[1] is None else np.concatenate(known)
    distances, rows = metrics.nearest(both, metrics.copy_descriptors(fake))
    closest = np.argsort(distances)[:8]
    originals = [
        images.images[rows[i] % len(images)][:, ::-1] if rows[i] >= len(images) else images.images[rows[i]]
        for i in closest
    ]
    save_picture(path, plots.grid(np.concatenate([fake[closest], np.stack(originals)]), columns=len(closest)))


def evaluate(options: Options) -> None:
    """The command. Raises InputError."""
    import keras

    from gan_tf.measure.features import inception, make_features

    run, config, images, every = reopen(options)
    generator = run.load_generator()
    bar = keras.utils.Progbar(7, unit_name="part")
    features = inception(images) if options.features == "inception" else make_features(every)
    bar.add(1)
    fake, real = fakes_of(generator, len(images), options), some(images)
    check_counts(len(real), len(fake), features.size)
    known = known_outlines(images.images[:], config.flip)
    bar.add(1)
    asked = [every.label_names.index(name) for name in config.label] or range(len(every.label_names))
    half, other = np.array_split(np.random.default_rng(1).permutation(len(real)), 2)
    rows, reals = {}, features(real)
    for what, shown in {"fakes": fake, "real halves": real[other], **baselines(real)}.items():
        if what == "real halves":
            found = measure(real[half], shown, known_outlines(real[half], config.flip), reals[half], reals[other])
        else:
            found = measure(real, shown, known, reals, features(shown))
        rows[what] = found | measure_labels(shown, features, asked)
        bar.add(1)
    print(f"\n{len(fake):,} fakes, {len(real):,} real images; features: {features.name}.\n", *table(rows), "", sep="\n")
    record = run.read_metrics() | {"features": features.name, "fakes": len(fake), "evaluation": rows}
    if images.name == "creatures" and options.features == "own":
        record["creatures"] = count_creatures(real, fake, features)
        say_creatures(record["creatures"])
    save_closest(run.copies_png, images, known, fake)
    run.write_json(run.metrics_json, record)
    print(f"Numbers: {run.metrics_json}. Fakes nearest to training images, and these: {run.copies_png}")


def parse(argv: list[str]) -> Options:
    """The command line's options."""
    return tyro.cli(Options, prog="python -m gan_tf.evaluate", description=__doc__, args=argv)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes to itself are not for the reader.
    with exit_on_input_error():
        evaluate(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
