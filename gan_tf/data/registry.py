"""A data set's name, or a folder's path -> `Images`. `python -m gan_tf.data` lists the names."""

import argparse
import dataclasses
import difflib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.config import Config, is_path
from gan_tf.data.folder import load_folder
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.data.sources import (
    HubFile,
    HubPictures,
    KaggleFolder,
    KerasFile,
    Source,
    Unavailable,
    read_idx,
    read_letters,
)


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What is known of a data set before it is loaded."""

    name: str
    what: str
    images: int
    size: str  # height and width, in its files
    licence: str  # of the images, in a word or two; data/README.md says more
    page: str  # where people can read about it
    sources: tuple[Source, ...] = ()  # of its files; none where it is embedded
    read: Callable | None = None  # these files -> arrays (N, 28, 28) and (N,), of the grey sets
    labels: tuple[str, ...] = ()  # the names of those labels


def load(config: Config) -> ImageDataset:
    """The images that `config` asks for. Raises InputError where that cannot be, and Unavailable where only a
    download failed."""
    if is_path(config.dataset):
        found = load_folder(Path(config.dataset), config)
    elif config.dataset in DATASETS:
        found = load_named(DATASETS[config.dataset], config)
    else:
        near = difflib.get_close_matches(config.dataset.lower(), DATASETS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"There is no data set {config.dataset!r}; there are {', '.join(DATASETS)} (did you mean {near}?), and "
            "any folder of pictures by its path."
        )
    needed = config.batch_size * config.d_steps
    trained = len(train_holdout_split(found, config)[0])
    if trained < needed:
        raise InputError(
            f"{found.name} has {trained} such images, fewer than the {needed} that one step draws (--batch-size "
            f"{config.batch_size} times --d-steps {config.d_steps}); use a --batch-size of at most "
            f"{trained // config.d_steps}."
            + (f" (Another {len(found) - trained} are held out.)" if trained < len(found) else "")
        )
    return found


def load_named(data: DataSet, config: Config) -> ImageDataset:
    """What a person put into the data folder; else the embedded or downloaded files. Raises InputError."""
    folder = data_dir(config.data_dir)
    own = own_files(data, folder)
    if own and own.suffix == ".npz":
        return load_grey(data, [own], read_npz, config)
    if own:
        return load_folder(own, config, data.name)
    if data.name == "creatures":
        from gan_tf.data.creatures import load_creatures

        return load_creatures(config)
    try:
        paths = [source.get() for source in data.sources]
    except Unavailable as error:
        looked_for = folder / (f"{data.name}.npz" if data.labels else data.name)
        raise Unavailable(f"There is no {looked_for}, and {error}") from error
    if data.labels:
        return load_grey(data, paths, data.read, config)
    return load_dogs(paths[0], config) if data.name == "dogs" else load_folder(paths[0], config, data.name)


def own_files(data: DataSet, folder: Path) -> Path | None:
    """<name>/ or, of a grey set, <name>.npz in the data folder. Nothing there stands for what is embedded."""
    candidates = [folder / data.name, *([folder / f"{data.name}.npz"] if data.labels else [])]
    return next((path for path in candidates if data.sources and path.exists()), None)


def data_dir(option: str | None) -> Path:
    """Where a person's own data files are looked for."""
    return Path(option or os.environ.get("GAN_TF_DATA") or "data")


def fallback_of(name: str) -> str:
    """The embedded data set, as grey or as colourful, that stands in where this one is Unavailable."""
    return "digits" if DATASETS[name].labels else "creatures"


def load_dogs(path: Path, config: Config) -> ImageDataset:
    """A folder whose folders have names like n02085620-Chihuahua, of which the second part is the label."""
    breeds = {folder.name.partition("-")[2]: folder.name for folder in path.iterdir()}
    wanted = tuple(breeds.get(label, label) for label in config.label)
    found = load_folder(path, dataclasses.replace(config, label=wanted), "dogs")
    return dataclasses.replace(found, label_names=tuple(name.partition("-")[2] for name in found.label_names))


def load_grey(data: DataSet, paths: list[Path], read: Callable, config: Config) -> ImageDataset:
    """What `read` makes of the files: only the images of config.label, at config.image_size. Raises InputError."""
    images, labels = read(*paths)
    last = len(data.labels) - 1
    if (labels > last).any():
        raise InputError(f"{paths[0]} has labels up to {labels.max()}, but those of {data.name} are 0 to {last}.")
    source = ", ".join(map(str, paths)) or "inside scikit-learn"
    found = ImageDataset(data.name, images[..., np.newaxis], labels, source, data.labels)
    found = found.choose(config.label) if config.label else found
    return found if config.image_size == 28 else resized(found, config.image_size)


def resized(found: ImageDataset, size: int) -> ImageDataset:
    """Grey images at another size, by Pillow, whose filters are antialiased when they make smaller."""
    from PIL import Image

    images = np.empty((len(found), size, size, 1), np.uint8)
    for large, small in zip(images, found.images, strict=True):
        large[..., 0] = Image.fromarray(small[..., 0]).resize((size, size), Image.Resampling.BICUBIC)
    return dataclasses.replace(found, images=images, sha256="")


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits of 8x8 pixels inside scikit-learn, brought to MNIST's size and place."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.zeros((len(digits.images), 28, 28), np.uint8)
    for image, small in zip(images, digits.images, strict=True):
        # As MNIST has it, a digit fills 20x20 pixels in the middle. Its 17 grey levels become 256.
        large = Image.fromarray((small * (255 / 16)).astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
        image[4:24, 4:24] = np.asarray(large)
    return images, digits.target.astype(np.uint8)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, from an .npz like MNIST's of anyone's, with no trust in it."""
    again = f"remove it to have the published {path.stem} downloaded"
    try:
        with zipfile.ZipFile(path) as members:  # Checks that it is one, where np.load takes anything else for a pickle.
            keys = [name.removesuffix(".npy") for name in members.namelist()]
        if not {"x_train", "y_train"} <= set(keys):
            raise InputError(
                f"{path} has the keys {', '.join(keys) or '(none)'}, but images and labels must be under x_train and "
                f"y_train; {again}."
            )
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = np.asarray(arrays["x_train"]), np.asarray(arrays["y_train"])
    except InputError:
        raise
    except Exception as error:  # NumPy, zipfile and zlib each have their own for a file that they cannot read.
        pickled = "Object arrays" in str(error)
        why = "it holds pickled objects, which are never opened" if pickled else f"it is damaged ({error})"
        raise InputError(f"{path} cannot be used: {why}; {again}.") from error
    good = images.ndim == 3 and images.shape[1:] == (28, 28) and labels.shape == images.shape[:1]
    if not (good and images.dtype == labels.dtype == np.uint8):
        raise InputError(
            f"{path} holds x_train {images.dtype}{images.shape} and y_train {labels.dtype}{labels.shape}, but they "
            f"must be uint8 (N, 28, 28) and uint8 (N,); {again}."
        )
    return images, labels


DIGITS, LETTERS = tuple("0123456789"), tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
UCI = "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits"
NIST = "https://www.nist.gov/itl/products-and-services/emnist-dataset"

# fmt: off
DATASETS = {data.name: data for data in (
    DataSet("digits", "handwritten digits", 1797, "8x8", "CC BY 4.0", UCI, (), read_digits, DIGITS),
    DataSet("mnist", "handwritten digits", 60_000, "28x28", "CC BY-SA 3.0", "https://keras.io/api/datasets/mnist/", (
        KerasFile("mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),
    ), read_npz, DIGITS),
    DataSet("fashion", "clothes", 60_000, "28x28", "MIT", "https://github.com/zalandoresearch/fashion-mnist", tuple(
        KerasFile(f"train-{name}-ubyte.gz", sha256, "fashion-mnist") for name, sha256 in (
            ("images-idx3", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            ("labels-idx1", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        )
    ), read_idx, CLOTHES),
    DataSet("letters", "handwritten letters", 124_800, "28x28", "not stated", NIST, (
        HubFile("tanganke/emnist_letters", "4236c26fe034bc5b23851adc00067fa87b8ac16b",
                "emnist-letters/train-00000-of-00001.parquet",
                "756ccd59b40c47fd5a7fc622ed1c34d32576d64edc37aaf9accc89de2bf0bb35"),
    ), read_letters, LETTERS),
    DataSet("creatures", "animal faces, drawn by gan_tf", 4000, "any", "gan_tf's own", "../gan_tf/data/creatures.py"),
    DataSet("pokemon", "Pokemon", 819, "256x256", "not free", "https://www.pokemon.com", (
        HubPictures("kvpratama/pokemon-images-dataset", "de35c3bb9e8645662991627acba757de56e6e4ab",
                    "data/train-00000-of-00001.parquet"),
    )),
    DataSet("animal_faces", "cats, dogs and wild animals", 14_630, "512x512", "CC BY-NC 4.0",
            "https://github.com/clovaai/stargan-v2", (KaggleFolder("andrewmvd/animal-faces", 1, "afhq/train"),)),
    DataSet("dogs", "photographs of 120 breeds", 20_580, "any", "research only",
            "http://vision.stanford.edu/aditya86/ImageNetDogs/",
            (KaggleFolder("jessicali9530/stanford-dogs-dataset", 2, "images/Images"),)),
    DataSet("anime", "anime characters' faces", 21_551, "64x64", "unclear", "http://www.getchu.com", (
        HubPictures("huggan/anime-faces", "67ebcf8c69b45feb3883d695f04227078a6c9da9", "data.zip",
                    "b50c3f2e1bbad0d119f8c5748a0d01138cb56152fb8997ce5c8b139129bf3c23"),
    )),
    DataSet("celeba", "celebrities' faces", 202_599, "178x218", "research only",
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
            (KaggleFolder("jessicali9530/celeba-dataset", 2, "img_align_celeba/img_align_celeba"),)),
)}
# fmt: on


def here(data: DataSet, folder: Path) -> str:
    """Where on this disk a data set is."""
    if not data.sources:
        return "embedded"
    if own_files(data, folder):
        return "the data folder"
    whole = all(source.cached() for source in data.sources)
    return f"{data.sources[0].who}'s cache" if whole else "not yet"


def table(folder: Path) -> str:
    """The registry for a terminal, with what is on this disk."""
    rows = [("name", "images", "size", "licence", "downloaded from", "on this disk")]
    for data in DATASETS.values():
        origin = f"{data.sources[0].who} {data.sources[0].name}" if data.sources else "-"
        rows.append((data.name, f"{data.images:,}", data.size, data.licence, origin, here(data, folder)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def markdown() -> str:
    """The registry as the table of data/README.md."""
    lines = ["| `--dataset` | what | images | size | licence | downloaded from |", "|" + " --- |" * 6]
    for data in DATASETS.values():
        origin = [f"{source.who} [{source.name}]({source.url}), {source.version}" for source in data.sources]
        cells = [f"[`{data.name}`]({data.page})", data.what, f"{data.images:,}", data.size, data.licence]
        lines.append(f"| {' | '.join([*cells, '; '.join(origin) or 'embedded'])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gan_tf.data", description="Lists the data sets.")
    parser.add_argument("--data-dir", help="the folder to look into for files of your own")
    parser.add_argument("--markdown", action="store_true", help="print the table of data/README.md")
    options = parser.parse_args()
    print(markdown() if options.markdown else table(data_dir(options.data_dir)))


if __name__ == "__main__":
    main()
