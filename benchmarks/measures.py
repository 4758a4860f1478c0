"""The measures of pictures.py and recipes.py: how near are fakes to the images that a GAN learned from?"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from gan_tf.data.images import ImageDataset
from gan_tf.evaluate import count_creatures
from gan_tf.measure.features import Features, creature_reader, rotation_network
from gan_tf.measure.metrics import (
    copy_descriptors,
    copying_ratio,
    coverage,
    frechet_distance,
    patches,
    sliced_wasserstein,
    thumbnails,
)
from gan_tf.run import plots


def judge(train: np.ndarray, fakes: np.ndarray, features: Features) -> dict[str, float]:
    """Every measure of fakes by name, uint8 (N, height, width, 3) as the training images are:

    frechet     Frechet distance in the features: what is shown, and how clearly
    thumbnails  sliced Wasserstein distance of 16x16 thumbnails, in grey levels: layout and colours
    patches     the same of 7x7 patches: texture and colours
    coverage    the share of training images with a fake near them, in the features
    copying     distance of fakes to the nearest training image: 1 as between training images, 0 for copies
    """
    real, fake = features(train), features(fakes)
    return {
        "frechet": frechet_distance(real, fake),
        "thumbnails": sliced_wasserstein(thumbnails(train), thumbnails(fakes)),
        "patches": sliced_wasserstein(patches(train), patches(fakes), projections=128),
        "coverage": coverage(real, fake),
        "copying": copying_ratio(copy_descriptors(train), copy_descriptors(fakes), copy_descriptors(train[:, :, ::-1])),
    }


def covered(real: np.ndarray, fake: np.ndarray, reader: Features) -> list[float]:
    """The shares of species and of hues that are not lost."""
    counted = count_creatures(real, fake, reader)
    return [1 - len(found["lost"]) / len(found["classes"]) for found in (counted["species"], counted["hue"])]


def spread(values: list[float], form: str = ".2f") -> str:
    """Of several seeds: the median, and between which values it lies."""
    median, low, high = (f"{value:{form}}" for value in (np.median(values), min(values), max(values)))
    return f"{median} ({low} to {high})" if len(values) > 1 else median


class Table:
    """Rows of Markdown about fakes of one data set, each fake judged, and unchosen grids of them in `folder`."""

    SHORT = ("set", "images", "size", "minutes", "Frechet", "peer", "real halves", "thumbnails", "peer", "real halves")
    SHORT += ("coverage", "copying")
    HEAD = ("set", "what", "seed", "minutes", "steps", "Frechet", "of peer's", "thumbnails", "of peer's", "patches")
    HEAD += ("coverage", "copying", "species", "hues")

    def __init__(self, images: ImageDataset, folder: Path):
        self.name, self.images, self.folder, self.rows = images.name, images.images[:], folder, []
        self.found, self.dozens = {}, {}  # Lists of what was measured, by (what, minutes); the first fakes, by what.
        self.features = rotation_network(images, folder)
        self.reader = creature_reader(images.shape[0], folder) if images.name == "creatures" else None
        real, other = np.array_split(np.random.default_rng(0).permutation(self.images), 2)
        self.add_row(["real halves", "", "", ""], other, judge(real, other, self.features))

    def short(self, minutes: int) -> str:
        """The row of SHORT: ours after so many minutes, over all seeds, beside the peer and the floor."""
        ours, *others = (self.found.get(key, []) for key in (("ours", minutes), ("peer", minutes), ("real halves", "")))
        cells = [self.name, f"{len(self.images):,}", "x".join(map(str, self.images.shape[1:3])), minutes]
        for measure in ("frechet", "thumbnails"):
            cells += [spread([one[measure] for one in some], ".3g") if some else "" for some in (ours, *others)]
        cells += [spread([one[measure] for one in ours]) for measure in ("coverage", "copying")]
        return f"| {' | '.join(map(str, cells))} |"

    def add(self, what: str, seed: int, fakes: dict[tuple[int, int], np.ndarray]) -> None:
        """Rows for one training's fakes, by (minutes, steps). The peer's come first, for ours to be compared."""
        for (minutes, step), images in fakes.items():
            found = judge(self.images, images, self.features)
            self.add_row([what, seed, minutes, step], images, found)
            grid = plots.grid(images[:64], columns=8)
            plots.save_png(self.folder / f"{self.name}-{what}-{seed}-{minutes}min.png", grid)
        self.dozens.setdefault(what, images[:12])

    def save_dozens(self, path: Path) -> None:
        """The first dozen fakes of the first seed after its last minute, in the order in which they were added."""
        plots.save_png(path, plots.grid(np.concatenate([*self.dozens.values()]), columns=12))

    def add_row(self, cells: list, images: np.ndarray, found: dict[str, float]) -> None:
        what, _, minutes, _ = cells
        self.found.setdefault((what, minutes), []).append(found)
        peers = self.found.get(("peer", minutes))
        for measure in ("frechet", "thumbnails"):
            cells += [f"{found[measure]:.3g}", ""]
            if peers:
                cells[-1] = f"{found[measure] / np.mean([peer[measure] for peer in peers]):.3f}"
        cells += [f"{found[measure]:.2f}" for measure in ("patches", "coverage", "copying")]
        cells += [f"{share:.0%}" for share in covered(self.images, images, self.reader)] if self.reader else ["", ""]
        self.rows.append(f"| {' | '.join(map(str, [self.name, *cells]))} |")
        print(self.rows[-1], flush=True)

    def about(self) -> str:
        names = [self.features.name] + ([self.reader.name] if self.reader else [])
        return f"{self.name}: {len(self.images):,} images; judged by {', and '.join(names)}."
