"""Feature extractors for the metrics: small networks that are trained locally, so no download is needed.

For a data set with labels the network is a classifier of the labels. Otherwise it predicts by how much an image was
rotated, and has to learn what the images show to do so. The same images give the same network, to the bit on a CPU. It
is cached in Keras's folder. A Frechet distance in these features is not one in Inception's: never compare the two, and
never call it FID.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write, cache_folder
from gan_tf.config import Config, format_size
from gan_tf.data import creatures
from gan_tf.data.images import ImageDataset
from gan_tf.measure.metrics import as_seen

SIZE = 64  # Features per image.
STEPS, BATCH = 1000, 64
HUES = 24  # Classes that the circle of hues is divided into for creatures.
FORMAT = 2  # Version of the cached networks; increase it whenever they would be trained differently.


@dataclasses.dataclass(frozen=True)
class Features:
    """Call it with uint8 images (N, height, width, channels) to get features (N, size)."""

    name: str  # what the network is and how often it is right, for people to read
    size: int
    network: keras.Model  # images in [0, 255], `as_seen` -> {"features": (N, size), each output's name: logits}
    accuracy: dict[str, float]  # for each output, the share of held-out images it classifies correctly
    chance: dict[str, float]  # for each output, the same for always guessing the most frequent class
    mirrored: bool = False  # whether to average over an image and its mirror image

    def __call__(self, images: np.ndarray) -> np.ndarray:
        views = (images, images[:, :, ::-1]) if self.mirrored else (images,)
        return np.mean([predict(self.network, view)["features"] for view in views], axis=0)

    def embed(self, images: tf.Tensor) -> tf.Tensor:
        """The same in graph mode: float images (N, height, width, channels) in [-1, 1] -> features (N, size)."""
        pixels = (images + 1) * 127.5
        if pixels.shape[-1] == 4:  # As `as_seen` does.
            pixels = tf.concat([255 + (pixels[..., :3] - 255) * pixels[..., 3:] / 255, pixels[..., 3:]], axis=-1)
        views = (pixels, pixels[:, :, ::-1]) if self.mirrored else (pixels,)
        return sum(self.network(view, training=False)["features"] for view in views) / len(views)

    def read(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The predicted class of each image, integers (N,) for each output."""
        found = predict(self.network, images)
        return {name: found[name].argmax(axis=1) for name in self.accuracy}


def predict(network: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """The network's outputs for all images, computed in batches."""
    return network.predict(as_seen(images), batch_size=256, verbose=0)


def dataset_features(images: ImageDataset, config: Config) -> Features:
    """The features for the whole data set that `images` come from, whatever labels `config` selected."""
    from gan_tf.data.registry import load

    return make_features(load(dataclasses.replace(config, label=(), clusters=0)) if config.label else images)


def make_features(images: ImageDataset, folder: Path | None = None) -> Features:
    """The features for a data set, trained or read from `folder` (by default Keras's cache). `images` are the whole
    data set, with every label."""
    folder = folder or cache_folder() / "gan_tf"
    if images.name == "creatures":
        height, width, channels = images.shape
        return creature_reader((height, width), folder, alpha=channels == 4)
    counts = np.bincount(images.labels) if images.labels is not None else np.array([])
    if len(counts) > 1 and counts.min() >= 10:
        return classifier(images, folder)
    return rotation_network(images, folder)


def classifier(images: ImageDataset, folder: Path) -> Features:
    """Features of a network that predicts the labels of `images`. A tenth of them, 2,000 at most, is held out to
    measure its accuracy."""
    held_out, seen = split(len(images))
    labels = images.labels
    assert labels is not None, "make_features calls this only for images with labels."

    def make_batch(random):
        rows = random.choice(seen, BATCH)
        return shift(as_seen(images.images[rows]), random, mirror=False), {"label": labels[rows]}

    outputs = {"label": len(images.label_names)}
    network = load_or_train(folder, f"classifier-{images.fingerprint[:16]}", images.shape, outputs, make_batch)
    accuracy, chance = score(network, images.images[held_out], {"label": labels[held_out]})
    name = f"a classifier of {images.name}, {odds('labels', accuracy['label'], chance['label'])}"
    return Features(name, SIZE, network, accuracy, chance)


def rotation_network(images: ImageDataset, folder: Path) -> Features:
    """Features of a network that predicts whether an image was rotated by 0, 90, 180 or 270 degrees, which needs no
    labels (Gidaris et al. 2018, arXiv:1803.07728). Oblong images are rotated by 0 or 180 degrees only, so that their
    sides stay as they are. It learns from mirror images too, so its features are averaged over an image and its mirror
    image: the direction that an image faces does not count."""
    held_out, seen = split(len(images))
    height, width, _ = images.shape
    kinds = 4 if height == width else 2

    def make_batch(random):
        return rotate(as_seen(images.images[random.choice(seen, BATCH)]), kinds, random)

    outputs = {"rotation": kinds}
    network = load_or_train(folder, f"rotation-{images.fingerprint[:16]}", images.shape, outputs, make_batch)
    rotated = [np.rot90(images.images[held_out], turns * 4 // kinds, axes=(1, 2)) for turns in range(kinds)]
    turns = np.repeat(range(kinds), len(held_out))
    accuracy, chance = score(network, np.concatenate(rotated), {"rotation": turns})
    said = odds("rotations", accuracy["rotation"], chance["rotation"])
    name = f"a network that tells how {images.name} were rotated, {said}"
    return Features(name, SIZE, network, accuracy, chance, mirrored=True)


def creature_reader(size: int | tuple[int, int], folder: Path, count: int = 8000, alpha: bool = False) -> Features:
    """Features of a network that predicts the species, hue (HUES classes), turn and tilt (3 classes each) of creatures
    of `size`: (height, width) in pixels, or one number for a square. It is trained on `count` creatures of its own: it
    never sees those of the data set."""
    known = creatures.parameters(count + 1000, seed=1)  # The data set has seed 0.
    true = creature_classes(known)
    drawn = creatures.draw(known[count:], size, alpha)
    # Not drawn if the network is in the cache.
    seen = functools.cache(lambda: as_seen(creatures.draw(known[:count], size, alpha)))

    def make_batch(random):
        rows = random.integers(count, size=BATCH)
        return seen()[rows], {name: values[rows] for name, values in true.items()}

    outputs = {"species": len(creatures.SPECIES), "hue": HUES, "turn": 3, "tilt": 3}
    name = f"creatures-{format_size(*drawn.shape[1:3])}{'-alpha' if alpha else ''}"
    network = load_or_train(folder, name, drawn.shape[1:], outputs, make_batch)
    accuracy, chance = score(network, drawn, {name: values[count:] for name, values in true.items()})
    said = " and ".join(odds(kind, accuracy[kind], chance[kind]) for kind in ("species", "hue"))
    return Features(f"a network that reads creatures, {said}", SIZE, network, accuracy, chance)


def score(
    network: keras.Model, images: np.ndarray, labels: dict[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, float]]:
    """The accuracy of each output on these images, and that of always guessing the most frequent class."""
    found = predict(network, images)
    accuracy = {name: float(np.mean(found[name].argmax(axis=1) == true)) for name, true in labels.items()}
    return accuracy, {name: float(np.bincount(true).max() / len(true)) for name, true in labels.items()}


def odds(of_what: str, accuracy: float, chance: float) -> str:
    """How often a network is right, as people should read it beside its figures."""
    return f"right about {accuracy:.1%} of {of_what} (chance: {chance:.1%})"


def creature_classes(known: np.ndarray) -> dict[str, np.ndarray]:
    """The classes of creatures with these parameters, integers (N,) for each output of `creature_reader`."""
    thirds = {name: np.digitize(known[name] / limit, [-1 / 3, 1 / 3]) for name, limit in (("turn", 1), ("tilt", 20))}
    return {"species": known["species"].astype(int), "hue": (known["hue"] * HUES).astype(int), **thirds}


def inception(images: ImageDataset) -> Features:
    """The 2,048 features of Keras's InceptionV3, trained on ImageNet: a download of 92 MB. TensorFlow resizes the
    images to 299 pixels in its own way, so compare the values only with your own (Parmar et al. 2022,
    arXiv:2104.11222). Raises InputError if the download fails."""
    try:
        network = keras.applications.InceptionV3(include_top=False, pooling="avg")
    except Exception as error:  # The type depends on Keras's version and its downloader.
        raise InputError(f"--features inception needs a download that failed ({error}); leave it out.") from error
    pixels = keras.Input(images.shape)
    x = layers.Rescaling(1 / 127.5, -1)(layers.Resizing(299, 299)(pixels))
    if images.shape[-1] == 1:
        x = layers.Concatenate()([x, x, x])
    if images.shape[-1] == 4:
        x = x[..., :3]  # Without the opacity.
    model = keras.Model(pixels, {"features": network(x)})
    return Features("InceptionV3 of Keras, trained on ImageNet", 2048, model, {}, {})


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to measure a network's accuracy on (a tenth, 2,000 at most), and rows to train it on."""
    rows = np.random.default_rng(0).permutation(count)
    held_out = min(count // 10 or 1, 2000)
    return rows[:held_out], rows[held_out:]


def load_or_train(
    folder: Path, name: str, image_shape: tuple[int, int, int], outputs: dict[str, int], make_batch: Callable
) -> keras.Model:
    """The network called `name` in `folder`. If there is none, train one with `make_batch(random)`, which returns
    images and {output: labels}, and save it there with an atomic write."""
    path = folder / f"features-{FORMAT}-{name}.keras"
    with contextlib.suppress(OSError, ValueError):  # Missing, damaged, or written by an incompatible Keras.
        return keras.models.load_model(path, compile=False)
    random = np.random.default_rng(0)
    network = convolutions(image_shape, outputs)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, STEPS))
    optimizer.build(network.trainable_variables)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            loss = sum(entropy(labels[name], logits[name]) for name in labels)
        weights = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    def draw_batches():
        while True:
            images, labels = make_batch(random)
            yield images.astype(np.float32), {name: values.astype(np.int64) for name, values in labels.items()}

    signature = tf.TensorSpec((BATCH, *image_shape)), {name: tf.TensorSpec((BATCH,), tf.int64) for name in outputs}
    # Prefetching draws the next batch while the network learns from this one.
    for batch in tf.data.Dataset.from_generator(draw_batches, output_signature=signature).prefetch(2).take(STEPS):
        step(*batch)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        network.save(temporary)
    return network


def convolutions(image_shape: tuple[int, int, int], outputs: dict[str, int]) -> keras.Model:
    """A network from images (N, height, width, channels) in [0, 255] to {"features": (N, SIZE), each output's name:
    logits}. Each layer has its own seed: without one, Keras would take it from the global random state."""
    seeds = iter(range(100))

    def uniform():
        return keras.initializers.GlorotUniform(seed=next(seeds))

    inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    side = max(image_shape[:2])
    if side > 96:  # More detail would only cost time.
        x = layers.AveragePooling2D(side // 64)(x)
    for width in (16, 32, 64, 128):
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False, kernel_initializer=uniform())(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dense(SIZE, use_bias=False, kernel_initializer=uniform())(layers.Flatten()(x))
    features = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    heads = {
        name: layers.Dense(size, name=name, kernel_initializer=uniform())(features) for name, size in outputs.items()
    }
    return keras.Model(inputs, {"features": features, **heads})


def shift(images: np.ndarray, random: np.random.Generator, mirror: bool) -> np.ndarray:
    """Shift each image by up to a tenth of its sides, and mirror half of them if `mirror`."""
    count, height, width, _ = images.shape
    most_y, most_x = height // 10, width // 10
    padded = np.pad(images, ((0, 0), (most_y, most_y), (most_x, most_x), (0, 0)), "reflect")
    result = np.empty_like(images)
    for i, (y, x, mirrored) in enumerate(random.integers((2 * most_y + 1, 2 * most_x + 1, 2), size=(count, 3))):
        image = padded[i, y : y + height, x : x + width]
        result[i] = image[:, ::-1] if mirror and mirrored else image
    return result


def rotate(images: np.ndarray, kinds: int, random: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Rotate each image by a random multiple of 360 / kinds degrees (kinds is 2 or 4), after random mirroring, shifts
    and changes of colour: float32 images and {"rotation": that multiple}. Without the changes, the network would
    memorise a small set."""
    count = len(images)
    turns = random.integers(kinds, size=count)
    shifted = zip(shift(images, random, mirror=True), turns * 4 // kinds, strict=True)
    images = np.stack([np.rot90(one, quarters) for one, quarters in shifted])

    def uniform(low, high, channels):
        return low + (high - low) * random.random((count, 1, 1, channels), np.float32)

    colours, opacity = images[..., :3], images[..., 3:]
    values = (colours - np.float32(127.5)) * uniform(0.6, 1.4, 1) + uniform(97.5, 157.5, colours.shape[-1])
    grey = values.mean(axis=-1, keepdims=True)
    values = np.clip(grey + (values - grey) * uniform(0, 1.5, 1), 0, 255)
    return np.concatenate([values, opacity], axis=-1), {"rotation": turns}
