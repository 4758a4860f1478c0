"""Options that a folder of pictures decides itself: augmentation by their number, mirror images by where they face."""

from typing import Any

import numpy as np

from gan_tf.config import GPU_PRESETS, Config, is_path
from gan_tf.data.clusters import SIDE, thumbnails
from gan_tf.data.images import ImageDataset, train_holdout_split

FEW = 2000  # Training images that the discriminator memorises within a preset's epochs. Of 3,000 it did not.
MOST = 2000  # Images that are looked at for where they face.
# The share of images that a classifier may tell from their mirror images. It was 50% to 53% for faces from the front,
# 63% to 67% for Pokemon, anime characters, and cats and dogs, of which mirror images made the results worse.
FACING = 0.6


def choose(images: ImageDataset, config: Config) -> dict[str, tuple[Any, str]]:
    """What suits the pictures of a folder: {option: (value, why)} for `augment` and `flip`, in a line for a person.
    Empty for other data sets, whose presets were measured."""
    if not is_path(config.dataset) or config.preset not in (None, "folder", *GPU_PRESETS):
        return {}
    count = len(train_holdout_split(images, config)[0])
    few = count < FEW
    told_apart, error = facing(images)
    flip = told_apart + 2 * error < FACING
    many = f"{count:,} images to train on are " + (f"fewer than {FEW:,}" if few else f"at least {FEW:,}")
    told = f"{told_apart:.0%} of them can be told from their mirror images, plus or minus {2 * error:.0%}"
    return {
        "augment": (("translation", "cutout") if few else (), f"{'translation and cutout' if few else 'none'}: {many}"),
        "flip": (flip, f"{'yes' if flip else 'no'}: {told}"),
    }


def facing(images: ImageDataset) -> tuple[float, float]:
    """Whether pictures face one way: the share that a linear classifier can tell from their mirror images, from
    0.5 to 1, and its standard error. Both are of small thumbnails, and of pictures that the classifier did not see."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    random = np.random.default_rng(0)
    rows = np.sort(random.permutation(len(images))[:MOST])
    small = thumbnails(images.images, rows).reshape(len(rows), SIDE, SIDE, -1)
    # A picture minus its mirror image changes its sign when the picture is mirrored. Half of that says everything.
    differences = (small - small[:, :, ::-1])[:, :, : SIDE // 2].reshape(len(rows), -1)
    differences /= np.linalg.norm(differences, axis=1, keepdims=True) + 1e-6
    signs = np.where(np.arange(len(rows)) % 2, 1, -1)
    classifier = LogisticRegression(fit_intercept=False, max_iter=500)
    found = cross_val_predict(classifier, differences * signs[:, np.newaxis], signs, cv=5)
    # Less than half is chance.
    return max(0.5, float(np.mean(found == signs))), 0.5 / len(rows) ** 0.5
