import contextlib
import errno
import hashlib
import http.server
import io
import re
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.data import sources
from gan_tf.data.sources import HubFile, HubPictures, KaggleFolder, KerasFile, Unavailable, unpack

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOGIN = b"<html>Please log in to the network of this hotel</html>"
NOWHERE = "http://127.0.0.1:9/"


class Server(http.server.ThreadingHTTPServer):
    """Serve `files` (path -> bytes) on loopback like the servers of Keras, Hugging Face and Kaggle.

    It hangs up after `limit` bytes of a file. With `login` set it sends a login page instead of files, and with a
    `status` other than 200 an error. `asked` lists the requests: (method, Range header)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.limit, self.login, self.status = {}, [], None, False, 200
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        body, start = self.server.files.get(self.path), self.headers.get("Range")
        self.server.asked.append((self.command, start))
        if body is None or self.server.status != 200:
            return self.send_error(self.server.status if self.server.status != 200 else 404)
        if self.server.login:
            return self.reply(LOGIN, {"Content-Type": "text/html"})
        etag = hashlib.sha256(body).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        first = int(re.findall(r"\d+", start)[0]) if start else 0
        if start:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.reply(body[first:], headers, 206 if start else 200)

    do_GET = do_HEAD = do_POST = answer

    def reply(self, body, headers, status=200):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: self.server.limit])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as served:
        # It looks for a shutdown that often, in seconds.
        threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
        yield served
        served.shutdown()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Empty caches and no credentials."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_KERNEL_RUN_TYPE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def digest(content):
    return hashlib.sha256(content).hexdigest()


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def keras_file(server, monkeypatch):
    server.files["/some.npz"] = CONTENT
    monkeypatch.setattr(KerasFile, "base_url", server.url + "/")
    return KerasFile("some.npz", digest(CONTENT), "some")


def test_a_keras_file_is_checked_and_cached(keras_file, server, tmp_path, capsys):
    assert keras_file.cached() is None
    path = keras_file.get()
    assert path == tmp_path / "keras" / "datasets" / "some" / "some.npz" and path.read_bytes() == CONTENT
    assert "━" in capsys.readouterr().out  # The progress bar.
    assert files_in(tmp_path / "keras" / "datasets") == ["some/some.npz"]
    assert keras_file.get() == keras_file.cached() == path and len(server.asked) == 1


def test_a_damaged_keras_file_in_the_cache_is_replaced(keras_file, server):
    keras_file.path.parent.mkdir(parents=True)
    keras_file.path.write_bytes(CONTENT[:-1])
    assert keras_file.cached() is None
    assert keras_file.get().read_bytes() == CONTENT and len(server.asked) == 1


@pytest.mark.parametrize(
    "spoil", [{"limit": 100_000}, {"login": True}, {"status": 403}, {"files": {}}, {"files": {"/some.npz": b"other"}}]
)
def test_a_failed_keras_download_is_one_sentence_and_leaves_nothing(keras_file, server, spoil, tmp_path):
    for name, value in spoil.items():
        setattr(server, name, value)
    with pytest.raises(Unavailable, match=r"^http://127\.0\.0\.1:\d+/some\.npz could not be downloaded \(.+\)\.$"):
        keras_file.get()
    assert files_in(tmp_path / "keras") == [] and keras_file.cached() is None
    server.limit, server.login, server.status, server.files = None, False, 200, {"/some.npz": CONTENT}
    assert keras_file.get().read_bytes() == CONTENT  # From the start, not from where it stopped.
    assert server.asked[-1] == ("GET", None)


def test_no_network_keeps_the_existing_keras_file(keras_file, monkeypatch, tmp_path):
    monkeypatch.setattr(KerasFile, "base_url", NOWHERE)
    keras_file.path.parent.mkdir(parents=True)
    keras_file.path.write_bytes(b"somebody's other file")
    with pytest.raises(Unavailable, match="refused"):
        keras_file.get()
    assert keras_file.path.read_bytes() == b"somebody's other file"
    assert files_in(tmp_path / "keras") == ["datasets/some/some.npz"]


def raise_disk_full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_not_a_network_problem(keras_file, monkeypatch, tmp_path):
    monkeypatch.setattr("gan_tf.data.sources.os.replace", raise_disk_full)
    with pytest.raises(InputError, match=r"cannot be saved \(.*No space left.*\); make room") as caught:
        keras_file.get()
    assert not isinstance(caught.value, Unavailable)
    assert files_in(tmp_path / "keras") == []


def test_a_missing_client_is_named_with_the_command_that_installs_it(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    sources = (HubFile("a/b", COMMIT, "c"), HubPictures("a/b", COMMIT, "c"), KaggleFolder("a/b", 1, ""))
    for source, name in zip(sources, ("huggingface_hub", "huggingface_hub", "kagglehub"), strict=True):
        assert source.cached() is None
        with pytest.raises(Unavailable, match=rf'needs {name}, which is not installed; .* pip install -e "\.\[hub\]"'):
            source.get()  # Unavailable, so a fallback is possible.


@pytest.fixture
def hub(server, home, monkeypatch):
    """huggingface_hub, connected to our server and to an empty cache, whose path is returned."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # The client waits between attempts.
    return home / "hub"


def serve(server, content, file="data.bin"):
    server.files[f"/datasets/some/set/resolve/{COMMIT}/{file}"] = content


def test_a_hub_file_is_checked_and_cached(hub, server):
    serve(server, CONTENT)
    source = HubFile("some/set", COMMIT, "data.bin", digest(CONTENT))
    assert source.cached() is None
    path = source.get()
    assert path.read_bytes() == CONTENT and path.is_relative_to(hub)
    asked = len(server.asked)
    assert source.get() == source.cached() == path and len(server.asked) == asked  # Not even for a newer version.


def test_an_interrupted_hub_download_is_resumed(hub, server, monkeypatch):
    serve(server, CONTENT)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    server.limit = 100_000  # Hangs up twice.
    source = HubFile("some/set", COMMIT, "data.bin", digest(CONTENT))
    assert source.get().read_bytes() == CONTENT
    ranges = [start and start.split("-")[0] for command, start in server.asked if command == "GET"]
    assert ranges == [None, "bytes=100000", "bytes=200000"]


def test_a_partial_hub_file_is_never_used(hub, server):
    serve(server, CONTENT)
    source = HubFile("some/set", COMMIT, "data.bin")
    server.limit = 10_000
    with pytest.raises(Unavailable, match="could not be downloaded"):
        source.get()
    assert source.cached() is None
    server.limit = None
    assert source.get().read_bytes() == CONTENT


def test_a_hub_file_with_another_hash_is_never_used(hub, server):
    serve(server, b"x" + CONTENT[1:])
    source = HubFile("some/set", COMMIT, "data.bin", digest(CONTENT))
    for _ in range(2):
        with pytest.raises(Unavailable, match=f"sent data.bin with the SHA-256 .* instead of {digest(CONTENT)}"):
            source.get()
        assert source.cached() is None
    serve(server, CONTENT)
    assert source.get().read_bytes() == CONTENT


def test_a_damaged_hub_file_in_the_cache_is_replaced(hub, server):
    serve(server, CONTENT)
    source = HubFile("some/set", COMMIT, "data.bin", digest(CONTENT))
    source.get().write_bytes(CONTENT[:-1])
    assert source.cached() is None
    assert source.get().read_bytes() == CONTENT


@pytest.mark.parametrize("spoil", [{"login": True}, {"status": 401}, {"status": 500}, {"files": {}}])
def test_a_failed_hub_download_is_one_sentence(hub, server, spoil):
    serve(server, CONTENT)
    for name, value in spoil.items():
        setattr(server, name, value)
    source = HubFile("some/set", COMMIT, "data.bin")
    with pytest.raises(
        Unavailable, match=r"^https://huggingface\.co/datasets/some/set could not be downloaded \(.+\)\."
    ):
        source.get()
    assert source.cached() is None


def test_no_network_to_hugging_face(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", NOWHERE + "{repo_id}/resolve/{revision}/{filename}")
    with pytest.raises(Unavailable, match=r"huggingface\.co/datasets/some/set could not be downloaded"):
        HubFile("some/set", COMMIT, "data.bin").get()


def test_the_disk_fills_up_during_a_hub_download(hub, server, monkeypatch):
    def half(url, temp_file, *args, **kwargs):
        temp_file.write(CONTENT[:1000])
        raise_disk_full()

    serve(server, CONTENT)
    monkeypatch.setattr("huggingface_hub.file_download.http_get", half)
    source = HubFile("some/set", COMMIT, "data.bin", digest(CONTENT))
    with pytest.raises(InputError, match="make room for Hugging Face's cache"):
        source.get()
    assert source.cached() is None
    monkeypatch.undo()


def png(value, mode="RGB", size=(8, 8)):
    file = io.BytesIO()
    Image.new(mode, size, value).save(file, "PNG")
    return file.getvalue()


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def parquet(columns):
    pyarrow = pytest.importorskip("pyarrow")
    file = io.BytesIO()
    importer = pytest.importorskip("pyarrow.parquet")
    importer.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def column(pictures, path="../../../escaped.png"):
    return [{"bytes": picture, "path": path} for picture in pictures]


def unpacked(folder):
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_pictures_in_a_parquet_file_are_unpacked_once_under_safe_names(hub, server, tmp_path):
    pictures = [png("red"), png("green"), png("blue")]
    serve(server, parquet({"image": column(pictures)}), "data/train.parquet")
    source = HubPictures("some/set", COMMIT, "data/train.parquet")
    folder = source.get()
    assert folder.is_relative_to(tmp_path / "keras") and unpacked(folder) == pictures
    assert files_in(tmp_path / "keras") == [f"datasets/gan_tf/some-set-0123456/{n:06}.png" for n in range(3)]
    assert not list(tmp_path.rglob("escaped*"))
    server.files.clear()
    assert source.get() == source.cached() == folder


def test_pictures_in_a_zip_file_are_unpacked_without_copies_and_other_files(tmp_path):
    members = [
        ("data/1.png", png("red")),
        ("data/data/1.png", png("red")),
        ("../../escaped.png", png("green")),
        ("/tmp/absolute.JPG", png("blue")),
        ("__MACOSX/data/._1.png", b"Apple's"),
        ("README.md", b"text"),
        ("data/folder.png/", b""),
    ]
    (tmp_path / "a.zip").write_bytes(zipped(members))
    unpack(tmp_path / "a.zip", tmp_path / "inside")
    assert unpacked(tmp_path / "inside") == [png("red"), png("green"), png("blue")]
    assert files_in(tmp_path) == ["a.zip", *(f"inside/{n:06}.png" for n in range(3))]


def flipped(content):
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0xFF]) + content[len(content) // 2 + 1 :]


@pytest.mark.parametrize(
    "file, spoil",
    [
        ("some.zip", lambda intact: LOGIN),
        ("some.zip", lambda intact: intact[:-200]),
        ("some.zip", flipped),
        ("some.parquet", lambda intact: LOGIN),
        ("some.parquet", lambda intact: intact[:-200]),
        ("some.parquet", lambda intact: b""),
    ],
)
def test_a_damaged_archive_is_named_and_not_used(hub, server, tmp_path, file, spoil):
    pictures = [np.random.default_rng(seed).bytes(5000) for seed in range(8)]
    intact = zipped((f"{n}.png", p) for n, p in enumerate(pictures))
    if file == "some.parquet":
        intact = parquet({"image": column(pictures)})
    serve(server, spoil(intact), file)
    source = HubPictures("some/set", COMMIT, file)
    with pytest.raises(InputError, match=r"cannot be used \(.*\); remove it to download it again") as caught:
        source.get()
    assert source.cached() is None and files_in(tmp_path / "keras") == []
    # Following the advice helps.
    Path(str(caught.value).split(" cannot be used")[0]).unlink()
    serve(server, intact, file)
    assert unpacked(source.get()) == pictures


def test_what_is_too_large_for_a_picture_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zipped([("bomb.png", bytes(10_000))]))
    monkeypatch.setattr(sources, "MOST_BYTES", 9_999)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(InputError, match=r"a\.zip holds bomb\.png, which is too large for a picture"):
        unpack(tmp_path / "a.zip", tmp_path / "inside")


def test_a_parquet_file_of_something_else(tmp_path):
    (tmp_path / "a.parquet").write_bytes(parquet({"image": [{"bytes": "text"}]}))
    with pytest.raises(InputError, match=r"a\.parquet cannot be used \(a picture in it is no bytes\); remove it"):
        unpack(tmp_path / "a.parquet", tmp_path / "inside")


def test_removing_the_named_archive_helps_when_the_client_has_only_a_link(hub, server):
    pictures = [png("red"), png("green")]
    serve(server, zipped((f"{n}.png", p) for n, p in enumerate(pictures)), "some.zip")
    HubFile("some/set", COMMIT, "some.zip").get().write_bytes(LOGIN)
    source = HubPictures("some/set", COMMIT, "some.zip")
    with pytest.raises(InputError, match="remove it to download it again") as caught:
        source.get()
    Path(str(caught.value).split(" cannot be used")[0]).unlink()
    assert unpacked(source.get()) == pictures


def test_a_parquet_file_without_the_column(hub, server, tmp_path):
    serve(server, parquet({"text": ["no pictures"]}), "some.parquet")
    with pytest.raises(InputError, match=r"cannot be used \(.*image.*\); remove it"):
        HubPictures("some/set", COMMIT, "some.parquet").get()
    assert files_in(tmp_path / "keras") == []


def test_the_disk_fills_up_while_unpacking(hub, server, monkeypatch, tmp_path):
    pictures, write = [png("red"), png("green"), png("blue")], Path.write_bytes
    serve(server, zipped((f"{n}.png", p) for n, p in enumerate(pictures)), "some.zip")
    source = HubPictures("some/set", COMMIT, "some.zip")
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "write_bytes", lambda self, data: raise_disk_full() if self.stem == "000002" else write(self, data)
        )
        with pytest.raises(InputError, match="No space left"):
            source.get()
    assert source.cached() is None and files_in(tmp_path / "keras") == []
    asked = len(server.asked)
    assert unpacked(source.get()) == pictures and len(server.asked) == asked  # The archive itself was complete.


@pytest.fixture
def kaggle(server, home, monkeypatch):
    """kagglehub, connected to our server, which has a set of three pictures. Returns its source."""
    pytest.importorskip("kagglehub")
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.url)
    archive = zipped((f"images/{n}.png", np.random.default_rng(n).bytes(800_000)) for n in range(3))
    path = "/v1/datasets.DatasetApiService/DownloadDataset"
    server.files[path] = archive
    with contextlib.suppress(AttributeError):  # Older versions have no such attribute.
        monkeypatch.setattr("kagglehub.clients.already_printed_version_warning", True)
    return KaggleFolder("some/set", 3, "images")


def test_a_kaggle_folder_is_downloaded_once(kaggle, server, home):
    assert kaggle.cached() is None
    folder = kaggle.get()
    assert folder == home / "kaggle/datasets/some/set/versions/3/images"
    assert [path.name for path in sorted(folder.iterdir())] == ["0.png", "1.png", "2.png"]
    asked = len(server.asked)
    assert kaggle.get() == kaggle.cached() == folder and len(server.asked) == asked


def test_an_interrupted_kaggle_download_is_resumed(kaggle, server):
    server.limit = 1_500_000
    with pytest.raises(Unavailable, match=r"^https://www\.kaggle\.com/datasets/some/set could not be downloaded"):
        kaggle.get()
    assert kaggle.cached() is None
    server.limit, server.asked = None, []
    assert len(list(kaggle.get().iterdir())) == 3
    assert ("GET", "bytes=1048576-") in server.asked


def test_a_login_page_instead_of_a_kaggle_archive_is_discarded(kaggle, server):
    server.login = True
    with pytest.raises(Unavailable, match=r"could not be downloaded \(Unsupported archive type\.\)"):
        kaggle.get()
    assert kaggle.cached() is None
    server.login, server.asked = False, []
    assert len(list(kaggle.get().iterdir())) == 3
    assert all(start is None for _, start in server.asked)


@pytest.mark.parametrize("status", [403, 500])
def test_a_refused_kaggle_download_is_one_sentence(kaggle, server, status):
    server.status = status
    with pytest.raises(Unavailable, match=rf"could not be downloaded \({status} [^\n]*\)\.$"):
        kaggle.get()
    assert kaggle.cached() is None


def test_no_network_to_kaggle(kaggle, monkeypatch):
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, NOWHERE[:-1])
    with pytest.raises(Unavailable, match=r"some/set could not be downloaded"):
        kaggle.get()


def test_a_kaggle_folder_is_complete_only_with_its_marker(home):
    source = KaggleFolder("some/set", 3, "images")
    base = home / "kaggle" / "datasets" / "some" / "set"
    (base / "versions" / "3" / "images").mkdir(parents=True)
    (base / "2.complete").touch()
    assert source.cached() is None
    (base / "3.complete").touch()
    assert source.cached() == base / "versions" / "3" / "images"


def test_a_kaggle_set_without_the_subfolder(kaggle, server, home):
    source = KaggleFolder("some/set", 3, "images/deeper")
    with pytest.raises(InputError, match=r"versions.3 has no folder images/deeper; remove it") as caught:
        source.get()
    assert not isinstance(caught.value, Unavailable)
