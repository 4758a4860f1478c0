import dataclasses
import functools
import hashlib
import http.server
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gan_tf import datasets
from gan_tf.config import Config, InputError
from gan_tf.datasets import Images, Unavailable, batches, load, steps_per_epoch

MNIST = Config(dataset="mnist", batch_size=4)


def arrays(count=40):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    return {"x_train": images, "y_train": (np.arange(count) % 10).astype(np.uint8)}


@pytest.fixture
def folder(tmp_path):
    """A --data-dir with a small mnist.npz."""
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "mnist.npz", **arrays())
    return tmp_path / "mine"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server on loopback that has mnist.npz, at the address and with the hash that the loader knows."""
    (tmp_path / "served").mkdir()
    file = tmp_path / "served" / "mnist.npz"
    np.savez(file, **arrays())
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=file.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets, "MNIST_URL", f"http://127.0.0.1:{served.server_port}/mnist.npz")
        monkeypatch.setattr(datasets, "MNIST_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
        yield requests
        served.shutdown()


@pytest.fixture
def cache(tmp_path):
    """Keras's cache, which KERAS_HOME names."""
    return tmp_path / "keras" / "datasets"


def test_digits_are_the_1797_of_scikit_learn_enlarged():
    from sklearn.datasets import load_digits

    found = load(Config(dataset="digits"))
    assert found.images.shape == (1797, 28, 28, 1) and found.images.dtype == np.uint8
    np.testing.assert_array_equal(found.labels, load_digits().target)
    assert found.images[:, :4].max() == 0 and found.images.max() > 240
    # Averaged back to 8x8 they are the digits again.
    small = found.images[:, 4:24, 4:24, 0].reshape(-1, 4, 5, 4, 5).mean(axis=(2, 4))
    coarse = load_digits().images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) * (255 / 16)
    assert np.corrcoef(small.ravel(), coarse.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("digit, labels", [((5,), {5}), ((3, 8), {3, 8}), ((), set(range(10)))])
def test_one_digit_or_several_or_all(folder, digit, labels):
    found = load(dataclasses.replace(MNIST, digit=digit, data_dir=str(folder)))
    assert set(found.labels) == labels and len(found) == 4 * len(labels)
    np.testing.assert_array_equal(found.images[..., 0], arrays()["x_train"][np.isin(arrays()["y_train"], list(labels))])


def test_the_data_dir_is_the_option_then_the_environment_then_data(folder, monkeypatch, tmp_path):
    assert load(dataclasses.replace(MNIST, data_dir=str(folder))).source == str(folder / "mnist.npz")
    monkeypatch.setenv("GAN_TF_DATA", str(folder))
    assert load(MNIST).source == str(folder / "mnist.npz")
    monkeypatch.delenv("GAN_TF_DATA")
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / "data")
    assert load(MNIST).source == str(Path("data/mnist.npz"))


def test_a_download_is_checked_and_cached(server, cache, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    found = load(MNIST)
    np.testing.assert_array_equal(found.images[..., 0], arrays()["x_train"])
    assert "━" in capsys.readouterr().out  # The progress bar.
    assert [path.name for path in cache.iterdir()] == ["mnist.npz"]
    load(MNIST)
    assert len(server) == 1


def test_a_file_in_the_data_dir_comes_before_cache_and_download(server, cache, folder):
    load(dataclasses.replace(MNIST, data_dir=str(folder)))
    assert not server and not cache.exists()


def test_a_broken_file_in_the_cache_is_replaced(server, cache, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(b"half a file")
    assert len(load(MNIST)) == 40 and len(server) == 1


def test_a_wrong_hash_is_never_used(server, cache, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "MNIST_SHA256", "0" * 64)
    with pytest.raises(
        Unavailable, match=r"There is no data/mnist.npz, and MNIST could not be downloaded from http://127"
    ):
        load(MNIST)
    assert list(cache.iterdir()) == []


def test_no_network_is_said_and_leaves_nothing(cache, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "MNIST_URL", "http://127.0.0.1:9/mnist.npz")
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(b"somebody's other file")
    with pytest.raises(Unavailable, match="refused"):
        load(MNIST)
    assert [path.name for path in cache.iterdir()] == ["mnist.npz"]


def damage(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def pickles(path):
    np.savez(path, x_train=np.array([{"a": 1}], dtype=object), y_train=arrays()["y_train"])


def not_in_the_format(path):
    path.write_bytes(b"hello")


def member_that_is_no_array(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"no header")
        archive.writestr("y_train.npy", b"no header")


def with_array(**other):
    return lambda path: np.savez(path, **arrays() | other)


@pytest.mark.parametrize(
    "spoil, why",
    [
        (damage, "is damaged"),
        (truncate, "is damaged"),
        (pickles, "pickled objects, which are never opened"),
        (not_in_the_format, "is damaged"),
        (member_that_is_no_array, "but MNIST is uint8"),
        (lambda path: np.savez(path, images=arrays()["x_train"]), "has the keys images, but"),
        (
            lambda path: np.savez(path, **arrays() | {"x_train": np.zeros((40, 32, 32), np.uint8)}),
            r"uint8\(40, 32, 32\)",
        ),
        (lambda path: np.savez(path, **arrays() | {"x_train": np.zeros((40, 28, 28))}), "float64"),
        (lambda path: np.savez(path, **arrays() | {"y_train": np.full(40, 10, np.uint8)}), "labels 0 to 9"),
        (lambda path: np.savez(path, **arrays() | {"y_train": np.zeros(3, np.uint8)}), r"uint8\(3,\)"),
    ],
)
def test_a_local_file_that_is_not_mnist_is_named_with_what_is_wrong(folder, spoil, why):
    spoil(folder / "mnist.npz")
    with pytest.raises(InputError, match=why) as caught:
        load(dataclasses.replace(MNIST, data_dir=str(folder)))
    assert not isinstance(caught.value, Unavailable)
    assert str(folder / "mnist.npz") in str(caught.value)


def test_an_unknown_data_set_gets_the_names_and_the_nearest():
    with pytest.raises(InputError, match=r"no data set 'minst'; there are digits, mnist \(did you mean mnist\?\)"):
        load(Config(dataset="minst"))


def test_a_digit_of_a_set_without_labels(monkeypatch, images):
    monkeypatch.setitem(datasets.LOADERS, "squares", lambda config: images)
    with pytest.raises(InputError, match=r"squares has no labels .* leave --digit out"):
        load(Config(dataset="squares", digit=(5,), batch_size=4))


def test_fewer_images_than_a_step_draws():
    with pytest.raises(InputError, match=r"182 such images, fewer than the 200 .* at most 91\."):
        load(Config(dataset="digits", digit=(5,), batch_size=100, d_steps=2))


def test_the_fingerprint_is_of_the_pixels(images):
    changed = images.images.copy()
    changed[3, 4, 5, 0] ^= 1
    assert images.fingerprint == dataclasses.replace(images, images=images.images.copy()).fingerprint
    assert images.fingerprint != dataclasses.replace(images, images=changed).fingerprint


def numbered(count=22):
    return Images("numbers", np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1), None, "tests")


def drawn(config, steps, start=0):
    return [batch.numpy().ravel().tolist() for batch in batches(numbered(), config, start).take(steps)]


def test_each_pass_is_a_new_order_of_all_images():
    config = Config(batch_size=4, seed=1)  # 5 steps a pass: 20 of the 22.
    steps = drawn(config, 10)
    first, second = np.ravel(steps[:5]).tolist(), np.ravel(steps[5:]).tolist()
    assert len(set(first)) == len(set(second)) == 20 and first != second
    assert {len(step) for step in steps} == {4}
    assert set(first) | set(second) == set(range(22))  # The two left out are others each time.


def test_the_batch_of_a_step_depends_on_seed_and_step_alone():
    config = Config(batch_size=4, seed=1)
    steps = drawn(config, 12)
    assert drawn(config, 12) == steps
    assert drawn(config, 5, start=7) == steps[7:]
    assert drawn(dataclasses.replace(config, seed=2), 12) != steps


def test_an_epoch_is_one_pass_or_the_steps_asked_for():
    assert steps_per_epoch(numbered(), Config(batch_size=4, steps_per_epoch=0)) == 5
    assert steps_per_epoch(numbered(), Config(batch_size=4, d_steps=2, steps_per_epoch=0)) == 2
    assert steps_per_epoch(numbered(), Config(batch_size=4, steps_per_epoch=64)) == 64
    assert len(drawn(Config(batch_size=4, d_steps=2), 1)[0]) == 8
