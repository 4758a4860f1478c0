import dataclasses

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
        (".index", lambda path: path.unlink()),
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


def test_without_an_intact_checkpoint_there_is_one_sentence(tmp_path, config, images):
    store = CheckpointStore(build_gan(config, images.shape), tmp_path)
    store.save()
    flip_a_byte(tmp_path / "step-0.data-00000-of-00001")
    with pytest.raises(InputError, match=r"no checkpoint that can be read \(of 1\): start again"):
        store.restore()
