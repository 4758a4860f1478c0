import dataclasses
import os
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.config import preset_config
from gan_tf.data import creatures
from gan_tf.data import registry as datasets
from gan_tf.data.images import ImageDataset
from gan_tf.measure import features
from gan_tf.measure.features import (
    HUES,
    Features,
    classifier,
    creature_classes,
    creature_reader,
    dataset_features,
    inception,
    make_features,
    rotate,
    rotation_network,
    shift,
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(features, "STEPS", 200)


def arrows(count=400):
    """Wedges that point up, at random places: only their shape shows how they were rotated."""
    generator = np.random.default_rng(0)
    pixels = np.zeros((count, 28, 28, 1), np.uint8)
    for image, (y, x, value) in zip(pixels, generator.integers([2, 2, 120], [8, 8, 256], (count, 3)), strict=True):
        for row in range(16):
            image[y + row, x + 8 - row // 2 : x + 9 + row // 2] = value
    return ImageDataset("arrows", pixels, None, "tests")


def test_a_classifier_predicts_the_labels_and_its_features_separate_them(tmp_path):
    digits = datasets.load(preset_config("digits"))
    found = classifier(digits, tmp_path)
    assert found.accuracy["label"] > 0.8
    assert f"right about {found.accuracy['label']:.1%} of labels (chance: {found.chance['label']:.1%})" in found.name
    assert 0.1 <= found.chance["label"] < 0.2
    assert np.mean(found.read(digits.images)["label"] == digits.labels) > 0.8
    numbers = found(digits.images)
    assert numbers.shape == (len(digits), found.size) and found.size == 64
    centres = np.stack([numbers[digits.labels == label].mean(axis=0) for label in range(10)])
    nearest = np.linalg.norm(numbers[:, None] - centres, axis=-1).argmin(axis=1)
    assert np.mean(nearest == digits.labels) > 0.8


def test_a_network_is_trained_once_and_cached_atomically(tmp_path, monkeypatch):
    images = arrows()
    monkeypatch.setattr(features, "STEPS", 60)
    replace = os.replace

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        rotation_network(images, tmp_path)
    assert not [*tmp_path.iterdir()]
    monkeypatch.setattr(os, "replace", replace)
    first = rotation_network(images, tmp_path)
    monkeypatch.setattr(features, "convolutions", None)  # From here on, training raises TypeError.
    again = rotation_network(images, tmp_path)
    np.testing.assert_array_equal(first(images.images), again(images.images))
    with pytest.raises(TypeError):
        rotation_network(dataclasses.replace(images, images=images.images[:-1]), tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])  # A damaged file is replaced by training again.
    with pytest.raises(TypeError):
        rotation_network(images, tmp_path)


@pytest.mark.slow
def test_training_neither_reads_nor_changes_a_global_random_state(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 20)
    images = arrows(60)

    def draw():
        numbers = random.random(), np.random.random(), float(tf.random.uniform(())), float(keras.random.uniform(()))
        return (*numbers, *keras.layers.Dense(1, kernel_initializer="uniform")(np.ones((1, 3))).numpy().ravel())

    def draw_around(work):
        keras.utils.set_random_seed(7)
        keras.utils.clear_session()  # In Keras 3.6, the line above leaves the state of keras.random as it is.
        return draw(), work(), draw()

    before, _, after = draw_around(lambda: None)
    for _ in range(2):  # The second time, the network comes from the cache.
        found = draw_around(lambda: make_features(images, tmp_path / "a")(images.images))
        assert (found[0], found[2]) == (before, after)
    keras.utils.set_random_seed(8)  # The same images give the same features to the bit, whatever the global state.
    np.testing.assert_array_equal(make_features(images, tmp_path / "b")(images.images), found[1])


def test_features_of_rotations_ignore_mirroring_in_both_modes(tmp_path):
    images = arrows()
    found = rotation_network(images, tmp_path)
    assert found.accuracy["rotation"] > 0.9 and found.chance["rotation"] == 0.25 and "chance: 25.0%" in found.name
    np.testing.assert_allclose(found(images.images[:20]), found(images.images[:20, :, ::-1]), atol=1e-4)
    assert np.abs(found(images.images[:20]) - found(images.images[:20, ::-1])).max() > 0.1
    unit = images.images.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(tf.function(found.embed)(unit), found(images.images), atol=1e-3)


def test_labels_decide_which_network_is_used(tmp_path, monkeypatch):
    for name in ("classifier", "rotation_network", "creature_reader"):
        monkeypatch.setattr(features, name, lambda *_, name=name, **__: name)
    images = arrows(40)
    assert make_features(images, tmp_path) == "rotation_network"
    twenty = dataclasses.replace(images, labels=np.arange(40) % 2, label_names=("a", "b"))
    assert make_features(twenty, tmp_path) == "classifier"
    few = dataclasses.replace(twenty, labels=(np.arange(40) < 5).astype(int))  # Too few to learn from.
    assert make_features(few, tmp_path) == "rotation_network"
    assert make_features(dataclasses.replace(images, name="creatures"), tmp_path) == "creature_reader"


def test_features_of_one_label_come_from_the_whole_data_set(monkeypatch):
    monkeypatch.setattr(features, "make_features", lambda images: len(images))
    config = preset_config("digits", label="5")
    fives = datasets.load(config)
    assert len(fives) == 182 and dataset_features(fives, config) == 1797


@pytest.mark.slow
def test_a_creature_reader_recognises_species_and_hue(tmp_path):
    reader = creature_reader(28, tmp_path, count=3000)
    assert reader.accuracy["species"] > 0.5 and reader.accuracy["hue"] > 0.15  # 6 and 24 classes, 200 steps.
    known = creatures.parameters(200)
    read = reader.read(creatures.draw(known, 28))
    assert np.mean(read["species"] == known["species"]) > 0.5


def test_a_creature_reader_of_another_shape_has_a_network_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 2)
    reader = creature_reader((24, 40), tmp_path, count=100, alpha=True)
    assert reader.network.input_shape == (None, 24, 40, 4)
    assert [path.name for path in tmp_path.iterdir()] == [f"features-{features.FORMAT}-creatures-40x24-alpha.keras"]
    drawn = creatures.draw(creatures.parameters(5), (24, 40), alpha=True)
    hidden = drawn.copy()
    hidden[drawn[..., 3] == 0, :3] = 0
    np.testing.assert_array_equal(reader(drawn), reader(hidden))


def test_the_classes_of_creatures():
    known = creatures.parameters(3000)
    found = creature_classes(known)
    assert {name: len(np.unique(values)) for name, values in found.items()} == {
        "species": 6,
        "hue": HUES,
        "turn": 3,
        "tilt": 3,
    }
    assert found["tilt"][known["tilt"] < -7].max() == 0 and found["turn"][known["turn"] > 0.4].min() == 2
    np.testing.assert_array_equal(found["hue"], (known["hue"] * HUES).astype(int))


def test_shifts_and_rotations_keep_the_content():
    images = np.random.default_rng(0).integers(0, 256, (50, 40, 40, 3), np.uint8)
    shifted = shift(images, np.random.default_rng(1), mirror=False)
    # Shifts are at most 4 pixels, so each result contains the middle of its original, at one place.
    for before, after in zip(images, shifted, strict=True):
        places = [
            (y, x) for y in range(9) for x in range(9) if (before[4:36, 4:36] == after[y : y + 32, x : x + 32]).all()
        ]
        assert len(places) == 1
    views, labels = rotate(np.repeat(images[:1], 200, axis=0), 4, np.random.default_rng(2))
    assert views.shape == (200, 40, 40, 3) and views.min() >= 0 and views.max() <= 255
    assert set(labels["rotation"]) == {0, 1, 2, 3}


def test_features_see_a_transparent_image_on_white(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 20)
    opacity = arrows(60).images
    images = np.concatenate([np.full((60, 28, 28, 3), 255, np.uint8), opacity], axis=-1)
    images[:, ::2, ::2, :3] = 90
    dataset = dataclasses.replace(arrows(60), images=images)
    found = rotation_network(dataset, tmp_path)
    hidden = images.copy()
    hidden[opacity[..., 0] == 0, :3] = 7
    np.testing.assert_array_equal(found(hidden), found(images))
    assert np.abs(found(images) - found(images[::-1])).max() > 0.01
    unit = images.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(tf.function(found.embed)(unit), found(images), atol=1e-2)
    views, _ = rotate(images, 4, np.random.default_rng(0))
    assert {*np.unique(views[..., 3])} == {*np.unique(opacity)}  # Colours change, opacity does not.


@pytest.mark.slow
def test_oblong_images_are_turned_upside_down_only(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 150)
    images = arrows()
    wide = np.concatenate([images.images, images.images[::-1]], axis=2)
    views, labels = rotate(wide[:50], 2, np.random.default_rng(2))
    assert views.shape == (50, *wide.shape[1:]) and set(labels["rotation"]) == {0, 1}
    found = rotation_network(dataclasses.replace(images, images=wide, sha256=""), tmp_path)
    assert found.chance["rotation"] == 0.5 and found.accuracy["rotation"] > 0.8
    assert found(wide[:3]).shape == (3, 64)


def test_inception_comes_from_keras_and_a_failed_download_is_one_sentence(monkeypatch):
    def offline(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(InputError, match=r"--features inception needs a download that failed \(no route to host\)"):
        inception(arrows(2))

    def stand_in(include_top, pooling):
        pixels = keras.Input((None, None, 3))
        return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))

    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    images = arrows(4)
    found = inception(images)
    assert isinstance(found, Features) and found.size == 2048
    means = images.images.mean(axis=(1, 2)) / 127.5 - 1
    np.testing.assert_allclose(found(images.images), means.repeat(3, axis=1), atol=0.02)
