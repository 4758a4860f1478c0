import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data import grey
from gan_tf.data.grey import load_grey, read_digits, read_idx, read_letters, read_npz, resize

DIGITS = tuple("0123456789")


def arrays(count=40):
    """Random images and the labels 0, 1, ..., 9, 0, 1, ... as in an .npz file."""
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    return {"x_train": images, "y_train": (np.arange(count) % 10).astype(np.uint8)}


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays())
    return path


def test_digits_are_those_of_scikit_learn_enlarged_and_centred():
    from sklearn.datasets import load_digits

    images, labels = read_digits()
    assert images.shape == (1797, 28, 28) and images.dtype == np.uint8
    np.testing.assert_array_equal(labels, load_digits().target)
    assert images[:, :4].max() == 0 and images.max() > 240
    # Averaged to 4x4, both have the same pixels.
    small = images[:, 4:24, 4:24].reshape(-1, 4, 5, 4, 5).mean(axis=(2, 4))
    original = load_digits().images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) * (255 / 16)
    assert np.corrcoef(small.ravel(), original.ravel())[0, 1] > 0.98


def test_resize_matches_pillow_and_antialiases():
    images = arrays()["x_train"][..., None]
    expected = Image.fromarray(images[7, ..., 0]).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(images, Config(image_size=64))[7, ..., 0], expected)
    stripes = np.zeros((2, 28, 28, 1), np.uint8)
    stripes[:, :, ::2] = 255
    inner = resize(stripes, Config(image_size=16))[:, 2:-2, 2:-2]
    assert inner.shape == (2, 12, 12, 1) and 110 < inner.min() <= inner.max() < 145


@pytest.mark.parametrize("wanted, labels", [("5", {5}), (("3", "8"), {3, 8}), ((), set(range(10)))])
def test_labels_and_size_of_the_config(npz, wanted, labels):
    config = Config(dataset="mnist", label=wanted)
    dataset = load_grey("mnist", DIGITS, [npz], read_npz, config)
    expected = arrays()["x_train"][np.isin(arrays()["y_train"], list(labels))]
    np.testing.assert_array_equal(dataset.images[..., 0], expected)
    assert set(dataset.labels) == labels and dataset.label_names == DIGITS and dataset.source == str(npz)
    larger = load_grey("mnist", DIGITS, [npz], read_npz, Config(dataset="mnist", label=wanted, image_size=32))
    np.testing.assert_array_equal(larger.images, resize(dataset.images, Config(image_size=32)))
    assert larger.fingerprint != dataset.fingerprint
    padded = Config(dataset="mnist", label=wanted, image_size="40x28", fit="pad", background="black")
    oblong = load_grey("mnist", DIGITS, [npz], read_npz, padded).images
    np.testing.assert_array_equal(oblong[:, :, 6:34], dataset.images)
    assert oblong.shape[1:] == (28, 40, 1) and not oblong[:, :, :6].any() and not oblong[:, :, 34:].any()


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def member_without_header(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", b"no header")
        archive.writestr("y_train.npy", b"no header")


def with_array(**other):
    return lambda path: np.savez(path, **arrays() | other)


@pytest.mark.parametrize(
    "spoil, why",
    [
        (flip_a_byte, "cannot be used: it is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "cannot be used: it is damaged"),
        (lambda path: path.write_bytes(b"hello"), "cannot be used: it is damaged"),
        (with_array(x_train=np.array([{"a": 1}], dtype=object)), "pickled objects, which are never opened"),
        (member_without_header, "but they must be uint8"),
        (lambda path: np.savez(path, images=arrays()["x_train"]), "has the keys images, but"),
        (with_array(x_train=np.zeros((40, 32, 32), np.uint8)), r"uint8\(40, 32, 32\)"),
        (with_array(x_train=np.zeros((40, 28, 28))), "float64"),
        (with_array(y_train=np.zeros(3, np.uint8)), r"uint8\(3,\)"),
        (with_array(y_train=np.zeros(40)), "float64"),
        (with_array(y_train=np.full(40, 10, np.uint8)), "has labels up to 10, but those of mnist are 0 to 9"),
    ],
)
def test_an_unusable_npz_file_is_named_with_the_reason(npz, spoil, why):
    spoil(npz)
    with pytest.raises(InputError, match=why) as caught:
        load_grey("mnist", DIGITS, [npz], read_npz, Config(dataset="mnist"))
    assert str(caught.value).startswith(str(npz))


def test_an_npz_file_that_unpacks_to_more_than_is_allowed_is_not_unpacked(npz, monkeypatch):
    monkeypatch.setattr(grey, "MOST_BYTES", 10_000)
    monkeypatch.setattr(np, "load", None)
    with pytest.raises(InputError, match=r"mnist\.npz unpacks to 0\.0 GB, more than the 0\.0 GB allowed"):
        load_grey("mnist", DIGITS, [npz], read_npz, Config(dataset="mnist"))


@pytest.mark.parametrize(
    "spoil", [flip_a_byte, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(gzip.compress(b"a" * 17))]
)
@pytest.mark.parametrize("name", ["x", "y"])
def test_damaged_idx_files_are_named(tmp_path, name, spoil):
    test_idx_files(tmp_path)
    spoil(tmp_path / name)
    with pytest.raises(InputError, match=r"x or y is damaged \(.*\); remove both"):
        read_idx(tmp_path / "x", tmp_path / "y")


def test_idx_files_are_not_unpacked_without_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(grey, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="x or y is damaged"):
        test_idx_files(tmp_path)


@pytest.mark.parametrize("size", [0, 300, -10])
def test_damaged_letters_are_named(tmp_path, size):
    test_letters_are_transposed_to_be_upright(tmp_path)
    path = tmp_path / "letters.parquet"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"letters\.parquet is damaged \(.*\); remove it"):
        read_letters(tmp_path / "letters.parquet")


def test_idx_files(tmp_path):
    images, labels = arrays(6).values()
    headers = np.array([2051, 6, 28, 28], ">i4").tobytes(), np.array([2049, 6], ">i4").tobytes()
    for name, header, content in zip("xy", headers, (images, labels), strict=True):
        (tmp_path / name).write_bytes(gzip.compress(header + content.tobytes()))
    for read, expected in zip(read_idx(tmp_path / "x", tmp_path / "y"), (images, labels), strict=True):
        np.testing.assert_array_equal(read, expected)


def test_letters_are_transposed_to_be_upright(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    upright, labels = arrays(5)["x_train"], [0, 25, 3, 3, 1]
    rows = []
    for letter in upright:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(letter.T)).save(file, "PNG")  # As EMNIST stores it.
        rows.append({"bytes": file.getvalue(), "path": None})
    parquet.write_table(pyarrow.table({"image": rows, "label": labels}), tmp_path / "letters.parquet")
    images, read_labels = read_letters(tmp_path / "letters.parquet")
    np.testing.assert_array_equal(images, upright)
    np.testing.assert_array_equal(read_labels, labels)
    assert images.dtype == read_labels.dtype == np.uint8
