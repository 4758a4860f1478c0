import csv
import dataclasses
import os

import keras
import numpy as np
import pytest

from gan_tf import train
from gan_tf.data.images import steps_per_epoch
from gan_tf.gan import GAN, sample
from gan_tf.measure import health
from gan_tf.run import callbacks, plots
from gan_tf.run.build import build_gan
from gan_tf.run.callbacks import (
    Diverged,
    Evaluate,
    Health,
    History,
    Progress,
    Samples,
    TerminateOnNonFinite,
    epoch_row,
    make_callbacks,
)
from gan_tf.run.checkpoints import CheckpointStore
from gan_tf.run.folder import Run, is_sample_kept
from gan_tf.run.loop import train_epochs


def test_each_epoch_has_a_row_and_a_grid(run, config, images):
    latents, rows = np.random.default_rng(0).standard_normal((16, 8)), []

    class Rows(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rows.append(epoch_row(self.model, epoch + 1, [lambda gan, epoch: {"twice": 2.0 * epoch}]))

    gan = build_gan(config, images.shape)
    untrained = plots.grid(sample(gan.ema_generator, latents), columns=8)
    extra = [lambda gan, epoch: {"twice": 2.0 * epoch}]
    result = train_epochs(gan, images, config, [History(run, extra), Samples(run, latents), Rows()])
    history = run.read_history()
    assert [*history] == ["epoch", *GAN.LOGGED, *GAN.DIAGNOSTICS, "twice"]
    assert history["epoch"] == [1, 2] and history["twice"] == [2, 4]
    assert {name: history[name] for name in GAN.LOGGED} == {name: result.history[name] for name in GAN.LOGGED}
    # What a notebook shows and what the file holds are the same row.
    assert rows == [{name: values[i] for name, values in history.items()} for i in range(2)]
    expected = plots.grid(sample(gan.ema_generator, latents), columns=8)
    np.testing.assert_array_equal(plots.open_png(run.sample_png(2)), expected)
    assert not np.array_equal(plots.open_png(run.sample_png(1)), expected)
    np.testing.assert_array_equal(plots.open_png(run.sample_png(0)), untrained)


def test_without_a_terminal_an_epoch_is_one_line(config, images, capsys, monkeypatch):
    now = iter(range(0, 1000, 2))  # A clock that advances by 2 s at each reading.
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(now))
    gan = build_gan(config, images.shape)
    history = train_epochs(gan, images, config, [Progress(config)]).history
    first, second = capsys.readouterr().out.splitlines()
    means = [history[name] for name in ("d_loss", "g_loss", "D(x)", "D(G(z))_before")]
    shown = ["  D {:.2f}  G {:.2f}  D(x) {:.2f}  D(G(z)) {:.2f}".format(*row) for row in zip(*means, strict=True)]
    # The first call compiles the step, so its time is not counted. The second epoch has 4 steps of 4 images in 2 s.
    assert first == "epoch 1/2" + shown[0]
    assert second == "epoch 2/2  8 images/s" + shown[1]


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize("columns", [60, 80, 100])
def test_in_a_terminal_an_epoch_is_one_line_whatever_the_numbers_are(config, columns, monkeypatch):
    import fcntl
    import pty
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    gan = type("FakeGAN", (), {"step": 0})()
    progress = Progress(dataclasses.replace(config, batch_size=512))
    progress.set_model(gan)
    progress.set_params({"epochs": 1000, "steps": 12_345})
    with open(writer, "w") as terminal:
        monkeypatch.setattr(callbacks.sys, "stdout", terminal)
        progress.on_epoch_begin(999)
        for step in (16, 6000, 12_345):
            gan.step = step
            logs = {"d_loss": -12_345.678, "g_loss": -12_345.678, "D(x)": 0.51, "D(G(z))_before": 0.49}
            progress.on_train_batch_end(step - 1, logs)
        progress.on_epoch_end(999, logs)
        terminal.flush()
        written = ""
        while "\n" not in written:
            written += os.read(reader, 10_000).decode()
    os.close(reader)
    lines = written.replace("\n", "\r").split("\r")
    assert max(map(len, lines)) <= columns
    assert written.count("\n") == 1
    assert "epoch 1000/1000" in written and "12345/12345" in written


def test_all_is_well_is_said_once_and_not_when_the_run_was_stopped(run, config, capsys):
    rows = {"epoch": [1, 2, 3], "d_loss": [1.38] * 3, "g_loss": [0.7] * 3, "D(x)": [0.5] * 3}
    rows |= {"D(G(z))_before": [0.5] * 3, "D(G(z))_after": [0.4] * 3, "accuracy_real": [0.75] * 3}
    rows |= {"accuracy_fake": [0.7] * 3, "d_gradient": [1.0] * 3, "g_gradient": [1.0] * 3, "spread": [1.0] * 3}
    with open(run.history_csv, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))
    gan, history = type("FakeGAN", (), {"stop_training": True})(), History(run)
    health = Health(history, config)
    health.set_model(gan)
    health.on_train_begin()
    health.on_train_end()
    assert capsys.readouterr().out == ""
    gan.stop_training = False
    health.on_train_end()  # No epoch ended since training began: a finished run was resumed.
    assert capsys.readouterr().out == ""
    whole = run.read_history()
    run.cut_history(2)
    health = Health(history, config)
    health.set_model(gan)
    health.on_train_begin()
    history.row = {name: values[-1] for name, values in whole.items()}
    health.on_epoch_end(2)
    health.on_train_end()
    assert capsys.readouterr().out.startswith("Health, epoch 3: all well. The discriminator is right about 75% of real")


def test_a_history_continues_that_of_earlier_starts(run, config, images):
    for epochs in (2, 4):
        gan, history = build_gan(config, images.shape), History(run)
        gan.step.assign((epochs - 2) * steps_per_epoch(images, config))
        train_epochs(gan, images, dataclasses.replace(config, epochs=epochs), [history])
    past = run.read_history()
    assert past["epoch"] == [1, 2, 3, 4] and history.row == {name: values[-1] for name, values in past.items()}


def test_what_belongs_to_an_epoch_is_on_the_disk_before_its_checkpoint(run, config, images, disk_calls):
    gan = build_gan(config, images.shape)
    train_epochs(gan, images, config, make_callbacks(run, CheckpointStore(gan, run.checkpoints), images, config, False))
    begin = 0
    for epoch, step in ((1, 4), (2, 8)):
        end = disk_calls.index(("replace", f"step-{step}.index"))
        before, begin = disk_calls[begin:end], end
        for name in (
            "history.csv",
            f"epoch_000{epoch}.png",
            "samples",
            "generator.keras",
            "discriminator.keras",
            "run",
        ):
            assert ("flush", name) in before or ("flush of temporary", name) in before, name
    # The first row is in a new file, whose name is on the disk after it.
    assert disk_calls.index(("flush", "history.csv")) < disk_calls.index(("flush", "run"))
    assert disk_calls[-1] == ("flush", "checkpoints")


class FakeGAN:
    """Stands for a GAN that has trained for an epoch and whose losses and generator never change."""

    stop_training, generator, discriminator, ema_generator = False, None, None, None

    def __init__(self):
        result = type("Mean", (), {"result": lambda self: 0.7})()
        self.trackers = {name: result for name in (*GAN.LOGGED, *GAN.DIAGNOSTICS)}


def work_of_an_epoch(run, config, monkeypatch, epoch):
    """How many files an epoch's callbacks open or delete, how many bytes they write and how many rows they keep and
    look at, after `epoch` epochs that were no different."""
    monkeypatch.setattr(callbacks, "sample", lambda generator, inputs: np.zeros((64, 8, 8, 1), np.uint8))
    rows = [{"epoch": 0, **{name: 0.7 for name in (*GAN.LOGGED, *GAN.DIAGNOSTICS)}}] * (epoch - 1)
    with open(run.history_csv, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for number in range(epoch):
        if is_sample_kept(number, epoch - 1):
            run.sample_png(number).touch()
    history = History(run)
    watchers = [history, Health(history, config), Samples(run, np.zeros((64, 2)))]
    for watcher in watchers:
        watcher.set_model(FakeGAN())
    looked, opened, inner = [], [], os.open
    monkeypatch.setattr(health, "diagnose", lambda past, config: looked.append(len(past["epoch"])) or {})
    watchers[1].on_train_begin()
    size = run.history_csv.stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda path, *rest: opened.append(path) or inner(path, *rest))
        for watcher in watchers:
            watcher.on_epoch_end(epoch - 1)
    return {
        "bytes": run.history_csv.stat().st_size - size,
        "rows": looked[-1] + len(watchers[1].watch.rows),
        "opened": len(opened),
        "files": len(list(run.samples.iterdir())),
    }


def test_the_100_000th_epoch_is_as_much_work_as_the_1000th(tmp_path, config, images, monkeypatch):
    early, late = (
        work_of_an_epoch(Run.create(tmp_path / str(epoch), config, images, None), config, monkeypatch, epoch)
        for epoch in (1_000, 100_000)
    )
    assert early["files"] <= late["files"] < 200
    assert late["bytes"] <= early["bytes"] + 2  # Two more digits.
    assert (late["rows"], late["opened"]) == (early["rows"], early["opened"])
    assert late["rows"] <= 12


class Poison(keras.callbacks.Callback):
    """Makes a weight of the generator infinite at one step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step) == self.step:
            kernel = self.model.generator.layers[0].kernel
            kernel.assign(kernel * np.inf)


def test_what_is_not_finite_stops_before_anything_is_saved(run, config, images):
    gan, config = build_gan(config, images.shape), dataclasses.replace(config, epochs=4)
    with pytest.raises(Diverged, match=r"at step 12, the weights .* are not finite\. Try a lower --learning-rate"):
        train_epochs(gan, images, config, [TerminateOnNonFinite(), History(run), Poison(12)])
    assert run.read_history()["epoch"] == [1, 2]


def test_a_run_that_diverges_stays_at_its_last_good_checkpoint(tmp_path, monkeypatch):
    def with_poison(*args, make=callbacks.make_callbacks):
        progress, *others = make(*args)
        return [progress, Poison(21), *others]

    monkeypatch.setattr(callbacks, "make_callbacks", with_poison)
    monkeypatch.setattr("gan_tf.run.loop.STEPS_PER_CALL", 4)
    options = "--digit 5 --epochs 4 --steps-per-epoch 17 --batch-size 4 --latent-dim 8 --width 16 --run"
    with pytest.raises(SystemExit) as stopped:
        train.main([*options.split(), str(tmp_path / "run")])
    run = Run(tmp_path / "run")
    assert "diverged: at step 25, d_loss is nan." in str(stopped.value)
    assert str(stopped.value).endswith("run is at its last good checkpoint, step 17.")
    assert run.read_history()["epoch"] == [1] and run.progress_gif.exists()
    assert all(np.isfinite(weight).all() for weight in run.load_generator().get_weights())


class FakeReference:
    """A `measure.report.Reference` that finds what it is given."""

    count = 16

    def __init__(self, *distances):
        self.distances = iter(distances)

    def measure_features(self, fakes):
        assert fakes.shape == (16, 28, 28, 1) and fakes.dtype == np.uint8
        return {"frechet_distance": np.array([-0.5, 0, 0.5]) + next(self.distances), "coverage": np.array([0.4, 0.6])}


def test_the_best_generator_so_far_is_kept_and_other_epochs_are_nan(run, config, images, monkeypatch):
    config = dataclasses.replace(config, evaluate_every=2, epochs=6)
    monkeypatch.setattr(callbacks, "run_reference", lambda images, config, features: FakeReference(3.0, 5.0, 2.0))
    gan, evaluate, kept = build_gan(config, images.shape), Evaluate(run, images, config, features=None), {}

    def look(gan, epoch):
        kept[epoch] = run.best_generator_keras.read_bytes() if run.best_generator_keras.exists() else None
        return {}

    train_epochs(gan, images, config, [History(run, [evaluate, look])])
    history = run.read_history()
    np.testing.assert_array_equal(history["frechet_distance"], [np.nan, 3, np.nan, 5, np.nan, 2])
    np.testing.assert_allclose(history["coverage"], [np.nan, 0.5] * 3)
    assert kept[1] is None and kept[2] == kept[3] == kept[4] == kept[5] != kept[6]
    best = keras.models.load_model(run.best_generator_keras)
    for a, b in zip(best.get_weights(), gan.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # A resumed run knows the best distance so far.
    assert Evaluate(run, images, config, features=None).best == 2


def test_the_distance_falls_when_the_fakes_improve_and_counts_no_held_out_image(run, config, images):
    pixels = np.concatenate([images.images] * 4)
    images = dataclasses.replace(images, images=pixels)
    config = dataclasses.replace(config, epochs=4, steps_per_epoch=60, batch_size=8, learning_rate=5e-3, ema=0.9)
    config = dataclasses.replace(config, evaluate_every=4, held_out=0.25)

    def block_means(pictures):  # Of 4 by 4 blocks.
        return pictures.reshape(-1, 4, 7, 4, 7).mean(axis=(2, 4)).reshape(-1, 16)

    gan, evaluate = build_gan(config, images.shape), Evaluate(run, images, config, block_means)
    assert len(evaluate.inputs) == 36  # Half of the 72 training images, as many as in the reference.
    untrained = evaluate(gan, 4)["frechet_distance"]
    train_epochs(gan, images, config, [History(run, [evaluate])])
    assert run.read_history()["frechet_distance"][-1] < 0.5 * untrained
