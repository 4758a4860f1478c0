"""How good are a generator's images? Every measure beside its floor.

Most distances between two sets of images depend on how many images there are: a Frechet distance is larger for fewer
images, even if both sets come from the same distribution. So a value means something only beside its floor, measured
in the same way. `Reference` does this:

1. Split the training images at random into a reference set R and a set Q of new real images, `count` images each.
2. Measure `count` fakes against R. That is the value.
3. Measure Q against R. That is the floor: what a perfect generator would get, one that draws from the distribution
   that the training images came from.
4. Repeat for several splits, and report the mean and the standard deviation.

Held-out images are never part of R or Q. Two measures use them to tell whether a generator memorised its training set:

- `held_out_ratio`: how far held-out images are from the nearest fake, divided by the same for equally many training
  images. Above 1, the fakes know the training images better than new ones: the generator overfits.
- `copying_ratio`: how far fakes are from the nearest training image, divided by the same for held-out images. Near 0,
  the fakes are copies.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.measure import metrics
from gan_tf.measure.features import split as features_split

SPLITS = 5
MOST = 2000  # Images on each side, at most. More would change no digit that matters.
POOL = 5000  # Training images that the splits are drawn from, at most.
PROJECTIONS = 64  # Directions of the sliced Wasserstein distances: the same for a value and its floor.
MEMORY = 2**30  # Bytes of real images held at once, at most.
FLOOR = "new real images"  # The row of the floor.
COPIED = 0.5  # Fakes closer to the training images than this part of the usual distance are copies.
DUPLICATE = 1e-3  # Distance of copy descriptors (of length 1) below which two images are the same.

Scores = dict[str, np.ndarray]  # Name of a measure -> its value in each split, (splits,).


@dataclasses.dataclass(frozen=True)
class Views:
    """What the measures see of N images."""

    features: np.ndarray  # (N, d)
    thumbnails: np.ndarray  # (N, 16 * 16 * channels), grey levels
    patches: dict[int, np.ndarray]  # height of the pyramid's level -> (N, patches per image, 49 * channels)
    spectrum: np.ndarray  # (N, frequencies, 2), of `metrics.grid_spectrum`

    def take(self, rows: np.ndarray) -> "Views":
        """The views of some of the images."""
        patches = {side: found[rows] for side, found in self.patches.items()}
        return Views(self.features[rows], self.thumbnails[rows], patches, self.spectrum[rows])


def view(images: np.ndarray, features: Callable[[np.ndarray], np.ndarray]) -> Views:
    """Everything that `measure` needs of uint8 images (N, height, width, channels); `features` maps them to (N, d)."""
    return view_with(features(images), images)


def view_with(features: np.ndarray, images: np.ndarray) -> Views:
    """The same with the images' features (N, d), if they are known already."""
    patches = metrics.pyramid_patches(images, per_image=8)
    return Views(features, metrics.thumbnails(images), patches, metrics.grid_spectrum(images))


def measure_features(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The measures of features (N, d) and (M, d), by name."""
    return {
        "frechet_distance": metrics.frechet_distance(real, fake),
        "kernel_distance": metrics.kernel_distance(real, fake)[0],
        **metrics.prdc(real, fake)._asdict(),
    }


def measure(real: Views, fake: Views) -> dict[str, float]:
    """The measures of two sets of images, by name: those of their features, and sliced Wasserstein distances of their
    thumbnails and of the patches of each pyramid level, in grey levels."""
    found = measure_features(real.features, fake.features)
    found["thumbnails"] = metrics.sliced_wasserstein(real.thumbnails, fake.thumbnails, PROJECTIONS)
    for side in real.patches:
        reals, fakes = (x.patches[side].reshape(-1, x.patches[side].shape[-1]) for x in (real, fake))
        found[f"pyramid_{side}"] = metrics.sliced_wasserstein(reals, fakes, PROJECTIONS)
    for period, excess in metrics.grid_excess(real.spectrum, fake.spectrum).items():
        found[f"grid_{period}"] = excess
    return found


class Reference:
    """The real images of a data set, ready to measure fakes against.

    `images` is uint8 (N, height, width, channels), or anything that gives such rows. `train` are the rows that were
    trained on (all by default) and `held_out` those that were not. `mirror` says that mirror images were trained on
    too, so a mirrored copy is a copy. `count` is the number of images on each side; by default half of the training
    images, but at most 2,000. Raises InputError if that is too few for a Frechet distance in these features.
    """

    def __init__(
        self,
        images: Any,
        features: Callable[[np.ndarray], np.ndarray],
        *,
        train: np.ndarray | None = None,
        held_out: Sequence[int] | np.ndarray = (),
        mirror: bool = False,
        count: int | None = None,
        splits: int = SPLITS,
    ):
        self.images, self.extract, self.mirror = images, features, mirror
        self.train = np.arange(len(images)) if train is None else np.asarray(train)
        self.held_out = np.asarray(held_out, int)
        in_memory = MEMORY // int(np.prod(images.shape[1:]))
        pool = np.random.default_rng(0).permutation(self.train)[: min(POOL, in_memory)]
        self.real = images[pool]  # In random order.
        self.count = min(len(pool) // 2, MOST) if count is None else count
        if 2 * self.count > len(pool):
            raise InputError(
                f"{self.count} images cannot be measured against {self.count} others: there are {len(pool)} real ones."
            )
        self.features = features(self.real)
        check_count(self.count, self.features.shape[1])
        self.splits = [np.random.default_rng((1, i)).permutation(len(pool))[: 2 * self.count] for i in range(splits)]

    @functools.cached_property
    def views(self) -> Views:
        """The views of `real`."""
        return view_with(self.features, self.real)

    def measure(self, fakes: np.ndarray) -> Scores:
        """Every measure of uint8 fakes (at least `count`, height, width, channels). Each split takes `count` of them
        at random."""
        self.check(len(fakes))
        to_train = metrics.nearest(self.known, metrics.copy_descriptors(fakes))[0]
        views = view(fakes, self.extract)
        return collect(
            self.measure_split(i, views.take(self.draw(i, len(fakes))), to_train) for i in range(len(self.splits))
        )

    @functools.cached_property
    def floor(self) -> Scores:
        """The same measures of new real images: what a perfect generator would get."""
        return collect(
            self.measure_split(i, self.views.take(rows[self.count :]), None) for i, rows in enumerate(self.splits)
        )

    @functools.cached_property
    def feature_floor(self) -> Scores:
        """The floor of `measure_features`."""
        return collect(
            measure_features(self.features[rows[: self.count]], self.features[rows[self.count :]])
            for rows in self.splits
        )

    def measure_features(self, fakes: np.ndarray) -> Scores:
        """The measures of features only, which are quick enough to call during training."""
        self.check(len(fakes))
        found = self.extract(fakes)
        return collect(
            measure_features(self.features[rows[: self.count]], found[self.draw(i, len(found))])
            for i, rows in enumerate(self.splits)
        )

    def check(self, fakes: int) -> None:
        """Raise InputError if there are too few fakes."""
        if fakes < self.count:
            raise InputError(f"{self.count} fakes are needed, as many as real images, but there are {fakes}.")

    def draw(self, split: int, total: int) -> np.ndarray:
        """The rows of the fakes that a split uses, (count,)."""
        return np.random.default_rng((2, split)).permutation(total)[: self.count]

    def measure_split(self, split: int, found: Views, to_train: np.ndarray | None) -> dict[str, float]:
        """Every measure in one split. `to_train` has each fake's distance to the nearest training image, or is None
        for new real images."""
        reference = self.splits[split][: self.count]
        result = measure(self.views.take(reference), found)
        if len(self.held_out_features):
            training = self.features[reference[: len(self.held_out_features)]]
            for name, images in (("held_out", self.held_out_features), ("training", training)):
                result[f"{name}_distance"] = float(metrics.nearest(found.features, images)[0].mean())
            result["held_out_ratio"] = result["held_out_distance"] / max(result["training_distance"], 1e-9)
        # The same protocol: half of the images that were not trained on are the reference, the other half the floor.
        random = np.random.default_rng((3, split))
        new, reference = np.array_split(random.permutation(self.new_to_train), 2)
        asked = new if to_train is None else random.permutation(to_train)[: len(new)]
        return result | {"copying_ratio": metrics.copying_ratio(asked, reference)}

    @functools.cached_property
    def copying(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the training images that copies are looked for among and their copy descriptors; rows of images that
        are not among them and the distance of each to the nearest one.

        If none were held out, a twentieth of the training images stands in for them: copies of those are not noticed.
        """
        new = self.held_out
        if not len(new):
            new = np.random.default_rng(4).permutation(self.train)[: int(np.clip(len(self.train) // 20, 16, 256))]
        train = np.setdiff1d(self.train, new)
        known, found = self.describe(train), self.describe(new)
        if self.mirror:
            known = np.concatenate([known, self.describe(train, mirrored=True)])
        distances = metrics.nearest(known, found)[0]
        unseen = distances > DUPLICATE  # A held-out image that is among the training images too is not new.
        if unseen.sum() < 2:  # Nothing is new here, so there is no usual distance: count the duplicates as they are.
            unseen[:] = True
        return train, known, new[unseen], distances[unseen]

    @property
    def known(self) -> np.ndarray:
        """Copy descriptors of the training images, and then of their mirror images if `mirror`."""
        return self.copying[1]

    @property
    def new_to_train(self) -> np.ndarray:
        """The distance of each image that was not trained on to the nearest training image."""
        return self.copying[3]

    @functools.cached_property
    def held_out_features(self) -> np.ndarray:
        """The features of the held-out images, (0, d) if there are none."""
        rows = self.copying[2][: self.count] if len(self.held_out) else self.held_out
        return self.extract(self.images[rows]) if len(rows) else self.features[:0]

    def describe(self, rows: np.ndarray, mirrored: bool = False) -> np.ndarray:
        """The copy descriptors of these images, read in parts as they may not fit into memory."""
        step = -1 if mirrored else 1
        parts = np.array_split(rows, -(-len(rows) // 2048))
        return np.concatenate([metrics.copy_descriptors(self.images[part][:, :, ::step]) for part in parts])

    def closest(self, fakes: np.ndarray, count: int = 8) -> tuple[np.ndarray, np.ndarray]:
        """The `count` fakes that are closest to a training image, and these training images, mirrored if that is
        closer: uint8 (count, height, width, channels) each."""
        train, known, *_ = self.copying
        distances, found = metrics.nearest(known, metrics.copy_descriptors(fakes))
        order = np.argsort(distances)[:count]
        originals = self.images[train[found[order] % len(train)]]
        mirrored = found[order] >= len(train)
        originals[mirrored] = originals[mirrored][:, :, ::-1]
        return fakes[order], originals


def check_count(count: int, size: int) -> None:
    """Raise InputError if `count` images are too few for a Frechet distance in `size` features."""
    if count <= size:
        raise InputError(
            f"A Frechet distance in {size} features needs at least {size + 1} images on each side, but there are "
            f"{count}: use at least {2 * size + 2} training images and {size + 1} fakes."
        )


def run_reference(
    images: ImageDataset, config: Config, features: Callable[[np.ndarray], np.ndarray], count: int | None = None
) -> Reference:
    """The reference for a run: what it trained on, and what it held out. Raises InputError as `Reference` does."""
    train, held_out = train_holdout_split(images, config)
    return Reference(images.images, features, train=train, held_out=held_out, mirror=config.flip, count=count)


def collect(found) -> Scores:
    """Dicts of one split each -> the values of all splits by name."""
    rows = list(found)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def show(values: np.ndarray) -> str:
    """The mean over the splits and their standard deviation to one digit, such as '0.25 ± 0.01'."""
    return show_mean(*mean_and_spread(values))


def mean_and_spread(values: np.ndarray) -> tuple[float, float | None]:
    """The mean over the splits and their standard deviation, which is None if there is one split."""
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None


def show_mean(mean: float, spread: float | None) -> str:
    """The same from the two numbers that `summary` keeps."""
    if spread is None:
        return f"{mean:.3g}"
    decimals = int(np.clip(-np.floor(np.log10(max(spread, 1e-9))), 0, 4))
    return f"{mean:,.{decimals}f} ± {spread:,.{decimals}f}"


def show_measure(name: str, mean: float, spread: float | None) -> str:
    """A measure as a table shows it: an accuracy in percent, anything else with its spread."""
    return f"{mean:.1%}" if name == "accuracy" else show_mean(mean, spread)


def summary(scores: Scores) -> dict[str, dict[str, float | None]]:
    """The mean and the standard deviation over the splits of each measure, for JSON; None if there is one split."""
    return {
        name: dict(zip(("mean", "spread"), mean_and_spread(values), strict=True)) for name, values in scores.items()
    }


def of_floor(scores: Scores, floor: Scores, name: str) -> np.ndarray:
    """A measure in each split, divided by the mean of its floor: a perfect generator reads 1 within its spread, which
    is that of `of_floor(floor, floor, name)`. Not for the kernel distance, whose floor is 0."""
    return scores[name] / floor[name].mean()


def copies(scores: Scores) -> bool:
    """Whether the fakes are copies of training images: the median one is closer than COPIED times the usual."""
    return bool(scores["copying_ratio"].mean() < COPIED)


def baselines(real: np.ndarray) -> dict[str, np.ndarray]:
    """Bad sets of images made from training images, uint8, for comparison."""
    from scipy.ndimage import gaussian_filter

    random, side = np.random.default_rng(0), min(real.shape[1:3])
    return {
        "noise": random.integers(0, 256, real.shape, np.uint8),
        "blurred training images": gaussian_filter(real, (0, side / 28, side / 28, 0)),
        "copies of training images": real,
    }


def label_output(features) -> str | None:
    """The network's output that predicts the labels of a data set; None if it has none."""
    output = next(iter(features.accuracy), "rotation")
    return None if output == "rotation" else output


def measure_labels(images: np.ndarray, features, asked: Sequence[int]) -> dict[str, float]:
    """Two measures by a classifier's labels of the images: the share that has one of the labels `asked` for, and the
    effective number of labels (e to the entropy of their shares: K if K labels are equally frequent, 1 if all images
    have the same). Empty if the features come from no classifier of labels."""
    output = label_output(features)
    if not output:
        return {}
    labels = features.read(images)[output]
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    return {
        "accuracy": float(np.mean(np.isin(labels, asked))),
        "labels": float(np.exp(-np.sum(shares * np.log(shares)))),
    }


CLASS_MOST = 500  # Images of each class on each side, at most.


def measure_classes(
    images: ImageDataset, every: ImageDataset, config: Config, features, draw: Callable[[int, int], np.ndarray]
) -> dict[str, dict[str, tuple[float, float]]]:
    """How well a conditional generator draws each class: {class: {measure: (value of the fakes, its floor)}}.

    - `as_asked`: the share of fakes that the network of `features` takes for what was asked. Its floor is the same for
      real images that the network has not seen. Missing if the network does not predict labels.
    - `frechet_distance` and `coverage`: within the class, with equally many images on both sides, means over the
      splits. Missing for classes with too few images.

    `images` were trained on. `every` is their whole data set with all its labels, which the network was made for.
    `draw(class, count)` returns fakes.
    """
    output = label_output(features) if images.clusters is None else None
    train, _ = train_holdout_split(images, config)
    new = features_split(len(every))[0]
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for number, name in enumerate(images.classes.names):
        rows = train[images.classes.labels[train] == number]
        count = min(len(rows) // 2, CLASS_MOST)
        fakes, scores = draw(number, CLASS_MOST), {}
        if output:
            known = every.label_names.index(name)
            unseen = new[np.asarray(every.labels)[new] == known]
            if len(unseen):
                fake, real = (np.mean(features.read(x)[output] == known) for x in (fakes, every.images[unseen]))
                scores["as_asked"] = float(fake), float(real)
        if count > features.size:
            reference = Reference(images.images, features, train=rows, count=count)
            measured, floor = reference.measure_features(fakes), reference.feature_floor
            for measure in ("frechet_distance", "coverage"):
                scores[measure] = float(measured[measure].mean()), float(floor[measure].mean())
        found[name] = scores
    return found


def class_table(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> list[str]:
    """Markdown with a line for each class of `measure_classes`, as fakes / floor."""
    lines = ["| label | drawn as asked / real images | Frechet distance / floor | coverage / floor |", "|---" * 4 + "|"]
    lines += [f"| {name} | {' | '.join(class_cells(scores))} |" for name, scores in found.items()]
    return lines


def class_cells(scores: Mapping[str, tuple[float, float]]) -> list[str]:
    """The cells of one class of `measure_classes` in a table; "-" for what could not be measured."""
    forms = {"as_asked": ".1%", "frechet_distance": ".3g", "coverage": ".2f"}
    pairs = [[format(value, form) for value in scores.get(measure, ())] for measure, form in forms.items()]
    return [" / ".join(pair) or "-" for pair in pairs]


def count_creatures(real: np.ndarray, fake: np.ndarray, features) -> dict[str, dict[str, list]]:
    """The shares of species, hues and poses among real creatures and fakes, and which of them are lost: less than a
    quarter as frequent as among the real ones. `features` is a `creature_reader`."""
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


# Title and good value of each measure; pyramid_64 is found as pyramid.
MEASURES = {
    "frechet_distance": ("Frechet distance", "low"),
    "kernel_distance": ("kernel distance", "about 0"),
    "precision": ("precision", "high"),
    "recall": ("recall", "high"),
    "density": ("density", "about 1"),
    "coverage": ("coverage", "high"),
    "thumbnails": ("thumbnails, 16x16", "low"),
    "pyramid": ("7x7 patches at height {}", "low"),
    "grid_2": ("grid of 2 pixels", "about 1"),
    "grid_4": ("grid of 4 pixels", "about 1"),
    "held_out_distance": ("held-out images to the nearest fake", "low"),
    "training_distance": ("as many training images to the nearest fake", "as held-out"),
    "held_out_ratio": ("ratio of these two", "about 1"),
    "copying_ratio": ("copying", "about 1"),
    "accuracy": ("classified as what was asked for", "high"),
    "labels": ("effective number of labels", "as real"),
}


def title_and_good_value(name: str) -> tuple[str, str]:
    """What people call a measure, and which values of it are good."""
    kind, _, side = name.partition("_") if name.startswith("pyramid") else (name, "", "")
    title, good = MEASURES[kind]
    return title.format(side), good


def table(rows: Mapping[str, Scores]) -> list[str]:
    """Markdown with a column for each of `rows` and a line for each measure. One of `rows` is FLOOR."""
    titles = [f"{name} (floor: a perfect generator)" if name == FLOOR else name for name in rows]
    lines = [f"| measure | {' | '.join(titles)} | good |", "|---" * (len(rows) + 2) + "|"]
    for name in rows[FLOOR]:
        title, good = title_and_good_value(name)
        cells = [show_measure(name, *mean_and_spread(scores[name])) for scores in rows.values()]
        lines.append(f"| {title} | {' | '.join(cells)} | {good} |")
        if name == "frechet_distance":
            cells = [show(of_floor(scores, rows[FLOOR], name)) for scores in rows.values()]
            lines.append(f"| times its floor | {' | '.join(cells)} | 1 |")
    verdicts = ["copies" if copies(scores) else "no" for scores in rows.values()]
    return [*lines, f"| copies of training images? | {' | '.join(verdicts)} | no |"]
