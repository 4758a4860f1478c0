import json
import shutil

import numpy as np
import pytest

from gan_tf import evaluate, train
from gan_tf.data import creatures
from gan_tf.data.images import ImageDataset
from gan_tf.evaluate import baselines, count_creatures, measure_labels, table
from gan_tf.measure import features
from gan_tf.measure.features import creature_classes
from gan_tf.run import plots
from gan_tf.run.folder import Run

MEASURES = (
    "Frechet distance",
    "kernel distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "7x7 patches at 28x28",
    "7x7 patches at 14x14",
    "copying",
    "called what was asked for",
    "labels, as if equally frequent",
    "copies of training images?",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of all digits that is good enough to be told from noise."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    train.main(["--epochs", "5", "--steps-per-epoch", "60", "--seed", "2", "--run", str(folder)])
    return Run(folder)


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it; networks are trained for a short time."""
    monkeypatch.setattr(features, "STEPS", 150)
    shutil.copytree(trained.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def test_a_run_beside_its_floors(run, capsys):
    before = run.read_metrics()
    evaluate.main([str(run.folder), "--count", "700"])
    printed = capsys.readouterr().out
    lines = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in printed.splitlines() if line.startswith("|")}
    assert tuple(lines)[2:] == MEASURES
    what = [cell.strip() for cell in lines["measure"]]
    assert what == ["fakes", "real halves", "noise", "blurred real images", "the real images themselves", "good"]
    verdicts = dict(zip(what, (cell.strip() for cell in lines["copies of training images?"]), strict=True))
    assert verdicts["the real images themselves"] == "copies"
    assert verdicts["fakes"] == verdicts["real halves"] == verdicts["noise"] == "no"
    assert (
        "700 fakes, 1,797 real images; features: a classifier of digits, right about" in printed
        and "FID" not in printed
    )
    rows = run.read_metrics()["evaluation"]
    assert run.read_metrics()["last_epoch"] == before["last_epoch"]
    distances = {name: row["frechet_distance"] for name, row in rows.items()}
    assert (
        distances["the real images themselves"]
        < 1e-6
        < distances["real halves"]
        < distances["fakes"]
        < distances["noise"]
    )
    assert rows["noise"]["precision"] < 0.2 and rows["noise"]["coverage"] < rows["fakes"]["coverage"]
    assert rows["real halves"]["accuracy"] == 1 and rows["real halves"]["labels"] == pytest.approx(10, abs=0.2)
    assert abs(rows["real halves"]["kernel_distance"]) < 4 * rows["real halves"]["kernel_distance_error"]
    assert rows["fakes"]["copying_ratio"] > 0.7 and rows["the real images themselves"]["copying_ratio"] < 1e-3
    assert rows["blurred real images"]["pyramid_28"] > 3 * rows["real halves"]["pyramid_28"]
    picture = plots.open_png(run.copies_png)
    assert picture.shape[:2] == (2 * 58 + 2, 8 * 58 + 2)


def test_the_same_evaluation_gives_the_same_numbers(run, monkeypatch):
    monkeypatch.setattr(evaluate, "baselines", lambda real: {})
    monkeypatch.setattr(evaluate, "MOST", 300)
    monkeypatch.setattr(features, "STEPS", 20)
    found = []
    for seed in ("0", "0", "1"):
        evaluate.main([str(run.folder), "--count", "300", "--seed", seed])
        found.append(run.metrics_json.read_text())
    assert found[0] == found[1] != found[2]


def sentence_of(capsys, argv) -> str:
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(argv)
    capsys.readouterr()
    assert str(stopped.value).startswith("gan_tf: ") and "\n" not in str(stopped.value)
    return str(stopped.value)


def test_each_bad_input_has_its_sentence_and_leaves_nothing(run, tmp_path, capsys):
    before = run.metrics_json.read_text()
    assert "is no run's folder" in sentence_of(capsys, [str(tmp_path)])
    said = sentence_of(capsys, [str(run.folder), "--count", "64"])
    assert "takes at least 65 fakes and 130 real images" in said and "there are 64 and 1797" in said
    record = json.loads(run.config_json.read_text())
    record["data"]["fingerprint"] = "0" * 64
    run.write_json(run.config_json, record)
    assert f"has changed since {run.folder} was trained on it" in sentence_of(capsys, [str(run.folder)])
    record["config"]["dataset"] = str(tmp_path / "gone")
    run.write_json(run.config_json, record)
    assert "gone" in sentence_of(capsys, [str(run.folder)])
    assert run.metrics_json.read_text() == before and not run.copies_png.exists()


def test_a_run_without_a_generator(run, capsys):
    run.generator_keras.unlink()
    assert "has no generator.keras yet" in sentence_of(capsys, [str(run.folder)])


class Reads:
    """Features that know what they look at, by its first pixel."""

    right = {"label": 1.0}  # noqa: RUF012

    def read(self, images):
        return {"label": images[:, 0, 0, 0].astype(int)}


def test_labels_are_counted():
    images = np.zeros((8, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = [5, 5, 5, 5, 3, 3, 1, 0]
    found = measure_labels(images, Reads(), [5, 0])
    assert found["accuracy"] == 5 / 8
    shares = np.array([4, 2, 1, 1]) / 8
    assert found["labels"] == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    even = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    assert measure_labels(even, Reads(), range(8)) == pytest.approx({"accuracy": 1, "labels": 8})


def test_creatures_that_a_generator_lost_are_named(capsys):
    known = creatures.parameters(4000)
    true = creature_classes(known)

    class Knows:
        def read(self, rows):
            return {name: values[rows] for name, values in true.items()}

    every = np.arange(4000)
    no_owls = every[(true["species"] != creatures.SPECIES.index("owl")) & (true["hue"] != 6)]
    counted = count_creatures(every, no_owls, Knows())
    assert {kind: found["lost"] for kind, found in counted.items()} == {
        "species": ["owl"],
        "hue": ["90 degrees"],
        "turn": [],
        "tilt": [],
    }
    evaluate.say_creatures(counted)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "species  5 of 6 covered; lost: owl" and printed[2] == "turn     3 of 3 covered"


def test_baselines_are_made_of_the_real_images(images):
    made = baselines(images.images)
    assert {made[name].dtype for name in made} == {np.dtype(np.uint8)}
    assert made["noise"].std() > 70 and made["the real images themselves"] is images.images
    assert made["blurred real images"].mean() == pytest.approx(images.images.mean(), rel=0.02)
    assert np.abs(np.diff(made["blurred real images"].astype(int), axis=2)).max() < 150


def test_the_closest_pairs_stand_under_each_other(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (30, 28, 28, 1), np.uint8)
    fakes = random.integers(0, 256, (20, 28, 28, 1), np.uint8)
    fakes[7], fakes[11] = pixels[3], pixels[4][:, ::-1]
    known = evaluate.known_outlines(pixels, mirror=True)
    evaluate.save_closest(tmp_path / "a.png", ImageDataset("noise", pixels, None, "tests"), known, fakes)
    picture = plots.open_png(tmp_path / "a.png")
    above, below = picture[2:58], picture[60:116]
    for place in (0, 1):  # The two copies, one of them mirrored as its fake is.
        columns = slice(2 + 58 * place, 58 + 58 * place)
        np.testing.assert_array_equal(above[:, columns], below[:, columns])
    assert not np.array_equal(above, below)


def test_a_table_says_what_it_shows():
    row = {"frechet_distance": 1.23456, "kernel_distance": 0.01, "kernel_distance_error": 0.002, "pyramid_64": 3.0}
    lines = table({"fakes": row | {"copying_ratio": 0.2, "accuracy": 0.5}})
    assert lines[2:] == [
        "| Frechet distance | 1.23 | low |",
        "| kernel distance | 0.01 ± 0.002 | about 0 |",
        "| 7x7 patches at 64x64 | 3 | low |",
        "| copying | 0.2 | about 1 |",
        "| called what was asked for | 50.0% | high |",
        "| copies of training images? | copies | no |",
    ]
