"""What the public data sets are downloaded by, and how their files are read: with no trust in what comes.

A source names one version of its files, by a hash, a commit or a version number. The field's own clients download it
into their own caches; whatever stops them, only what is whole is used.
"""

import dataclasses
import errno
import gzip
import hashlib
import importlib
import io
import os
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.common.files import cache_folder


class Unavailable(InputError):
    """The data set exists, but could be had neither from this disk nor from the network."""


class Source:
    """Where files come from. `cached` gives the path on this disk of what is there and whole, or None; `fetch`
    downloads it, and raises whatever its client does."""

    who: str  # whose client downloads them, into whose cache
    site: str  # what the addresses there begin with
    name: str  # what this one ends with

    @property
    def url(self) -> str:
        return self.site + self.name

    def get(self) -> Path:
        """The path on this disk, after a download where need be. Raises Unavailable, or InputError for the disk."""
        try:
            return self.cached() or self.fetch()
        except InputError:
            raise
        except Exception as error:  # urllib, requests, httpx, ssl, sockets, the disk, a hash: clients pass on all.
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise InputError(
                    f"{self.url} cannot be saved ({said(error)}); make room for {self.who}'s cache (data/README.md)."
                ) from error
            raise Unavailable(f"{self.url} could not be downloaded ({said(error)}).") from error


@dataclasses.dataclass(frozen=True)
class KerasFile(Source):
    """A file that Keras itself offers, in a folder of its cache."""

    name: str
    sha256: str
    folder: str = ""
    who, site = "Keras", "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
    version = "SHA-256"

    @property
    def path(self) -> Path:
        return cache_folder() / self.folder / self.name

    def cached(self) -> Path | None:
        return self.path if self.path.exists() and sha256(self.path) == self.sha256 else None

    def fetch(self) -> Path:
        import keras

        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(20)  # Seconds. Keras sets none: a network that swallows packets would hold us forever.
        try:
            with tempfile.TemporaryDirectory(dir=self.path.parent) as beside:
                options = {"file_hash": self.sha256, "cache_dir": beside, "cache_subdir": ""}
                os.replace(keras.utils.get_file(self.name, self.url, **options), self.path)
        finally:
            socket.setdefaulttimeout(before)
        return self.path


@dataclasses.dataclass(frozen=True)
class HubFile(Source):
    """A file of one commit in a data set's repository on Hugging Face."""

    name: str
    commit: str
    file: str
    sha256: str = ""  # where it is known; the commit alone has to do else
    who, site = "Hugging Face", "https://huggingface.co/datasets/"

    @property
    def version(self) -> str:
        return f"commit {self.commit[:7]}" + (", SHA-256" if self.sha256 else "")

    def there(self) -> Path | None:
        """Where the client has the file already, whole or not."""
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            return None
        path = try_to_load_from_cache(self.name, self.file, revision=self.commit, repo_type="dataset")
        return Path(path) if isinstance(path, str) else None

    def cached(self) -> Path | None:
        path = self.there()
        return path if path and self.sha256 in ("", sha256(path)) else None

    def fetch(self) -> Path:
        hub = client("huggingface_hub")
        if damaged := self.there():  # It would be given back as it is.
            damaged.resolve().unlink()
            damaged.unlink(missing_ok=True)
        path = Path(hub.hf_hub_download(self.name, self.file, revision=self.commit, repo_type="dataset"))
        found = sha256(path)
        if self.sha256 not in ("", found):
            raise Unavailable(f"{self.url} sent {self.file} with the SHA-256 {found} instead of {self.sha256}.")
        return path


@dataclasses.dataclass(frozen=True)
class HubPictures(HubFile):
    """The folder that the pictures in a .zip or .parquet file on Hugging Face are unpacked into, once."""

    @property
    def folder(self) -> Path:
        return cache_folder() / "gan_tf" / f"{self.name.replace('/', '-')}-{self.commit[:7]}"

    def cached(self) -> Path | None:
        return self.folder if self.folder.is_dir() else None

    def fetch(self) -> Path:
        archive = super().cached() or super().fetch()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=self.folder.parent) as temporary:
            unpack(archive, Path(temporary, "whole"))
            if not self.cached():  # Another process may have been quicker.
                os.rename(Path(temporary, "whole"), self.folder)
        return self.folder


@dataclasses.dataclass(frozen=True)
class KaggleFolder(Source):
    """A folder in one version of a data set on Kaggle."""

    name: str
    number: int
    inside: str
    who, site = "Kaggle", "https://www.kaggle.com/datasets/"

    @property
    def version(self) -> str:
        return f"version {self.number}"

    @property
    def base(self) -> Path:
        # As kagglehub has it, but to import that takes a second.
        return Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub", "datasets", self.name)

    def cached(self) -> Path | None:
        folder = self.base / "versions" / str(self.number) / self.inside
        return folder if (self.base / f"{self.number}.complete").exists() and folder.is_dir() else None

    def fetch(self) -> Path:
        kagglehub = client("kagglehub")
        try:
            path = kagglehub.dataset_download(f"{self.name}/versions/{self.number}")
        except (ValueError, zipfile.BadZipFile, zlib.error):  # What came is no archive: nothing to go on with.
            (self.base / f"{self.number}.archive").unlink(missing_ok=True)
            raise
        if not Path(path, self.inside).is_dir():
            raise InputError(f"{path} has no folder {self.inside}; remove it to get it again.")
        return Path(path, self.inside)


def said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def client(name: str):
    """An optional package. Raises Unavailable where it is not installed, as then there is no way to the network."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(
            f"to download it takes {name.partition('.')[0]}, which is not installed; install it by python -m pip "
            'install -e ".[hub]" in the folder of gan_tf\'s repository.'
        ) from error


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Write the pictures in a .zip or .parquet file into a new folder. Raises InputError, and OSError for the disk."""
    folder.mkdir()
    pictures = pictures_in_zip(archive) if archive.suffix == ".zip" else pictures_in_parquet(archive)
    try:
        for number, picture in enumerate(pictures):
            # Under names of our own: those in the archive could lead anywhere.
            (folder / f"{number:06}.png").write_bytes(picture)
    except (OSError, InputError):
        raise
    except Exception as error:  # zipfile, zlib and pyarrow each have their own for a file that they cannot read.
        # The file itself, and not the client's link to it, which would be made again without a download.
        raise InputError(f"{archive.resolve()} cannot be used ({said(error)}); remove it to get it again.") from error


def pictures_in_zip(path: Path) -> Iterator[bytes]:
    """The bytes of each picture in an archive; of several with the same name, which are copies, the first."""
    with zipfile.ZipFile(path) as archive:
        first = {}
        for path in archive.namelist():
            name = path.rpartition("/")[2]
            if name.lower().endswith((".png", ".jpg", ".jpeg")) and not name.startswith("."):
                first.setdefault(name, path)
        yield from map(archive.read, first.values())


def pictures_in_parquet(path: Path) -> Iterator[bytes]:
    """The bytes of each picture in the column `image`, where Hugging Face keeps bytes and, not used here, paths."""
    for row in client("pyarrow.parquet").read_table(path, columns=["image"])["image"]:
        yield row["bytes"].as_py()


def read_idx(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, from files in MNIST's first format whose hashes are right."""
    with gzip.open(images) as x, gzip.open(labels) as y:  # After headers of 16 and 8 bytes.
        return np.frombuffer(x.read()[16:], np.uint8).reshape(-1, 28, 28), np.frombuffer(y.read()[8:], np.uint8)


def read_letters(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28), upright, and labels (N,) from 0 for A on, uint8, from a parquet whose hash is right."""
    from PIL import Image

    pictures = [np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures_in_parquet(path)]
    labels = client("pyarrow.parquet").read_table(path, columns=["label"])["label"].to_numpy()
    # As they were stored column by column, each lies mirrored on its side.
    return np.stack(pictures).swapaxes(1, 2), labels.astype(np.uint8)
