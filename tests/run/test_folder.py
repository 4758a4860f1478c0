import dataclasses
import json
import re
import zipfile
from pathlib import Path

import filelock
import keras
import numpy as np
import pytest

from gan_tf import __version__
from gan_tf.common.errors import InputError
from gan_tf.run import devices
from gan_tf.run.build import build_gan
from gan_tf.run.folder import FORMAT, Run, is_sample_kept, nearest


def read_record(run):
    return json.loads(run.config_json.read_text())


def test_config_json_has_the_config_and_the_data(run, config, images):
    record = read_record(run)
    assert run.read_config()[0] == config
    assert record["data"]["fingerprint"] == images.fingerprint
    assert record["data"]["images"] == 24 and record["data"]["fallback"] is None


def test_config_json_keeps_an_entry_for_each_start(run, config, monkeypatch):
    run.record_start(config, [(0, 8)], step=0)
    first = read_record(run)["starts"]
    assert set(first[0]["versions"]) == {"gan_tf", "tensorflow", "keras", "python"}
    assert first[0]["device"] == devices.describe()
    monkeypatch.setattr(keras, "__version__", "3.99")
    longer = dataclasses.replace(config, epochs=3, data_dir="elsewhere")
    run.record_start(longer, [(0, 8), (8, 12)], step=6)
    record = read_record(run)
    assert record["starts"][:1] == first and len(record["starts"]) == 2
    second = record["starts"][1]
    assert (second["step"], second["epochs"], second["data_dir"]) == (6, 3, "elsewhere")
    assert (first[0]["versions"]["keras"], second["versions"]["keras"]) == (keras.version(), "3.99")
    assert run.read_config()[0] == longer and record["phases"] == [[0, 8], [8, 12]]


def test_the_default_name_has_the_data_set_the_labels_and_the_time(tmp_path, config, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.create(None, dataclasses.replace(config, label=(3, 8)), images, None)
    assert re.fullmatch(r"runs/squares-3-8-\d{8}-\d{6}", run.folder.as_posix())


def test_an_existing_folder_is_left_alone(run, config, images):
    before = run.config_json.read_bytes()
    with pytest.raises(InputError, match=r"run exists already: continue that run with --resume .*run, or name"):
        Run.create(run.folder, config, images, None)
    assert run.config_json.read_bytes() == before
    run.config_json.unlink()
    with pytest.raises(InputError, match=r"run exists already: it holds no run, so remove it, or name"):
        Run.create(run.folder, config, images, None)


def test_a_folder_that_was_not_made_here_is_never_removed(run, config, images, monkeypatch):
    def refuse(self, *args, **kwargs):  # What Windows answers for a drive, instead of that it exists.
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"cannot be made \(Access is denied\)"):
        Run.create(run.folder, config, images, None)
    assert run.config_json.exists()


def test_only_the_folder_of_a_run_can_be_opened(tmp_path):
    with pytest.raises(InputError, match="is not the folder of a run"):
        Run.open(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": "1"}', f'{{"format": {FORMAT}}}', "[" * 100_000])
def test_a_config_that_gan_tf_did_not_write(run, text):
    run.config_json.write_text(text)
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        Run.open(run.folder)


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"phases": [[0]]},
        {"phases": [[4, 2]]},
        {"starts": 3},
        {"shape": [28, 28]},
        {"shape": [28, 0, 1]},
        {"classes": [1]},
        {"classes": {"a": "b"}},
        {"classes": {"a": 0.5}},
        {"classes": {"a": -1.0, "b": 2.0}},
        {"images": "many"},
    ],
)
def test_a_config_of_which_gan_tf_wrote_only_a_part(run, change):
    record = read_record(run)
    for name, value in change.items():
        (record if name in record else record["data"])[name] = value
    run.config_json.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        Run.open(run.folder)


def test_a_generator_that_is_not_the_one_of_the_config(run, config, images):
    run.save_models(build_gan(dataclasses.replace(config, latent_dim=9), images.shape))
    with pytest.raises(InputError, match=r"generator\.keras is not the generator that .*config\.json describes"):
        run.load_generator()


@pytest.mark.parametrize("age, change", [("an older", -1), ("a newer", 1)])
def test_a_run_of_another_format(run, age, change):
    record = read_record(run) | {"format": FORMAT + change, "config": {"unknown": 1}}
    run.config_json.write_text(json.dumps(record))
    why = rf"made by {age} gan_tf: its format is {FORMAT + change}, and gan_tf {__version__} reads format {FORMAT} only"
    with pytest.raises(InputError, match=why):
        Run.open(run.folder)


def test_one_process_at_a_time_trains_in_a_folder(run):
    # Of two locks in one process, too, the operating system grants one.
    files = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    with run.lock():
        (owner,) = [path for path in run.folder.iterdir() if path.name == ".lock_owner.json"]
        locked = owner.read_bytes()
        who = rf"run is being trained by process {json.loads(locked)['pid']} since 2\S+: wait until that ends"
        with pytest.raises(InputError, match=who), run.lock():
            pass
        assert owner.read_bytes() == locked
        owner.unlink()
        with pytest.raises(InputError, match="is being trained by another process: wait"), run.lock():
            pass
    with run.lock():
        pass
    assert {path: path.read_bytes() for path in files} == files
    assert {path.name for path in run.folder.iterdir() if path.is_file()} - {path.name for path in files} <= {".lock"}


def test_a_lock_on_another_host_names_it(run):
    with filelock.FileLock(run.folder / ".lock"):
        run.write_json(run.folder / ".lock_owner.json", {"pid": 7, "host": "elsewhere", "since": "2030-01-01"})
        with pytest.raises(InputError, match="process 7 on elsewhere since 2030-01-01"), run.lock():
            pass


def test_history_is_cut_back_to_the_checkpoint(run):
    rows = ["epoch,d_loss\n", "1,0.5\n", "2,0.25\n", "3,0.1"]  # The last one is incomplete.
    run.history_csv.write_text("".join(rows))
    run.cut_history(2)
    assert run.history_csv.read_text() == "".join(rows[:3])
    assert run.read_history() == {"epoch": [1, 2], "d_loss": [0.5, 0.25]}
    run.cut_history(0)
    assert run.history_csv.read_text() == "" and run.read_history() == {}


@pytest.mark.parametrize(
    "text, why",
    [
        ("epoch,d_loss\n1,x\n", "could not convert"),
        ("epoch,d_loss\n1\n", "shorter"),
        ("epoch\n1,2\n", "longer"),
        ("epoch\n\xff", "decode"),
    ],
)
def test_a_history_that_gan_tf_did_not_write(run, text, why):
    run.history_csv.write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=rf"history\.csv cannot be read \(.*{why}"):
        run.read_history()


def test_a_row_that_was_not_finished_does_not_count(run):
    run.history_csv.write_text("epoch,d_loss\n1,0.5\n2,0.2")  # 0.25, cut off.
    assert run.read_history() == {"epoch": [1], "d_loss": [0.5]}
    run.history_csv.write_text("epoch,d_lo")
    assert run.read_history() == {}


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "3", "[1]"])
def test_metrics_that_gan_tf_did_not_write(run, text):
    run.metrics_json.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json cannot be read"):
        run.read_metrics()


def test_few_samples_of_a_long_run_are_kept_and_those_that_are_not_never_again(run):
    def kept(epochs):
        return {epoch for epoch in range(epochs + 1) if is_sample_kept(epoch, epochs)}

    assert kept(127) == {*range(128)} and len(kept(128)) == 74
    before = kept(127)
    for epochs in range(128, 3000):
        after = kept(epochs)
        assert after <= before | {epochs} and {0, 1, epochs - 9, epochs} <= after
        before = after
    assert max(len(kept(epochs)) for epochs in (2**16 - 1, 99_999, 100_000)) < 200
    for epoch in [*range(300), 12345]:
        run.sample_png(epoch).touch()
    (run.samples / "epoch_x.png").touch()
    run.thin_samples(300)
    assert run.sampled_epochs().tolist() == [*sorted(kept(300) - {300}), 12345]


def test_the_nearest_epochs_are_among_those_there_are():
    there = np.array([0, 1, 4, 10])
    assert nearest(there, np.array([0, 1, 2, 3, 9, 10, 99])).tolist() == [0, 1, 4, 10]


def test_saved_models_are_plain_keras(run, config, images):
    gan = build_gan(dataclasses.replace(config, spectral_norm=True, minibatch_std=True), images.shape)
    run.save_models(gan)
    discriminator = keras.models.load_model(run.discriminator_keras)
    for layer in discriminator.layers:
        assert type(layer).__module__.startswith("keras."), layer
    pixels = np.random.default_rng(0).uniform(-1, 1, (4, *images.shape)).astype(np.float32)
    np.testing.assert_allclose(discriminator(pixels), gan.discriminator(pixels), atol=1e-6)
    latents = np.ones((2, 8), np.float32)
    np.testing.assert_array_equal(keras.models.load_model(run.generator_keras)(latents), gan(latents))


def test_a_generator_that_is_missing_or_damaged(run, config, images):
    with pytest.raises(InputError, match=r"no generator.keras yet: .* --resume"):
        run.load_generator()
    run.save_models(build_gan(config, images.shape))
    whole = run.generator_keras.read_bytes()
    run.generator_keras.write_bytes(whole[:-500])
    with pytest.raises(InputError, match=r"cannot be opened by Keras .*: it is damaged"):
        run.load_generator()


def test_a_generator_saved_by_a_newer_keras_names_both_versions(run, config, images):
    run.save_models(build_gan(config, images.shape))
    with zipfile.ZipFile(run.generator_keras) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": "7.1.0"}).encode()
    members["config.json"] = members["config.json"].replace(b'"Dense"', b'"DenseOfTheFuture"')
    with zipfile.ZipFile(run.generator_keras, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=r"cannot be opened by Keras 3\..*: it was saved by Keras 7\.1\.0; install"):
        run.load_generator()
