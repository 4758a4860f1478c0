"""Is it working? What a run's history says, in plain words.

A history maps the columns of history.csv to their values, one for each epoch. Each diagnosis looks at the last PATIENCE
of them and returns what it found and what to try, or None. What is healthy stands in HEALTHY, which the curves shade.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.gan import GAN, sample, to_unit_range
from gan_tf.losses import LOSSES, chance_losses

History = Mapping[str, Sequence[float]]

EPOCHS = PATIENCE = 3  # In a row: a single one may be a bad moment.
# Between which values a column lies while all is well.
HEALTHY = {"accuracy_real": (0.5, 0.95), "accuracy_fake": (0.5, 0.95), "spread": (0.5, 1.5)}
OVERSHOT = 2.0, 30.0  # Times the losses of guessing, of D and G; one that only loses the game stays below them.
MISTAKEN = 0.3  # Of the fakes; while all is well, it is right about half of them or more.
GAP = 0.25  # On average, between the shares of trained and of held-out images called real: of 16, two standard errors.


def too_fast(last: History, config: Config) -> str | None:
    """A player does far worse than where neither knows anything, though each of its steps went down its loss: they
    overshoot. A critic's losses have no such value."""
    for name, guessed, times in zip(("d_loss", "g_loss"), chance_losses(config.loss), OVERSHOT, strict=True):
        if LOSSES[config.loss].has_threshold and min(last[name]) > times * abs(guessed):
            return (
                f"the learning rate is too high: {name} is {last[name][-1]:.3g}, and {guessed:.3g} where the players "
                f"know nothing yet. Try --learning-rate {config.learning_rate / 4:.2g}."
            )
    return None


def has_won(last: History, config: Config) -> str | None:
    """The discriminator tells nearly all fakes from reals, and still does after its generator's answer."""
    sure = HEALTHY["accuracy_fake"][1]
    if min(*last["accuracy_real"], *last["accuracy_fake"]) < sure or max(last["D(G(z))_after"]) > 1 - sure:
        return None
    return (
        f"the discriminator has won: it is right about {last['accuracy_real'][-1]:.0%} of real images and "
        f"{last['accuracy_fake'][-1]:.0%} of fakes, and the generator does not catch up. Try --d-steps 1, a higher "
        "--learning-rate with a lower --d-learning-rate, --r1 1, or, for few images, --augment translation cutout."
    )


def is_left_behind(last: History, config: Config) -> str | None:
    """The discriminator takes most fakes for real, so that the generator hears only praise."""
    if max(last["accuracy_fake"]) >= MISTAKEN:
        return None
    return (
        f"the discriminator is left behind: it takes {1 - last['accuracy_fake'][-1]:.0%} of fakes for real, so that "
        "the generator learns nothing from it. Try a higher --d-learning-rate or --d-steps 2."
    )


def has_collapsed(last: History, config: Config) -> str | None:
    """Fakes are less than half as far apart as real images: of k images in equal parts, it is 1 - 1 / k times."""
    if max(last["spread"]) >= HEALTHY["spread"][0]:
        return None
    momentum = "--beta-1 0, " if config.beta_1 else ""
    return (
        f"the generator has collapsed: two fakes are only {last['spread'][-1]:.2f} times as far apart as two real "
        f"images, so it draws a few images only. Try {momentum}--learning-rate {config.learning_rate / 4:.2g}, "
        "--minibatch-std, another --seed, or --loss relativistic."
    )


def overfits(last: History, config: Config) -> str | None:
    """The discriminator calls real what it was trained on, and fake what it was not."""
    if "accuracy_held_out" not in last:
        return None
    trained, held_out = last["accuracy_trained"], last["accuracy_held_out"]
    if np.mean(np.subtract(trained, held_out)) < GAP:
        return None
    return (
        f"the discriminator knows its images by heart: it finds {trained[-1]:.0%} of those that it was trained on "
        f"real, and {held_out[-1]:.0%} of those held out. Try --augment translation cutout, --r1 1, fewer --epochs, or "
        "more images."
    )


DIAGNOSES = (too_fast, has_won, is_left_behind, has_collapsed, overfits)


def diagnose(history: History, config: Config) -> dict[str, str]:
    """What the last PATIENCE of a history say is wrong, by the diagnosis's name; nothing of a shorter one."""
    if len(history.get("epoch", ())) < PATIENCE:
        return {}
    last = {name: values[-PATIENCE:] for name, values in history.items()}
    found = {diagnosis.__name__: diagnosis(last, config) for diagnosis in DIAGNOSES}
    return {name: sentence for name, sentence in found.items() if sentence}


class HeldOutAccuracy:
    """The shares of real images that the discriminator finds more real than fakes: of those that it was trained on, and
    of those held out. The boundary is midway between the mean logits of the former and of as many fakes: as the
    discriminator's own zero swings from step to step, and a critic has none. Nothing where none are held out."""

    def __init__(self, images: ImageDataset, config: Config):
        trained, held_out = train_holdout_split(images, config)
        most = int(np.clip(2**22 // np.prod(images.shape[:2]), 32, 256))  # Of 512 pixels, more would take too long.
        random = np.random.default_rng(0)
        self.images, self.trained = images, random.permutation(trained)[:most]
        self.held_out = random.permutation(held_out)[:most]
        self.latents = random.standard_normal((len(self.trained), config.latent_dim))

    def __call__(self, gan: GAN, epoch: int) -> dict[str, float]:
        if not len(self.held_out):
            return {}
        fakes = logits_of(gan, sample(gan.generator, self.latents))
        trained, held_out = (logits_of(gan, self.images.images[rows]) for rows in (self.trained, self.held_out))
        boundary = (trained.mean() + fakes.mean()) / 2
        found = {"accuracy_trained": trained, "accuracy_held_out": held_out}
        return {name: float(np.mean(logits > boundary)) for name, logits in found.items()}


def logits_of(gan: GAN, pixels: np.ndarray) -> np.ndarray:
    """What the discriminator says of uint8 images as they are, (N,)."""
    parts = np.array_split(pixels, -(-pixels.size // 2**22))  # At 512 pixels, all at once need gigabytes.
    return np.concatenate([gan.discriminator(to_unit_range(some), training=False) for some in parts])[:, 0]
