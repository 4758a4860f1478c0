import dataclasses
import math
import shlex

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf import train
from gan_tf.config import Config, preset_config
from gan_tf.data import registry
from gan_tf.data.images import ImageDataset
from gan_tf.losses import LOSSES
from gan_tf.measure.health import HEALTHY, PATIENCE, HeldOutAccuracy, LabelAgreement, Watch, diagnose
from gan_tf.run import plots
from gan_tf.run.build import build_gan
from gan_tf.run.callbacks import Health, History
from gan_tf.run.folder import Run
from tests.conftest import mostly_slow
from tests.measure import make_histories

# The verdicts on each kind of stored run, over all of its epochs.
VERDICTS = {
    "digits": set(),
    "fives": set(),
    "creatures": set(),
    "slow": set(),
    "outpaced": set(),
    "slow_minimax": {"has_won"},  # The minimax loss has no gradient for fakes that are rejected for sure.
    "too_fast": {"too_fast"},
    "far_too_fast": {"too_fast"},
    "has_won": {"has_won"},
    "is_left_behind": {"is_left_behind"},
    "is_left_behind_least-squares": {"is_left_behind", "has_collapsed"},
    "frozen": {"is_left_behind", "has_collapsed"},
    "momentum": {"has_won"},
    "momentum_minimax": {"has_won", "has_collapsed"},
    "overfits": {"overfits"},
}

WELL = {
    "epoch": [1, 2, 3, 4],
    "d_loss": [1.2, 1.3, 1.35, 1.36],
    "g_loss": [0.8, 0.8, 0.75, 0.8],
    "accuracy_real": [0.7, 0.6, 0.6, 0.6],
    "accuracy_fake": [0.7, 0.6, 0.6, 0.6],
    "spread": [0.8, 0.9, 0.95, 1],
    "accuracy_trained": [0.8, 0.8, 0.9, 0.7],
    "accuracy_held_out": [0.8, 0.7, 0.8, 0.7],
    "label_agreement": [0.0, 0.5, 0.8, 0.9],
}


def all_verdicts(history, config: Config) -> dict[str, tuple[int, str]]:
    """Each verdict with the epoch after which it is first reached and its sentence."""
    found, watch = {}, Watch(config)
    for epoch in range(1, len(history["epoch"]) + 1):
        so_far = {column: values[:epoch] for column, values in history.items()}
        verdicts = diagnose(so_far, config)
        # A run has only a few rows of its history at hand.
        assert watch.add({column: values[-1] for column, values in so_far.items()}) == verdicts
        for name, sentence in verdicts.items():
            found.setdefault(name, (epoch, sentence))
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_a_watch_says_what_the_whole_history_says(loss):
    random, config = np.random.default_rng(0), Config(loss=loss, epochs=200)
    history = {"epoch": np.arange(1.0, 201)} | {name: random.random(200).round(1) for name in WELL if name != "epoch"}
    history["d_loss"] = random.choice([-60.0, -5, 0, 0.1, 1, 100], 200, p=[0.01, 0.3, 0.2, 0.3, 0.18, 0.01])
    history["accuracy_fake"] = history["accuracy_real"] = random.choice([0.9, 1], 200, p=[0.1, 0.9])
    assert all_verdicts(history, config)


@pytest.mark.parametrize("name", make_histories.NAMES)
def test_a_stored_run_gets_the_right_verdict_and_no_other(name):
    found = all_verdicts(make_histories.read(name), make_histories.config_of(name))
    assert {*found} == VERDICTS.get(name, VERDICTS[name.rpartition("_")[0]])


@pytest.mark.parametrize("loss", mostly_slow(LOSSES, "non-saturating", "least-squares"))
def test_a_healthy_run_of_each_loss_gets_no_verdict(loss):
    config = preset_config("digits", loss=loss, epochs=PATIENCE, steps_per_epoch=24)
    history = make_histories.train(config)
    assert all_verdicts(history, config) == {}
    # It did learn something: the first epochs ended with 0.39 to 0.61, the last ones with 0.76 to 1.04.
    assert history["spread"][-1] > 0.6


@pytest.mark.slow
def test_a_critic_that_catches_up_is_not_left_behind():
    config = preset_config("digits", loss="wasserstein", d_learning_rate=2e-4, epochs=4, steps_per_epoch=24)
    history = make_histories.train(config)
    assert all_verdicts(history, config) == {}
    # Though for three epochs it takes nearly all fakes for real, and rates them above reals.
    assert max(history["accuracy_fake"][-3:]) < 0.2 and min(history["d_loss"]) > 0


def few_digits(config: Config) -> ImageDataset:
    """64 digits, so few that a discriminator soon knows them."""
    images = registry.load(config)
    return dataclasses.replace(images, images=images.images[:64], labels=images.labels[:64])


@pytest.mark.parametrize(
    "expected, message, fields",
    [
        (
            "too_fast",
            "the learning rate is too high: in epoch 1, d_loss was ",
            {"loss": "least-squares", "learning_rate": 0.1},
        ),
        (
            "has_won",
            "the discriminator has won: it is right about 100% of real images and 100% of fakes",
            {"loss": "least-squares", "learning_rate": 1e-6, "d_learning_rate": 2e-3, "epochs": 4},
        ),
        (
            "is_left_behind",
            "the discriminator is left behind: it takes 100% of fakes for real",
            {"loss": "hinge", "learning_rate": 5e-3, "d_learning_rate": 1e-5},
        ),
        (
            "has_collapsed",
            "the generator has collapsed: two fakes are only 0.",
            {"loss": "minimax", "beta_1": 0.9, "epochs": 4},
        ),
        (
            "overfits",
            "the discriminator overfits: it finds ",
            {"held_out": 0.5, "epochs": 7},
        ),
    ],
)
def test_a_provoked_failure_gets_its_verdict(expected, message, fields):
    config = preset_config("digits", **{"epochs": 3, "steps_per_epoch": 24, **fields})
    found = all_verdicts(make_histories.train(config, few_digits(config) if expected == "overfits" else None), config)
    assert found[expected][1].startswith(message)
    assert {*found} - {expected} <= ({"has_won"} if expected == "has_collapsed" else set())


def test_every_advice_names_options_that_the_command_has():
    advice = []
    for name in make_histories.NAMES:
        config = make_histories.config_of(name)
        advice += [sentence for _, sentence in all_verdicts(make_histories.read(name), config).values()]
    won = WELL | {"d_loss": [0.01] * 4, "accuracy_real": [1] * 4, "accuracy_fake": [1] * 4}
    wasserstein = won | {"d_loss": [-9.0] * 4}
    fields = {"augment": ("cutout",), "r1": 1.0, "d_steps": 4}
    advice += diagnose(won, preset_config("digits", **fields)).values()
    advice += diagnose(wasserstein, preset_config("digits", loss="wasserstein", augment=("cutout",))).values()
    assert len(advice) > 30
    options = set()
    for sentence in advice:
        tried = [part for part in sentence.partition("Try ")[2].rstrip(".").split(", ") if part.startswith("--")]
        assert tried, sentence
        options.update(tried)
    for option in options:
        train.parse(shlex.split(option))  # Exits if there is no such option, or if it does not take that value.


@pytest.mark.parametrize(
    "name, change",
    [
        ("has_won", {"d_loss": 0.1, "accuracy_real": 0.97, "accuracy_fake": 0.99}),
        ("is_left_behind", {"d_loss": 1.5, "accuracy_fake": 0.2}),
        ("has_collapsed", {"spread": 0.1}),
        ("overfits", {"accuracy_trained": 0.9, "accuracy_held_out": 0.5}),
        ("ignores_a_label", {"label_agreement": 0.1}),
    ],
)
def test_a_verdict_takes_three_epochs(name, change):
    config = preset_config("digits", epochs=4)
    assert all_verdicts(WELL, config) == {}
    bad = WELL | {column: [value] * 4 for column, value in change.items()}
    assert {name: epoch for name, (epoch, _) in all_verdicts(bad, config).items()} == {name: PATIENCE}
    one_epoch = WELL | {column: [*WELL[column][:3], value] for column, value in change.items()}
    assert diagnose(one_epoch, config) == {}


def test_a_young_run_may_have_fakes_that_are_all_alike():
    config = preset_config("digits")
    assert diagnose(WELL | {"spread": [0.3, 0.35, 0.32, 0.4]}, config) == {}
    assert {*diagnose(WELL | {"spread": [0.9, 0.35, 0.32, 0.4]}, config)} == {"has_collapsed"}


def test_a_critic_that_is_always_right_has_won_only_if_the_distance_stays():
    config = preset_config("digits", loss="wasserstein")
    sure = WELL | {"accuracy_real": [1.0] * 4, "accuracy_fake": [1.0] * 4}
    assert {*diagnose(sure | {"d_loss": [-20, -40, -41, -40]}, config)} == {"has_won"}
    assert diagnose(sure | {"d_loss": [-20, -40, -35, -30]}, config) == {}
    assert diagnose(sure | {"d_loss": [-5, -20, -40, -50]}, config) == {}  # It has only begun to measure.


def test_smoothed_labels_raise_the_loss_of_a_discriminator_that_has_won():
    # With labels of 0.9 instead of 1, all logits right leave a loss of -0.9 ln 0.9 - 0.1 ln 0.1 = 0.325.
    won = WELL | {"d_loss": [0.35] * 4, "accuracy_real": [1.0] * 4, "accuracy_fake": [1.0] * 4}
    assert {*diagnose(won, preset_config("digits", label_smoothing=0.1))} == {"has_won"}
    assert diagnose(won, preset_config("digits")) == {}


@pytest.mark.parametrize(
    "change, fields, advice",
    [
        ({"d_loss": [90] * 4}, {"learning_rate": 0.08}, "--learning-rate 0.002"),
        ({"d_loss": [90] * 4}, {"learning_rate": 0.01}, "--learning-rate 0.001"),
        ({"d_loss": [90] * 4}, {"d_learning_rate": 0.08}, "--d-learning-rate 0.002"),
        ({"d_loss": [90] * 4}, {"beta_1": 0.9}, "--beta-1 0, --learning-rate 0.0002"),
        (
            {"d_loss": [0] * 4, "accuracy_real": [1] * 4, "accuracy_fake": [1] * 4},
            {"d_learning_rate": 0.01, "d_steps": 2, "loss": "minimax"},
            "--d-steps 1, --learning-rate 0.01, --loss non-saturating, --r1 10",
        ),
        ({"d_loss": [2] * 4, "accuracy_fake": [0] * 4}, {}, "--d-learning-rate 0.004"),
        (
            {"d_loss": [2] * 4, "accuracy_fake": [0] * 4},
            {"d_learning_rate": 1e-4},
            "--d-learning-rate 0.002",
        ),
        ({"spread": [0.1] * 4}, {"beta_1": 0.9}, "--beta-1 0, --loss relativistic"),
        ({"spread": [0.1] * 4}, {"loss": "relativistic", "d_learning_rate": 1e-3}, "--d-learning-rate 0.002"),
        (
            {"accuracy_trained": [0.9] * 4, "accuracy_held_out": [0.5] * 4},
            {},
            "--augment translation cutout, fewer --epochs, or more images",
        ),
        ({"label_agreement": [0.1] * 4}, {"epochs": 4, "clusters": 8}, "fewer --clusters, or --epochs 8"),
        ({"label_agreement": [0.1] * 4}, {"epochs": 4}, "--epochs 8"),
    ],
)
def test_the_advice_suits_the_runs_settings(change, fields, advice):
    (sentence,) = diagnose(WELL | change, preset_config("digits", **fields)).values()
    assert sentence.partition(" Try ")[2] == advice + "."


@pytest.mark.parametrize("column", ["d_loss", "g_loss", "spread"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_gets_one_verdict_that_names_it(column, value):
    broken = {name: [*values, *values] for name, values in WELL.items()} | {"epoch": [*range(1, 9)]}
    broken[column] = [*WELL[column], value, *WELL[column][1:]]
    (found,) = all_verdicts(broken, Config()).items()
    assert found == (
        "too_fast",
        (5, f"the learning rate is too high: in epoch 5, {column} was {value}. Try --learning-rate 0.0002."),
    )
    assert {*diagnose(broken, Config())} == {"too_fast"}  # Three epochs later too.


def test_an_optional_column_that_is_not_a_number_is_no_verdict():
    for name in ("accuracy_held_out", "label_agreement"):
        assert diagnose(WELL | {name: [math.nan] * 4}, Config()) == {}


def test_a_resumed_run_does_not_repeat_itself(tmp_path, capsys, config, images):
    run = Run.create(tmp_path / "run", config, images, fallback=None)
    bad = WELL | {"spread": [0.1] * 4}
    rows = [",".join(bad), *(",".join(map(str, row)) for row in zip(*bad.values(), strict=True))]
    run.history_csv.write_text("\n".join(rows) + "\n")
    history = History(run)
    health = Health(history, config)
    health.on_train_begin()
    assert health.reported == {"has_collapsed"}
    history.row = {name: values[-1] for name, values in bad.items()}
    health.on_epoch_end(3)
    health.on_train_end()
    assert capsys.readouterr().out == ""


def test_accuracy_is_counted_apart_for_held_out_images(config):
    pixels = np.zeros((400, 28, 28, 1), np.uint8)
    config = dataclasses.replace(config, held_out=0.1)
    images = ImageDataset("squares", pixels, None, "tests")
    accuracy = HeldOutAccuracy(images, config)
    trained, held_out = accuracy.trained.tolist(), accuracy.held_out.tolist()
    assert (len(trained), len(held_out)) == (256, 40) and not {*trained} & {*held_out}
    pixels[trained], pixels[held_out[:10]] = 255, 200  # Untrained fakes are grey: the boundary is 3/4 of white.
    gan = build_gan(config, images.shape)

    def brightness(pictures, labels, training):
        return np.asarray(pictures).mean(axis=(1, 2)) + 1000  # A critic's logits have no zero.

    gan.judge = brightness
    assert accuracy(gan, 1) == {"accuracy_trained": 1, "accuracy_held_out": 0.25}
    assert HeldOutAccuracy(images, dataclasses.replace(config, held_out=0.0))(gan, 1) == {}


def test_the_curves_shade_the_healthy_band(tmp_path):
    plots.save_curves(tmp_path / "a.png", WELL)
    plots.save_curves(tmp_path / "b.png", WELL, HEALTHY)
    a, b = (plots.open_png(tmp_path / name).astype(int) for name in ("a.png", "b.png"))
    greener = (b[..., 1] - b[..., 0]) - (a[..., 1] - a[..., 0]) > 5
    assert greener.mean() > 0.05


@pytest.mark.slow
def test_a_generator_that_cannot_see_its_labels_is_said_to_ignore_them(monkeypatch):
    monkeypatch.setattr("gan_tf.run.loop.STEPS_PER_CALL", 1)  # Weights are reset after each step.
    config = preset_config("digits", label=("0", "1"), conditional=True, epochs=8, steps_per_epoch=64)
    images = registry.load(config)

    class Blindfold(keras.callbacks.Callback):
        """Keeps the weights of the label's inputs at 0."""

        def on_train_batch_end(self, batch, logs=None):
            kernel = self.model.generator.layers[0].kernel
            kernel.assign(np.concatenate([kernel.numpy()[: config.latent_dim], np.zeros((2, kernel.shape[1]))]))

    histories = {}
    for name, callbacks in (("sees", []), ("blind", [Blindfold()])):
        histories[name] = make_histories.train(config, images, callbacks)
    assert "ignores_a_label" not in all_verdicts(histories["sees"], config)
    epoch, sentence = all_verdicts(histories["blind"], config)["ignores_a_label"]
    assert epoch == 4 and sentence.startswith("the generator ignores a label: only 0% of the worst label's fakes")


def test_labels_agree_if_each_is_drawn_as_asked(config):
    """Classes are shades of grey, and the fakes are shown in place of what the generator draws."""
    shades = np.repeat([20, 120, 220], 200).astype(np.uint8)
    pixels = shades[:, None, None, None] + np.zeros((1, 28, 28, 1), np.uint8)
    images = ImageDataset("shades", pixels, np.repeat([0, 1, 2], 200), "tests", ("dark", "grey", "light"))
    config = dataclasses.replace(config, conditional=True)
    agreement, gan = LabelAgreement(images, config), build_gan(config, images.shape, classes=3)

    def draw(shades):
        def call(inputs, training=False, **options):
            grey = np.take(shades, np.argmax(inputs[:, config.latent_dim :], axis=1)) / 127.5 - 1
            return tf.cast(grey[:, None, None, None] + np.zeros((1, 28, 28, 1)), tf.float32)

        gan.ema_generator.call = call
        return agreement(gan, 1)["label_agreement"]

    assert draw([20, 120, 220]) == 1
    assert draw([20, 120, 120]) == draw([220, 120, 20]) == 0
    assert LabelAgreement(images, dataclasses.replace(config, conditional=False))(gan, 1) == {}
    # Labels that say nothing about the images cannot be followed, so nothing is said about them.
    mixed = dataclasses.replace(images, labels=np.random.default_rng(0).permutation(images.labels))
    assert LabelAgreement(mixed, config)(gan, 1) == {}
