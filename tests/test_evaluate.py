import dataclasses
import json
import shutil

import numpy as np
import pytest

from gan_tf import evaluate, generate, train
from gan_tf.generate import Request
from gan_tf.measure import features, report
from gan_tf.run import plots
from gan_tf.run.folder import Run

MEASURES = (
    "Frechet distance",
    "times its floor",
    "kernel distance",
    "precision",
    "recall",
    "density",
    "coverage",
    "thumbnails, 16x16",
    "7x7 patches at height 28",
    "7x7 patches at height 14",
    "grid of 2 pixels",
    "grid of 4 pixels",
    "held-out images to the nearest fake",
    "as many training images to the nearest fake",
    "ratio of these two",
    "copying",
    "classified as what was asked for",
    "effective number of labels",
    "copies of training images?",
)
COLUMNS = ("fakes", report.FLOOR, "noise", "blurred training images", "copies of training images")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on all digits whose fakes differ from noise."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    train.main(["--epochs", "5", "--steps-per-epoch", "60", "--seed", "2", "--run", str(folder)])
    return Run(folder)


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it. Feature networks are trained for a short time."""
    monkeypatch.setattr(features, "STEPS", 150)
    shutil.copytree(trained.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def test_a_run_beside_its_floor(run, capsys):
    before = run.read_metrics()
    evaluate.main([str(run.folder), "--count", "150"])
    printed = capsys.readouterr().out
    lines = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in printed.splitlines() if line.startswith("|")}
    assert tuple(lines)[2:] == MEASURES
    head = [cell.strip() for cell in lines["measure"]]
    assert head == ["fakes", f"{report.FLOOR} (floor: a perfect generator)", *COLUMNS[2:], "good"]
    verdicts = dict(zip(COLUMNS, (cell.strip() for cell in lines["copies of training images?"]), strict=False))
    assert verdicts["copies of training images"] == "copies"
    assert verdicts["fakes"] == verdicts[report.FLOOR] == verdicts["noise"] == "no"
    assert "150 images each, against equally many training images" in printed and "FID" not in printed
    assert "a classifier of digits, right about" in printed and "(chance: 1" in printed
    record = run.read_metrics()
    assert record["last_epoch"] == before["last_epoch"]
    assert record["images"] == 150 and record["splits"] == 5
    assert record["features"]["accuracy"]["label"] > 0.5 > 0.2 > record["features"]["chance"]["label"]
    rows = record["evaluation"]
    assert tuple(rows) == COLUMNS
    mean = {name: {measure: found["mean"] for measure, found in row.items()} for name, row in rows.items()}
    distances = {name: row["frechet_distance"] for name, row in mean.items()}
    assert distances["copies of training images"] < distances[report.FLOOR] < distances["fakes"] < distances["noise"]
    assert mean["noise"]["precision"] < 0.2 and mean["noise"]["coverage"] < mean["fakes"]["coverage"]
    floor, copied = mean[report.FLOOR], mean["copies of training images"]
    assert floor["accuracy"] == 1 and floor["labels"] == pytest.approx(10, abs=0.5)
    assert floor["copying_ratio"] == pytest.approx(1, abs=0.2) and floor["held_out_ratio"] == pytest.approx(1, abs=0.2)
    assert copied["copying_ratio"] < 1e-3 and copied["held_out_ratio"] > 1.1
    assert mean["fakes"]["copying_ratio"] > 0.7
    assert mean["blurred training images"]["pyramid_28"] > 3 * floor["pyramid_28"]
    assert rows["fakes"]["frechet_distance"]["spread"] > 0
    picture = plots.open_png(run.copies_png)
    assert picture.shape[:2] == (2 * 58 + 2, 8 * 58 + 2)


@pytest.mark.slow
def test_the_same_evaluation_gives_the_same_numbers(run, monkeypatch):
    monkeypatch.setattr(report, "baselines", lambda real: {})
    monkeypatch.setattr(features, "STEPS", 20)
    found = []
    for seed in ("0", "0", "1"):
        evaluate.main([str(run.folder), "--count", "70", "--seed", seed])
        found.append(run.metrics_json.read_text())
    assert found[0] == found[1] != found[2]


def message_of(capsys, argv) -> str:
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(argv)
    capsys.readouterr()
    assert str(stopped.value).startswith("gan_tf: ") and "\n" not in str(stopped.value)
    return str(stopped.value)


def test_each_bad_input_gets_one_sentence_and_leaves_nothing_behind(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 2)
    before = run.metrics_json.read_text()
    assert "is not the folder of a run" in message_of(capsys, [str(tmp_path)])
    message = message_of(capsys, [str(run.folder), "--count", "64"])
    assert "64 features needs at least 65 images on each side, but there are 64" in message
    message = message_of(capsys, [str(run.folder), "--count", "1000"])
    assert "1000 images cannot be measured against 1000 others: there are 1707 real ones" in message
    assert "--count is 0" in message_of(capsys, [str(run.folder), "--count", "0"])
    record = json.loads(run.config_json.read_text())
    record["data"]["fingerprint"] = "0" * 64
    run.write_json(run.config_json, record)
    assert f"has changed since {run.folder} was trained on it" in message_of(capsys, [str(run.folder)])
    record["config"]["dataset"] = str(tmp_path / "gone")
    run.write_json(run.config_json, record)
    assert "gone" in message_of(capsys, [str(run.folder)])
    assert run.metrics_json.read_text() == before and not run.copies_png.exists()


def test_a_run_without_a_generator(run, capsys):
    run.generator_keras.unlink()
    assert "has no generator.keras yet" in message_of(capsys, [str(run.folder)])


def test_lost_creatures_are_printed(capsys):
    shares = {"classes": ["owl", "fox"], "real": [0.5, 0.5], "fake": [0.0, 1.0], "lost": ["owl"]}
    whole = {"classes": ["left", "right"], "real": [0.5, 0.5], "fake": [0.4, 0.6], "lost": []}
    evaluate.print_creatures({"species": shares, "turn": whole})
    assert capsys.readouterr().out.splitlines() == ["species  1 of 2 covered; lost: owl", "turn     2 of 2 covered"]


def test_the_closest_fakes_stand_above_their_originals(run, monkeypatch):
    """A generator that only copies: in copies.png, each fake is the image below it."""
    monkeypatch.setattr(features, "STEPS", 2)
    monkeypatch.setattr(report, "baselines", lambda real: {})
    _, config, images, _ = evaluate.reopen(evaluate.Options(run.folder))
    train_rows, _ = report.train_holdout_split(images, config)
    copied = images.images[np.resize(train_rows, 200)]
    monkeypatch.setattr("gan_tf.generate.Request.images", lambda request: [copied[: request.count]])
    evaluate.main([str(run.folder), "--count", "70"])
    picture = plots.open_png(run.copies_png)
    np.testing.assert_array_equal(picture[2:58], picture[60:116])
    assert run.read_metrics()["evaluation"]["fakes"]["copying_ratio"]["mean"] < 1e-3


@pytest.mark.slow
def test_a_conditional_run_is_measured_label_by_label(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 300)
    monkeypatch.setattr(report, "baselines", lambda real: {})
    run = Run(tmp_path / "run")
    options = ["--label", "0", "1", "7", "--conditional", "--epochs", "4", "--steps-per-epoch", "100"]
    train.main([*options, "--run", str(run.folder)])
    evaluate.main([str(run.folder)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    head = lines.index("| label | drawn as asked / real images | Frechet distance / floor | coverage / floor |")
    assert [line.split(" |")[0] for line in lines[head + 2 :]] == ["| 0", "| 1", "| 7"]
    labels = run.read_metrics()["labels"]
    for name in "017":
        fakes, real = labels[name]["as_asked"]
        assert 0.5 <= fakes <= 1 and 0.8 < real <= 1
        distance, floor = labels[name]["frechet_distance"]
        assert 0 < floor < distance
        coverage, ceiling = labels[name]["coverage"]
        assert 0 < coverage < ceiling <= 1
    # The same generator, told another label than the one that is measured.
    draw = Request.inputs

    def draw_another(request):
        return draw(dataclasses.replace(request, labels=[(label + 1) % 3 for label in request.labels]))

    monkeypatch.setattr(Request, "inputs", draw_another)
    evaluate.main([str(run.folder)])
    wrong = run.read_metrics()["labels"]
    assert all(wrong[name]["as_asked"][0] < 0.3 and wrong[name]["as_asked"][1] > 0.8 for name in "017")


@pytest.mark.slow
def test_clusters_are_measured_but_no_classifier_knows_them(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(features, "STEPS", 30)
    monkeypatch.setattr(report, "baselines", lambda real: {})
    run = Run(tmp_path / "run")
    train.main(
        ["--label", "0", "1", "--clusters", "2", "--epochs", "1", "--steps-per-epoch", "8", "--run", str(run.folder)]
    )
    assert "random numbers and one of 2 clusters" in capsys.readouterr().out
    shares = run.read_classes()
    assert list(shares) == ["1", "2"] and shares["1"] >= shares["2"] and sum(shares.values()) == pytest.approx(1)
    evaluate.main([str(run.folder)])
    lines = capsys.readouterr().out.splitlines()
    for name in "12":
        (line,) = [line for line in lines if line.startswith(f"| {name} |")]
        assert line.startswith(f"| {name} | - | ")
        assert set(run.read_metrics()["labels"][name]) == {"frechet_distance", "coverage"}
    generate.main([str(run.folder), "--label", "all", "--count", "3", "--out", str(tmp_path / "all.png")])
    assert plots.open_png(tmp_path / "all.png").shape[:2] == (2 * 58 + 2, 3 * 58 + 2)
