import base64
import dataclasses
import hashlib
import html
import importlib.util
import io
import json
import re
import shutil
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from gan_tf import page
from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.run import plots
from gan_tf.run.folder import Run
from gan_tf.web import build
from gan_tf.web.layers import describe, encode, largest_difference, rounded
from gan_tf.web.record import ROWS, config_table, record, sampled_epochs, verdicts, without_gaps
from tests.web.runs import make_run

ROOT = Path(__file__).parents[1]
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A run's folder that no test changes."""
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", labels=("plain", HOSTILE)).folder


@pytest.fixture
def folder(tiny, tmp_path) -> Path:
    """A copy that a test may damage."""
    return shutil.copytree(tiny, tmp_path / "tiny")


def main_fails(*arguments) -> str:
    """The sentence with which the command ends."""
    with pytest.raises(SystemExit) as ended:
        page.main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, str)
    assert "\n" not in ended.value.code
    return ended.value.code


def runs_in(text: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json" id="runs">(.*?)</script>', text, re.DOTALL)[1])


# ---- The command ----


def test_the_command_writes_a_page_and_says_how_far_it_is_from_keras(tiny, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    page.main([str(tiny), "--out", str(out)])
    said = capsys.readouterr().out
    assert re.search(
        r"tiny: weights rounded to float16; a pixel differs from Keras's by at most \d[\d.]* of 255\.", said
    )
    assert f"{out}: " in said
    (run,) = runs_in(out.read_text(encoding="utf-8"))
    assert (run["name"], run["shape"], run["labels"]) == ("tiny", [28, 28, 1], ["plain", HOSTILE])
    assert [layer["type"] for layer in run["discriminator"]["layers"]][-1] == "dense"


def test_several_runs_make_one_page(tiny, folder, tmp_path, capsys):
    Run(folder).discriminator_keras.unlink()
    page.main([str(tiny), str(folder), "--out", str(tmp_path / "page.html")])
    first, second = runs_in((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert first["discriminator"] is not None
    assert second["discriminator"] is None


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda run: run.generator_keras.unlink(), "has no generator.keras yet: finish the run"),
        (lambda run: run.generator_keras.write_bytes(b"PK no"), "generator.keras cannot be opened by Keras"),
        (lambda run: run.discriminator_keras.write_bytes(b"no"), "discriminator.keras cannot be opened by Keras"),
        (lambda run: run.config_json.unlink(), "is not the folder of a run"),
        (lambda run: run.history_csv.write_text("epoch,d_loss\n1,none\n"), "history.csv cannot be read"),
        (lambda run: run.history_csv.write_text("epoch\n1\n2\n3\n"), "history.csv cannot be read"),
        (lambda run: run.metrics_json.write_text('{"evaluation": {}}'), "metrics.json cannot be read"),
        (lambda run: run.metrics_json.write_text("{"), "metrics.json cannot be read"),
        (lambda run: run.sample_png(0).write_bytes(b"no"), "epoch_0000.png cannot be read"),
        (
            lambda run: plots.save_png(run.sample_png(0), np.zeros((10, 10, 1), np.uint8)),
            "10x10 pixels are no grid of images of 28x28",
        ),
    ],
)
def test_a_damaged_run_is_refused_in_one_sentence_and_nothing_is_written(folder, tmp_path, damage, said):
    damage(Run(folder))
    assert said in main_fails(folder, "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_other_bad_input_is_refused_in_one_sentence(tiny, tmp_path):
    assert "ends in .html" in main_fails(tiny, "--out", tmp_path / "page.txt")
    assert "Name at least one run's folder" in main_fails()
    (tmp_path / "file").write_text("")
    assert "could not be written" in main_fails(tiny, "--out", tmp_path / "file" / "page.html")


# ---- The networks ----


def model(*added, shape=(4, 4, 2)) -> keras.Sequential:
    return keras.Sequential([keras.Input(shape), *added], name="generator")


@pytest.mark.parametrize(
    "layer",
    [
        layers.MaxPooling2D(),
        layers.UpSampling2D(),
        layers.Conv2D(3, 3, padding="valid"),
        layers.Conv2D(3, 3, padding="same", dilation_rate=2),
        layers.Conv2D(3, 3, padding="same", activation="relu"),
        layers.Conv2D(4, 3, padding="same", groups=2),
        layers.Conv2DTranspose(3, 4, strides=2, padding="same", output_padding=1),
        layers.AveragePooling2D(2, padding="valid"),
        layers.Cropping2D(((1, 0), (0, 0))),
        layers.BatchNormalization(scale=False),
        layers.ReLU(max_value=6),
        layers.Activation("gelu"),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_that_the_page_does_not_know_is_refused(layer):
    with pytest.raises(InputError, match=rf"does not know the layer '{layer.name}' of generator"):
        describe(model(layer))


def test_a_model_that_is_not_sequential_is_refused():
    features = keras.Input((4,))
    with pytest.raises(InputError, match=r"computes keras\.Sequential"):
        describe(keras.Model(features, layers.Dense(2)(features)))


def test_an_unknown_layer_is_refused_by_the_command(folder, tmp_path):
    strange = keras.Sequential(
        [keras.Input((10,)), layers.Dense(784), layers.Reshape((28, 28, 1)), layers.Dropout(0.1)]
    )
    strange.save(Run(folder).generator_keras)
    assert "does not know the layer 'dropout" in main_fails(folder, "--out", tmp_path / "page.html")


@pytest.mark.parametrize("number", [np.nan, 1e5])
def test_weights_of_a_diverged_run_are_refused(number):
    broken = model(layers.Dense(2), shape=(3,))
    broken.weights[0].assign(np.full((3, 2), number))
    with pytest.raises(InputError, match="the run has diverged"):
        encode(broken)


def test_weights_are_read_back_as_keras_would_round_them():
    network = model(layers.Conv2D(3, 3, padding="same"), layers.Flatten(), layers.Dense(5), shape=(4, 4, 2))
    network.weights[1].assign(np.random.default_rng(0).standard_normal(3))
    encoded = encode(network)
    planes = np.frombuffer(zlib.decompress(base64.b64decode(encoded["kernels"])), np.uint8)
    kernels = np.ascontiguousarray(planes.reshape(2, -1).T).view("<f2").ravel().astype(np.float32)
    vectors = np.frombuffer(base64.b64decode(encoded["vectors"]), "<f4")
    first, bias, second, _ = rounded(network)
    np.testing.assert_array_equal(kernels, np.concatenate([first.ravel(), second.ravel()]))
    np.testing.assert_array_equal(vectors[:3], bias)
    np.testing.assert_array_equal(bias, np.asarray(network.weights[1]))  # Only kernels are rounded.
    assert 0 < np.max(np.abs(first - np.asarray(network.weights[0]))) < 1e-3


def test_the_difference_is_that_of_pixels():
    network = model(layers.Dense(4, use_bias=False), shape=(2,))
    network.weights[0].assign([[1 + 2**-12] + [0] * 3, [0] * 4])  # float16 keeps 10 binary places.
    assert largest_difference(network, np.array([[1.0, 0]])) == pytest.approx(127.5 * 2**-12, rel=1e-3)


def test_the_difference_includes_what_bfloat16_rounds(tmp_path):
    run = make_run(tmp_path / "run", precision="bfloat16")
    generator = run.load_generator()
    generator.set_weights(rounded(generator))  # So rounding to float16 changes nothing more.
    inputs = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    assert largest_difference(generator, inputs) > 0.1
    assert describe(generator)[0]["type"] == "dense"


# ---- The record ----


def test_images_of_a_sample_grid_are_found_again():
    for size, columns in ((28, 3), (64, 2), (128, 2)):
        images = np.random.default_rng(0).integers(0, 256, (6, size, size, 3), np.uint8)
        tiles = without_gaps(plots.grid(images, columns=columns), size, size)
        found = tiles.reshape(6 // columns, size, columns, size, 3).swapaxes(1, 2).reshape(images.shape)
        np.testing.assert_array_equal(found, images)


def test_few_grids_are_shown_and_the_first_and_last_are_among_them(tmp_path):
    run = Run(tmp_path)
    run.samples.mkdir()
    for epoch in range(31):
        run.sample_png(epoch).touch()
    found = sampled_epochs(run, 30)
    assert len(found) <= 6 and found[0] == 0 and found[-1] == 30
    assert sampled_epochs(run, 2) == [0, 1, 2]  # A grid of an epoch that the history does not have is left out.
    run.sample_png(0).unlink()
    assert sampled_epochs(run, 30)[0] == 1


def test_verdicts_are_those_that_the_run_would_have_read():
    config = Config(epochs=4)
    columns = ("d_loss", "g_loss", "accuracy_real", "accuracy_fake", "spread")
    history = {"epoch": [1, 2, 3, 4], **{name: [0.7] * 4 for name in columns}}
    history["spread"] = [0.9, 0.9, 0.1, 0.1]
    assert verdicts(history, config) == [{}] * 5  # A verdict looks at three epochs.
    history = {name: [*values, values[-1]] for name, values in history.items()} | {"epoch": [1, 2, 3, 4, 5]}
    found = verdicts(history, config)
    assert found[:5] == [{}] * 5
    assert "the generator has collapsed" in found[5]["has_collapsed"]
    history["g_loss"][4] = float("nan")  # A diverged run gets no advice for runs that live.
    assert [*verdicts(history, config)[5]] == ["too_fast"]


def long_history(run: Run, epochs: int) -> None:
    """Give a run a history of so many epochs, in one of which, the 1,003rd, the generator is seen to have collapsed."""
    columns = (ROOT / "pretrained" / "digits" / "history.csv").read_text().splitlines()[0].split(",")
    random = np.random.default_rng(0)
    values = {name: random.uniform(0.6, 0.9, epochs) for name in columns} | {"epoch": np.arange(1, epochs + 1)}
    values["spread"][1000:1003] = 0.1
    rows = zip(*values.values(), strict=True)
    run.history_csv.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")


def test_a_long_history_is_thinned_evenly_but_for_pictures_and_verdicts(folder, tmp_path):
    run = Run(folder)
    plots.save_png(run.sample_png(0), np.zeros((60, 60, 1), np.uint8))
    plots.save_png(run.sample_png(17), np.zeros((60, 60, 1), np.uint8))
    long_history(run, 12_345)
    found = record(run)
    shown, rows = found["shown"], run.read_history()
    assert {0, 1, 17, 1003, 12_345} < {*shown} and shown == sorted(shown) and ROWS <= len(shown) - 1 <= ROWS + 2
    assert max(np.diff(shown)) == 98  # 12,344 in 127 parts.
    for name, values in found["history"].items():
        np.testing.assert_allclose(values, [rows[name][epoch - 1] for epoch in shown[1:]], rtol=1e-3)
    told = [[found["sentences"][number] for number in numbers] for numbers in found["verdicts"]]
    assert len(told) == len(shown) and "two fakes are only 0.10 times" in told[shown.index(1003)][0]
    assert sum(map(len, told)) == 1
    long_history(run, ROWS)
    assert record(run)["shown"] == [*range(ROWS + 1)]


def test_the_page_of_a_long_run_is_as_small_as_that_of_a_short_one(tmp_path):
    """With ten labels, whose networks leave the least room."""
    run = Run(shutil.copytree(ROOT / "pretrained" / "fashion", tmp_path / "fashion"))
    long_history(run, 5_000)
    assert len(build.make_page([run.folder])[0].encode()) < 1e6


def test_the_config_is_a_table_without_paths_of_this_machine():
    config = Config(dataset="/home/somebody/pictures", data_dir="/home/somebody", epochs=7, label=("a", "b"))
    table = {entry["option"]: entry for entry in config_table(config)}
    assert table["--dataset"]["value"] == "pictures"
    assert table["--epochs"] == {"group": "length and batch", "option": "--epochs", "value": "7", "changed": True}
    assert (table["--label"]["value"], table["--flip"]["value"], table["--held-out"]["value"]) == ("a b", "no", "0.05")
    assert not table["--beta-1"]["changed"] and table["--beta-1"]["value"] == "0"
    assert "somebody" not in json.dumps(config_table(config))
    assert set(table) == {f"--{f.name.replace('_', '-')}" for f in dataclasses.fields(Config)} - {"--data-dir"}


def test_stored_measures_come_with_their_floors():
    packed, _ = build.pack(Run(ROOT / "pretrained" / "digits"))
    rows = {name: (fakes, floor, good) for name, fakes, floor, good in packed["measures"]["rows"]}
    stored = Run(ROOT / "pretrained" / "digits").read_metrics()["evaluation"]
    fakes, floor = (stored[name]["coverage"]["mean"] for name in ("fakes", "new real images"))
    assert rows["coverage"][0].startswith(f"{fakes:.3f}") and rows["coverage"][1].startswith(f"{floor:.3f}")
    assert [label for label, *_ in packed["measures"]["labels"]] == [str(digit) for digit in range(10)]
    assert packed["verdicts"] == [[]] * 9
    assert [sample["epoch"] for sample in packed["samples"]][-1] == 8


# ---- The page ----


@pytest.fixture(scope="module")
def text(tiny) -> str:
    return build.make_page([tiny])[0]


def test_the_same_run_gives_the_same_page(tiny, text):
    assert build.make_page([tiny])[0] == text


def test_the_policy_lets_only_the_page_s_own_scripts_run(text):
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)[1])
    scripts = re.findall(r"<script(?: id=\"shared\")?>(.*?)</script>", text, re.DOTALL)
    hashes = {"sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert len(scripts) == 2
    assert set(re.findall(r"'(sha256-[^']+)'", policy.split("style-src")[0])) == hashes
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_the_page_asks_for_nothing_from_elsewhere(text):
    assert set(re.findall(r"https?://[^\s'\"<>)]+", text)) == {"http://www.w3.org/2000/svg"}
    code = build.read(*build.SHARED, *build.WORKER, *build.VIEW)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|eval|innerHTML|outerHTML)\b", code)
    assert "insertAdjacentHTML" not in code and "document.write" not in code


def test_labels_are_data_and_never_html(text):
    assert HOSTILE not in text and "<img" not in text
    assert runs_in(text)[0]["labels"][1] == HOSTILE


def test_a_name_is_text(folder, tmp_path):
    strange = folder.rename(tmp_path / "<b>{{runs}}&")
    text, _ = build.make_page([strange])
    assert "<title>&lt;b&gt;{{runs}}&amp;</title>" in text
    assert runs_in(text)[0]["name"] == "<b>{{runs}}&"


def test_every_source_is_in_the_page_and_in_the_package(text):
    sources = {path.name for path in (ROOT / "gan_tf" / "web").iterdir() if path.suffix in (".js", ".css", ".html")}
    assert sources == {*build.SHARED, *build.WORKER, *build.VIEW, "page.css", "page.html"}
    for name in sources - {"page.html"}:
        assert build.read(name) in text
    settings = (ROOT / "pyproject.toml").read_text()
    assert 'package-data."gan_tf.web" = ["*.css", "*.html", "*.js"]' in settings


# ---- The site ----


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(gallery) -> dict[str, str]:
    return gallery.pages()


def comparable(text: str) -> tuple[str, list[bytes], list[np.ndarray]]:
    """A page without what depends on the versions of zlib and libjpeg, and that unpacked: kernels and pictures."""
    kernels = re.findall(r'"kernels":"([^"]+)"', text)
    pictures = re.findall(r'(?:"jpeg":"|image/jpeg;base64,)([\w+/=]+)', text)
    for packed in kernels + pictures:
        text = text.replace(packed, "")
    arrays = [np.asarray(Image.open(io.BytesIO(base64.b64decode(packed))), int) for packed in pictures]
    return text, [zlib.decompress(base64.b64decode(packed)) for packed in kernels], arrays


@pytest.mark.parametrize("name", ["index", "creatures", "digits", "fashion", "fives"])
def test_the_site_is_built_from_its_sources(pages, name):
    stored = comparable((ROOT / "docs" / f"{name}.html").read_text(encoding="utf-8"))
    built = comparable(pages[f"{name}.html"])
    assert stored[:2] == built[:2], f"docs/{name}.html is stale: run make site"
    for stored_picture, built_picture in zip(stored[2], built[2], strict=True):
        assert np.mean(np.abs(stored_picture - built_picture)) < 2, f"docs/{name}.html is stale: run make site"


def test_the_site_has_a_page_for_each_pretrained_generator(pages):
    names = {path.parent.name for path in (ROOT / "pretrained").glob("*/generator.keras")}
    assert set(pages) == {"index.html", *(f"{name}.html" for name in names)}
    for name in names:
        assert f'href="{name}.html"' in pages["index.html"]
        assert 'href="index.html"' in pages[f"{name}.html"]
    assert 'href="playground.html"' in pages["index.html"]
    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert f"{notebook.name}" in pages["index.html"]


@pytest.mark.parametrize("name, most", [("fives", 1e6), ("digits", 1e6), ("fashion", 1e6), ("creatures", 3e6)])
def test_pages_are_small(pages, name, most):
    assert len(pages[f"{name}.html"].encode()) <= most


def test_the_gallery_runs_no_script_and_asks_for_nothing(pages):
    index = pages["index.html"]
    assert "<script" not in index and "default-src 'none'" in index
    assert not re.search(r'src="(?!data:)', index)
    assert len(re.findall(r'<img src="data:image/jpeg', index)) == 4
