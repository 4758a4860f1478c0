import dataclasses

import numpy as np
import pytest

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, LazyImages, batches, steps_per_epoch, train_holdout_split


def labelled():
    pixels = np.arange(6, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ImageDataset("pets", pixels, np.array([0, 1, 2, 0, 1, 2]), "tests", ("cat", "dog", "fox"))


@pytest.mark.parametrize("names, rows", [(("dog",), [1, 4]), (("fox", "cat"), [0, 2, 3, 5])])
def test_chosen_are_the_images_of_some_labels_in_the_old_order(names, rows):
    chosen = labelled().choose(names)
    assert chosen.images.ravel().tolist() == rows
    assert chosen.labels.tolist() == [row % 3 for row in rows] and chosen.label_names == ("cat", "dog", "fox")
    assert chosen.fingerprint != labelled().fingerprint


def test_a_label_that_there_is_not():
    with pytest.raises(InputError, match=r"pets has no label 'cow'; its labels are cat, dog, fox\."):
        labelled().choose(("cat", "cow"))
    with pytest.raises(InputError, match=r"numbers has no labels to choose by: leave --label out"):
        numbered().choose(("1",))


def test_the_fingerprint_is_of_the_pixels(images):
    changed = images.images.copy()
    changed[3, 4, 5, 0] ^= 1
    same = dataclasses.replace(images, images=images.images.copy())
    assert images.fingerprint == same.fingerprint
    assert images.fingerprint != dataclasses.replace(images, images=changed).fingerprint


def numbered(count=22):
    return ImageDataset("numbers", np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1), None, "tests")


def drawn(config, steps, start=0):
    return [batch.numpy().ravel().tolist() for batch in batches(numbered(), config, start).take(steps)]


def test_each_pass_is_a_new_order_of_all_images():
    config = Config(batch_size=4, seed=1)  # 5 steps a pass: 20 of the 22.
    steps = drawn(config, 10)
    first, second = np.ravel(steps[:5]).tolist(), np.ravel(steps[5:]).tolist()
    assert len(set(first)) == len(set(second)) == 20 and first != second
    assert {len(step) for step in steps} == {4}
    assert set(first) | set(second) == set(range(22))  # The two left out are others each time.


def test_what_is_held_out_is_never_drawn():
    images = ImageDataset(
        "numbers", np.arange(1000, dtype=np.uint16).reshape(-1, 1, 1, 1).astype(np.uint8), None, "tests"
    )
    for share, count in ((0.0, 0), (0.01, 0), (0.016, 16), (0.05, 50), (0.9, 256)):  # Below 16 they would say nothing.
        trained, held_out = train_holdout_split(images, Config(held_out=share))
        assert len(held_out) == count and sorted([*trained, *held_out]) == list(range(1000))
    assert np.ptp(held_out) > 900  # From everywhere, as files lie there by their labels.
    few = numbered(200)
    config = Config(batch_size=5, held_out=0.1)
    trained, held_out = train_holdout_split(few, config)
    drawn = {int(value) for batch in batches(few, config).take(2 * len(trained) // 5) for value in batch.numpy().flat}
    assert drawn == {*trained.tolist()} and not drawn & {*held_out.tolist()}
    assert steps_per_epoch(few, dataclasses.replace(config, steps_per_epoch=0)) == 180 // 5
    assert np.array_equal(held_out, train_holdout_split(few, dataclasses.replace(config, seed=9))[1])


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


def test_images_are_made_when_asked_for_and_only_once():
    made = []

    def make(rows):
        made.extend(rows)
        return np.broadcast_to(rows[:, None, None, None], (len(rows), 4, 4, 1))

    images = LazyImages((9, 4, 4, 1), make)
    assert len(images) == 9 and not made
    np.testing.assert_array_equal(images[np.array([7, 2, 7])][:, 0, 0, 0], [7, 2, 7])
    np.testing.assert_array_equal(images[:3][:, 0, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(images[:][:, 0, 0, 0], range(9))
    assert sorted(made) == list(range(9)) and made[:2] == [2, 7]
