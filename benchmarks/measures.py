"""The measures of pictures.py: how near are fakes to the images that a GAN learned from?

`judge` takes the training images and the fakes, uint8 (N, height, width, 3) each, and a network trained on the
former. `CreatureReader` reads from creatures what is known of no other data set: their true kinds and colours.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from gan_tf import creatures, plots
from gan_tf.metrics import copying_ratio, coverage, frechet_distance, patches, sliced_wasserstein, thumbnails


def judge(train: np.ndarray, fakes: np.ndarray, network: "RotationNetwork") -> dict[str, float]:
    """Every measure by name:

    frechet     Frechet distance in the network's features: what is shown, and how clearly
    thumbnails  sliced Wasserstein distance of 16x16 thumbnails, in grey levels: layout and colours
    patches     the same of 7x7 patches: texture and colours
    coverage    the share of training images with a fake near them, in the network's features
    copying     distance of fakes to the nearest training image: 1 as between training images, 0 for copies
    """
    real, fake = network.features(train), network.features(fakes)
    return {
        "frechet": frechet_distance(real, fake),
        "thumbnails": sliced_wasserstein(thumbnails(train), thumbnails(fakes)),
        "patches": sliced_wasserstein(patches(train), patches(fakes), projections=128),
        "coverage": coverage(real, fake),
        "copying": copying_ratio(outlines(train), outlines(fakes), outlines(train[:, :, ::-1])),
    }


def outlines(images: np.ndarray) -> np.ndarray:
    """Thumbnails of 8x8 without brightness and contrast, (N, 192) of length 1: where copies are looked for. Here a
    copy is near its original even when it is blurred, or moved by two pixels, which it is in no network's features;
    and a picture is not near to all others for being pale or blurred, which it is in the pixels."""
    values = thumbnails(images, 8)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


class RotationNetwork:
    """Tells by which of 0, 90, 180 and 270 degrees an image was turned, for which it has to know what the images
    show (Gidaris et al. 2018, arXiv:1803.07728). It needs no labels and no download.

    A tenth of the images is held out for `accuracy`. The network is kept in `folder` by the images' `fingerprint`,
    and not trained again if it is there.
    """

    def __init__(self, images: np.ndarray, folder: Path, fingerprint: str):
        held_out, seen = np.split(np.random.default_rng(0).permutation(images), [len(images) // 10])

        def make_batch(random, n):
            return turned(seen[random.integers(len(seen), size=n)], random)

        path = Path(folder) / f"rotation-{fingerprint[:16]}.keras"
        self.model = trained(path, seen.shape[1:], {"rotation": 4}, make_batch)
        views = np.concatenate([np.rot90(held_out, turns, axes=(1, 2)) for turns in range(4)])
        guesses = self.model.predict(views, batch_size=256, verbose=0)["rotation"].argmax(axis=1)
        self.accuracy = float(np.mean(guesses == np.repeat(range(4), len(held_out))))

    def features(self, images: np.ndarray) -> np.ndarray:
        """uint8 images (N, height, width, channels) -> (N, 64), what the last layer decides by: the mean over the
        image and its mirror image, as the network learned from both. So it does not count here, unlike in the
        thumbnails, which way a picture faces."""
        views = images, images[:, :, ::-1]
        return sum(self.model.predict(view, batch_size=256, verbose=0)["features"] for view in views) / 2


class CreatureReader:
    """Reads the species and the hue, in HUES parts of its circle, of creatures that it never saw. Kept in `folder`;
    `accuracy` is that on 1,000 others, of both."""

    HUES = 24

    def __init__(self, folder: Path, size: int = 64, count: int = 8000):
        known = creatures.parameters(count + 1000, seed=1)  # The data set is seed 0.
        images = creatures.draw(known, size)
        true = {"species": known["species"].astype(int), "hue": (known["hue"] * self.HUES).astype(int)}

        def make_batch(random, n):
            chosen = random.integers(count, size=n)
            return images[chosen].astype(np.float32), {name: values[chosen] for name, values in true.items()}

        outputs = {"species": len(creatures.SPECIES), "hue": self.HUES}
        self.model = trained(Path(folder) / f"creatures-{size}.keras", images.shape[1:], outputs, make_batch)
        read = self.read(images[count:])
        self.accuracy = {name: float(np.mean(read[name] == true[name][count:])) for name in outputs}

    def read(self, images: np.ndarray) -> dict[str, np.ndarray]:
        logits = self.model.predict(images, batch_size=256, verbose=0)
        return {name: logits[name].argmax(axis=1) for name in ("species", "hue")}

    def covered(self, images: np.ndarray) -> dict[str, float]:
        """The share of species, and of hues, that are there at least a quarter as often as they should be: equally
        often."""
        sizes = {"species": len(creatures.SPECIES), "hue": self.HUES}
        counts = {name: np.bincount(values, minlength=sizes[name]) for name, values in self.read(images).items()}
        return {name: float(np.mean(count >= len(images) / len(count) / 4)) for name, count in counts.items()}


def trained(path: Path, image_shape: tuple[int, int, int], outputs: dict[str, int], make_batch) -> keras.Model:
    """The network of that file, or a new one, trained with `make_batch(random, n)` -> images, {output: labels} and
    saved there. It maps images to a dictionary of "features" (N, 64) and the outputs' logits."""
    import tensorflow as tf

    if path.exists():
        return keras.models.load_model(path, compile=False)
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    model = convolutions(image_shape, outputs)
    steps = 1500
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    optimizer.build(model.trainable_variables)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = sum(entropy(labels[name], logits[name]) for name in labels)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for _ in range(steps):
        step(*make_batch(random, 64))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model


def convolutions(image_shape: tuple[int, int, int], outputs: dict[str, int]) -> keras.Model:
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    for width in (24, 48, 96, 128):
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(64, use_bias=False)(layers.Flatten()(x))
    features = layers.ReLU()(layers.BatchNormalization()(x))
    ends = {name: layers.Dense(size, name=name)(features) for name, size in outputs.items()}
    return keras.Model(inputs, {"features": features, **ends})


def turned(images: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Each image mirrored or not, moved, recoloured, and turned: float32 images and how often by 90 degrees. Without
    all that, the network would know a small set's images by heart."""
    count, height, width, _ = images.shape
    turns = random.integers(4, size=count)
    far_y, far_x = height // 10, width // 10
    padded = np.pad(images, ((0, 0), (far_y, far_y), (far_x, far_x), (0, 0)), "reflect")
    moved = np.empty_like(images)
    for i, (y, x, mirrored) in enumerate(random.integers((2 * far_y + 1, 2 * far_x + 1, 2), size=(count, 3))):
        image = padded[i, y : y + height, x : x + width]
        moved[i] = np.rot90(image[:, ::-1] if mirrored else image, turns[i])

    def uniform(low, high, channels):
        return low + (high - low) * random.random((count, 1, 1, channels), np.float32)

    values = (moved - np.float32(127.5)) * uniform(0.6, 1.4, 1) + uniform(97.5, 157.5, 3)
    grey = values.mean(axis=-1, keepdims=True)
    return np.clip(grey + (values - grey) * uniform(0, 1.5, 1), 0, 255), {"rotation": turns}


class Table:
    """Rows of Markdown about fakes of one data set, each fake judged, and unchosen grids of them in `folder`."""

    HEAD = ("set", "what", "seed", "minutes", "steps", "Frechet", "of peer's", "thumbnails", "of peer's", "patches")
    HEAD += ("coverage", "copying", "species", "hues")

    def __init__(self, name: str, images: np.ndarray, fingerprint: str, folder: Path):
        self.name, self.images, self.folder, self.rows, self.peers = name, images, folder, [], {}
        self.network = RotationNetwork(images, folder, fingerprint)
        self.reader = CreatureReader(folder, images.shape[1]) if name == "creatures" else None
        real, other = np.array_split(np.random.default_rng(0).permutation(images), 2)
        self.add_row(["real halves", "", "", ""], other, judge(real, other, self.network))

    def add(self, what: str, seed: int, fakes: dict[tuple[int, int], np.ndarray]) -> None:
        """Rows for one training's fakes, by (minutes, steps). The peer's come first, for ours to be compared."""
        for (minutes, step), images in fakes.items():
            found = judge(self.images, images, self.network)
            if what == "peer":
                self.peers.setdefault(minutes, []).append(found)
            self.add_row([what, seed, minutes, step], images, found, self.peers.get(minutes, []))
            grid = plots.grid(images[:64], columns=8)
            plots.save_png(self.folder / f"{self.name}-{what}-{seed}-{minutes}min.png", grid)

    def add_row(self, cells: list, images: np.ndarray, found: dict[str, float], peers: list[dict] = ()) -> None:
        for measure in ("frechet", "thumbnails"):
            cells += [f"{found[measure]:.3g}", ""]
            if peers:
                cells[-1] = f"{found[measure] / np.mean([peer[measure] for peer in peers]):.3f}"
        cells += [f"{found[measure]:.2f}" for measure in ("patches", "coverage", "copying")]
        cells += [f"{share:.0%}" for share in self.reader.covered(images).values()] if self.reader else ["", ""]
        self.rows.append(f"| {' | '.join(map(str, [self.name, *cells]))} |")
        print(self.rows[-1], flush=True)

    def about(self) -> str:
        text = f"{self.name}: {len(self.images):,} images; the rotation network is right of "
        text += f"{self.network.accuracy:.1%} of held-out images"
        if self.reader:
            right = self.reader.accuracy
            text += f", the reader of {right['species']:.1%} of species and {right['hue']:.1%} of hues"
        return text + "."
