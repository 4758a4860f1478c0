"""Where gan_tf caches files, and how it writes them: whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import filelock


def cache_folder() -> Path:
    """Keras's folder for data sets. Downloads and decoded pictures go there too; it is safe to delete."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


@contextlib.contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` if the block succeeds.

    The block may write a file or a folder there. A file replaces an older one; a folder does not, and raises OSError.

    However the program ends, `path` is either absent, unchanged or complete. A killed process leaves its temporary
    file behind; `remove_partial_files` finds it. If `durable`, a power cut cannot undo or damage what was written, but
    that takes milliseconds: not for thousands of files that are easily made again.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        if durable:
            replace_durably(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        remove(temporary)


def replace_durably(source: Path, target: Path) -> None:
    """Rename a file, or a folder with all that is in it, to `target`. The content reaches the disk before it has that
    name, and the name before this returns (Pillai et al. 2014, "All file systems are not created equal").
    """
    for path in (*source.rglob("*"), source):
        flush(path)
    os.replace(source, target)
    flush(target.parent)


def flush(path: Path) -> None:
    """Write a file, or a folder's list of names, from the operating system's memory to the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":  # Windows flushes no folders.
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # Some network drives cannot flush a folder.
        if not is_folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def remove_partial_files(folder: Path) -> None:
    """Delete the temporary files and folders that killed processes left in `folder` and below. Call it only while you
    hold the folder's lock: a living process's files look the same."""
    for leftover in list(folder.glob("**/.[0-9]*.*")):
        remove(leftover)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder in `parent`, and delete it at the end with all that is still in it. Before, delete
    those that killed processes left there."""
    for leftover in parent.glob(".new-*"):
        remove_if_stale(leftover)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=parent) as temporary:
        lock = filelock.FileLock(Path(temporary, ".lock"))
        with lock:
            yield Path(temporary)


def remove_if_stale(folder: Path) -> None:
    """Delete a `working_folder` that no process holds and that is a day old: a new one is not locked for a moment.
    Age alone would not do, as a clock can jump."""
    with contextlib.suppress(OSError, filelock.Timeout):
        if folder.stat().st_mtime < time.time() - 24 * 60 * 60:
            filelock.FileLock(folder / ".lock").acquire(timeout=0).lock.release()
            shutil.rmtree(folder, ignore_errors=True)
