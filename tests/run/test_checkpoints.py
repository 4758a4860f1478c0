import dataclasses
import gc
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from gan_tf.common.errors import InputError
from gan_tf.run.build import build_gan
from gan_tf.run.checkpoints import CheckpointStore
from gan_tf.run.loop import train_epochs


@pytest.fixture
def config(config):
    return dataclasses.replace(config, width=16, decay="cosine", spectral_norm=True)


def state(gan):
    players = (gan.generator, gan.discriminator, gan.ema_generator)
    optimizers = (gan.g_optimizer, gan.d_optimizer)
    variables = [*(v for p in players for v in p.variables), *(v for o in optimizers for v in o.variables), gan.step]
    return [v.numpy() for v in (*variables, *(v for tracker in gan.trackers.values() for v in tracker.variables))]


def test_a_checkpoint_holds_everything(tmp_path, config, images):
    gan = build_gan(config, images.shape)
    train_epochs(gan, images, dataclasses.replace(config, epochs=1))
    CheckpointStore(gan, tmp_path).save()
    other = build_gan(config, images.shape)
    CheckpointStore(other, tmp_path).restore()
    assert len(state(gan)) > 60
    assert float(other.d_optimizer.learning_rate) == float(gan.d_optimizer.learning_rate) < config.learning_rate
    for ours, theirs in zip(state(gan), state(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_holds_the_factor_that_float16_multiplies_losses_by(tmp_path, config, images):
    gan, other = (build_gan(dataclasses.replace(config, precision="float16"), images.shape) for _ in range(2))
    for number, variable in enumerate((*gan.g_optimizer.variables, *gan.d_optimizer.variables)):
        variable.assign(np.full(variable.shape, number + 1))
    CheckpointStore(gan, tmp_path).save()
    CheckpointStore(other, tmp_path).restore()
    for ours, theirs in zip(state(gan), state(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (
        len({float(optimizer.dynamic_scale) for optimizer in (other.g_optimizer, other.d_optimizer)} - {2.0**15}) == 2
    )


def flip_a_byte(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x55
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "suffix, damage",
    [
        (".data-00000-of-00001", flip_a_byte),
        (".data-00000-of-00001", lambda path: path.write_bytes(path.read_bytes()[:-1000])),
        (".data-00000-of-00001", lambda path: path.unlink()),
        (".index", flip_a_byte),
        (".index", lambda path: path.write_bytes(b"")),
    ],
)
def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_restored(
    tmp_path, config, images, capsys, suffix, damage
):
    gan = build_gan(config, images.shape)
    store = CheckpointStore(gan, tmp_path)
    gan.step.assign(4)
    store.save()
    before = state(gan)
    gan.generator.layers[0].kernel.assign_add(gan.generator.layers[0].kernel)
    gan.step.assign(8)
    store.save()
    damage(tmp_path / f"step-8{suffix}")
    CheckpointStore(gan, tmp_path).restore()
    for ours, theirs in zip(before, state(gan), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    warning = capsys.readouterr().err
    assert "step-8 is damaged" in warning and "the one before it" in warning and len(warning.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows flushes no folders")
def test_a_checkpoint_is_on_the_disk_before_an_older_one_is_deleted(tmp_path, config, images, disk_calls, monkeypatch):
    gan = build_gan(config, images.shape)
    store = CheckpointStore(gan, tmp_path / "checkpoints")
    unlink = Path.unlink

    def delete(path, *rest, **more):
        disk_calls.append(("delete", path.name))
        unlink(path, *rest, **more)

    monkeypatch.setattr(Path, "unlink", delete)
    for step in (0, 4, 8):
        disk_calls.clear()
        gan.step.assign(step)
        store.save()
    data, index = "step-8.data-00000-of-00001", "step-8.index"
    written = [("flush", data), ("replace", data), ("flush", "checkpoints")]
    written += [("flush", index), ("replace", index), ("flush", "checkpoints")]
    assert disk_calls[: len(written)] == written
    assert {*disk_calls[len(written) :]} == {("delete", data.replace("8", "0", 1)), ("delete", "step-0.index")}
    assert [prefix.name for prefix in store.saved()] == ["step-4", "step-8"]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 4


def test_files_that_are_no_checkpoints_are_neither_read_nor_deleted(tmp_path, config, images):
    others = ("step-one.index", "step-1.index.bak", "step-1.txt", "checkpoint")
    for name in others:
        (tmp_path / name).write_text('model_checkpoint_path: "/elsewhere/a"')
    gan = build_gan(config, images.shape)
    store = CheckpointStore(gan, tmp_path)
    assert store.saved() == []
    for step in (9, 10, 11):  # In the order of their numbers, not of their letters.
        gan.step.assign(step)
        store.save()
    assert [prefix.name for prefix in store.saved()] == ["step-10", "step-11"]
    assert {path.name for path in tmp_path.iterdir()} >= {*others}


def test_a_checkpoint_without_its_index_was_never_finished(tmp_path, config, images, capsys):
    gan = build_gan(config, images.shape)
    store = CheckpointStore(gan, tmp_path)
    for step in (4, 8, 12):
        (tmp_path / f"step-{step}.index").unlink(missing_ok=True)
        gan.step.assign(step)
        store.save()
    (tmp_path / "step-12.index").unlink()
    store.restore()
    assert int(gan.step) == 8 and capsys.readouterr().err == ""
    gan.step.assign(16)
    store.save()
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"step-8", "step-12", "step-16"}
    gan.step.assign(20)
    store.save()
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"step-16", "step-20"}


def test_what_a_killed_process_did_not_come_to_delete_is_deleted_when_it_is_resumed(
    tmp_path, config, images, monkeypatch
):
    gan = build_gan(config, images.shape)
    store = CheckpointStore(gan, tmp_path)
    with monkeypatch.context() as killed:
        killed.setattr(store, "remove_before_predecessor", lambda: None)
        for step in (0, 4, 8):
            gan.step.assign(step)
            store.save()
    CheckpointStore(gan, tmp_path).restore()  # By a worker that only follows.
    assert len(store.saved()) == 3
    CheckpointStore(gan, tmp_path).restore_or_begin()
    assert [prefix.name for prefix in store.saved()] == ["step-4", "step-8"] and int(gan.step) == 8


def test_a_damaged_checkpoint_does_not_push_out_an_intact_one(tmp_path, config, images, capsys):
    gan = build_gan(config, images.shape)
    store = CheckpointStore(gan, tmp_path)
    for step in (4, 8):
        gan.step.assign(step)
        store.save()
    flip_a_byte(tmp_path / "step-8.data-00000-of-00001")
    store.restore()
    assert int(gan.step) == 4
    gan.step.assign(6)  # By Ctrl-C.
    store.save()
    assert [prefix.name for prefix in store.saved()] == ["step-4", "step-6", "step-8"]
    store.restore()
    assert int(gan.step) == 6
    gan.step.assign(8)
    store.save()
    assert [prefix.name for prefix in store.saved()] == ["step-6", "step-8"]
    capsys.readouterr()
    store.restore()
    assert int(gan.step) == 8 and capsys.readouterr().err == ""


def test_without_an_intact_checkpoint_there_is_one_sentence(tmp_path, config, images, caplog):
    gan = build_gan(config, images.shape)
    CheckpointStore(gan, tmp_path).save()
    flip_a_byte(tmp_path / "step-0.data-00000-of-00001")
    store = CheckpointStore(gan, tmp_path)
    with pytest.raises(InputError, match=r"no checkpoint that can be read \(of 1\): start again"):
        store.restore()
    # TensorFlow would say what it could not restore when the store is deleted.
    logging.getLogger("tensorflow").addHandler(caplog.handler)
    del store
    gc.collect()
    logging.getLogger("tensorflow").removeHandler(caplog.handler)
    assert caplog.text == ""
