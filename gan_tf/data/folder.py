"""A folder of pictures -> `Images`: decoded once on all cores, and from then on a memory-mapped file.

That file lies, with a small info.json, in the cache under a key made of all that it depends on. The two are written
beside their place and then renamed as one, so that what is there is whole.
"""

import collections
import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.common.files import cache_folder
from gan_tf.config import Config
from gan_tf.data.decoding import (
    SUFFIXES,
    colour,
    in_order,
    is_grey,
    or_reason,
    pillow_warnings,
    read_square,
    write_squares,
)
from gan_tf.data.images import ImageDataset

FORMAT = 1  # Of what lies in the cache; one more whenever the same pictures would become other pixels.


class File(NamedTuple):
    """A picture file in the folder."""

    name: str  # its path from there, with / between the parts
    size: int  # in bytes; -1 where the name leads to no file
    changed: int  # when, in nanoseconds

    @property
    def label(self) -> str:
        """The first folder on the way to it, or "" where there is none."""
        return self.name.split("/")[0] if "/" in self.name else ""


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What the cache holds of a folder."""

    pixels: np.ndarray  # uint8 (N, image_size, image_size, 1 or 3), read-only and memory-mapped
    fingerprint: str  # SHA-256 of the pixels
    bad: dict[str, str]  # name -> reason of each file that cannot be read
    same: dict[str, str]  # name -> the name before it that holds the same bytes


def load_folder(path: Path, config: Config, name: str = "") -> ImageDataset:
    """All pictures in a folder and in the folders in it, in the order of their names, as one size and one channel
    (where all of them are grey) or three. Hidden files, and those not named like pictures, are passed over.

    Labels are the names of the folders in `path`, and config.label chooses among them. Where pictures lie in `path`
    itself and are not left out by that choice, there are no labels, as theirs would be unknown. A picture that
    cannot be read, or was there before, byte for byte, is left out and named. Raises InputError.
    """
    colour(config.background)
    folder = Path(path).expanduser()
    found, passed = find(folder)
    name = name or folder.resolve().name
    files, label_names = choose(found, config.label, name)
    place = cache_folder() / "gan_tf" / key(folder, files, config)
    decoded = cached(place) or make(place, folder, files, config)
    check_usable(folder, files, decoded.bad, decoded.same, config)
    same = {copy: f"the same file as {first}" for copy, first in decoded.same.items()}
    left_out = decoded.bad | passed | same
    # File names may hold bytes that are no text, which could not be printed.
    skipped = tuple(f"{file}: {why}".encode(errors="backslashreplace").decode() for file, why in left_out.items())
    if skipped:
        few = "; ".join(skipped[:3]) + ("; ..." if len(skipped) > 3 else "")
        print(f"gan_tf: {len(skipped):,} of {len(files):,} files in {folder} left out: {few}", file=sys.stderr)
    kept = [file.label for file in files if file.name not in left_out]
    label_names = label_names if all(kept) else ()
    labels = np.array([label_names.index(label) for label in kept]) if label_names else None
    return ImageDataset(name, decoded.pixels, labels, str(folder.resolve()), label_names, skipped, decoded.fingerprint)


def find(folder: Path) -> tuple[list[File], dict[str, str]]:
    """The picture files in a folder, sorted by name; and each folder in it that was not entered, with the reason.
    Raises InputError."""
    if not os.path.isdir(folder):
        why = "is a file" if os.path.exists(folder) else "does not exist"
        raise InputError(f"{folder} {why}; name a folder of pictures.")
    files, passed, others = [], {}, collections.Counter()
    seen = {str(folder.resolve()), *map(str, folder.resolve().parents)}

    def refused(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise InputError(f"The folder {folder} cannot be read ({error.strerror}); name one that can be.")
        passed[Path(error.filename).relative_to(folder).as_posix()] = error.strerror

    for here, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        prefix = "" if Path(here) == folder else Path(here).relative_to(folder).as_posix() + "/"
        folders[:], again = enter(here, folders, seen)
        passed |= {prefix + name: "a link to a folder that is read anyway" for name in again}
        for name in [name for name in names if not hidden(name)]:
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES:
                files.append(stat(os.path.join(here, name), prefix + name))
            else:
                others[suffix or "without an ending"] += 1
    if not files:
        held = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5)) or "nothing"
        raise InputError(f"{folder} holds no pictures, that is, files named {', '.join(SUFFIXES)}; it holds {held}.")
    return sorted(files), passed


def enter(here: str, folders: list[str], seen: set[str]) -> tuple[list[str], list[str]]:
    """Which of the folders in `here` to enter, and which not again: to follow a link that leads back would never
    end. Adds to `seen`, the real paths of all that are entered."""
    first, again = [], []
    # Links last, so that a folder that is there itself gives its own name as the label.
    links = {name: os.path.islink(os.path.join(here, name)) for name in folders if not hidden(name)}
    for name in sorted(links, key=lambda name: (links[name], name)):
        real = os.path.realpath(os.path.join(here, name))
        (again if real in seen else first).append(name)
        seen.add(real)
    return first, again


def hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def stat(path: str, name: str) -> File:
    # Else it is a link to nowhere, or a pipe, which to open would take forever.
    status = os.stat(path) if os.path.isfile(path) else None
    return File(name, status.st_size, status.st_mtime_ns) if status else File(name, -1, 0)


def choose(files: list[File], wanted: tuple[str, ...], name: str) -> tuple[list[File], tuple[str, ...]]:
    """The files with these labels, or all where none are wanted; and the names of all labels. Raises InputError."""
    label_names = tuple(sorted({file.label for file in files} - {""}))
    if not wanted:
        return files, label_names
    # -1 is no label's position, so that files without one are never chosen.
    labels = np.array([label_names.index(file.label) if file.label else -1 for file in files])
    rows = ImageDataset(name, np.arange(len(files)), labels if label_names else None, "", label_names).choose(wanted)
    return [files[row] for row in rows.images], label_names


def key(folder: Path, files: list[File], config: Config) -> str:
    """A name for all that the pixels depend on."""
    options = [FORMAT, config.image_size, config.fit, colour(config.background)]
    return hashlib.sha256(json.dumps([str(folder.resolve()), options, files]).encode()).hexdigest()[:32]


def cached(place: Path) -> Decoded | None:
    """What lies in the cache; None where nothing does, or something that is not whole."""
    try:
        info = json.loads((place / "info.json").read_text())
        if os.path.getsize(place / "pixels.npy") != info.pop("bytes"):
            return None
        return Decoded(np.load(place / "pixels.npy", mmap_mode="r", allow_pickle=False), **info)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None


def make(place: Path, folder: Path, files: list[File], config: Config) -> Decoded:
    """Decode the files into the cache, or leave nothing there. Raises InputError."""
    base = place.parent
    try:
        base.mkdir(parents=True, exist_ok=True)
        for leftover in base.glob(".new-*"):  # Of a process that was killed; none takes longer than a day.
            with contextlib.suppress(FileNotFoundError):
                if leftover.stat().st_mtime < time.time() - 24 * 60 * 60:
                    shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=base) as temporary:
            new = Path(temporary, "whole")
            new.mkdir()
            decode(new, folder, files, config)
            try:
                os.rename(new, place)
            except OSError:  # There is one: by a process that was quicker, or one that is not whole.
                if cached(place) is None:
                    os.rename(place, Path(temporary, "damaged"))
                    os.rename(new, place)
        return cached(place)
    except OSError as error:
        needed = math.ceil(len(files) * 3 * config.image_size**2 / 1e6)
        raise InputError(
            f"{base} must hold up to {needed:,} MB of decoded pictures, but cannot ({error.strerror}); make room "
            "there, or set the environment variable KERAS_HOME to another folder."
        ) from error


def decode(new: Path, folder: Path, files: list[File], config: Config) -> None:
    """Write pixels.npy and info.json into `new`, with few pictures in memory. Raises InputError and OSError."""
    # Threads, as Pillow lets go of Python's lock while it decodes and resizes. Processes were not faster.
    with pillow_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        grey = dict(zip(files, pool.map(lambda file: header(folder, file), files), strict=True))
        bad = {file.name: why for file, why in grey.items() if isinstance(why, str)}
        same = duplicates(pool, folder, [file for file in files if file.name not in bad])
        check_usable(folder, files, bad, same, config)
        left = [file for file in files if file.name not in bad and file.name not in same]
        channels = 1 if all(grey[file] for file in left) else 3
        shape = (len(left), config.image_size, config.image_size, channels)
        if shutil.disk_usage(new).free < math.prod(shape):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        print(f"Decoding {len(left):,} pictures, once, into {new.parent.parent}")
        squares = in_order(pool, lambda file: or_reason(read_square, folder / file.name, channels, config), left)
        fingerprint, unread = write_squares(new / "pixels.npy", squares, shape)
    bad = dict(sorted({**bad, **{left[row].name: why for row, why in unread.items()}}.items()))
    check_usable(folder, files, bad, same, config)
    size = os.path.getsize(new / "pixels.npy")
    info = {"bytes": size, "fingerprint": fingerprint, "bad": bad, "same": same}
    (new / "info.json").write_text(json.dumps(info))


def header(folder: Path, file: File) -> bool | str:
    """Whether a picture is grey; or, as a str, why it cannot be read."""
    if file.size <= 0:
        return "it is empty" if file.size == 0 else "it leads to no file"
    return or_reason(is_grey, folder / file.name)


def duplicates(pool: Executor, folder: Path, files: list[File]) -> dict[str, str]:
    """The name of each file that holds the bytes of one before it -> the name of that one."""

    def sha256(file: File) -> bytes:
        return hashlib.sha256((folder / file.name).read_bytes()).digest()

    sizes = collections.Counter(file.size for file in files)
    alike = [file for file in files if sizes[file.size] > 1]  # None of the others need be read.
    first, same = {}, {}
    for file, digest in zip(alike, pool.map(lambda file: or_reason(sha256, file), alike), strict=True):
        if isinstance(digest, bytes) and first.setdefault(digest, file.name) != file.name:
            same[file.name] = first[digest]
    return same


def check_usable(folder: Path, files: list[File], bad: dict[str, str], same: dict[str, str], config: Config) -> None:
    """Raises InputError where more than config.max_bad of the different files are bad, or fewer than 2 are good."""
    different = len(files) - len(same)
    named = "; ".join(f"{name}: {why}" for name, why in list(bad.items())[:3])
    if len(bad) > config.max_bad * different:
        raise InputError(
            f"{len(bad)} of {different} pictures in {folder} cannot be read ({named}); remove them, or allow a larger "
            f"share than --max-bad {config.max_bad:g}."
        )
    if different - len(bad) < 2:
        raise InputError(
            f"{folder} holds {different - len(bad)} different pictures that can be read, but to learn from takes 2."
        )
