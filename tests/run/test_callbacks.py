import dataclasses

import keras
import numpy as np
import pytest

from gan_tf import train
from gan_tf.gan import GAN, sample
from gan_tf.run import callbacks, plots
from gan_tf.run.callbacks import Diverged, Evaluate, History, Samples, Speed, TerminateOnNonFinite
from gan_tf.run.folder import Run


@pytest.fixture
def run(tmp_path, config, images):
    return Run.create(tmp_path / "run", config, images, fallback=None)


def test_a_row_and_a_grid_for_each_epoch(run, config, images):
    gan = GAN(config, images.shape)
    latents = np.random.default_rng(0).standard_normal((16, 8))
    result = gan.fit(images, callbacks=[History(run), Samples(run, latents), Speed()], verbose=0)
    header = "epoch,d_loss,g_loss,D(x),D(G(z))_before,D(G(z))_after,accuracy_real,accuracy_fake,d_gradient,g_gradient,"
    assert run.history_csv.read_text().splitlines()[0] == header + "spread"
    history = run.read_history()
    assert history["epoch"] == [1, 2]
    assert {name: history[name] for name in GAN.SHOWN} == {name: result.history[name] for name in GAN.SHOWN}
    expected = plots.grid(sample(gan.ema_generator, latents), columns=8)
    np.testing.assert_array_equal(plots.open_png(run.sample_png(2)), expected)
    assert not np.array_equal(plots.open_png(run.sample_png(1)), expected)
    untrained = plots.grid(sample(GAN(config, images.shape).ema_generator, latents), columns=8)
    np.testing.assert_array_equal(plots.open_png(run.sample_png(0)), untrained)


def test_images_per_second_are_those_of_the_clock(config, images, monkeypatch):
    now = iter(range(0, 1000, 2))  # A clock that goes on by 2 s each time that it is read, once per execution.
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(now))
    gan = GAN(dataclasses.replace(config, steps_per_epoch=37), images.shape)  # A prime: one step per execution.
    result = gan.fit(images, epochs=1, callbacks=[Speed()], verbose=0)
    assert result.history["images/s"] == [4 / 2]


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
    gan = GAN(config, images.shape)
    with pytest.raises(Diverged, match=r"the weights .* are not finite at step 12\. Try a lower --learning-rate"):
        gan.fit(images, epochs=4, callbacks=[TerminateOnNonFinite(), History(run), Poison(12)], verbose=0)
    assert run.read_history()["epoch"] == [1, 2]


def test_a_run_that_diverges_stands_at_its_last_good_checkpoint(tmp_path, monkeypatch, capsys):
    make = callbacks.make_callbacks
    monkeypatch.setattr(callbacks, "make_callbacks", lambda *args: [Poison(20), *make(*args)])
    options = "--digit 5 --epochs 4 --steps-per-epoch 17 --batch-size 4 --latent-dim 8 --run"
    with pytest.raises(SystemExit) as stopped:
        train.main([*options.split(), str(tmp_path / "run")])
    run = Run(tmp_path / "run")
    assert "diverged: d_loss became nan at step 21" in str(stopped.value)
    assert str(stopped.value).endswith("stands at its last good checkpoint, step 17.")
    assert run.read_history()["epoch"] == [1] and run.progress_gif.exists()
    assert all(np.isfinite(weight).all() for weight in run.load_generator().get_weights())


def test_the_best_generator_so_far_is_kept_and_what_was_not_measured_is_nan(run, config, images, monkeypatch):
    config = dataclasses.replace(config, evaluate_every=2, epochs=6)
    distances = iter([3.0, 5.0, 2.0])
    monkeypatch.setattr(callbacks, "frechet_distance", lambda real, fake: next(distances))
    monkeypatch.setattr(callbacks, "coverage", lambda real, fake: 0.5)
    gan, kept = GAN(config, images.shape), {}
    evaluate = Evaluate(run, images, lambda pictures: pictures.reshape(len(pictures), -1), config)

    def look(gan, epoch):
        kept[epoch] = run.best_generator_keras.read_bytes() if run.best_generator_keras.exists() else None
        return {}

    gan.fit(images, callbacks=[History(run, [evaluate, look])], verbose=0)
    history = run.read_history()
    np.testing.assert_array_equal(history["frechet_distance"], [np.nan, 3, np.nan, 5, np.nan, 2])
    np.testing.assert_array_equal(history["coverage"], [np.nan, 0.5] * 3)
    assert kept[1] is None and kept[2] == kept[3] == kept[4] == kept[5] != kept[6]
    best = keras.models.load_model(run.best_generator_keras)
    for a, b in zip(best.get_weights(), gan.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # A resumed run knows what the best was.
    assert Evaluate(run, images, lambda pictures: pictures.reshape(len(pictures), -1), config).best == 2


def test_fakes_that_get_better_get_nearer(run, config, images):
    config = dataclasses.replace(config, epochs=4, steps_per_epoch=60, batch_size=8, learning_rate=5e-3, ema=0.9)
    config = dataclasses.replace(config, evaluate_every=4)

    def means(pictures):  # Of 4 by 4 parts.
        return pictures.reshape(-1, 4, 7, 4, 7).mean(axis=(2, 4)).reshape(-1, 16)

    gan, evaluate = GAN(config, images.shape), Evaluate(run, images, means, config)
    untrained = evaluate(gan, 4)["frechet_distance"]
    gan.fit(images, callbacks=[History(run, [evaluate])], verbose=0)
    assert run.read_history()["frechet_distance"][-1] < 0.5 * untrained
