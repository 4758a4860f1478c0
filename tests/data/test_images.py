import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import (
    ImageDataset,
    LazyImages,
    batch_rows,
    batches,
    on_device,
    steps_per_epoch,
    train_holdout_split,
)


def numbered(count=22):
    """Images of one pixel, whose value is their index."""
    return ImageDataset("numbers", np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1), None, "tests")


def batch_values(config, steps, start=0, images=None):
    return [batch.numpy().ravel().tolist() for batch in batches(images or numbered(), config, start).take(steps)]


@pytest.fixture
def pets():
    labels = np.array([0, 1, 2, 0, 1, 2])
    return dataclasses.replace(numbered(6), name="pets", labels=labels, label_names=("cat", "dog", "fox"))


@pytest.mark.parametrize("names, rows", [(("dog",), [1, 4]), (("fox", "cat"), [0, 2, 3, 5])])
def test_filter_labels_keeps_the_order_and_the_label_names(pets, names, rows):
    some = dataclasses.replace(pets, sha256="of all").filter_labels(names)
    assert some.images.ravel().tolist() == rows
    assert some.labels.tolist() == [row % 3 for row in rows] and some.label_names == ("cat", "dog", "fox")
    assert some.fingerprint == dataclasses.replace(numbered(6), images=numbered(6).images[rows]).fingerprint


def test_filter_labels_by_a_label_that_does_not_exist(pets):
    with pytest.raises(InputError, match=r"pets has no label 'cow'; its labels are cat, dog, fox\."):
        pets.filter_labels(("cat", "cow"))
    with pytest.raises(InputError, match=r"numbers has no labels: leave --label out"):
        numbered().filter_labels(("1",))


def test_the_fingerprint_identifies_the_pixels(images):
    changed = images.images.copy()
    changed[3, 4, 5, 0] ^= 1
    lazy = LazyImages(images.images.shape, lambda rows: images.images[rows])
    for same in (images.images.copy(), lazy):
        assert dataclasses.replace(images, images=same).fingerprint == images.fingerprint
    assert dataclasses.replace(images, images=changed).fingerprint != images.fingerprint


def test_lazy_images_are_rendered_once_and_only_on_access():
    rendered = []

    def render(rows):
        rendered.extend(rows)
        return np.broadcast_to(rows[:, None, None, None], (len(rows), 4, 4, 1))

    images = LazyImages((9, 4, 4, 1), render)
    assert len(images) == 9 and not rendered
    np.testing.assert_array_equal(images[np.array([7, 2, 7])][:, 0, 0, 0], [7, 2, 7])
    np.testing.assert_array_equal(images[:3][:, 0, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(images[np.arange(9) % 4 == 0][:, 0, 0, 0], [0, 4, 8])
    assert sorted(rendered) == [0, 1, 2, 4, 7, 8]
    np.testing.assert_array_equal(images[:][:, 0, 0, 0], range(9))
    assert sorted(rendered) == list(range(9))


def test_lazy_images_are_rendered_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(LazyImages, "AT_ONCE", 4)
    counts = []

    def render(rows):
        counts.append(len(rows))
        return np.broadcast_to(rows[:, None, None, None], (len(rows), 4, 4, 1))

    images = LazyImages((10, 4, 4, 1), render)
    np.testing.assert_array_equal(images[:][:, 0, 0, 0], range(10))
    assert counts == [4, 4, 2]


def test_each_pass_shuffles_all_images():
    steps = batch_values(Config(batch_size=4, seed=1), 10)  # 5 steps a pass: 20 of the 22 images.
    first, second = np.ravel(steps[:5]).tolist(), np.ravel(steps[5:]).tolist()
    assert len(set(first)) == len(set(second)) == 20 and first != second
    assert {len(step) for step in steps} == {4}
    assert set(first) | set(second) == set(range(22))  # Each pass leaves out two others.


def test_batches_depend_on_seed_and_step_only():
    config = Config(batch_size=4, seed=1)
    steps = batch_values(config, 12)
    assert batch_values(config, 12) == steps
    assert batch_values(config, 5, start=7) == steps[7:]
    assert batch_values(dataclasses.replace(config, seed=2), 12) != steps


@pytest.mark.parametrize("share, count", [(0.0, 0), (0.01, 0), (0.015, 0), (0.016, 16), (0.05, 50), (0.9, 256)])
def test_the_size_of_the_holdout(share, count):
    images = dataclasses.replace(numbered(), images=np.zeros((1000, 1, 1, 1), np.uint8))
    training, held_out = train_holdout_split(images, Config(held_out=share))
    assert len(held_out) == count and sorted([*training, *held_out]) == list(range(1000))
    assert not count or np.ptp(held_out) > 700  # From everywhere: files are sorted by label.
    np.testing.assert_array_equal(held_out, train_holdout_split(images, Config(held_out=share, seed=9))[1])


def test_held_out_images_are_never_drawn():
    images, config = numbered(200), Config(batch_size=5, held_out=0.1, steps_per_epoch=0)
    training, held_out = train_holdout_split(images, config)
    assert steps_per_epoch(images, config) == 180 // 5
    values = {*np.ravel(batch_values(config, 2 * 180 // 5, images=images))}
    assert values == {*training} and not values & {*held_out}


def test_an_epoch_is_one_pass_or_the_given_number_of_steps():
    assert steps_per_epoch(numbered(), Config(batch_size=4, steps_per_epoch=0)) == 5
    assert steps_per_epoch(numbered(), Config(batch_size=4, d_steps=2, steps_per_epoch=0)) == 2
    assert steps_per_epoch(numbered(), Config(batch_size=4, steps_per_epoch=64)) == 64
    assert len(batch_values(Config(batch_size=4, d_steps=2), 1)[0]) == 8


def test_classes_are_the_labels_in_use_without_gaps(pets):
    assert pets.classes.names == ("cat", "dog", "fox") and pets.classes.labels.tolist() == [0, 1, 2, 0, 1, 2]
    some = pets.filter_labels(("cat", "fox"))
    assert some.classes.names == ("cat", "fox") and some.classes.labels.tolist() == [0, 1, 0, 1]
    assert some.classes.shares.tolist() == [0.5, 0.5]
    with pytest.raises(InputError, match="pets has one label only, dog, so there is nothing to tell"):
        _ = pets.filter_labels(("dog",)).classes
    with pytest.raises(InputError, match=r"numbers has no labels.*two subfolders"):
        _ = numbered().classes


def test_conditional_batches_have_the_class_of_each_image(pets):
    config = Config(batch_size=2, held_out=0.0, conditional=True)
    found = []
    for images, classes in batches(pets.filter_labels(("dog", "fox")), config).take(4):
        found += zip(images.numpy().ravel(), classes.numpy(), strict=True)
    assert sorted(found) == sorted(2 * [(1, 0), (2, 1), (4, 0), (5, 1)])


@pytest.mark.parametrize("config", [Config(batch_size=4, d_steps=2, seed=5), Config(batch_size=2, conditional=True)])
def test_batches_on_the_device_are_those_of_the_cpu_to_the_bit(config):
    labels = np.arange(22) % 2
    images = dataclasses.replace(numbered(), labels=labels, label_names=("even", "odd"))
    to_batch = on_device(images, config)
    # From within a pass to the next one.
    rows, expected = batch_rows(images, config, start=1), batches(images, config, start=1)
    for ours, theirs in zip(rows.take(12), expected.take(12), strict=True):
        for a, b in zip(*map(tf.nest.flatten, (to_batch(ours), theirs)), strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_array_equal(a, b)


def test_a_gpu_has_kernels_for_picking_a_batch():
    """Or TensorFlow would copy the whole set to the CPU in every step, and say nothing."""
    from tensorflow.python.framework import kernels

    to_batch = on_device(numbered(), Config(batch_size=4))
    graph = tf.function(to_batch).get_concrete_function(tf.TensorSpec((4,), tf.int64)).graph
    picks = [op for op in graph.get_operations() if "Gather" in op.type]
    assert len(picks) == 1
    found = kernels.get_registered_kernels_for_op(picks[0].type).kernel
    on_gpu = [kernel for kernel in found if kernel.device_type == "GPU"]
    if not on_gpu:
        pytest.skip("this TensorFlow was built without GPUs")
    types = {number for kernel in on_gpu for part in kernel.constraint for number in part.allowed_values.list.type}
    assert tf.uint8.as_datatype_enum in types
