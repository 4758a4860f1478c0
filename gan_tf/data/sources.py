"""Download the public data sets, each with its host's own client, into that client's cache.

A source pins one version of its files by a hash, a commit or a version number. Nothing that arrives is trusted: a
partial or altered download is never used.
"""

import abc
import dataclasses
import errno
import hashlib
import importlib
import itertools
import os
import socket
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gan_tf.common.errors import InputError
from gan_tf.common.files import cache_folder, working_folder

MOST_BYTES = 2**28  # Of a picture in an archive.


class Unavailable(InputError):
    """The data set exists, but it is not on this disk and could not be downloaded."""


class Source(abc.ABC):
    """One version of a file or folder on a host."""

    host: str  # whose client downloads it, into whose cache
    base_url: str
    name: str  # `base_url` + `name` is its page or file

    @property
    def url(self) -> str:
        return self.base_url + self.name

    @property
    @abc.abstractmethod
    def version(self) -> str:
        """What pins it, for a person to read."""

    @abc.abstractmethod
    def cached(self) -> Path | None:
        """Its path on this disk, or None if it is absent or incomplete."""

    @abc.abstractmethod
    def fetch(self) -> Path:
        """Download it. Raises whatever the client raises."""

    def get(self) -> Path:
        """Its path on this disk, after a download if necessary.

        Raises:
            Unavailable: if it could not be downloaded.
            InputError: if the disk is full or read-only, or the files are unusable.
        """
        try:
            return self.cached() or self.fetch()
        except InputError:
            raise
        except Exception as error:  # Clients pass on errors of urllib, requests, httpx, ssl and sockets unchanged.
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise InputError(
                    f"{self.url} cannot be saved ({message(error)}); make room for {self.host}'s cache "
                    "(data/README.md says where it is)."
                ) from error
            raise Unavailable(f"{self.url} could not be downloaded ({message(error)}).") from error


@dataclasses.dataclass(frozen=True)
class KerasFile(Source):
    """A file that Keras hosts, in a subfolder of Keras's cache."""

    name: str
    sha256: str
    folder: str = ""
    host, base_url = "Keras", "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"

    @property
    def version(self) -> str:
        return "SHA-256"

    @property
    def path(self) -> Path:
        return cache_folder() / self.folder / self.name

    def cached(self) -> Path | None:
        return self.path if self.path.exists() and sha256(self.path) == self.sha256 else None

    def fetch(self) -> Path:
        import keras

        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(20)  # Seconds. Keras sets no timeout, so a network that drops packets would hang us.
        try:
            # In a folder of its own, so that an existing file is replaced only by a complete, verified one.
            with tempfile.TemporaryDirectory(dir=self.path.parent) as temporary:
                file = keras.utils.get_file(
                    self.name, self.url, file_hash=self.sha256, cache_dir=temporary, cache_subdir=""
                )
                os.replace(file, self.path)
        finally:
            socket.setdefaulttimeout(before)
        return self.path


@dataclasses.dataclass(frozen=True)
class HubFile(Source):
    """A file at one commit of a data set's repository on Hugging Face."""

    name: str
    commit: str
    file: str
    sha256: str = ""  # if the publisher states none, only the commit pins the file
    host, base_url = "Hugging Face", "https://huggingface.co/datasets/"

    @property
    def version(self) -> str:
        return f"commit {self.commit[:7]}" + (", SHA-256" if self.sha256 else "")

    def client_path(self) -> Path | None:
        """Where the client has the file already, intact or not."""
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            return None
        path = try_to_load_from_cache(self.name, self.file, revision=self.commit, repo_type="dataset")
        return Path(path) if isinstance(path, str) else None

    def cached(self) -> Path | None:
        path = self.client_path()
        return path if path and self.sha256 in ("", sha256(path)) else None

    def fetch(self) -> Path:
        hub = import_client("huggingface_hub")
        if damaged := self.client_path():  # The client would return it unchecked.
            damaged.resolve().unlink()
            damaged.unlink(missing_ok=True)
        path = Path(hub.hf_hub_download(self.name, self.file, revision=self.commit, repo_type="dataset"))
        received = sha256(path)
        if self.sha256 not in ("", received):
            raise Unavailable(f"{self.url} sent {self.file} with the SHA-256 {received} instead of {self.sha256}.")
        return path


@dataclasses.dataclass(frozen=True)
class HubPictures(HubFile):
    """A .zip or .parquet file of pictures on Hugging Face, unpacked once into a folder of Keras's cache."""

    @property
    def folder(self) -> Path:
        return cache_folder() / "gan_tf" / f"{self.name.replace('/', '-')}-{self.commit[:7]}"

    def cached(self) -> Path | None:
        return self.folder if self.folder.is_dir() else None

    def fetch(self) -> Path:
        archive = super().cached() or super().fetch()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(self.folder.parent) as temporary:
            unpack(archive, temporary / "unpacked")
            if not self.cached():  # Another process may have been faster.
                os.rename(temporary / "unpacked", self.folder)
        return self.folder


@dataclasses.dataclass(frozen=True)
class KaggleFolder(Source):
    """A subfolder of one version of a data set on Kaggle."""

    name: str
    number: int
    subfolder: str
    host, base_url = "Kaggle", "https://www.kaggle.com/datasets/"

    @property
    def version(self) -> str:
        return f"version {self.number}"

    @property
    def base(self) -> Path:
        # The same path as kagglehub's, whose import takes a second.
        return Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub", "datasets", self.name)

    def cached(self) -> Path | None:
        folder = self.base / "versions" / str(self.number) / self.subfolder
        return folder if (self.base / f"{self.number}.complete").exists() and folder.is_dir() else None

    def fetch(self) -> Path:
        kagglehub = import_client("kagglehub")
        try:
            path = kagglehub.dataset_download(f"{self.name}/versions/{self.number}")
        except (ValueError, zipfile.BadZipFile, zlib.error):  # Not an archive: resuming it would fail for ever.
            (self.base / f"{self.number}.archive").unlink(missing_ok=True)
            raise
        if not Path(path, self.subfolder).is_dir():
            raise InputError(f"{path} has no folder {self.subfolder}; remove it to download it again.")
        return Path(path, self.subfolder)


def message(error: Exception) -> str:
    """The error's message on one line, or its type's name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def import_client(name: str) -> Any:
    """Import a module of an optional package. Raises Unavailable if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(
            f"the download needs {name.partition('.')[0]}, which is not installed; run python -m pip install "
            '-e ".[hub]" in the folder of gan_tf\'s repository.'
        ) from error


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Write the pictures in a .zip or .parquet file into a new folder. Raises InputError for an unusable archive, and
    OSError."""
    folder.mkdir()
    pictures = pictures_in_zip(archive) if archive.suffix == ".zip" else pictures_in_parquet(archive)
    for number in itertools.count():
        try:
            picture = next(pictures, None)
        except InputError:
            raise
        except Exception as error:  # zipfile, zlib and pyarrow each raise their own types for a damaged file.
            # Names the file itself. Removing the client's link to it would not trigger a download.
            raise InputError(
                f"{archive.resolve()} cannot be used ({message(error)}); remove it to download it again."
            ) from error
        if picture is None:
            return
        # Not under the names in the archive, which could lead out of the folder.
        (folder / f"{number:06}.png").write_bytes(picture)


def pictures_in_zip(path: Path) -> Iterator[bytes]:
    """The bytes of each picture in an archive. Of several with the same file name, which are copies, only the first."""
    with zipfile.ZipFile(path) as archive:
        members: dict[str, str] = {}  # file name -> path in the archive
        for member in archive.namelist():
            name = member.rpartition("/")[2]
            if name.lower().endswith((".png", ".jpg", ".jpeg")) and not name.startswith("."):
                members.setdefault(name, member)
        for member in members.values():
            if archive.getinfo(member).file_size > MOST_BYTES:  # zipfile unpacks no more than this.
                raise InputError(f"{path} holds {member}, which is too large for a picture; remove it.")
            yield archive.read(member)


def pictures_in_parquet(path: Path) -> Iterator[bytes]:
    """The bytes of each picture in the column `image`, in Hugging Face's layout: {"bytes": ..., "path": ...}."""
    for row in import_client("pyarrow.parquet").read_table(path, columns=["image"])["image"]:
        picture = row["bytes"].as_py()
        if not isinstance(picture, bytes):
            raise ValueError("a picture in it is no bytes")
        yield picture
