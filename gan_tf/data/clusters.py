"""Classes for images that have no labels: clusters of images that look alike.

A GAN that is told the cluster of each image has a simpler task than one that is told nothing: it learns what the images
of one cluster have in common (self-conditioned GANs, Liu et al. 2020, arXiv:2006.10728). Here the clusters are found
once, before training, from small thumbnails: their colours and where these lie in the picture.
"""

import dataclasses

import numpy as np
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, LazyImages, train_holdout_split

SIDE = 8  # Height and width of a thumbnail.
MOST = 20_000  # Images that the clusters are found among. More would only take longer.


def with_clusters(images: ImageDataset, config: Config) -> ImageDataset:
    """`images` with config.clusters clusters; cluster 0 is the most frequent one.

    k-means finds them among the training images. The held-out ones join the cluster whose centre is nearest. The result
    does not depend on config.seed, so runs can be compared. Raises InputError for fewer training images than clusters.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    rows = train_holdout_split(images, config)[0]
    if len(rows) < config.clusters:
        raise InputError(
            f"{images.name} has {len(rows)} images to train on, too few for {config.clusters} clusters: use at most "
            f"--clusters {len(rows)}, or better a tenth of that."
        )
    small = thumbnails(images.images, np.arange(len(images)))
    # One thread, because the order in which several add up their sums can change a label.
    with threadpool_limits(1):
        among = small[np.random.default_rng(0).permutation(rows)[:MOST]]
        found = KMeans(config.clusters, n_init=4, random_state=0).fit(among)  # type: ignore[arg-type]
        clusters = found.predict(small)
    by_size = np.argsort(-np.bincount(clusters, minlength=config.clusters), kind="stable")
    return dataclasses.replace(images, clusters=np.argsort(by_size)[clusters])


def thumbnails(images: np.ndarray | LazyImages, rows: np.ndarray) -> np.ndarray:
    """Some uint8 images as float32 (n, SIDE * SIDE * channels) in [0, 255]: the mean colours of their parts."""
    size = (SIDE, SIDE)
    parts = np.array_split(rows, -(-len(rows) // 2048))  # They may not fit into memory at once.
    small = [
        np.asarray(Image.fromarray(image.squeeze()).resize(size, Image.Resampling.BOX))
        for part in parts
        for image in images[part]
    ]
    return np.stack(small).reshape(len(rows), -1).astype(np.float32)
