"""Load a folder of pictures: decode them once on all cores, then memory-map the result.

The decoded pixels lie in the cache, in a folder whose name is a hash of everything that they depend on. That folder is
written under a temporary name and renamed when it is complete.
"""

import collections
import dataclasses
import errno
import hashlib
import json
import math
import os
import shutil
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from gan_tf.common.errors import InputError
from gan_tf.common.files import cache_folder, working_folder
from gan_tf.config import Config
from gan_tf.data.decoding import (
    SUFFIXES,
    Failed,
    attempt,
    is_grey,
    map_in_order,
    parse_colour,
    pillow_warnings,
    read_picture,
    write_pixels,
)
from gan_tf.data.images import ImageDataset, rows_with_labels

FORMAT = 1  # Part of the cache key. Increase it when the same pictures decode to different pixels.


class File(NamedTuple):
    """A picture file in the folder."""

    name: str  # relative to the folder, with / as separator
    size: int  # in bytes; -1 if the name leads to no regular file
    changed: int  # modification time in nanoseconds

    @property
    def label(self) -> str:
        """The top-level subfolder that the file is in, or "" if it is in none."""
        return self.name.split("/")[0] if "/" in self.name else ""


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A folder's entry in the cache."""

    pixels: np.ndarray  # uint8 (N, height, width, channels), read-only and memory-mapped
    fingerprint: str  # SHA-256 of the pixels
    bad: dict[str, str]  # name of each file that cannot be read -> reason
    duplicate_of: dict[str, str]  # name of each exact copy -> name of the first file with the same bytes


def load_folder(path: str | Path, config: Config, name: str = "") -> ImageDataset:
    """Load all pictures in a folder and its subfolders, sorted by path.

    Images are uint8 (N, height, width, channels): with config.alpha 4 channels, otherwise 1 if all pictures are grey
    and 3 if not. Hidden files and files without a picture's suffix are ignored. Unreadable files and exact copies are
    skipped and listed in `skipped`.

    The labels are the names of the top-level subfolders, and config.label filters by them. If pictures lie outside
    of subfolders and are not filtered out, there are no labels.

    Args:
        path: the folder; ~ is expanded.
        config: image_size, fit, background, alpha, label and max_bad are used.
        name: of the data set; by default the folder's.

    Raises InputError for a folder that is missing, unreadable or without pictures, for an unknown label, for more
    than config.max_bad unreadable files, for config.alpha if no picture is transparent, and for a cache that cannot be
    written.
    """
    parse_colour(config.background)
    folder = Path(path).expanduser()
    files, unvisited = find_pictures(folder)
    name = name or folder.resolve().name
    files, label_names = filter_files(files, config.label, name)
    entry = cache_folder() / "gan_tf" / cache_key(folder, files, config)
    decoded = read_cache(entry) or build_cache(entry, folder, files, config)
    check_usable(folder, files, decoded.bad, decoded.duplicate_of, config)
    copies = {copy: f"duplicate of {first}" for copy, first in decoded.duplicate_of.items()}
    reasons = decoded.bad | unvisited | copies
    # File names can contain bytes that are not text and cannot be printed.
    skipped = tuple(f"{file}: {why}".encode(errors="backslashreplace").decode() for file, why in reasons.items())
    if skipped:
        few = "; ".join(skipped[:3]) + ("; ..." if len(skipped) > 3 else "")
        print(f"gan_tf: skipped {len(skipped):,} of {len(files):,} files in {folder}: {few}", file=sys.stderr)
    kept = [file.label for file in files if file.name not in reasons]
    label_names = label_names if all(kept) else ()
    labels = np.array([label_names.index(label) for label in kept]) if label_names else None
    return ImageDataset(name, decoded.pixels, labels, str(folder.resolve()), label_names, skipped, decoded.fingerprint)


def find_pictures(folder: Path) -> tuple[list[File], dict[str, str]]:
    """The picture files in a folder and its subfolders, sorted by name; and subfolder -> reason for each one that was
    not visited. Raises InputError if there are no pictures."""
    if not os.path.isdir(folder):
        why = "is a file" if os.path.exists(folder) else "does not exist"
        raise InputError(f"{folder} {why}; name a folder of pictures.")
    files, unvisited, others = [], {}, collections.Counter()
    visited = {str(folder.resolve()), *map(str, folder.resolve().parents)}

    def skip_folder(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(f"The folder {folder} cannot be read ({error.strerror}); name one that you can read.")
        unvisited[Path(error.filename).relative_to(folder).as_posix()] = str(error.strerror)

    for current, subfolders, names in os.walk(folder, onerror=skip_folder, followlinks=True):
        prefix = "" if Path(current) == folder else Path(current).relative_to(folder).as_posix() + "/"
        subfolders[:], repeated = unvisited_subfolders(current, subfolders, visited)
        unvisited |= {prefix + name: "link to a folder that is already included" for name in repeated}
        for name in [name for name in names if not is_hidden(name)]:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES:
                files.append(picture_file(os.path.join(current, name), prefix + name))
            else:
                others[suffix or "without a suffix"] += 1
    if not files:
        contents = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        raise InputError(
            f"{folder} contains no pictures ({', '.join(SUFFIXES)})"
            + (f", only {contents}" if contents else " and no other files")
            + "; name a folder of pictures."
        )
    return sorted(files), unvisited


def unvisited_subfolders(folder: str, names: list[str], visited: set[str]) -> tuple[list[str], list[str]]:
    """Split the subfolders of `folder` into those to visit and those visited already: following a link back to one
    would never end. Adds the real paths of the former to `visited`."""
    new, repeated = [], []
    # Links last, so that the label of a folder that is also linked to is its own name.
    is_link = {name: os.path.islink(os.path.join(folder, name)) for name in names if not is_hidden(name)}
    for name in sorted(is_link, key=lambda name: (is_link[name], name)):
        real = os.path.realpath(os.path.join(folder, name))
        (repeated if real in visited else new).append(name)
        visited.add(real)
    return new, repeated


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def picture_file(path: str, name: str) -> File:
    # A name that leads to no regular file is a broken link, or a FIFO: opening one would block.
    status = os.stat(path) if os.path.isfile(path) else None
    return File(name, status.st_size, status.st_mtime_ns) if status else File(name, -1, 0)


def filter_files(files: list[File], wanted: tuple[str, ...], name: str) -> tuple[list[File], tuple[str, ...]]:
    """The files with one of the wanted labels, or all if none are wanted; and the names of all labels. Raises
    InputError for an unknown label."""
    label_names = tuple(sorted({file.label for file in files} - {""}))
    if not wanted:
        return files, label_names
    # Files without a label get the index -1, which no label has.
    labels = np.array([label_names.index(file.label) if file.label else -1 for file in files])
    rows = rows_with_labels(name, labels if label_names else None, label_names, wanted)
    return [files[row] for row in rows], label_names


def cache_key(folder: Path, files: list[File], config: Config) -> str:
    """A hash of everything that the pixels depend on."""
    options = [FORMAT, config.image_size, config.fit, parse_colour(config.background)]
    options += ["alpha"] if config.alpha else []  # Without it, the keys stay those of older caches.
    return hashlib.sha256(json.dumps([str(folder.resolve()), options, files]).encode()).hexdigest()[:32]


def read_cache(entry: Path) -> Decoded | None:
    """The cache entry in this folder, or None if it is absent or damaged."""
    try:
        info = json.loads((entry / "info.json").read_text())
        if os.path.getsize(entry / "pixels.npy") != info.pop("bytes"):
            return None
        return Decoded(np.load(entry / "pixels.npy", mmap_mode="r", allow_pickle=False), **info)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None


def build_cache(entry: Path, folder: Path, files: list[File], config: Config) -> Decoded:
    """Decode the files into the cache entry. If that fails, nothing is left behind. Raises InputError."""
    cache = entry.parent
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with working_folder(cache) as temporary:
            new = temporary / "entry"
            new.mkdir()
            decode(new, folder, files, config)
            try:
                os.rename(new, entry)
            except OSError:  # There is one already: a faster process has made it, or it is damaged.
                if read_cache(entry) is None:
                    os.rename(entry, temporary / "damaged")
                    os.rename(new, entry)
        if decoded := read_cache(entry):
            return decoded
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    except OSError as error:
        megabytes = math.ceil(len(files) * (4 if config.alpha else 3) * math.prod(config.sides) / 1e6)
        raise InputError(
            f"{cache} has to hold up to {megabytes:,} MB of decoded pictures, but cannot ({error.strerror}); make room "
            "there, or set the environment variable KERAS_HOME to another folder."
        ) from error


def decode(new: Path, folder: Path, files: list[File], config: Config) -> None:
    """Write pixels.npy and info.json into `new`, with few pictures in memory. Raises InputError and OSError."""
    # Threads suffice: Pillow releases the global interpreter lock while it decodes and resizes. Processes were not
    # faster.
    with pillow_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        grey = dict(zip(files, map_in_order(pool, lambda file: read_header(folder, file), files), strict=True))
        bad = {file.name: result.reason for file, result in grey.items() if isinstance(result, Failed)}
        duplicate_of = find_duplicates(pool, folder, [file for file in files if file.name not in bad])
        check_usable(folder, files, bad, duplicate_of, config)
        kept = [file for file in files if file.name not in bad and file.name not in duplicate_of]
        channels = 4 if config.alpha else 1 if all(grey[file] for file in kept) else 3
        shape = (len(kept), *config.sides, channels)
        if shutil.disk_usage(new).free < math.prod(shape):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        print(f"Decoding {len(kept):,} pictures into {new.parent.parent} (only this once)")
        pictures = map_in_order(pool, lambda file: attempt(read_picture, folder / file.name, channels, config), kept)
        shown = tqdm(pictures, total=len(kept), unit=" pictures", mininterval=0.5, file=sys.stdout)
        fingerprint, failures = write_pixels(new / "pixels.npy", shown, shape)
    bad = dict(sorted({**bad, **{kept[row].name: reason for row, reason in failures.items()}}.items()))
    check_usable(folder, files, bad, duplicate_of, config)
    if config.alpha and np.load(new / "pixels.npy", mmap_mode="r")[..., 3].min() == 255:
        raise InputError(f"--alpha learns transparency, but all pictures in {folder} are opaque: leave --alpha out.")
    size = os.path.getsize(new / "pixels.npy")
    info = {"bytes": size, "fingerprint": fingerprint, "bad": bad, "duplicate_of": duplicate_of}
    (new / "info.json").write_text(json.dumps(info))


def read_header(folder: Path, file: File) -> bool | Failed:
    """Whether a picture is grey, or why it cannot be read."""
    if file.size <= 0:
        return Failed("empty file" if file.size == 0 else "broken link or special file")
    return attempt(is_grey, folder / file.name)


def find_duplicates(pool: Executor, folder: Path, files: list[File]) -> dict[str, str]:
    """Name of each file whose bytes equal those of an earlier one -> name of the first such file."""

    def sha256(file: File) -> bytes:
        return hashlib.sha256((folder / file.name).read_bytes()).digest()

    sizes = collections.Counter(file.size for file in files)
    candidates = [file for file in files if sizes[file.size] > 1]  # Files of a unique size need not be read.
    first: dict[bytes, str] = {}
    duplicate_of = {}
    for file, digest in zip(
        candidates, map_in_order(pool, lambda file: attempt(sha256, file), candidates), strict=True
    ):
        if not isinstance(digest, Failed) and first.setdefault(digest, file.name) != file.name:
            duplicate_of[file.name] = first[digest]
    return duplicate_of


def check_usable(
    folder: Path, files: list[File], bad: dict[str, str], duplicate_of: dict[str, str], config: Config
) -> None:
    """Raise InputError if more than a share config.max_bad of the distinct files is bad, or fewer than 2 are good."""
    distinct = len(files) - len(duplicate_of)
    examples = "; ".join(f"{name}: {why}" for name, why in list(bad.items())[:3])
    if len(bad) > config.max_bad * distinct:
        raise InputError(
            f"{len(bad)} of {distinct} pictures in {folder} cannot be read ({examples}); remove them, or raise "
            f"--max-bad above {config.max_bad:g}."
        )
    if distinct - len(bad) < 2:
        raise InputError(
            f"{folder} contains fewer than 2 distinct pictures that can be read; add some, or name another folder."
        )
