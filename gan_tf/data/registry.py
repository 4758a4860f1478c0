"""The named data sets: load one by its name, or a folder of pictures by its path. List them: python -m gan_tf.data"""

import argparse
import dataclasses
import difflib
import os
from collections.abc import Callable
from pathlib import Path

from gan_tf.common.errors import InputError
from gan_tf.config import Config, is_path, preset_config
from gan_tf.data.clusters import with_clusters
from gan_tf.data.folder import load_folder
from gan_tf.data.grey import Reader, load_grey, read_digits, read_idx, read_letters, read_npz
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.data.sources import HubFile, HubPictures, KaggleFolder, KerasFile, Source, Unavailable


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What is known about a data set before it is loaded."""

    name: str
    description: str
    images: int
    size: str  # width and height of the files' images, in pixels
    licence: str  # of the images, in a word or two; data/README.md has the details
    page: str  # the web page that describes it
    sources: tuple[Source, ...] = ()  # of its files; empty if it is embedded
    read: Reader | None = None  # grey sets only: reads the files
    labels: tuple[str, ...] = ()  # grey sets only: the names of the labels; a folder's labels are its subfolders


def load(config: Config) -> ImageDataset:
    """The images of config.dataset with the labels config.label: uint8 (N, *config.sides, channels).

    Raises:
        Unavailable: if the data set is neither on this disk nor can be downloaded.
        InputError: for unknown names and labels, unusable files, and too few images for one step.
    """
    if is_path(config.dataset):
        dataset = load_folder(Path(config.dataset), config)
    elif config.dataset in DATASETS:
        dataset = load_named(DATASETS[config.dataset], config)
    else:
        nearest = difflib.get_close_matches(config.dataset.lower(), DATASETS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"There is no data set {config.dataset!r} (did you mean {nearest}?); use one of {', '.join(DATASETS)}, or "
            "the path of a folder of pictures."
        )
    if config.clusters:
        dataset = with_clusters(dataset, config)
    if config.told:
        _ = dataset.classes  # Raises if there are too few.
    needed = config.batch_size * config.d_steps
    training, held_out = train_holdout_split(dataset, config)
    if len(training) < needed:
        raise InputError(
            f"{dataset.name} has {len(training)} images to train on"
            + (f" ({len(held_out)} more are held out)" if len(held_out) else "")
            + f", fewer than the {needed} of one step (--batch-size {config.batch_size} times --d-steps "
            f"{config.d_steps}); use a --batch-size of at most {len(training) // config.d_steps}."
        )
    return dataset


def load_or_fallback(
    config: Config, fallback_config: Callable[[str], Config] = preset_config
) -> tuple[Config, ImageDataset, str | None]:
    """`load(config)`, or an embedded data set if that one is Unavailable: digits for a grey set, creatures for others.

    Args:
        config: what to load.
        fallback_config: makes the Config of the embedded set from its name. Its dataset and label are overwritten:
            of config.label, the labels that the embedded set has are kept.

    Returns:
        The Config that was loaded, its images, and None; or, with a fallback, a message that says why and which.

    Raises InputError as `load` does. If the fallback cannot be loaded either, the error starts with that message.
    """
    try:
        return config, load(config), None
    except Unavailable as error:
        fallback = DATASETS["digits" if DATASETS[config.dataset].labels else "creatures"]
        message = f"{error}\nUsing {fallback.name} instead: {fallback.description}."
    # The registry lists no labels for creatures, so falling back to them always means all species.
    labels = tuple(name for name in config.label if name in fallback.labels)
    config = fallback_config(fallback.name)
    told = config.conditional and len(labels) != 1  # Of one label, there is nothing to tell.
    config = dataclasses.replace(config, dataset=fallback.name, label=labels, conditional=told)
    try:
        return config, load(config), message
    except InputError as error:
        raise InputError(f"{message}\n{error}") from error


def load_named(data: DataSet, config: Config) -> ImageDataset:
    """A data set from the data folder if its files are there, else the embedded or downloaded one."""
    if config.alpha and data.labels:
        raise InputError(f"--alpha learns transparency, but {data.name} is grey and opaque: leave --alpha out.")
    folder = data_dir(config.data_dir)
    own = own_files(data, folder)
    if own and own.suffix == ".npz":
        return load_grey(data.name, data.labels, [own], read_npz, config)
    if own:
        return load_folder(own, config, data.name)
    if data.name == "creatures":
        from gan_tf.data.creatures import load_creatures

        return load_creatures(config)
    try:
        paths = [source.get() for source in data.sources]
    except Unavailable as error:
        expected = folder / (f"{data.name}.npz" if data.labels else data.name)
        raise Unavailable(f"There is no {expected}, and {error}") from error
    if data.read:
        return load_grey(data.name, data.labels, paths, data.read, config)
    return load_dogs(paths[0], config) if data.name == "dogs" else load_folder(paths[0], config, data.name)


def own_files(data: DataSet, folder: Path) -> Path | None:
    """<name>/ or, for a grey set, <name>.npz in the data folder; None if there is neither. Embedded sets are never
    looked for, so nothing in the data folder replaces them."""
    if not data.sources:
        return None
    candidates = [folder / data.name, *([folder / f"{data.name}.npz"] if data.labels else [])]
    return next((path for path in candidates if path.exists()), None)


def data_dir(option: str | None) -> Path:
    """The data folder: the option, else the environment variable GAN_TF_DATA, else data."""
    return Path(option or os.environ.get("GAN_TF_DATA") or "data")


def load_dogs(path: Path, config: Config) -> ImageDataset:
    """A folder with subfolders like n02085620-Chihuahua, whose labels are the part after the first hyphen."""
    folders = {folder.name.partition("-")[2]: folder.name for folder in path.iterdir()}
    wanted = tuple(folders.get(label, label) for label in config.label)
    dataset = load_folder(path, dataclasses.replace(config, label=wanted), "dogs")
    return dataclasses.replace(dataset, label_names=tuple(name.partition("-")[2] for name in dataset.label_names))


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


def location(data: DataSet, folder: Path) -> str:
    """Where a data set is on this disk, for a person to read."""
    if not data.sources:
        return "embedded"
    if own_files(data, folder):
        return "the data folder"
    complete = all(source.cached() for source in data.sources)
    return f"{data.sources[0].host}'s cache" if complete else "not yet"


def terminal_table(folder: Path) -> str:
    """The registry as text with aligned columns, and where each data set is on this disk."""
    rows = [("name", "images", "size", "licence", "downloaded from", "on this disk")]
    for data in DATASETS.values():
        origin = f"{data.sources[0].host} {data.sources[0].name}" if data.sources else "-"
        rows.append((data.name, f"{data.images:,}", data.size, data.licence, origin, location(data, folder)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def markdown_table() -> str:
    """The registry as the table in data/README.md."""
    lines = ["| `--dataset` | what | images | size | licence | downloaded from |", "|" + " --- |" * 6]
    for data in DATASETS.values():
        origins = [f"{source.host} [{source.name}]({source.url}), {source.version}" for source in data.sources]
        cells = [f"[`{data.name}`]({data.page})", data.description, f"{data.images:,}", data.size, data.licence]
        lines.append(f"| {' | '.join([*cells, '; '.join(origins) or 'embedded'])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gan_tf.data", description="List the data sets.")
    parser.add_argument("--data-dir", help="the folder with your own data files (default: GAN_TF_DATA, else data)")
    parser.add_argument("--markdown", action="store_true", help="print the table in data/README.md")
    options = parser.parse_args()
    print(markdown_table() if options.markdown else terminal_table(data_dir(options.data_dir)))
