import dataclasses
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gan_tf import __version__
from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write
from gan_tf.gan import GAN
from gan_tf.run.folder import FORMAT, Checkpoints, Run, device


@pytest.fixture
def run(tmp_path, config, images):
    return Run.create(tmp_path / "run", config, images, fallback=None)


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("old")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_config_json_says_what_was_run_on_what_and_with_what(run, config, images):
    record = json.loads(run.config_json.read_text())
    assert run.read_config()[0] == config
    assert record["data"]["fingerprint"] == images.fingerprint
    assert record["data"]["images"] == 24 and record["data"]["fallback"] is None
    assert set(record["versions"]) == {"gan_tf", "tensorflow", "keras", "python"}
    assert record["device"] == device()


def test_the_default_name_is_made_of_data_set_labels_and_time(tmp_path, config, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.create(None, dataclasses.replace(config, label=(3, 8)), images, None)
    assert re.fullmatch(r"runs/squares-3-8-\d{8}-\d{6}", run.folder.as_posix())


def test_a_folder_that_exists_is_left_alone(run, config, images):
    before = run.config_json.read_bytes()
    with pytest.raises(InputError, match=r"run exists already; go on with it by --resume .*run, or name"):
        Run.create(run.folder, config, images, None)
    assert run.config_json.read_bytes() == before


def test_a_folder_that_was_not_made_here_is_never_removed(run, config, images, monkeypatch):
    def refused(self, *args, **kwargs):  # As Windows says of a drive, instead of that it exists.
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(InputError, match=r"cannot be made \(Access is denied\)"):
        Run.create(run.folder, config, images, None)
    assert run.config_json.exists()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match="is no run's folder"):
        Run.open(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 1}', '{"format": "1", "versions": {}}'])
def test_a_config_that_is_not_ours(run, text):
    run.config_json.write_text(text)
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        Run.open(run.folder)


def test_a_run_from_a_future_version(run):
    record = json.loads(run.config_json.read_text())
    record |= {"format": FORMAT + 1, "config": record["config"] | {"unheard_of": 1}}
    record["versions"]["gan_tf"] = "9.0"
    run.config_json.write_text(json.dumps(record))
    with pytest.raises(
        InputError, match=rf"gan_tf 9\.0 in format {FORMAT + 1}, .* newer than this gan_tf {__version__} .* update"
    ):
        Run.open(run.folder)


def test_what_a_killed_process_left_is_swept_away(run):
    leftover = run.samples / ".123.epoch_0001.png"
    leftover.write_bytes(b"half")
    run.sample_png(1).write_bytes(b"whole")
    Run.open(run.folder).sweep()
    assert not leftover.exists() and run.sample_png(1).exists()


def test_history_is_cut_back_to_the_checkpoint(run):
    rows = ["epoch,d_loss\n", "1,0.5\n", "2,0.25\n", "3,0.1"]  # The last one was being written.
    run.history_csv.write_text("".join(rows))
    run.cut_history(2)
    assert run.history_csv.read_text() == "".join(rows[:3])
    assert run.read_history() == {"epoch": [1, 2], "d_loss": [0.5, 0.25]}
    run.cut_history(0)
    assert run.history_csv.read_text() == "" and run.read_history() == {}


def everything(gan):
    players = (gan.generator, gan.discriminator, gan.ema_generator)
    optimizers = (gan.g_optimizer, gan.d_optimizer)
    state = [*(v for p in players for v in p.variables), *(v for o in optimizers for v in o.variables), gan.step]
    return [v.numpy() for v in (*state, *(v for m in gan.metrics for v in m.variables))]


def test_a_checkpoint_holds_everything(run, config, images):
    gan = GAN(config, images.shape)
    gan.fit(images, epochs=1, verbose=0)
    Checkpoints(gan, run.checkpoints).save()
    other = GAN(config, images.shape)
    Checkpoints(other, run.checkpoints).restore()
    assert len(everything(gan)) > 40
    for ours, theirs in zip(everything(gan), everything(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x55
    path.write_bytes(raw)


@pytest.mark.parametrize(
    "part, spoil",
    [
        (".data-00000-of-00001", flip),
        (".data-00000-of-00001", lambda path: path.write_bytes(path.read_bytes()[:-1000])),
        (".data-00000-of-00001", lambda path: path.unlink()),
        (".index", flip),
        (".index", lambda path: path.write_bytes(b"")),
        (".index", lambda path: path.unlink()),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(run, config, images, capsys, part, spoil):
    gan = GAN(config, images.shape)
    checkpoints = Checkpoints(gan, run.checkpoints)
    gan.step.assign(4)
    checkpoints.save()
    before = everything(gan)
    gan.generator.layers[0].kernel.assign_add(gan.generator.layers[0].kernel)
    gan.step.assign(8)
    checkpoints.save()
    spoil(run.checkpoints / f"step-8{part}")
    fresh = GAN(config, images.shape)
    Checkpoints(fresh, run.checkpoints).restore()
    for ours, theirs in zip(before, everything(fresh), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    said = capsys.readouterr().err
    assert "step-8 is damaged" in said and "the one before it" in said and len(said.splitlines()) == 1


def test_no_checkpoint_that_can_be_read(run, config, images):
    checkpoints = Checkpoints(GAN(config, images.shape), run.checkpoints)
    checkpoints.save()
    flip(run.checkpoints / "step-0.data-00000-of-00001")
    with pytest.raises(InputError, match=r"no checkpoint that can be read \(of 1\); start again"):
        checkpoints.restore()


def test_a_generator_that_is_not_there_or_cannot_be_opened(run, config, images):
    with pytest.raises(InputError, match=r"no generator.keras yet; .* --resume"):
        run.load_generator()
    run.save_models(GAN(config, images.shape))
    whole = run.generator_keras.read_bytes()
    run.generator_keras.write_bytes(whole[:-500])
    with pytest.raises(InputError, match=r"cannot be opened by Keras .*: it is damaged"):
        run.load_generator()


def test_a_generator_saved_by_a_future_keras_names_both_versions(run, config, images):
    run.save_models(GAN(config, images.shape))
    with zipfile.ZipFile(run.generator_keras) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": "7.1.0"}).encode()
    members["config.json"] = members["config.json"].replace(b'"Dense"', b'"DenseOfTheFuture"')
    with zipfile.ZipFile(run.generator_keras, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"cannot be opened by Keras 3\..*: it was saved by Keras 7\.1\.0; install"):
        run.load_generator()
