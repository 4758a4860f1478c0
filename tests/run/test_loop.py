import dataclasses
import functools

import keras
import numpy as np
import pytest

from gan_tf.data.images import batches
from gan_tf.gan import GAN
from gan_tf.run import loop
from gan_tf.run.build import build_gan
from gan_tf.run.checkpoints import CheckpointStore
from gan_tf.run.loop import train_epochs
from tests.conftest import mostly_slow


@pytest.fixture
def config(config):
    return dataclasses.replace(config, width=16, steps_per_epoch=5)


class Recorder(keras.callbacks.Callback):
    """Notes each call that it gets, and stops training after `stop_after` steps."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.calls, self.stop_after = [], stop_after

    def on_train_begin(self, logs=None):
        self.calls.append("train begins")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} begins")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(batch)
        if int(self.model.step) == self.stop_after:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch} ends")

    def on_train_end(self, logs=None):
        self.calls.append("train ends")


def state(gan):
    models = (gan.generator, gan.discriminator, gan.ema_generator, gan.g_optimizer, gan.d_optimizer)
    trackers = gan.trackers.values()
    return [v.numpy() for holder in (*models, *trackers) for v in holder.variables] + [gan.step.numpy()]


def assert_equal(ours, theirs):
    assert len(ours) > 60
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("classes", mostly_slow([0, 3], 3))
def test_a_run_stopped_within_an_epoch_is_continued_to_the_bit_as_one_fit(
    config, images, classes, tmp_path, monkeypatch
):
    config = dataclasses.replace(config, decay="linear", d_steps=2, r1=1.0, flip=True, augment=("translation",))
    if classes:
        config = dataclasses.replace(config, conditional=True)
        images = dataclasses.replace(images, labels=np.arange(24) % classes, label_names=("a", "b", "c"))
    whole = build_gan(config, images.shape, classes=classes)
    expected = train_epochs(whole, images, config)
    # The same, stopped after 2 of 5 steps and continued from a checkpoint, by another GAN.
    monkeypatch.setattr(loop, "STEPS_PER_CALL", 2)
    stopped, before = build_gan(config, images.shape, classes=classes), Recorder(stop_after=2)
    train_epochs(stopped, images, config, [before])
    assert before.calls == ["train begins", "epoch 0 begins", 1, "train ends"]
    CheckpointStore(stopped, tmp_path).save()
    resumed, after = build_gan(config, images.shape, classes=classes), Recorder()
    CheckpointStore(resumed, tmp_path).restore()
    history = train_epochs(resumed, images, config, [after])
    first = ["train begins", "epoch 0 begins", 3, 4, "epoch 0 ends"]
    assert after.calls == [*first, "epoch 1 begins", 1, 3, 4, "epoch 1 ends", "train ends"]
    assert_equal(state(resumed), state(whole))
    assert history.history == expected.history and history.epoch == [0, 1]


@pytest.mark.slow
def test_a_longer_run_without_decay_is_the_run_that_never_stopped(config, images):
    whole, parts = build_gan(config, images.shape), build_gan(config, images.shape)
    train_epochs(whole, images, config)
    train_epochs(parts, images, dataclasses.replace(config, epochs=1))
    assert train_epochs(parts, images, config).epoch == [1]
    assert_equal(state(parts), state(whole))


def test_steps_share_a_call_whatever_the_length_of_an_epoch(config, images):
    config = dataclasses.replace(config, steps_per_epoch=37)  # A prime.
    gan, calls, traced = build_gan(config, images.shape), Recorder(), []
    step = gan.train_step
    gan.train_step = lambda data: traced.append(1) or step(data)
    train_epochs(gan, images, config, [calls])
    assert [call for call in calls.calls if isinstance(call, int)] == 2 * [15, 31, 36]
    assert len(traced) == 1 and int(gan.step) == 74


def test_logs_are_the_running_means_of_the_epoch(config, images):
    class Means(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            assert logs == {name: float(self.model.trackers[name].result()) for name in GAN.LOGGED}

    gan = build_gan(config, images.shape)
    history = train_epochs(gan, images, config, [Means()]).history
    assert set(history) == set(GAN.LOGGED) and len(history["d_loss"]) == 2
    # A mean over both epochs would have counted ten steps.
    assert float(gan.trackers["d_loss"].count) == 5


def test_the_loop_takes_the_same_steps_as_keras_fit(config, images):
    config = dataclasses.replace(config, epochs=1)
    ours, theirs = build_gan(config, images.shape), build_gan(config, images.shape)
    train_epochs(ours, images, config)
    theirs.fit(batches(images, config), steps_per_epoch=5, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(state(ours), state(theirs), strict=True):  # Two graphs may be rounded differently.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_nothing_is_left_to_do(config, images):
    gan, calls = build_gan(config, images.shape), Recorder()
    gan.step.assign(10)
    assert train_epochs(gan, images, config, [calls]).history == {}
    assert calls.calls == ["train begins", "train ends"] and int(gan.step) == 10


def test_a_set_that_fits_on_the_gpu_is_kept_there_and_trains_the_same(config, images, monkeypatch):
    images = dataclasses.replace(images, labels=np.arange(24) % 3, label_names=("a", "b", "c"))
    config, asked = dataclasses.replace(config, conditional=True, d_steps=2), []
    before, after = build_gan(config, images.shape, classes=3), build_gan(config, images.shape, classes=3)
    train_epochs(before, images, config)
    has_room = functools.partial(loop.feed, has_room=lambda size: asked.append(size) or True)
    monkeypatch.setattr(loop, "feed", has_room)
    monkeypatch.setattr(loop, "share_out", lambda *_: pytest.fail("the CPU gathers batches"))
    train_epochs(after, images, dataclasses.replace(config, epochs=1))
    train_epochs(after, images, config)
    assert asked == 2 * [24 * 28 * 28]
    assert_equal(state(after), state(before))
