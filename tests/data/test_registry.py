import dataclasses
import gzip
import hashlib
import importlib.util
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.config import PRESETS, Config
from gan_tf.data import registry as datasets
from gan_tf.data.registry import DATASETS, fallback_of, load, markdown, table
from gan_tf.data.sources import HubFile, HubPictures, KaggleFolder, KerasFile, Unavailable

MNIST = Config(dataset="mnist", batch_size=4)
SMALL = Config(dataset="pokemon", batch_size=4, image_size=28)


@pytest.fixture(autouse=True)
def no_caches_of_the_developer(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    if importlib.util.find_spec("huggingface_hub"):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for source in (KerasFile, HubFile, HubPictures, KaggleFolder):
        monkeypatch.setattr(source, "fetch", refused)
    monkeypatch.chdir(tmp_path)


def refused(self):
    raise ConnectionError("Network is unreachable")


def arrays(count=40, labels=10):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    return {"x_train": images, "y_train": (np.arange(count) % labels).astype(np.uint8)}


@pytest.fixture
def folder(tmp_path):
    """A --data-dir with a small mnist.npz."""
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "mnist.npz", **arrays())
    return tmp_path / "mine"


def pictures(folder, count=4, size=(20, 16), start=0):
    """Coloured pictures, each another, in a new folder."""
    folder.mkdir(parents=True)
    for number in range(start, start + count):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_digits_are_the_1797_of_scikit_learn_enlarged():
    from sklearn.datasets import load_digits

    found = load(Config(dataset="digits"))
    assert found.images.shape == (1797, 28, 28, 1) and found.images.dtype == np.uint8
    np.testing.assert_array_equal(found.labels, load_digits().target)
    assert found.label_names == tuple("0123456789")
    assert found.images[:, :4].max() == 0 and found.images.max() > 240
    # Averaged back to 8x8 they are the digits again.
    small = found.images[:, 4:24, 4:24, 0].reshape(-1, 4, 5, 4, 5).mean(axis=(2, 4))
    coarse = load_digits().images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)) * (255 / 16)
    assert np.corrcoef(small.ravel(), coarse.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("size", [32, 64])
def test_another_size_is_resized_by_pillow(size):
    small, large = load(Config(dataset="digits")), load(Config(dataset="digits", image_size=size))
    assert large.images.shape == (1797, size, size, 1) and large.images.dtype == np.uint8
    assert large.fingerprint != small.fingerprint
    one = Image.fromarray(small.images[7, ..., 0]).resize((size, size), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(large.images[7, ..., 0], one)


def test_smaller_is_antialiased(folder):
    stripes = np.zeros((40, 28, 28), np.uint8)
    stripes[:, :, ::2] = 255
    np.savez(folder / "mnist.npz", **arrays() | {"x_train": stripes})
    config = dataclasses.replace(MNIST, data_dir=str(folder))
    object.__setattr__(config, "image_size", 14)  # Smaller than any that may be asked for.
    inner = load(config).images[:, 2:-2, 2:-2]
    assert inner.shape[1:] == (10, 10, 1) and 110 < inner.min() <= inner.max() < 145


def test_creatures_are_drawn():
    from gan_tf.data.creatures import COUNT, SPECIES

    assert DATASETS["creatures"].images == COUNT
    found = load(Config(dataset="creatures", image_size=28, label="owl"))
    assert found.shape == (28, 28, 3) and len(found) > 100
    assert {found.label_names[label] for label in found.labels} == {"owl"} and found.label_names == SPECIES


@pytest.mark.parametrize("digit, labels", [("5", {5}), (("3", "8"), {3, 8}), ((), set(range(10)))])
def test_one_digit_or_several_or_all(folder, digit, labels):
    found = load(dataclasses.replace(MNIST, label=digit, data_dir=str(folder)))
    assert set(found.labels) == labels and len(found) == 4 * len(labels)
    np.testing.assert_array_equal(found.images[..., 0], arrays()["x_train"][np.isin(arrays()["y_train"], list(labels))])


def test_the_data_dir_is_the_option_then_the_environment_then_data(folder, monkeypatch, tmp_path):
    assert load(dataclasses.replace(MNIST, data_dir=str(folder))).source == str(folder / "mnist.npz")
    monkeypatch.setenv("GAN_TF_DATA", str(folder))
    assert load(MNIST).source == str(folder / "mnist.npz")
    monkeypatch.delenv("GAN_TF_DATA")
    folder.rename(tmp_path / "data")
    assert load(MNIST).source == str(Path("data/mnist.npz"))


@pytest.mark.parametrize("name, label", [("fashion", "ankle-boot"), ("letters", "J")])
def test_the_other_grey_sets_may_be_such_files_too(tmp_path, name, label):
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / f"{name}.npz", **arrays())
    found = load(Config(dataset=name, label=label, batch_size=4))
    assert found.name == name and set(found.labels) == {9} and found.label_names[9] == label


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
        (member_that_is_no_array, "but they must be uint8"),
        (lambda path: np.savez(path, images=arrays()["x_train"]), "has the keys images, but"),
        (with_array(x_train=np.zeros((40, 32, 32), np.uint8)), r"uint8\(40, 32, 32\)"),
        (with_array(x_train=np.zeros((40, 28, 28))), "float64"),
        (with_array(y_train=np.full(40, 10, np.uint8)), "labels up to 10, but those of mnist are 0 to 9"),
        (with_array(y_train=np.zeros(3, np.uint8)), r"uint8\(3,\)"),
        (with_array(y_train=np.zeros(40)), "float64"),
    ],
)
def test_a_local_file_that_is_not_mnist_is_named_with_what_is_wrong(folder, spoil, why):
    spoil(folder / "mnist.npz")
    with pytest.raises(InputError, match=why) as caught:
        load(dataclasses.replace(MNIST, data_dir=str(folder)))
    assert not isinstance(caught.value, Unavailable)
    assert str(folder / "mnist.npz") in str(caught.value)


def in_keras_cache(monkeypatch, name, contents):
    """Puts files where Keras has those of a data set, and their hashes into the registry."""
    sources = []
    for source, content in zip(DATASETS[name].sources, contents, strict=True):
        source.path.parent.mkdir(parents=True, exist_ok=True)
        source.path.write_bytes(content)
        sources.append(dataclasses.replace(source, sha256=hashlib.sha256(content).hexdigest()))
    monkeypatch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], sources=tuple(sources)))


def test_mnist_in_kerass_cache(monkeypatch, tmp_path):
    file = io.BytesIO()
    np.savez(file, **arrays())
    in_keras_cache(monkeypatch, "mnist", [file.getvalue()])
    found = load(MNIST)
    np.testing.assert_array_equal(found.images[..., 0], arrays()["x_train"])
    assert found.source == str(tmp_path / "keras" / "datasets" / "mnist.npz")


def test_fashion_in_kerass_cache(monkeypatch, tmp_path):
    images, labels = arrays().values()
    in_keras_cache(
        monkeypatch,
        "fashion",
        [gzip.compress(bytes(16) + images.tobytes()), gzip.compress(bytes(8) + labels.tobytes())],
    )
    found = load(Config(dataset="fashion", batch_size=4))
    np.testing.assert_array_equal(found.images[..., 0], images)
    assert [found.label_names[label] for label in found.labels[:2]] == ["t-shirt", "trouser"]
    # Where Keras's own load_data() looks for them.
    names = [path.name for path in sorted((tmp_path / "keras" / "datasets" / "fashion-mnist").iterdir())]
    assert names == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]


def test_letters_are_what_read_letters_reads(monkeypatch, tmp_path):
    monkeypatch.setattr(HubFile, "fetch", lambda self: tmp_path / "letters.parquet")
    read = lambda path: tuple(arrays(52, 26).values()) if path.name == "letters.parquet" else None  # noqa: E731
    monkeypatch.setitem(DATASETS, "letters", dataclasses.replace(DATASETS["letters"], read=read))
    found = load(Config(dataset="letters", label="C", batch_size=2))
    np.testing.assert_array_equal(found.images[..., 0], arrays(52, 26)["x_train"][[2, 28]])
    assert found.source.endswith("letters.parquet") and len(found.label_names) == 26


@pytest.mark.parametrize("name", ["pokemon", "anime", "celeba", "animal_faces", "dogs", "mnist", "letters"])
def test_a_folder_that_a_person_put_there_comes_first(tmp_path, name):
    for number, label in enumerate(("a", "b")):
        pictures(tmp_path / "data" / name / label, 3, start=3 * number)
    found = load(dataclasses.replace(SMALL, dataset=name, label="b", batch_size=2))
    assert found.name == name and found.shape == (28, 28, 3) and len(found) == 3
    assert found.source == str(tmp_path / "data" / name)


def test_nothing_in_the_data_folder_stands_for_what_is_embedded(tmp_path):
    pictures(tmp_path / "data" / "digits")
    assert len(load(Config(dataset="digits"))) == 1797


def test_a_damaged_folder_is_an_error_and_no_fallback(tmp_path):
    (tmp_path / "data" / "pokemon").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no pictures") as caught:
        load(SMALL)
    assert not isinstance(caught.value, Unavailable)


@pytest.mark.parametrize("place", ["zoo/faces", "./zoo/faces", "~/faces"])
def test_any_folder_by_its_path(tmp_path, place, monkeypatch):
    pictures(tmp_path / "zoo" / "faces" / "cat")
    pictures(tmp_path / "zoo" / "faces" / "dog", start=9)
    monkeypatch.setenv("HOME", str(tmp_path / "zoo"))
    found = load(dataclasses.replace(SMALL, dataset=place, label="dog"))
    assert len(found) == 4 and found.source == str(tmp_path / "zoo" / "faces")


def on_kaggle(tmp_path, name):
    """The folder where kagglehub has a data set that it has downloaded."""
    source = DATASETS[name].sources[0]
    base = tmp_path / "kaggle" / "datasets" / source.name
    base.mkdir(parents=True)
    (base / f"{source.number}.complete").touch()
    return base / "versions" / str(source.number)


def test_animal_faces_are_afhqs_for_training(tmp_path):
    base = on_kaggle(tmp_path, "animal_faces")
    for number, label in enumerate(("cat", "dog", "wild")):
        pictures(base / "afhq" / "train" / label, start=4 * number)
        pictures(base / "afhq" / "val" / label, start=100 + 4 * number)
    found = load(dataclasses.replace(SMALL, dataset="animal_faces"))
    assert len(found) == 12 and found.label_names == ("cat", "dog", "wild")
    assert len(load(dataclasses.replace(SMALL, dataset="animal_faces", label="wild"))) == 4


def test_dogs_are_labelled_by_breed(tmp_path):
    base = on_kaggle(tmp_path, "dogs") / "images" / "Images"
    pictures(base / "n02085620-Chihuahua")
    pictures(base / "n02085936-Maltese_dog", start=10)
    pictures(base / "n02093428-American-bulldog", start=20)
    config = dataclasses.replace(SMALL, dataset="dogs")
    everything = load(config)
    assert everything.label_names == ("Chihuahua", "Maltese_dog", "American-bulldog") and len(everything) == 12
    found = load(dataclasses.replace(config, label=("American-bulldog", "Chihuahua")))
    assert {found.label_names[label] for label in found.labels} == {"American-bulldog", "Chihuahua"} and len(found) == 8
    with pytest.raises(InputError, match="no label 'Poodle'"):
        load(dataclasses.replace(config, label="Poodle"))


@pytest.mark.parametrize("name", ["pokemon", "anime"])
def test_pictures_of_hugging_face_are_those_unpacked(name):
    pictures(DATASETS[name].sources[0].folder)
    found = load(dataclasses.replace(SMALL, dataset=name))
    assert found.name == name and len(found) == 4 and found.shape == (28, 28, 3)


def test_celeba_is_a_folder_in_a_folder_of_its_name(tmp_path):
    pictures(on_kaggle(tmp_path, "celeba") / "img_align_celeba" / "img_align_celeba")
    assert len(load(dataclasses.replace(SMALL, dataset="celeba"))) == 4


@pytest.mark.parametrize("name", [data.name for data in DATASETS.values() if data.sources])
def test_without_a_network_a_data_set_is_unavailable_and_something_stands_in(name, tmp_path):
    looked_for = f"{name}.npz" if DATASETS[name].labels else name
    with pytest.raises(Unavailable, match=rf"^There is no data.{re.escape(looked_for)}, and https://\S+ could not be "):
        load(dataclasses.replace(SMALL, dataset=name))
    grey = name in ("mnist", "fashion", "letters")
    assert fallback_of(name) == ("digits" if grey else "creatures")
    assert not DATASETS[fallback_of(name)].sources


@pytest.mark.parametrize("name, near", [("minst", "mnist"), ("Pokémon", "pokemon"), ("folder", "")])
def test_an_unknown_data_set_gets_the_names_and_the_nearest(name, near):
    with pytest.raises(InputError, match=rf"no data set '{name}'; there are digits, .*, celeba \(did you mean {near}"):
        load(Config(dataset=name))


def test_a_label_that_a_set_has_not():
    with pytest.raises(InputError, match=r"digits has no label 'A'; its labels are 0, 1, 2"):
        load(Config(dataset="digits", label="A"))


def test_fewer_images_than_a_step_draws():
    with pytest.raises(InputError, match=r"1707 such images, fewer than the 1750 .*\(Another 90 are held out\.\)"):
        load(Config(batch_size=1750))
    with pytest.raises(InputError, match=r"182 such images, fewer than the 200 .* at most 91\."):
        load(Config(dataset="digits", label="5", batch_size=100, d_steps=2))


def test_every_data_set_has_a_preset_and_one_version_for_ever():
    assert set(PRESETS) == set(DATASETS) | {"folder"}
    for name, data in DATASETS.items():
        assert name == data.name and data.images > 800 and data.page and data.licence
        assert bool(data.labels) == bool(data.read) == (PRESETS[name].get("image_size", 28) == 28)
        for source in data.sources:
            hashes = [getattr(source, "sha256", ""), getattr(source, "commit", "")]
            assert all(re.fullmatch(r"([0-9a-f]{40}|[0-9a-f]{64})?", value) for value in hashes)
            assert any(hashes) or source.number >= 1
    assert [len(DATASETS[name].labels) for name in ("digits", "mnist", "fashion", "letters")] == [10, 10, 10, 26]
    for label in DATASETS["fashion"].labels:
        assert label == label.lower() and " " not in label


def test_the_readme_of_the_data_folder_has_the_same_table():
    readme = Path(datasets.__file__).parents[2] / "data" / "README.md"
    lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert lines == markdown().splitlines()


def test_the_table_says_what_is_on_this_disk(tmp_path, monkeypatch, folder):
    on_kaggle(tmp_path, "celeba").joinpath("img_align_celeba", "img_align_celeba").mkdir(parents=True)
    DATASETS["anime"].sources[0].folder.mkdir(parents=True)
    in_keras_cache(monkeypatch, "fashion", [b"images", b"labels"])
    DATASETS["fashion"].sources[1].path.unlink()
    pictures(folder / "dogs")
    rows = {line.split()[0]: line for line in table(folder).splitlines()}
    assert list(rows) == ["name", *DATASETS]
    for name, where in {
        "digits": "embedded",
        "mnist": "the data folder",
        "fashion": "not yet",
        "letters": "not yet",
        "creatures": "embedded",
        "pokemon": "not yet",
        "dogs": "the data folder",
        "anime": "Hugging Face's cache",
        "celeba": "Kaggle's cache",
    }.items():
        assert rows[name].endswith(f"  {where}")
    in_keras_cache(monkeypatch, "fashion", [b"images", b"labels"])
    assert re.search(r"^fashion .*  Keras's cache$", table(folder), re.M)
    assert max(map(len, rows.values())) <= 120
    assert len({line.index(DATASETS[name].licence) for name, line in rows.items() if name != "name"}) == 1


def test_the_table_is_printed_without_tensorflow(folder):
    code = (
        "import runpy, sys; sys.argv[1:] = ['--data-dir', sys.argv[1]];"
        "runpy.run_module('gan_tf.data.registry', run_name='__main__');"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0 and not run.stderr
    assert re.search(r"^mnist .*  the data folder$", run.stdout, re.M) and len(run.stdout.splitlines()) == 11
