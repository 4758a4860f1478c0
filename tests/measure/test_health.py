import dataclasses

import numpy as np
import pytest

from gan_tf.config import preset_config
from gan_tf.data import registry as datasets
from gan_tf.data.images import ImageDataset
from gan_tf.gan import GAN
from gan_tf.measure.health import DIAGNOSES, EPOCHS, HEALTHY, HeldOutAccuracy, chance_losses, diagnose
from gan_tf.run import plots
from gan_tf.run.callbacks import Health, History
from gan_tf.run.folder import Run

WELL = {
    "epoch": [1, 2, 3, 4],
    "d_loss": [1.2, 1.3, 1.35, 1.36],
    "g_loss": [0.8, 0.8, 0.75, 0.8],
    "D(G(z))_after": [0.4, 0.4, 0.4, 0.4],
    "accuracy_real": [0.7, 0.6, 0.6, 0.6],
    "accuracy_fake": [0.7, 0.6, 0.6, 0.6],
    "spread": [0.8, 0.9, 0.95, 1],
    "accuracy_trained": [0.8, 0.8, 0.9, 0.7],
    "accuracy_held_out": [0.8, 0.7, 0.8, 0.7],
}


def said_by(capsys, folder, images=None, epochs=4, **fields) -> list[str]:
    """Train for real, and return what Health printed."""
    config = preset_config("digits", **{"steps_per_epoch": 24, "epochs": epochs, "seed": 1, **fields})
    images = images or datasets.load(config)
    run = Run.create(folder / "run", config, images, fallback=None)
    GAN(config, images.shape).fit(
        images, callbacks=[History(run, [HeldOutAccuracy(images, config)]), Health(run)], verbose=0
    )
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("Health")]


def test_a_healthy_run_hears_at_its_end_that_all_is_well(tmp_path, capsys):
    (line,) = said_by(capsys, tmp_path, label="5", epochs=5)
    assert line.startswith("Health, epoch 5: all well. D is right about ")


@pytest.mark.parametrize(
    "expected, fields",
    [
        ("the learning rate is too high: d_loss is ", {"learning_rate": 0.1, "steps_per_epoch": 64}),
        ("the discriminator has won: it is right about 100% of real", {"learning_rate": 1e-6, "d_learning_rate": 2e-3}),
        ("the discriminator is left behind: it takes ", {"learning_rate": 5e-3, "d_learning_rate": 1e-5}),
        (
            "the generator has collapsed: two fakes are only 0.",
            {"learning_rate": 2e-2, "d_learning_rate": 1e-9, "steps_per_epoch": 64, "epochs": 8},
        ),
        (
            "the discriminator knows its images by heart: it finds ",
            {"label": "5", "held_out": 0.3, "steps_per_epoch": 64, "epochs": 8},
        ),
    ],
)
def test_each_failure_is_recognised_when_it_is_provoked(expected, fields, tmp_path, capsys):
    lines = said_by(capsys, tmp_path, **fields)
    hits = [line for line in lines if expected in line]
    assert len(hits) == 1, lines  # Once.
    assert "Try " in hits[0] and not any("all well" in line for line in lines)


@pytest.mark.parametrize(
    "name, change",
    [
        ("too_fast", {"d_loss": 3.0}),
        ("too_fast", {"g_loss": 25.0}),
        ("has_won", {"accuracy_real": 0.97, "accuracy_fake": 0.99, "D(G(z))_after": 0.02}),
        ("is_left_behind", {"accuracy_fake": 0.2}),
        ("has_collapsed", {"spread": 0.4}),
        ("knows_by_heart", {"accuracy_trained": 0.9, "accuracy_held_out": 0.5}),
    ],
)
def test_each_diagnosis_takes_three_epochs_in_a_row_and_nothing_else_is_said(name, change):
    config = preset_config("digits")
    assert diagnose(WELL, config) == {}
    bad = WELL | {column: [values] * 4 for column, values in change.items()}
    assert [*diagnose(bad, config)] == [name]
    assert diagnose({column: values[:2] for column, values in bad.items()}, config) == {}
    if name != "knows_by_heart":  # That is a mean.
        mended = bad | {column: [*bad[column][:3], WELL[column][-1]] for column in change}
        assert diagnose(mended, config) == {}


@pytest.mark.parametrize("beta_1, advised", [(0.9, True), (0.0, False)])
def test_a_collapse_with_momentum_is_told_to_try_without(beta_1, advised):
    collapsed = WELL | {"spread": [0.4] * 4}
    sentence = diagnose(collapsed, preset_config("digits", beta_1=beta_1))["has_collapsed"]
    assert ("Try --beta-1 0, --learning-rate 0.0005" in sentence) == advised


def test_advice_names_the_runs_own_values():
    sentence = diagnose(WELL | {"d_loss": [9.0] * 4}, preset_config("digits", learning_rate=0.08))["too_fast"]
    assert sentence == (
        "the learning rate is too high: d_loss is 9, and 1.39 where the players know nothing yet. "
        "Try --learning-rate 0.02."
    )


def test_what_a_resumed_run_has_heard_it_does_not_hear_again(tmp_path, capsys, config, images):
    run = Run.create(tmp_path / "run", config, images, fallback=None)
    bad = WELL | {"spread": [0.1] * 4}
    rows = [",".join(bad), *(",".join(map(str, row)) for row in zip(*bad.values(), strict=True))]
    run.history_csv.write_text("\n".join(rows) + "\n")
    health = Health(run)
    health.set_model(GAN(config, images.shape))
    health.on_train_begin()
    assert health.said == {"has_collapsed"}
    health.on_epoch_end(3)
    health.on_train_end()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "loss, expected",
    [
        ("non-saturating", (2 * np.log(2), np.log(2))),
        ("minimax", (2 * np.log(2), -np.log(2))),
        ("hinge", (2, 0)),
        ("wasserstein", (0, 0)),
        ("least-squares", (1, 0)),
        ("relativistic", (np.log(2), np.log(2))),
    ],
)
def test_what_is_lost_by_guessing(loss, expected):
    assert chance_losses(loss) == pytest.approx(expected)


def test_images_held_out_are_counted_apart(config):
    pixels = np.zeros((400, 28, 28, 1), np.uint8)
    config = dataclasses.replace(config, held_out=0.1)
    images = ImageDataset("squares", pixels, None, "tests")
    called = HeldOutAccuracy(images, config)
    trained, held_out = called.trained.tolist(), called.held_out.tolist()
    assert (len(trained), len(held_out)) == (256, 40) and not {*trained} & {*held_out}
    pixels[trained], pixels[held_out[:10]] = 255, 200  # Untrained fakes are grey: the boundary is 3/4 of white.
    gan = GAN(config, images.shape)

    def brightness(pictures, training):
        return np.asarray(pictures).mean(axis=(1, 2)) + 1000  # A discriminator's own zero means nothing.

    gan.discriminator = brightness
    assert called(gan, 1) == {"accuracy_trained": 1, "accuracy_held_out": 0.25}
    assert HeldOutAccuracy(images, dataclasses.replace(config, held_out=0.0))(gan, 1) == {}


def test_the_healthy_band_is_shaded_in_the_curves(tmp_path):
    plots.save_curves(tmp_path / "a.png", WELL)
    plots.save_curves(tmp_path / "b.png", WELL, HEALTHY)
    a, b = (plots.open_png(tmp_path / name).astype(int) for name in ("a.png", "b.png"))
    greener = (b[..., 1] - b[..., 0]) - (a[..., 1] - a[..., 0]) > 5
    assert greener.mean() > 0.05
    assert len(DIAGNOSES) == 5 and EPOCHS == 3
