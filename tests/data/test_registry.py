import dataclasses
import gzip
import hashlib
import importlib.util
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_tf.common.errors import InputError
from gan_tf.config import GPU_PRESETS, PRESETS, Config, preset_config
from gan_tf.data import registry
from gan_tf.data.registry import DATASETS, load, load_or_fallback, markdown_table, terminal_table
from gan_tf.data.sources import HubFile, HubPictures, KaggleFolder, KerasFile, Unavailable

MNIST = Config(dataset="mnist", batch_size=4)
POKEMON = Config(dataset="pokemon", batch_size=4, image_size=28)
DOWNLOADED = [data.name for data in DATASETS.values() if data.sources]


@pytest.fixture(autouse=True)
def empty_caches_and_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    if importlib.util.find_spec("huggingface_hub"):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for source in (KerasFile, HubFile, HubPictures, KaggleFolder):
        monkeypatch.setattr(source, "fetch", raise_unreachable)
    monkeypatch.chdir(tmp_path)


def raise_unreachable(self):
    raise ConnectionError("Network is unreachable")


def arrays(count=40, labels=10):
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), np.uint8)
    return {"x_train": images, "y_train": (np.arange(count) % labels).astype(np.uint8)}


@pytest.fixture
def folder(tmp_path):
    """A data folder with a small mnist.npz."""
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "mnist.npz", **arrays())
    return tmp_path / "mine"


def pictures(folder, count=4, start=0):
    """Save distinct pictures in colour in a new folder."""
    folder.mkdir(parents=True)
    for number in range(start, start + count):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


# Where a data set is looked for.


def test_embedded_sets_and_their_labels(tmp_path):
    pictures(tmp_path / "data" / "digits")  # Ignored: nothing replaces an embedded set.
    assert len(load(Config(dataset="digits"))) == DATASETS["digits"].images
    fives = load(Config(dataset="digits", label=5, image_size=32))
    assert fives.shape == (32, 32, 1) and set(fives.labels) == {5} and fives.label_names == DATASETS["digits"].labels
    owls = load(Config(dataset="creatures", label="owl"))
    assert owls.shape == (28, 28, 3) and {owls.label_names[label] for label in owls.labels} == {"owl"}
    assert len(load(Config(dataset="creatures"))) == DATASETS["creatures"].images


def test_a_grey_set_has_no_transparency():
    with pytest.raises(InputError, match=r"^--alpha learns transparency, but mnist is grey and opaque: leave --alpha"):
        load(Config(dataset="mnist", alpha=True))


def test_the_data_folder_is_the_option_then_the_environment_then_data(folder, monkeypatch, tmp_path):
    for name in ("environment", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mnist.npz").write_bytes((folder / "mnist.npz").read_bytes())
    monkeypatch.setenv("GAN_TF_DATA", str(tmp_path / "environment"))
    assert load(dataclasses.replace(MNIST, data_dir=str(folder))).source == str(folder / "mnist.npz")
    assert load(MNIST).source == str(tmp_path / "environment" / "mnist.npz")
    monkeypatch.delenv("GAN_TF_DATA")
    assert load(MNIST).source == str(Path("data/mnist.npz"))


@pytest.mark.parametrize("name, label", [("mnist", "9"), ("fashion", "ankle-boot"), ("letters", "J")])
def test_your_own_npz_file_of_a_grey_set(tmp_path, name, label):
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / f"{name}.npz", **arrays())
    nines = load(Config(dataset=name, label=label, batch_size=4))
    assert nines.name == name and set(nines.labels) == {9} and nines.label_names[9] == label


@pytest.mark.parametrize("name", DOWNLOADED)
def test_your_own_folder_of_pictures(tmp_path, name):
    for number, label in enumerate(("a", "b")):
        pictures(tmp_path / "data" / name / label, 3, start=3 * number)
    dataset = load(dataclasses.replace(POKEMON, dataset=name, label="b", batch_size=2))
    assert dataset.name == name and dataset.shape == (28, 28, 3) and len(dataset) == 3
    assert dataset.source == str(tmp_path / "data" / name)


@pytest.mark.parametrize("path", ["zoo/faces", "./zoo/faces", "~/faces"])
def test_any_folder_by_its_path(tmp_path, path, monkeypatch):
    pictures(tmp_path / "zoo" / "faces" / "cat")
    pictures(tmp_path / "zoo" / "faces" / "dog", start=9)
    monkeypatch.setenv("HOME", str(tmp_path / "zoo"))
    dataset = load(dataclasses.replace(POKEMON, dataset=path, label="dog"))
    assert len(dataset) == 4 and dataset.source == str(tmp_path / "zoo" / "faces")


def put_into_keras_cache(monkeypatch, name, contents):
    """Write a data set's files into Keras's cache, and their hashes into the registry."""
    sources = []
    for source, content in zip(DATASETS[name].sources, contents, strict=True):
        source.path.parent.mkdir(parents=True, exist_ok=True)
        source.path.write_bytes(content)
        sources.append(dataclasses.replace(source, sha256=hashlib.sha256(content).hexdigest()))
    monkeypatch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], sources=tuple(sources)))


def test_grey_sets_in_the_cache_of_keras(monkeypatch, tmp_path):
    images, labels = arrays().values()
    file = io.BytesIO()
    np.savez(file, **arrays())
    put_into_keras_cache(monkeypatch, "mnist", [file.getvalue()])
    idx = [gzip.compress(bytes(16) + images.tobytes()), gzip.compress(bytes(8) + labels.tobytes())]
    put_into_keras_cache(monkeypatch, "fashion", idx)
    for name in ("mnist", "fashion"):
        dataset = load(dataclasses.replace(MNIST, dataset=name))
        np.testing.assert_array_equal(dataset.images[..., 0], images)
        np.testing.assert_array_equal(dataset.labels, labels)
    # Where Keras's own load_data() looks.
    cache = tmp_path / "keras" / "datasets"
    files = sorted(path.relative_to(cache).as_posix() for path in cache.rglob("*.*z"))
    expected = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    assert files == [*(f"fashion-mnist/{name}" for name in expected), "mnist.npz"]


def test_letters_are_downloaded_and_read(monkeypatch, tmp_path):
    monkeypatch.setattr(HubFile, "fetch", lambda self: tmp_path / "letters.parquet")

    def read(path):
        assert path.name == "letters.parquet"
        return tuple(arrays(52, 26).values())

    monkeypatch.setitem(DATASETS, "letters", dataclasses.replace(DATASETS["letters"], read=read))
    dataset = load(Config(dataset="letters", label="C", batch_size=2))
    np.testing.assert_array_equal(dataset.images[..., 0], arrays(52, 26)["x_train"][[2, 28]])
    assert dataset.source == str(tmp_path / "letters.parquet")


@pytest.mark.parametrize("name", ["pokemon", "anime"])
def test_unpacked_pictures_of_hugging_face(name):
    pictures(DATASETS[name].sources[0].folder)
    dataset = load(dataclasses.replace(POKEMON, dataset=name))
    assert dataset.name == name and len(dataset) == 4 and dataset.shape == (28, 28, 3)


def kaggle_cache(tmp_path, name):
    """The folder of a data set that kagglehub has downloaded."""
    source = DATASETS[name].sources[0]
    base = tmp_path / "kaggle" / "datasets" / source.name
    base.mkdir(parents=True)
    (base / f"{source.number}.complete").touch()
    return base / "versions" / str(source.number)


def test_animal_faces_are_the_training_part_of_afhq(tmp_path):
    base = kaggle_cache(tmp_path, "animal_faces")
    for number, label in enumerate(("cat", "dog", "wild")):
        pictures(base / "afhq" / "train" / label, start=4 * number)
        pictures(base / "afhq" / "val" / label, start=100 + 4 * number)
    dataset = load(dataclasses.replace(POKEMON, dataset="animal_faces"))
    assert len(dataset) == 12 and dataset.label_names == ("cat", "dog", "wild")
    assert len(load(dataclasses.replace(POKEMON, dataset="animal_faces", label="wild"))) == 4


def test_dogs_are_labelled_by_breed(tmp_path):
    base = kaggle_cache(tmp_path, "dogs") / "images" / "Images"
    for number, breed in enumerate(("n02085620-Chihuahua", "n02085936-Maltese_dog", "n02093428-American-bulldog")):
        pictures(base / breed, start=10 * number)
    config = dataclasses.replace(POKEMON, dataset="dogs")
    dataset = load(config)
    assert dataset.label_names == ("Chihuahua", "Maltese_dog", "American-bulldog") and len(dataset) == 12
    two = load(dataclasses.replace(config, label=("American-bulldog", "Chihuahua")))
    assert {two.label_names[label] for label in two.labels} == {"American-bulldog", "Chihuahua"} and len(two) == 8
    with pytest.raises(InputError, match="no label 'Poodle'"):
        load(dataclasses.replace(config, label="Poodle"))


def test_celeba_is_in_a_folder_inside_a_folder_of_the_same_name(tmp_path):
    pictures(kaggle_cache(tmp_path, "celeba") / "img_align_celeba" / "img_align_celeba")
    assert len(load(dataclasses.replace(POKEMON, dataset="celeba"))) == 4


# Errors and the fallback.


@pytest.mark.parametrize("name", DOWNLOADED)
def test_without_a_network_an_embedded_set_is_the_fallback(name):
    grey = name in ("mnist", "fashion", "letters")
    config = preset_config(name, batch_size=4)
    expected = f"{name}.npz" if grey else name
    reason = rf"^There is no data.{re.escape(expected)}, and https://\S+ could not be downloaded \(Network is unreach"
    with pytest.raises(Unavailable, match=reason):
        load(config)
    used, images, message = load_or_fallback(config)
    assert used == preset_config("digits" if grey else "creatures") and images.name == used.dataset
    assert re.search(reason, message) and message.endswith(
        f"\nUsing {used.dataset} instead: {DATASETS[used.dataset].description}."
    )


def test_no_fallback_for_a_set_that_loads_or_is_damaged(folder, tmp_path):
    config = dataclasses.replace(MNIST, data_dir=str(folder))
    used, images, message = load_or_fallback(config)
    assert used is config and images.name == "mnist" and message is None
    (tmp_path / "data" / "pokemon").mkdir(parents=True)
    with pytest.raises(InputError, match="contains no pictures") as caught:
        load_or_fallback(POKEMON)
    assert not isinstance(caught.value, Unavailable)


def test_the_fallback_takes_its_config_from_the_caller_and_keeps_known_labels():
    requested = []

    def fallback_config(name):
        requested.append(name)
        return preset_config("mnist", batch_size=8, seed=3, label=("1", "2"))

    used, images, _ = load_or_fallback(Config(dataset="letters", label=("A", "B")), fallback_config)
    assert requested == ["digits"] and (used.dataset, used.label, used.seed) == ("digits", (), 3)
    assert len(images) == 1797
    used, images, _ = load_or_fallback(Config(dataset="mnist", label="5"), fallback_config)
    assert used.label == ("5",) and set(images.labels) == {5}


def test_a_fallback_that_fails_says_why_it_was_tried():
    too_large = preset_config("digits", batch_size=2000)
    with pytest.raises(InputError, match=r"(?s)no data.mnist\.npz.*Using digits instead.*fewer than the 2000 of one"):
        load_or_fallback(MNIST, lambda name: too_large)


@pytest.mark.parametrize("name, nearest", [("minst", "mnist"), ("Pokémon", "pokemon"), ("folder", "")])
def test_an_unknown_name_suggests_the_nearest(name, nearest):
    with pytest.raises(
        InputError, match=rf"no data set '{name}' \(did you mean {nearest}.*\?\); use one of digits, .*, celeba, or"
    ):
        load(Config(dataset=name))


def test_an_unknown_label():
    with pytest.raises(InputError, match=r"digits has no label 'A'; its labels are 0, 1, 2"):
        load(Config(dataset="digits", label="A"))


def test_too_few_images_for_one_step():
    with pytest.raises(
        InputError, match=r"1707 images to train on \(90 more are held out\), fewer than the 1750 of one step"
    ):
        load(Config(batch_size=1750))
    with pytest.raises(InputError, match=r"182 images to train on, fewer than the 200 of .* at most 91\."):
        load(Config(dataset="digits", label="5", batch_size=100, d_steps=2))


# The registry itself.


def test_every_set_has_a_preset_and_a_pinned_version():
    assert set(PRESETS) == {*DATASETS, "folder", *GPU_PRESETS}
    for name, data in DATASETS.items():
        assert name == data.name
        assert bool(data.labels) == bool(data.read) == (PRESETS[name].get("image_size", 28) == 28)
        for source in data.sources:
            pins = [getattr(source, "sha256", ""), getattr(source, "commit", "")]
            assert all(re.fullmatch(r"([0-9a-f]{40}|[0-9a-f]{64})?", pin) for pin in pins)
            assert any(pins) or source.number >= 1
        for label in data.labels:
            assert " " not in label  # On the command line, a space separates two labels.


def test_the_readme_of_the_data_folder_has_the_same_table():
    readme = Path(registry.__file__).parents[2] / "data" / "README.md"
    lines = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert lines == markdown_table().splitlines()


def test_the_table_says_where_each_set_is(tmp_path, monkeypatch, folder):
    kaggle_cache(tmp_path, "celeba").joinpath("img_align_celeba", "img_align_celeba").mkdir(parents=True)
    DATASETS["anime"].sources[0].folder.mkdir(parents=True)
    put_into_keras_cache(monkeypatch, "fashion", [b"images", b"labels"])
    DATASETS["fashion"].sources[1].path.unlink()  # Incomplete.
    pictures(folder / "dogs")
    rows = {line.split()[0]: line for line in terminal_table(folder).splitlines()}
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
    put_into_keras_cache(monkeypatch, "fashion", [b"images", b"labels"])
    assert re.search(r"^fashion .*  Keras's cache$", terminal_table(folder), re.M)
    assert max(map(len, rows.values())) <= 120
    assert len({line.index(DATASETS[name].licence) for name, line in rows.items() if name != "name"}) == 1


def test_the_listing_command_needs_no_tensorflow(folder):
    code = (
        "import runpy, sys; sys.argv[1:] = ['--data-dir', sys.argv[1]];"
        "runpy.run_module('gan_tf.data', run_name='__main__');"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0 and not run.stderr
    assert re.search(r"^mnist .*  the data folder$", run.stdout, re.M) and len(run.stdout.splitlines()) == 11
