import dataclasses

import numpy as np
import pytest

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.clusters import thumbnails, with_clusters
from gan_tf.data.images import ImageDataset, LazyImages, batches, class_shares, train_holdout_split
from gan_tf.data.registry import load


@pytest.fixture
def colours():
    """Noisy pictures of three colours: 60 red, 100 green and 40 blue ones, in random order. Their labels are wrong."""
    random = np.random.default_rng(0)
    kinds = random.permutation(np.repeat([0, 1, 2], [60, 100, 40]))
    pixels = np.eye(3)[kinds][:, None, None] * 150 + random.integers(0, 100, (200, 32, 32, 3))
    labels = random.integers(0, 2, 200)
    return ImageDataset("colours", pixels.astype(np.uint8), labels, "tests", ("a", "b")), kinds


def test_clusters_are_the_kinds_of_pictures_and_the_first_is_the_most_frequent(colours):
    images, kinds = colours
    found = with_clusters(images, Config(clusters=3))
    assert found.clusters.tolist() == np.array([1, 0, 2])[kinds].tolist()
    assert found.classes.names == ("1", "2", "3") and found.labels.tolist() == images.labels.tolist()
    np.testing.assert_allclose(class_shares(found, Config(clusters=3)), [0.5, 0.3, 0.2])


def test_batches_tell_the_clusters_not_the_labels(colours):
    images, _ = colours
    config = Config(clusters=3, batch_size=16)
    for pixels, told in batches(with_clusters(images, config), config).take(3):
        strongest = pixels.numpy().mean(axis=(1, 2)).argmax(axis=1)
        assert told.numpy().tolist() == np.array([1, 0, 2])[strongest].tolist()


def test_clusters_do_not_depend_on_the_seed_or_on_held_out_images(colours):
    images, _ = colours
    config = Config(clusters=4, held_out=0.2)
    found = with_clusters(images, config).clusters
    assert with_clusters(images, dataclasses.replace(config, seed=7)).clusters.tolist() == found.tolist()
    train, held_out = train_holdout_split(images, config)
    changed = images.images.copy()
    changed[held_out] = 0
    other = with_clusters(dataclasses.replace(images, images=changed), config).clusters
    # Numbered by their size, which does count held-out images: compare which images are together.
    together = found[train, None] == found[train]
    assert (together == (other[train, None] == other[train])).all()


def test_thumbnails_of_lazy_and_grey_images_are_means():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), np.uint8)
    lazy = LazyImages(pixels.shape, lambda rows: pixels[rows])
    means = pixels.reshape(5, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(5, 64)
    np.testing.assert_allclose(thumbnails(lazy, np.array([3, 1])), means[[3, 1]], atol=1)


def test_more_clusters_than_images(colours):
    images, _ = colours
    with pytest.raises(InputError, match="colours has 182 images to train on, too few for 191 clusters: use at most"):
        with_clusters(images, Config(clusters=191, held_out=0.09))


def test_load_makes_clusters_and_labels_and_clusters_exclude_each_other():
    images = load(Config(clusters=5, label=("3", "8")))
    assert len(images.classes.names) == 5 and len(images.classes.labels) == len(images)
    with pytest.raises(InputError, match="clusters is 5, but it must be 0 with --conditional"):
        Config(clusters=5, conditional=True)
    with pytest.raises(InputError, match="clusters is 1, but it must be 0, or a number from 2 to 1000"):
        Config(clusters=1)
