"""Is it working? What a run's history says, in plain words.

A history maps the columns of history.csv to their values, one per epoch. Each diagnosis takes it with the run's Config
and returns a sentence on what is wrong and what to try, or None. All of them hold for all six losses.

The thresholds lie between what healthy runs reached and what runs reached in which a failure was provoked, each with
every loss that can fail so: digits at 28 pixels, MNIST's fives, and creatures at 64. `tests/measure/make_histories.py`
lists the runs and trains them again. "Slow" runs have a discriminator twenty times as fast as its generator, "outpaced"
ones a generator ten times as fast as its discriminator. Both get there late, so no verdict may call them failed.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.gan import GAN, inputs_of_each_class, sample, to_unit_range, with_labels
from gan_tf.losses import LOSSES, chance_losses
from gan_tf.measure.metrics import thumbnails

History = Mapping[str, Sequence[float] | np.ndarray]

PATIENCE = 3  # Epochs that a verdict rests on. A single one may be a bad moment.
# The band of each column in a healthy run, which the curves shade.
HEALTHY = {"accuracy_real": (0.5, 0.95), "accuracy_fake": (0.5, 0.95), "spread": (0.5, 1.5)}


def recent(history: History, name: str) -> np.ndarray:
    """The column's last PATIENCE values."""
    return np.asarray(history[name][-PATIENCE:])


# Columns that are finite in every run that lives.
WATCHED = ("d_loss", "g_loss", "accuracy_real", "accuracy_fake", "spread")
# Times the discriminator's loss at chance. Healthy runs reached 1.0 in their worst epoch, a discriminator that is left
# behind 2.2, and every run whose step size was ten times too large at least 1,000.
OVERSHOT = 10.0
SAFE = 2e-3  # A learning rate with which all losses trained in healthy runs. With 0.01, least squares still overshot.


def largest_d_loss(config: Config) -> float:
    """The largest absolute d_loss of a discriminator whose steps do not overshoot.

    Wasserstein's is 0 at chance. But a critic that its penalty keeps 1-Lipschitz cannot rate two images further apart
    than they are, and no distance is larger than that from a black image to a white one, 97 at 28 pixels in colour.
    Healthy runs reached 4, a critic that won 41, and those with too large a step size at least 1,200.
    """
    if config.loss == "wasserstein":
        return 2 * math.sqrt((4 if config.alpha else 3) * math.prod(config.sides))
    return OVERSHOT * chance_losses(config.loss)[0]


def too_fast(history: History, config: Config) -> str | None:
    """The discriminator's steps overshoot: each follows the gradient of its loss, and yet the loss is far above chance.

    One such epoch ruins a run. Afterwards the logits are huge, and d_loss can be 0, because the discriminator is right
    about everything and its gradient is gone. So this looks at all epochs. A number that is not finite is where such
    steps end.
    """
    finite = np.isfinite(np.array([history[name] for name in WATCHED]))
    if finite.all():
        worst = int(np.argmax(np.abs(history["d_loss"])))
        if abs(history["d_loss"][worst]) <= largest_d_loss(config):
            return None
        chance = chance_losses(config.loss)[0]
        seen = f"d_loss was {history['d_loss'][worst]:.3g}, and a discriminator that knows nothing has {chance:.3g}"
    else:
        worst = int(np.argmin(finite.all(axis=0)))
        name = WATCHED[int(np.argmin(finite[:, worst]))]
        seen = f"{name} was {history[name][worst]:g}"
    momentum = "--beta-1 0, " if config.beta_1 else ""
    option = "--learning-rate" if config.d_learning_rate is None else "--d-learning-rate"
    return (
        f"the learning rate is too high: in epoch {history['epoch'][worst]:.0f}, {seen}. "
        f"Try {momentum}{option} {min(config.rates[1] / 10, SAFE):.2g}."
    )


# A share of the discriminator's loss at chance. Where it was right about 95% of images, slow runs still had 0.45 of it,
# and provoked ones at most 0.04. (No healthy run came to 95% in three epochs.)
WON = 0.1
# For Wasserstein, a share of the largest distance so far: slow runs had 0.7, provoked ones 1.0. And of the largest
# d_loss, where the critic is left behind: outpaced runs had 0.6, provoked ones 0.97.
UNMOVED = 0.9


def has_won(history: History, config: Config) -> str | None:
    """The discriminator is right about nearly all images, and its loss has nothing left to fall.

    D(G(z)) cannot tell that: where hinge and least squares end, fakes have the logit -1, and D(G(z)) is still 0.27.
    """
    sure = HEALTHY["accuracy_fake"][1]
    if min(recent(history, "accuracy_real").mean(), recent(history, "accuracy_fake").mean()) < sure:
        return None
    if config.loss == "wasserstein":
        # A critic may be right about all images, and the generator still learns if the measured distance shrinks.
        distances = -np.asarray(history["d_loss"])
        if distances[-PATIENCE:].min() < UNMOVED * distances.max():
            return None
    else:
        chance, lowest = chance_losses(config.loss)[0], entropy(config.label_smoothing)
        if recent(history, "d_loss").mean() - lowest > WON * (chance - lowest):
            return None
    g_rate, d_rate = config.rates
    cures = ["--beta-1 0"] if config.beta_1 else []
    cures += ["--d-steps 1"] if config.d_steps > 1 else []
    cures += [f"--learning-rate {d_rate:g}"] if g_rate < d_rate else []
    cures += ["--loss non-saturating"] if config.loss == "minimax" else []
    cures += ["--r1 10"] if not LOSSES[config.loss].penalties and not config.r1 else []
    cures = cures or [f"--d-learning-rate {d_rate / 4:.2g}"]
    return (
        f"the discriminator has won: it is right about {history['accuracy_real'][-1]:.0%} of real images and "
        f"{history['accuracy_fake'][-1]:.0%} of fakes, and the generator does not catch up. "
        f"Try {', '.join(cures)}."
    )


def entropy(share: float) -> float:
    """Of a label that is wrong with this probability: the least binary cross-entropy there is, 0 without smoothing."""
    return -sum(p * math.log(p) for p in (share, 1 - share) if p)


# Times the discriminator's loss at chance. Provoked runs had at least 1.1. Outpaced ones take nearly all fakes for real
# for up to ten epochs, too, but have 1.004 at most.
BEHIND = 1.05
# The share of fakes that the discriminator recognises. Provoked runs had at most 0.15. Healthy ones with the hinge loss
# had 0.10 to 0.14 in their first 72 steps, but with a d_loss below that of chance, as always while it learns.
RECOGNISED = 0.3
# The generator's loss under least squares. Healthy runs had at least 0.05, outpaced ones 0.006, provoked ones at most
# 0.0003.
SATISFIED = 0.0015


def is_left_behind(history: History, config: Config) -> str | None:
    """The discriminator does worse than chance and takes most fakes for real, so the generator has nothing to correct.

    For a critic, chance is no scale. It is left behind if its d_loss stays near the largest so far.

    Least squares needs a bound of its own. There the generator moves its fakes onto the decision threshold, where half
    of them are recognised. If the discriminator does not answer, they stay there, and the generator's loss vanishes.
    """
    recognised = recent(history, "accuracy_fake")
    if config.loss == "least-squares":
        behind = recent(history, "g_loss").max() < SATISFIED
    else:
        critic = config.loss == "wasserstein"
        bound = UNMOVED * max(history["d_loss"]) if critic else BEHIND * chance_losses(config.loss)[0]
        behind = recognised.max() < RECOGNISED and recent(history, "d_loss").min() > bound
    if not behind:
        return None
    g_rate, d_rate = config.rates
    return (
        f"the discriminator is left behind: it takes {1 - recognised[-1]:.0%} of fakes for real, so the generator "
        f"learns nothing from it. Try --d-learning-rate {max(g_rate, 2 * d_rate):g}."
    )


# Bounds on the spread. Of k images in equal parts, it is 1 - 1 / k.
ALIKE = 0.5
# As a share of the largest spread so far. Healthy and slow runs below ALIKE had at least 0.98 of it, provoked ones fell
# to 0.58 or less.
FALLEN = 0.75
# Untrained generators have 0.26 (CelebA) to 0.60 (creatures at 28 pixels), healthy runs never less than 0.39, and
# generators that collapsed within their first epoch at most 0.2.
NEVER_RISEN = 0.2


def has_collapsed(history: History, config: Config) -> str | None:
    """Fakes are much closer to each other than real images are.

    In any run they are at first, until shapes appear. So a small spread counts only if it was clearly larger before, or
    if it is smaller than that of an untrained generator.
    """
    spread = recent(history, "spread").max()
    if spread >= ALIKE or (spread >= NEVER_RISEN and spread >= FALLEN * max(history["spread"])):
        return None
    g_rate, d_rate = config.rates
    cures = ["--beta-1 0"] if config.beta_1 else []
    cures += [f"--d-learning-rate {g_rate:g}"] if d_rate < g_rate else []
    cures += ["--loss relativistic"] if config.loss != "relativistic" else []
    cures = cures or [f"--learning-rate {g_rate / 4:.2g}"]
    return (
        f"the generator has collapsed: two fakes are only {history['spread'][-1]:.2f} times as far apart as two real "
        f"images, so it draws a few images only. Try {', '.join(cures)}."
    )


# Overfitting threshold on `accuracy_trained - accuracy_held_out`, averaged over PATIENCE epochs: two standard errors
# for 16 held-out images, the fewest there are. Healthy runs reached 0.11, provoked ones 0.26 to 0.33.
OVERFITTING = 0.25


def overfits(history: History, config: Config) -> str | None:
    """The discriminator finds images real that it was trained on, and others not."""
    if "accuracy_held_out" not in history:
        return None
    trained, held_out = recent(history, "accuracy_trained"), recent(history, "accuracy_held_out")
    if not np.mean(trained - held_out) >= OVERFITTING:  # Written so that NaN is no verdict.
        return None
    augment = "--augment translation cutout, " if not config.augment else ""
    return (
        f"the discriminator overfits: it finds {trained[-1]:.0%} of the images that it was trained on real, and "
        f"{held_out[-1]:.0%} of those held out. Try {augment}fewer --epochs, or more images."
    )


# Of `label_agreement`. Healthy runs had at least 0.38 when half of their epochs were done; a generator that cannot see
# its labels had 0 throughout.
IGNORED = 0.2


def ignores_a_label(history: History, config: Config) -> str | None:
    """A conditional generator does not draw some label as asked.

    Labels are learned late: healthy runs have an agreement of 0 in their first epochs. So this waits until half of the
    run is done.
    """
    if "label_agreement" not in history or history["epoch"][-1] < config.epochs / 2:
        return None
    if not recent(history, "label_agreement").max() < IGNORED:  # Written so that NaN is no verdict.
        return None
    agreement, longer = history["label_agreement"][-1], f"--epochs {2 * config.epochs}"
    if config.clusters:
        return (
            f"the generator ignores a cluster: only {agreement:.0%} of the worst cluster's fakes look as asked, where "
            f"real images of that cluster count as 100%. Try fewer --clusters, or {longer}."
        )
    return (
        f"the generator ignores a label: only {agreement:.0%} of the worst label's fakes look as asked, where real "
        "images of that label count as 100%. python -m gan_tf.evaluate says which label it is: check that its pictures "
        f"show one kind of thing. Try {longer}."
    )


DIAGNOSES = (too_fast, has_won, is_left_behind, has_collapsed, overfits, ignores_a_label)


def diagnose(history: History, config: Config) -> dict[str, str]:
    """What is wrong after the last epoch of a history, by the diagnosis's name: sentences that say what to try.

    Empty if nothing is, or if there are fewer than PATIENCE epochs. An overshoot is reported alone, because all else
    follows from it.
    """
    if len(history.get("epoch", ())) < PATIENCE:
        return {}
    found = {diagnosis.__name__: diagnosis(history, config) for diagnosis in DIAGNOSES}
    found = {name: sentence for name, sentence in found.items() if sentence}
    return {"too_fast": found["too_fast"]} if "too_fast" in found else found


class Watch:
    """Diagnoses a run epoch by epoch, with the same work and memory after 100,000 epochs as after ten."""

    def __init__(self, config: Config):
        self.config, self.epochs = config, 0
        self.rows: list[Mapping[str, float]] = []  # Those that a diagnosis can depend on.

    def add(self, row: Mapping[str, float]) -> dict[str, str]:
        """What `diagnose` says of the epochs so far. `row` maps the columns to the values of the one that ended."""
        self.epochs += 1
        rows = [*self.rows, row]
        # Besides the last epochs, diagnoses look at these extremes, and at the first number that is not finite. Of
        # equal ones, they take the first, as max does.
        extremes = [
            max(rows, key=lambda row: abs(row["d_loss"])),
            min(rows, key=lambda row: row["d_loss"]),
            max(rows, key=lambda row: row["d_loss"]),
            max(rows, key=lambda row: row["spread"]),
            next((row for row in rows if not all(math.isfinite(row[name]) for name in WATCHED)), row),
        ]
        early = [row for row in rows[:-PATIENCE] if any(row is extreme for extreme in extremes)]
        self.rows = early + rows[-PATIENCE:]
        return diagnose({name: [row[name] for row in self.rows] for name in row}, self.config)


class HeldOutAccuracy:
    """The share of real images that the discriminator finds more real than fakes, among training and held-out images.

    Called with (gan, epoch), it returns the columns accuracy_trained and accuracy_held_out, or none if the run holds no
    images out. The boundary is midway between the mean logits of training images and of as many fakes, because a
    critic's logits have no zero, and that of the others swings from step to step.
    """

    def __init__(self, images: ImageDataset, config: Config):
        trained, held_out = train_holdout_split(images, config)
        most = int(np.clip(2**22 // np.prod(images.shape[:2]), 32, 256))  # At 512 pixels, 256 would take too long.
        random = np.random.default_rng(0)
        self.images, self.trained = images, random.permutation(trained)[:most]
        self.held_out = random.permutation(held_out)[:most]
        self.inputs = random.standard_normal((len(self.trained), config.latent_dim))
        self.labels = images.classes.labels if config.told else np.zeros(len(images), int)
        if config.told:
            self.inputs = with_labels(self.inputs, self.labels[self.trained], len(images.classes.names))

    def __call__(self, gan: GAN, epoch: int) -> dict[str, float]:
        if not len(self.held_out):
            return {}
        fakes = logits_of(gan, sample(gan.generator, self.inputs), self.labels[self.trained])
        trained, held_out = (
            logits_of(gan, self.images.images[rows], self.labels[rows]) for rows in (self.trained, self.held_out)
        )
        boundary = (trained.mean() + fakes.mean()) / 2
        columns = {"accuracy_trained": trained, "accuracy_held_out": held_out}
        return {name: float(np.mean(logits > boundary)) for name, logits in columns.items()}


class LabelAgreement:
    """Does a conditional generator draw what it is told?

    Called with (gan, epoch), it returns the column `label_agreement`: of the class that is drawn worst, the share of
    fakes above chance that look like that class, divided by the same for real images. It is about 1 if labels are
    followed and near 0 if one is ignored. Without classes, it returns no column.

    An image looks like the class of its nearest neighbours among the training images, in 8x8 thumbnails. That needs no
    training, but cannot tell all classes apart: a class counts only if real images of it are recognised more often than
    by chance.
    """

    PER_CLASS, NEIGHBOURS, MOST = 16, 5, 4000

    def __init__(self, images: ImageDataset, config: Config):
        self.classes = len(images.classes.names) if config.told else 0
        if not self.classes:
            return
        from sklearn.neighbors import KNeighborsClassifier

        random = np.random.default_rng(0)
        rows = random.permutation(train_holdout_split(images, config)[0])[: self.MOST]
        labels, small = images.classes.labels[rows], thumbnails(images.images[rows], 8)
        known = len(rows) * 4 // 5
        self.classifier = KNeighborsClassifier(self.NEIGHBOURS).fit(small[:known], labels[:known])
        self.usual = recalls(self.classifier.predict(small[known:]), labels[known:], self.classes)
        self.chance = np.bincount(labels, minlength=self.classes) / len(labels)
        self.counts = self.usual > np.minimum(2 * self.chance, (1 + self.chance) / 2)
        latents = random.standard_normal((self.PER_CLASS, config.latent_dim))
        self.labels = np.repeat(np.arange(self.classes), self.PER_CLASS)
        self.inputs = inputs_of_each_class(latents, self.classes)

    def __call__(self, gan: GAN, epoch: int) -> dict[str, float]:
        if not self.classes or not self.counts.any():
            return {}
        fakes = thumbnails(sample(gan.ema_generator, self.inputs), 8)
        drawn = recalls(self.classifier.predict(fakes), self.labels, self.classes)
        above_chance = (drawn - self.chance) / np.maximum(self.usual - self.chance, 1e-6)
        return {"label_agreement": float(max(0.0, np.min(above_chance[self.counts])))}


def recalls(found: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """For each class, the share of its images (N,) that were found to be of it; 0 if it has none."""
    counts = np.bincount(labels, minlength=classes)
    return np.bincount(labels[found == labels], minlength=classes) / np.maximum(counts, 1)


def logits_of(gan: GAN, pixels: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """The discriminator's logits (N,) of uint8 images (N, height, width, channels), without augmentation. `labels` (N,)
    are the classes, which a conditional GAN needs."""
    one_hot = np.eye(gan.classes, dtype=np.float32)[labels] if gan.classes else np.zeros((len(pixels), 0), np.float32)
    parts = -(-pixels.size // 2**22)  # At 512 pixels, all at once would need gigabytes.
    pairs = zip(np.array_split(pixels, parts), np.array_split(one_hot, parts), strict=True)
    return np.concatenate([gan.judge(to_unit_range(part), asked, training=False) for part, asked in pairs])[:, 0]
