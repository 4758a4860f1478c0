"""Where gan_tf caches files, and how it writes them: whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """Keras's folder for data sets. Downloads and decoded pictures go there too; it is safe to delete."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` if the block succeeds.

    The block may write a file or a folder there. A file replaces an older one; a folder does not, and raises OSError.

    However the program ends, `path` is either absent, unchanged or complete. A killed process leaves its temporary
    file behind; `remove_partial_files` finds it.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        remove(temporary)


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
