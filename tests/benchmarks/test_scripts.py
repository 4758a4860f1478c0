"""The benchmark engine, and every script's functions, end to end with a handful of steps."""

import contextlib
import dataclasses
import functools
import io
import json
import math
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import mannwhitneyu

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.creatures import draw, parameters
from gan_tf.data.grey import read_digits
from gan_tf.data.images import ImageDataset, train_holdout_split
from gan_tf.measure import report
from gan_tf.measure.metrics import thumbnails
from gan_tf.measure.report import Reference
from gan_tf.run import plots

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import ablation
import conditional
import engine
import few_pictures
import folder_speed
import gpu
import growth
import mnist_five
import pictures
import sizes
import speedrun
import step_speed

# TensorFlow warns that tf.data's own functions stay compiled.
pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")

SMALLEST = {"image_size": 28, "batch_size": 2, "width": 16}
TINY = Config(epochs=2, steps_per_epoch=2, batch_size=4, latent_dim=8, width=16)


@pytest.fixture(scope="module", autouse=True)
def eager():
    """No tracing: compiling a step takes longer than the few steps of these tests."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


class Thumbnails:
    """Features that need no training: 4x4 thumbnails."""

    name = "thumbnails"

    def __call__(self, images):
        return thumbnails(images, 4) / 255


class SpeciesByBrightness:
    """Stands in for a network that reads creatures."""

    name = "a reader"

    def read(self, images):
        bright = (images.mean(axis=(1, 2, 3)) > 128).astype(int)
        return dict.fromkeys(("species", "hue", "turn", "tilt"), bright)


@functools.cache
def creatures(count=320, seed=0):
    return ImageDataset("creatures", draw(parameters(count, seed=seed), 28), None, "tests")


@functools.cache
def digits():
    images, labels = read_digits()
    return ImageDataset("digits", images[..., np.newaxis], labels, "tests", tuple("0123456789"))


def no_training(*_):
    raise AssertionError("trained again")


def cells(text):
    """The cells of every line of the Markdown tables in a text."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


# --- The engine -------------------------------------------------------------------------------------------------------


def test_kept_fakes_are_not_trained_again_and_a_changed_recipe_is(tmp_path, monkeypatch):
    train = functools.partial(engine.train_fakes, images=digits(), stem=tmp_path / "x" / "ours", count=10)
    fakes = train(TINY, marks=[2, 4])
    assert {step: found.shape for step, found in fakes.items()} == {2: (10, 28, 28, 1), 4: (10, 28, 28, 1)}
    assert (fakes[2] != fakes[4]).any()

    monkeypatch.setattr(engine, "train_epochs", no_training)
    again = train(dataclasses.replace(TINY, r1=0.0, data_dir="elsewhere"), marks=[2, 4])  # None means 0 with this loss.
    assert (again[4] == fakes[4]).all()
    for changed in ({"learning_rate": 1e-3}, {"loss": "hinge"}, {"seed": 1}, {"epochs": 3}):
        with pytest.raises(AssertionError, match="trained again"):
            train(dataclasses.replace(TINY, **changed))
    with pytest.raises(AssertionError, match="trained again"):
        train(TINY, images=creatures())


def test_a_training_that_diverges_is_kept_as_such(tmp_path, monkeypatch, capsys):
    config = dataclasses.replace(TINY, learning_rate=1e30)
    (fakes,) = engine.train_fakes(config, digits(), tmp_path / "ours", count=10).values()
    assert len(fakes) == 0 and "diverged" in capsys.readouterr().out
    monkeypatch.setattr(engine, "train_epochs", no_training)
    (again,) = engine.train_fakes(config, digits(), tmp_path / "ours", count=10).values()
    reference = Reference(digits().images, Thumbnails(), count=40)
    assert engine.judge_or_fail(reference, again) is None


def test_contenders_take_turns_and_the_first_round_is_dropped():
    calls = []
    contenders = {name: (lambda name=name: calls.append(name) or len(calls)) for name in "ab"}
    assert engine.in_turns(contenders, turns=2) == {"a": [3, 5], "b": [4, 6]}
    assert calls == [*"ababab"]
    # One turn was slow for both; the ratio does not see it.
    assert engine.median_ratio([2, 20, 2], [1, 10, 1]) == 2


def test_cost_is_measured_only_where_a_step_computes_something_else(monkeypatch):
    monkeypatch.setattr(engine, "stepper", lambda config, *_: lambda: 3.0 if config.d_steps == 2 else 2.0)
    assert engine.relative_cost(TINY, dataclasses.replace(TINY, d_steps=2), digits()) == 1.5
    monkeypatch.setattr(engine, "stepper", no_training)
    assert engine.relative_cost(TINY, dataclasses.replace(TINY, decay="linear", d_learning_rate=1.0), digits()) == 1.0


def test_a_stepper_trains(monkeypatch):
    found = []
    build = engine.build_for
    monkeypatch.setattr(engine, "build_for", lambda *a: found.append(build(*a)) or found[-1])
    advance = engine.stepper(TINY, digits(), steps=3)
    assert advance() > 0 and advance() > 0
    assert int(found[0].step) == 6


def test_the_rank_test_is_exact():
    random = np.random.default_rng(0)
    for n, m in ((3, 3), (3, 5), (4, 4)):
        first, second = random.random(n), random.random(m) + 0.3
        p, lower = engine.rank_test([(first, second)])
        assert p == pytest.approx(mannwhitneyu(first, second, method="exact").pvalue)
        assert lower == (np.sum(first[:, None] > second) < n * m / 2)
    apart = ([1, 2, 3], [4, 5, 6])
    assert engine.rank_test([apart]) == (pytest.approx(2 / 20), True)
    assert engine.rank_test([apart, apart]) == (pytest.approx(2 / 400), True)
    assert engine.rank_test([apart, apart[::-1]])[0] == 1
    assert engine.rank_test([([math.inf] * 3, [1, 2, 3])]) == (pytest.approx(0.1), False)


def test_a_table_of_chance_has_a_false_verdict_in_at_most_one_in_ten():
    random, false, separated = np.random.default_rng(0), 0, 0
    for _ in range(200):
        table = {i: [tuple(random.random((2, 3))) for _ in range(2)] for i in range(8)}
        false += any(verdict.significant for verdict in engine.verdicts(table).values())
        separated += sum(bool(engine.separated(*one)) for strata in table.values() for one in strata)
        expected = engine.expected_separations([one for strata in table.values() for one in strata])
    assert false <= 0.1 * 200
    assert expected == pytest.approx(1.6) and separated / 200 == pytest.approx(expected, rel=0.2)


def test_a_clear_difference_gets_a_verdict_and_one_set_of_three_seeds_cannot():
    apart, mixed = ([1, 2, 3], [4, 5, 6]), ([1, 5, 3], [4, 2, 6])
    found = engine.verdicts({"a": [apart, apart], "b": [mixed, mixed], "c": [mixed, apart]})
    assert [found[name].significant for name in "abc"] == [True, False, False] and found["a"].lower
    assert not any(verdict.significant for verdict in engine.verdicts({"a": [apart], "b": [apart]}).values())


def test_tables_are_markdown_with_all_their_cells(tmp_path):
    assert engine.spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"
    assert engine.spread([0.123456]) == "0.123"
    assert engine.table(("a", "b"), [(1, 2)]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    with pytest.raises(ValueError, match="cells"):
        engine.table(("a", "b"), [(1,)])
    for value in ("old", "new"):
        engine.update_readme_table(["pokemon", "10", "", "", "", value], tmp_path)
        engine.update_readme_table(["creatures", "10", "", "", "", "x"], tmp_path)
    rows = cells((tmp_path / "readme_table.md").read_text())[2:]
    assert [(row[0], row[-1]) for row in rows] == [("creatures", "x"), ("pokemon", "new")]


def test_a_process_that_fails_shows_its_output():
    text, seconds, memory = engine.run_process(["-c", "print('fine')"])
    # Its own memory, not that of this process, which holds TensorFlow.
    assert text == "fine\n" and seconds > 0 and 0 < memory < 0.1
    text, _, memory = engine.run_process(["-c", "print(len(bytearray(300 * 2**20)))"])
    assert 0.3 <= memory < 0.4
    with pytest.raises(SystemExit, match="broken"):
        engine.run_process(["-c", "raise SystemExit('broken')"])


# --- The scripts ------------------------------------------------------------------------------------------------------


class FakePeer:
    """A peer without PyTorch, as fast as it is told."""

    version, count = "PyTorch 0, 2 threads, 6,342,272 parameters", 150

    def __init__(self, folder):
        self.folder = folder

    def speed(self):
        return 50.0

    def fakes(self, seed, steps):
        return {step: np.full((150, 28, 28, 3), 128, np.uint8) for step in steps}


def test_pictures(tmp_path, monkeypatch):
    peer, images = FakePeer(tmp_path), creatures()
    monkeypatch.setattr(pictures, "stepper", lambda config, images, steps: lambda: 1600 / config.batch_size)
    speed = pictures.measure_speed(TINY, images, peer, None, turns=1)
    # 1,600 images in 400 seconds, and at batch 64 in 25.
    assert (speed["peer"], speed["ours"], speed["ours_at_64"]) == (50, pytest.approx(4), pytest.approx(64))
    assert speed["ours_at_64_by_peer"] == pytest.approx(64 / 50)
    samples = pictures.collect(TINY, images, peer, [0], [0], {1: 2, 2: 4}, {1: 3, 2: 6})
    assert [(one.what, one.minutes, one.step) for one in samples] == [
        ("peer", 1, 3),
        ("peer", 2, 6),
        ("ours", 1, 2),
        ("ours", 2, 4),
    ]
    perfect = creatures(150, seed=7).images
    samples.append(pictures.Sample("ours", 1, 2, 4, perfect))
    reference = Reference(
        images.images, Thumbnails(), train=np.arange(300), held_out=np.arange(300, 320), count=120, splits=2
    )
    result = pictures.judge_set(images, samples, reference, tmp_path, SpeciesByBrightness())
    path = pictures.write([result], {"creatures": speed}, tmp_path)
    text = path.read_text()
    table = [row for row in cells(text) if len(row) == len(pictures.LONG)]
    by_what = [dict(zip(table[0], row, strict=True)) for row in table[2:]]
    floor, *rest = by_what
    assert floor["what"].startswith("perfect") and floor["of the floor"] == "1.00"
    assert len(rest) == 5
    new, untrained = rest[-1], rest[-2]
    assert 0.8 < float(new["of the floor"]) < 1.25
    assert float(untrained["of the floor"]) > 2
    assert 0.5 < float(new["held-out ratio"].split()[0]) < 2
    kernel = [float(row["kernel distance x 1000"].split()[0].replace(",", "")) for row in (new, untrained)]
    assert abs(kernel[0]) < 0.1 * kernel[1]
    ours, theirs = pictures.count_parameters(TINY, images) / 1e6, 6.3
    assert f"{ours:.2f} million" in text and f"{theirs} million" in text
    short = [row for row in cells(text) if len(row) == len(pictures.SHORT)][2]
    assert "±" in short[4] and short[0] == "creatures"
    assert len([row for row in cells(text) if len(row) == len(pictures.CREATURES)]) == 2 + 5
    pictures.save_firsts(tmp_path, "creatures", samples)
    dozens = plots.open_png(tmp_path / "pictures_creatures.png")
    last = np.concatenate([samples[1].images[:12], samples[3].images[:12]])
    assert (dozens == plots.grid(last, columns=12)).all()
    row = pictures.readme_row(result)
    assert len(row) == len(engine.README_HEAD) and row[3].count("/") == 2


def test_fakes_of_the_peer_that_lie_in_the_folder_are_taken(tmp_path):
    peer = pictures.Peer("no-such-python", creatures(), tmp_path)
    for step in (90, 226):
        np.savez(tmp_path / f"peer-0-{step}.npz", images=np.full((4, 28, 28, 3), step, np.uint8))
    assert {step: found.max() for step, found in peer.fakes(0, [90, 226]).items()} == {90: 90, 226: 226}
    with pytest.raises(FileNotFoundError):
        peer.fakes(0, [90, 452])
    assert [*pictures.Peer("no-such-python", creatures(), tmp_path, train=False).fakes(0, [90, 452])] == [90]


def test_ablation(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "COUNT", 60)
    monkeypatch.setattr(ablation, "relative_cost", lambda preset, config, *_: 1.0 if config == preset else 0.5)
    config = dataclasses.replace(TINY, epochs=1)
    hinge, twin = dataclasses.replace(config, loss="hinge"), dataclasses.replace(config, r1=0.0)
    configs = {ablation.PRESET: config, "hinge": hinge, "no R1": twin}
    reference = Reference(digits().images, Thumbnails(), count=50, splits=2)
    measure = functools.partial(
        ablation.measure_set, "digits", digits(), configs, reference, 2, seeds=[0, 1], folder=tmp_path, turns=1
    )
    first = measure(train=[ablation.PRESET])
    assert [*first.judged] == [ablation.PRESET]
    both = measure(train=["hinge", "no R1"])
    assert [*both.judged] == [ablation.PRESET, "hinge"]  # Not what equals the preset.
    monkeypatch.setattr(engine, "train_epochs", no_training)
    result = measure(train=[])
    assert result.distances("hinge") == both.distances("hinge")
    assert (tmp_path / "hinge-0-4.npz").exists()  # A step takes half as long: twice as many in the same time.
    result.judged["hinge"][1] = None
    text = ablation.write([result], [0, 1], tmp_path).read_text()
    (tmp_path / "ablation.png").stat()
    rows = [row for row in cells(text) if len(row) == len(ablation.HEAD)][2:]
    assert [row[1] for row in rows] == [ablation.FLOOR, ablation.PRESET, "hinge"]
    assert rows[0][3] == report.show(result.floor["frechet_distance"])
    assert "inf" in rows[2][3] and rows[2][-1] == "2 of 2"
    verdicts = [row for row in cells(text) if len(row) == 5][2:]
    assert [row[0] for row in verdicts] == ["hinge"] and verdicts[0][-1] == "none"
    assert "1 comparisons" in text and "0.3" in text  # Two seeds and two others are separated in 2 of 6 orders.


def test_every_variant_of_the_ablation_has_a_config():
    for name in ablation.SETS:
        configs = {variant: ablation.variant_config(name, variant) for variant in ablation.VARIANTS}
        assert configs["D learns twice as fast"].rates[1] == 2 * configs[ablation.PRESET].rates[1]
        assert engine.resolve(configs["wasserstein, gradient penalty"])["gradient_penalty"] == 10
        assert engine.resolve(configs["wasserstein, gradient penalty"])["r1"] == 0


def run_here(script, monkeypatch):
    """What stands in for `run_process`: the script's main in this process, with 1 s and 0.5 GB."""

    def here(arguments):
        monkeypatch.setattr(sys, "argv", arguments)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            script.main()
        return printed.getvalue(), 1.0, 0.5

    monkeypatch.setattr(script, "run_process", here)


def test_sizes(monkeypatch):
    run_here(sizes, monkeypatch)
    monkeypatch.setattr(sizes, "load", lambda config: creatures())
    row = sizes.row(sizes.Setting(28, batch=4, width=16, steps=2))
    assert row[:4] == ["28", "4", "16", "6"] and float(row[5]) > 0


@pytest.mark.slow
def test_growth(monkeypatch, tmp_path):
    run_here(growth, monkeypatch)
    monkeypatch.setattr(growth, "DISTINCT", 3)
    monkeypatch.setattr(growth, "SMALL", SMALLEST)
    monkeypatch.setattr(growth, "SETTINGS_OF_BATCHES", {"image_size": 28, "width": 16})
    with growth.creatures_on_disk(7) as folder:
        images = growth.load(growth.config_of(str(folder), 2, 1))
        assert len(images) == 7 and not images.skipped  # No copy, though pixels repeat.
        np.testing.assert_array_equal(images.images[0], images.images[3])
    by_batch, by_count = growth.batch_rows([2, 4], steps=1), growth.count_rows([20], steps=2)
    assert [row[0] for row in by_batch] == [2, 4] and all(row[1] > 0 for row in by_batch)
    growth.write(by_batch, by_count, tmp_path)
    assert re.search(r"\| 20 \| ([\d.]+ \| ){4}0\.50 \|", (tmp_path / "growth.md").read_text())


@pytest.mark.slow
def test_step_speed(monkeypatch, tmp_path):
    run_here(step_speed, monkeypatch)
    verbose = [
        "onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx512_core,forward_training,src,,,shape,1.5",
        "onednn_verbose,v1,primitive,create:cache_miss,cpu,convolution,brg_conv_fwd,forward_training,src,,,shape,9.0",
        "onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src,,,shape,0.5",
        "0.1 0.2",
    ]
    found = step_speed.primitives("\n".join(verbose), 2)
    assert found == {"convolutions": 0.75, "weights and images into another layout": 0.25}
    product = tf.function(lambda a: a @ a).get_concrete_function(tf.zeros((8, 8)))
    assert step_speed.operations(product) == 2 * 8**3 / 1e9
    assert step_speed.matrix_rate(1, side=8) > 0
    monkeypatch.setattr(step_speed, "STEPS_OF", {"tiny": ("creatures", {**SMALLEST, "conditional": False})})
    monkeypatch.setattr(step_speed, "STEPS", 1)
    monkeypatch.setattr(step_speed, "load", lambda config: creatures())
    row, parts = step_speed.measure("tiny", 100.0)
    step_speed.write([row], [parts], 100.0, tmp_path)
    assert float(row[1]) > 0 and "(100%) |" in (tmp_path / "step_speed.md").read_text()  # oneDNN said nothing here.


def test_folder_speed(tmp_path, monkeypatch):
    folder_speed.make_folder(tmp_path / "pictures", count=6, drawings=2, side=64)

    def here(arguments):
        return " ".join(map(str, folder_speed.open_once(Path(arguments[2]), int(arguments[3])))), 1.0, 0.5

    monkeypatch.setattr(folder_speed, "run_process", here)
    first, second = (folder_speed.row(tmp_path / "pictures", 28, start) for start in ("first", "second"))
    assert first[:4] == ["pictures", "6", "28x28", "first"]
    assert float(second[4]) <= float(first[4])


@pytest.mark.slow
def test_mnist_five(tmp_path, monkeypatch):
    def here(arguments):
        from gan_tf import train

        with contextlib.redirect_stdout(io.StringIO()) as printed:
            train.main([*arguments[2:]])
        return printed.getvalue(), 3.0, 0.5

    monkeypatch.setattr(mnist_five, "run_process", here)
    images, labels = digits().images, digits().labels
    features = mnist_five.make_classifier(images[:1000], labels[:1000], images[1500:], labels[1500:], epochs=2)
    assert features.accuracy["label"] > 0.4 and "chance: 10.0%" in features.name
    fives = digits().filter_labels(("5",))
    config = dataclasses.replace(TINY, held_out=0.1)
    # 128 features need more images than there are fives.
    fives = dataclasses.replace(fives, images=np.concatenate([fives.images, images[labels == 3]]), sha256="")
    new = images[1500:][labels[1500:] == 5]
    reference = mnist_five.make_reference(fives, new, config, features)
    held_out = len(fives) - len(reference.train)
    assert len(reference.held_out) == held_out + len(new) and held_out > 0
    arguments = ["--dataset", "digits", "--epochs", "1", "--steps-per-epoch", "2", "--width", "16", "--batch-size", "4"]
    ours = mnist_five.train_ours(0, arguments, tmp_path, tmp_path, count=reference.count)
    assert {path.name for path in tmp_path.glob("*.png")} == {"mnist_five.png"}
    assert ours.images.shape == (reference.count, 28, 28, 1) and ours.training > 0
    out = tmp_path / "tutorial-0-70.npz"
    players = mnist_five.tutorial(out, 0, fives.images[:64], epochs=1, batch=32, count=reference.count)
    assert [player.count_params() > 100_000 for player in players] == [True, True]
    out.with_suffix(".json").write_text(json.dumps({"seconds": 9, "training": 8, "memory": 1}))
    trained = [ours, mnist_five.train_tutorial(0, "unused", tmp_path)]
    judged = [reference.measure(one.images) for one in trained]
    table = [dict(zip(mnist_five.HEAD, row, strict=True)) for row in mnist_five.rows(trained, judged, reference, new)]
    assert [row["what"].split()[0] for row in table] == ["perfect", "gan_tf", "tutorial"]
    assert float(table[0]["called a five"].rstrip("%")) > 50 and table[0]["of the floor"] == "1.00"
    assert float(table[1]["of the floor"]) > 3 and table[1]["training, s"] != "" and table[2]["process, s"] == "9.0"
    row = mnist_five.readme_row(trained, judged, reference)
    assert len(row) == len(engine.README_HEAD) and row[3].count("/") == 2


def test_conditional(tmp_path, monkeypatch):
    """Zeros and ones; the network takes every image for class 1."""
    pixels, labels = read_digits()
    chosen = labels < 2
    images = ImageDataset("digits", pixels[chosen][..., None], labels[chosen], "tests", ("0", "1"))

    class TakesAllForOne(Thumbnails):
        size, accuracy = 16, {"label": 0.5}

        def read(self, images):
            return {"label": np.ones(len(images), int)}

    monkeypatch.setattr(conditional, "load", lambda config: images)
    monkeypatch.setattr(conditional, "make_features", lambda images: TakesAllForOne())
    monkeypatch.setattr(conditional, "RESULTS", tmp_path)
    monkeypatch.setattr(conditional, "SETS", {"digits": {"labels": {}, "nothing": {}}})
    monkeypatch.setattr(conditional, "preset_config", lambda name, **fields: dataclasses.replace(TINY, **fields))
    monkeypatch.setattr(conditional, "train_fakes", functools.partial(engine.train_fakes, count=200))
    told, untold = conditional.run_set("digits", [0], None, tmp_path)
    row = dict(zip(conditional.HEAD, told, strict=True))
    share = float(row["as asked"].rstrip("%")) / 100
    assert 0.4 < share < 0.6 and row["worst label"].startswith("0: 0% (real 0%)")
    assert (told[1], untold[1]) == ("labels", "nothing") and untold[-3:] == ["", "", ""]
    assert told[3] == "4" and told[5] != untold[5]
    assert plots.open_png(tmp_path / "conditional_digits.png").shape[1] == 12 * 58 + 2


def test_balanced_labels_repeat_the_rarer_ones():
    labels = np.repeat([0, 1], [60, 20])
    images = ImageDataset("pets", np.zeros((80, 28, 28, 1), np.uint8), labels, "tests", ("cat", "dog"))
    config = dataclasses.replace(TINY, held_out=0.2)
    usual, held_out = train_holdout_split(images, config)
    rows, same = conditional.balanced_split(images, config)
    np.testing.assert_array_equal(same, held_out)
    assert {*rows} == {*usual} and np.ptp(np.bincount(labels[rows])) == 0


def test_few_pictures(tmp_path, monkeypatch):
    images = creatures()
    config = dataclasses.replace(TINY, held_out=0.1, augment=("cutout",))
    augmentations = []

    def train_fakes(config, *args, **options):
        augmentations.append(config.augment)
        return engine.train_fakes(config, *args, **options)

    monkeypatch.setattr(few_pictures, "RESULTS", tmp_path)
    monkeypatch.setattr(few_pictures, "make_features", lambda images: Thumbnails())
    monkeypatch.setattr(few_pictures, "FAKES", 150)
    monkeypatch.setattr(few_pictures, "train_fakes", train_fakes)
    monkeypatch.setattr(few_pictures, "write_results", functools.partial(engine.write_results, folder=tmp_path))
    few_pictures.run(images, config, [0], tmp_path / "kept")
    assert augmentations == [("cutout",), ()]
    curves = few_pictures.read_csv(tmp_path / "few_pictures.csv")
    steps = [(row["training"], row["seed"], row["step"]) for row in curves]
    assert steps == [("augmented", "0", "2"), ("augmented", "0", "4"), ("plain", "0", "2"), ("plain", "0", "4")]
    assert all(0 <= float(row["accuracy_held_out"]) <= 1 for row in curves)
    rows = [row for row in cells((tmp_path / "few_pictures.md").read_text()) if row[0] in few_pictures.ARMS]
    assert [row[:3] for row in rows] == [["augmented", "0", "4"], ["plain", "0", "4"]]
    assert plots.open_png(tmp_path / "few_pictures.png").shape[0] == 4 * 58 + 2

    monkeypatch.setattr(engine, "train_epochs", no_training)
    few_pictures.train_all(images, config, [0], tmp_path / "kept")
    (tmp_path / "kept" / "plain-0.csv").unlink()  # Without its curves, a training is repeated.
    with pytest.raises(AssertionError, match="trained again"):
        few_pictures.train_all(images, config, [0], tmp_path / "kept")


def test_a_verdict_of_few_pictures_names_the_measures_that_separate_the_arms():
    def scores(distance, coverage):
        return dict.fromkeys(("kernel_distance", "thumbnails", "copying_ratio", "held_out_ratio"), np.ones(5)) | {
            "frechet_distance": np.full(5, distance),
            "coverage": np.full(5, coverage),
        }

    found = {"augmented": [scores(1.0, 0.5), scores(1.1, 0.9)], "plain": [scores(1.2, 0.6), scores(1.3, 0.7)]}
    assert few_pictures.verdict(found) == (
        "- Frechet distance: 1.05 (1 to 1.1) augmented, 1.25 (1.2 to 1.3) plain: all lower with augmentation."
    )
    assert "No measure" in few_pictures.verdict({"augmented": found["plain"], "plain": found["plain"]})


class Judgements:
    """A reference whose judgement is the next of the given distances, and takes long."""

    count = 8

    def __init__(self, *distances):
        self.distances = list(distances)

    def measure_features(self, fakes):
        assert len(fakes) == 16
        time.sleep(0.3)
        return {"frechet_distance": np.full(5, self.distances.pop(0))}


def test_a_speedrun_stops_at_its_target_and_does_not_count_judging():
    config = dataclasses.replace(TINY, epochs=5)
    began = time.perf_counter()
    seconds, steps, distance = speedrun.run(config, creatures(), Judgements(3.0, 2.0, 0.9, 0.5), 1.0)
    assert (steps, distance) == (6, 0.9) and 0 < seconds < time.perf_counter() - began - 0.85
    assert speedrun.run(config, creatures(), Judgements(3.0, 2.0, 2.0, 1.5, 1.2), 1.0)[1:] == (10, 1.2)


def test_a_speedrun_can_go_on_to_its_end_and_keeps_what_pictures_looks_for(tmp_path, monkeypatch):
    config, images = dataclasses.replace(TINY, epochs=5), creatures()
    speed = {"recipe": engine.step_recipe(config), "ours": 1e-3, "peer": 1.0}
    monkeypatch.setattr(speedrun, "read_speeds", lambda: {images.name: speed})
    keep = speedrun.keep_for_pictures(config, images, tmp_path)
    # Only the third and fourth epoch are judged: no judgement is left for another.
    found = speedrun.run(config, images, Judgements(2.0, 0.9), 1.0, first=3, keep=keep)
    assert found[1:] == (8, 0.9)
    marks, _ = pictures.marks(config, images, speed)
    folder = pictures.set_folder(tmp_path, images)
    monkeypatch.setattr(engine, "train_epochs", no_training)
    last = engine.train_fakes(config, images, folder / "ours", [10])[10]
    assert 10 in marks.values() and last.shape == (engine.FAKES, *images.shape)


def test_a_speedruns_target_is_a_distance_or_a_multiple_of_the_floor(monkeypatch):
    monkeypatch.setattr(speedrun, "load", lambda config: creatures())
    for name in ("dataset_features", "rotation_network"):
        monkeypatch.setattr(speedrun, name, lambda images, place: Thumbnails())
    config, _, reference, target = speedrun.prepare("fives", {"width": 32}, None)
    floor = reference.feature_floor["frechet_distance"].mean()
    assert target == pytest.approx(1.5 * floor) and (config.label, config.width) == (("5",), 32)
    assert speedrun.prepare("anime", {}, None)[3] == 0.086


def test_changes_of_a_speedrun():
    changes = speedrun.read_changes(["learning_rate=0.1", "augment=('color',)", "loss=hinge", "flip=True"])
    assert changes == {"learning_rate": 0.1, "augment": ("color",), "loss": "hinge", "flip": True}
    for wrong in ("learning-rate=1", "width", "width="):
        with pytest.raises(InputError, match="write NAME=VALUE, where NAME is one of alpha, augment"):
            speedrun.read_changes([wrong])


class ExhaustedBy16:
    """Training that has no memory for 16 times the batch."""

    def __init__(self, contender):
        self.contender = contender

    def __call__(self, config, variant):
        if variant.batches == 16:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return self.contender(config, variant)


def run_gpu(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        gpu.main()
    return printed.getvalue(), 1.0, 0.5


@pytest.mark.slow
def test_gpu(tmp_path, monkeypatch):
    """All of it on a CPU, which is told that it is a GPU."""
    prepared, tf32 = [], []
    monkeypatch.setattr(tf.config.experimental, "enable_tensor_float_32_execution", tf32.append)
    judgements = Judgements(0.5, 2.0, 0.75, 2.0, 1.5, 0.5)
    monkeypatch.setattr(speedrun, "prepare", lambda *_: (TINY, creatures(), judgements, 1.0))
    monkeypatch.setattr(gpu.devices, "prepare", lambda *wanted: prepared.append(wanted))
    monkeypatch.setattr(gpu.devices, "gpus", lambda: ["a GPU"])
    monkeypatch.setattr(gpu.devices, "describe", lambda: "NVIDIA T4")
    monkeypatch.setattr(gpu, "run_process", lambda arguments: run_gpu(monkeypatch, *arguments[1:]))
    monkeypatch.setattr(gpu, "contender", ExhaustedBy16(gpu.contender))
    some = ("as it is", "batches gathered by the CPU", "16 times the batch")
    tiny = {"TURNS": 1, "SECONDS": 1e-6, "FIRST_STEPS": 1, "SEEDS": (0, 1), "UNTRIED": {"gpu-64": TINY}}
    variants = {name: gpu.VARIANTS[name] for name in (*some, "with XLA", "images on the device")}
    tiny |= {"PRECISIONS": ("float32", "float16"), "WORKLOADS": {"mnist": TINY}, "VARIANTS": variants}
    for name, value in tiny.items():
        monkeypatch.setattr(gpu, name, value)
    run_gpu(monkeypatch, "--folder", str(tmp_path))
    assert prepared == [("gpu",), ()] and tf32 == [False]
    text = (tmp_path / "gpu.md").read_text()
    assert "Device: NVIDIA T4. As it is, a preset trains in float32, with TF32" in text
    good = [dict(zip(gpu.QUALITY, row, strict=True)) for row in cells(text) if len(row) == 6 and row[1] in ("0", "1")]
    assert [(row["precision"], row["seed"]) for row in good] == [(p, str(s)) for s in (0, 1) for p in gpu.PRECISIONS]
    assert [row["distance"] for row in good] == ["0.5", "0.75", "1.5", "0.5"]
    assert [row["below the target"] for row in good] == ["yes (1)", "yes (1)", "no (1)", "yes (1)"]
    fast = [dict(zip(gpu.SPEED, row, strict=True)) for row in cells(text) if row[0] in ("mnist", "gpu-64")]
    assert [row["variant"] for row in fast] == [*some, gpu.NO_TF32, "as it is"]
    for row in fast:
        exhausted = row["variant"] == "16 times the batch"
        assert exhausted == (row["times the preset's"] == "out of memory") == (not row["images/s"])
        assert exhausted or float(row["images/s"].split()[0].replace(",", "")) > 0
    assert fast[0]["times the preset's"] == "" != fast[1]["times the preset's"]
    assert (fast[0]["batch"], fast[2]["batch"]) == ("4", "64")


def test_gpu_measures_nothing_after_its_minutes_and_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(speedrun, "prepare", lambda *_: (TINY, creatures(), None, 1.0))
    monkeypatch.setattr(gpu, "contender", no_training)
    monkeypatch.setattr(gpu.devices, "gpus", lambda: [])
    run_gpu(monkeypatch, "--device", "cpu", "--minutes", "0", "--folder", str(tmp_path))
    text = (tmp_path / "cpu.md").read_text()
    assert "without XLA" in text and text.count("no time left") == 9 + len(gpu.WORKLOADS) * (len(gpu.VARIANTS) - 2)
    with pytest.raises(InputError, match=r"needs a GPU, and TensorFlow finds no GPU here\..*: --device cpu"):
        run_gpu(monkeypatch)
