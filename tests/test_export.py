"""Each format is opened again by its own runtime, and draws what Keras draws."""

import importlib.metadata
import json
import re
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf import export
from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.generate import Request
from gan_tf.measure import report
from gan_tf.models import to_float32
from gan_tf.run import plots
from gan_tf.run.build import build_for
from gan_tf.run.folder import Run

LABELS = ("bear", "cat", "fox")


def make_run(folder, shape, dataset="creatures", **fields):
    """A run's folder whose generator draws with contrast, and with statistics of batch normalisation that matter."""
    config = Config(dataset=dataset, epochs=1, steps_per_epoch=2, batch_size=4, latent_dim=8, width=16, **fields)
    images = ImageDataset("pictures", np.zeros((24, *shape), np.uint8), np.arange(24) % 3, "tests", LABELS)
    run = Run.create(folder, config, images, None)
    gan, random = build_for(images, config), np.random.default_rng(0)
    for variable in gan.ema_generator.variables:
        size = random.uniform(0.5, 2.0, variable.shape)
        variable.assign(size if "variance" in variable.name else 1.5 * size * variable + 0.1 * (size - 1))
    run.save_models(gan)
    run.record_start(config, [(0, 2)], 0)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A grey run that computes in float16, a conditional one in colour in bfloat16, and an oblong, transparent one in
    float32."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "grey": make_run(folder / "grey", (28, 28, 1), precision="float16"),
        "oblong": make_run(folder / "oblong", (72, 40, 4), image_size="40x72", alpha=True),
        "colour": make_run(folder / "colour", (32, 32, 3), conditional=True, precision="bfloat16"),
    }


def with_savedmodel(path, inputs):
    model = tf.saved_model.load(path)
    return model.serve(inputs).numpy()


def with_onnx(path, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    return session.run(None, {given.name: inputs})[0]


def with_litert(path, inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], inputs)
    interpreter.invoke()
    return interpreter.get_tensor(returned["index"])


def with_openvino(path, inputs):
    import openvino

    # Processors that compute in bfloat16 would do so by default.
    model = openvino.Core().compile_model(path / "generator.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model(inputs)[0]


def with_keras(path, inputs):
    return keras.saving.load_model(path)(inputs).numpy()


runtimes = pytest.mark.parametrize(
    "to, draw",
    [
        ("savedmodel", with_savedmodel),
        ("hub", with_keras),
        pytest.param("onnx", with_onnx, marks=pytest.mark.export),
        pytest.param(
            "litert",
            with_litert,
            marks=[pytest.mark.export, pytest.mark.skipif(sys.version_info < (3, 11), reason="Keras 3.13 is needed")],
        ),
        pytest.param(
            "openvino",
            with_openvino,
            marks=[pytest.mark.export, pytest.mark.skipif(sys.version_info >= (3, 13), reason="OpenVINO fails there")],
        ),
    ],
)


@runtimes
@pytest.mark.parametrize("kind", ["grey", "colour", "oblong"])
def test_the_formats_runtime_draws_what_keras_draws_in_float32_in_any_batch(to, draw, kind, runs, tmp_path):
    run, out = runs[kind], tmp_path / Path(export.FORMATS[to].name)
    generator = run.load_generator()
    export.main([str(run.folder), "--to", to, "--out", str(out)])
    inputs = next(Request(generator, 5, shares=list(run.read_classes().values())).inputs())
    expected = to_float32(generator)(inputs).numpy()
    assert expected.std() > 0.1 and (np.abs(expected - generator(inputs)).max() > 1e-4) == (kind != "oblong")
    for count in (5, 1):
        drawn = draw(out, inputs[:count])
        assert drawn.dtype == np.float32 and drawn.shape == (count, *generator.output_shape[1:])
        np.testing.assert_allclose(drawn, expected[:count], atol=1e-4, rtol=0)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_default_place_is_the_runs_folder_and_what_is_there_is_not_replaced(tmp_path, capsys):
    run = make_run(tmp_path / "run", (28, 28, 1))
    export.main([str(run.folder), "--to", "savedmodel"])
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    assert run.folder / "savedmodel" / "saved_model.pb" in before
    assert "It maps float32 (N, 8) to images, float32 (N, 28, 28, 1) in [-1, 1]" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="savedmodel exists already: remove it, or name another place with --out"):
        export.main([str(run.folder), "--to", "savedmodel"])
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


@pytest.mark.parametrize(
    "error, exit", [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), "could not be written [(]No")]
)
@pytest.mark.parametrize("to", ["savedmodel", "hub"])
def test_an_export_that_fails_leaves_nothing(to, error, exit, runs, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        (next(tmp_path.iterdir()) / "half").touch()
        raise error

    def export_half(model, path, **options):
        Path(path).mkdir()
        fail()

    monkeypatch.setattr(keras.Model, "export", export_half)
    monkeypatch.setattr("gan_tf.run.card.model_card", fail)
    with pytest.raises(SystemExit) as stopped:
        export.main([str(runs["grey"].folder), "--to", to, "--out", str(tmp_path / "out")])
    assert re.search(str(exit), str(stopped.value))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def python_3_11(monkeypatch):
    """What the command takes for this Python's version."""
    monkeypatch.setattr(export, "sys", types.SimpleNamespace(version_info=(3, 11)))


def test_openvino_is_not_tried_where_its_converter_fails(monkeypatch):
    for version in ((3, 12), (3, 13)):
        monkeypatch.setattr(export, "sys", types.SimpleNamespace(version_info=version))
        export.check_python("onnx")
        if version < (3, 13):
            export.check_python("openvino")
    with pytest.raises(InputError, match=r"--to openvino needs Python 3\.10 to 3\.12"):
        export.check_python("openvino")


@pytest.mark.parametrize("to, modules", [("onnx", "onnx and tf2onnx"), ("openvino", "openvino")])
def test_a_missing_package_gets_the_name_of_its_extra(to, modules, python_3_11, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    install = re.escape(f'--to {to} needs {modules}, which the extra export installs: run python -m pip install -e ".[')
    with pytest.raises(SystemExit, match=install):
        export.main([str(runs["grey"].folder), "--to", to, "--out", str(tmp_path / export.FORMATS[to].name)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to, needed", [("onnx", "3.8"), ("openvino", "3.11"), ("litert", "3.13")])
def test_a_keras_that_is_too_old_gets_both_versions(to, needed, python_3_11, runs, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.7.0")
    with pytest.raises(SystemExit, match=rf'needs Keras {needed} or newer, but Keras 3.7.0 .* "keras>={needed},<4"'):
        export.main([str(runs["grey"].folder), "--to", to])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{needed}.0")
    export.check_available(to)


@pytest.mark.parametrize(
    "options, why",
    [
        (["--to", "onnx", "--out", "a.pb"], "--out is a.pb, but it must be a name that ends in .onnx with --to onnx"),
        (["--to", "litert", "--out", "a"], "a name that ends in .tflite"),
        (["--to", "savedmodel", "--out", "file/a"], "file/a could not be written"),
    ],
)
def test_bad_input_gets_one_sentence(options, why, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(SystemExit, match=why):
        export.main([str(runs["grey"].folder), *options])
    with pytest.raises(SystemExit, match="is not the folder of a run"):
        export.main([str(tmp_path), "--to", "savedmodel"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def no_pages(monkeypatch):
    """A gan_tf that makes no pages, which take time."""
    monkeypatch.setattr(export, "write_page", lambda folder, run: None)


def write_card(run, out):
    export.main([str(run.folder), "--to", "hub", "--out", str(out)])
    return (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_the_cards_five_lines_draw_from_the_hub(kind, runs, tmp_path, monkeypatch, no_pages):
    card = write_card(runs[kind], tmp_path / "hub")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    assert code.count("\n") == 5
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda repo_id, **_: asked.append(repo_id) or tmp_path / "hub"
    )
    names = {}
    exec(code, names)
    assert asked == [f"USER/{kind}"]
    latents = np.random.default_rng(0).standard_normal((8, 8))
    inputs = latents if kind == "grey" else np.concatenate([latents, np.tile([1.0, 0, 0], (8, 1))], axis=1)
    expected = to_float32(runs[kind].load_generator())(inputs)
    np.testing.assert_array_equal(names["images"], expected)
    assert f"float32 (8, {', '.join(map(str, expected.shape[1:]))}) in [-1, 1]" in card


def test_the_card_shows_fakes_labels_data_and_licence(runs, tmp_path, no_pages):
    from huggingface_hub import ModelCard

    card = write_card(runs["colour"], tmp_path / "hub")
    told = ModelCard(card).data.to_dict()
    names = "library_name", "license", "pipeline_tag"
    assert [told[name] for name in names] == ["keras", "mit", "unconditional-image-generation"]
    assert "In order, the labels are bear, cat, fox." in card and "24 images of `creatures`" in card
    assert "Not measured." in card and "2 steps" in card and "| `--precision` | bfloat16 |" in card
    fakes = plots.open_png(tmp_path / "hub" / "fakes.png")
    inputs = next(Request(runs["colour"].load_generator(), 8).latents())[:, :8]
    generator = to_float32(runs["colour"].load_generator())
    first_row = generator(np.concatenate([inputs, np.tile([1.0, 0, 0], (8, 1))], axis=1)).numpy()
    side = 32 * plots.display_scale(32)
    assert fakes.shape == (3 * (side + 2) + 2, 8 * (side + 2) + 2, 3)
    np.testing.assert_allclose(fakes[2, 2], np.rint((first_row[0, 0, 0] + 1) * 127.5), atol=1)


def test_the_card_has_each_measure_beside_its_floor(tmp_path, no_pages):
    run = make_run(tmp_path / "run", (28, 28, 1), dataset="mnist")
    evaluation = {
        "fakes": {"frechet_distance": {"mean": 0.331, "spread": 0.03}, "accuracy": {"mean": 0.97, "spread": None}},
        report.FLOOR: {
            "frechet_distance": {"mean": 0.084, "spread": 0.005},
            "accuracy": {"mean": 0.98, "spread": None},
        },
        "noise": {"frechet_distance": {"mean": 89.0, "spread": 0.3}, "accuracy": {"mean": 0.1, "spread": None}},
    }
    features = {"name": "a classifier", "accuracy": {}, "chance": {}}
    run.write_json(
        run.metrics_json,
        {"step": 17, "features": features, "images": 2000, "splits": 5, "evaluation": evaluation},
    )
    card = write_card(run, tmp_path / "hub")
    assert "| Frechet distance | 0.33 ± 0.03 | 0.084 ± 0.005 | low |" in card
    assert "| classified as what was asked for | 97.0% | 98.0% | high |" in card
    assert "2,000 images each" in card and "17 steps" in card and "cc-by-sa-3.0" in card


def test_the_hubs_folder_tells_no_folder_of_this_machine(tmp_path, no_pages):
    (tmp_path / "private").mkdir()
    run = make_run(tmp_path / "my run", (28, 28, 1), str(tmp_path / "private"), data_dir=str(tmp_path / "elsewhere"))
    card = write_card(run, tmp_path / "hub")
    assert "license: unknown" in card and "whose licence gan_tf does not know" in card and "USER/my-run" in card
    for path in (tmp_path / "hub").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


def test_the_page_is_attached_if_this_gan_tf_makes_pages(runs, tmp_path, monkeypatch):
    class Build:
        @staticmethod
        def make_page(folders):
            assert folders == (runs["grey"].folder,)
            return "<!doctype html>", []

    monkeypatch.setitem(sys.modules, "gan_tf.web.build", Build)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    card = write_card(runs["grey"], tmp_path / "with")
    assert (tmp_path / "with" / "page.html").read_text() == "<!doctype html>" and "[page.html](page.html)" in card
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "page.html" not in write_card(runs["grey"], tmp_path / "without")
    assert {path.name for path in (tmp_path / "without").iterdir()} >= {"README.md", "config.json", "fakes.png"}
    assert json.loads((tmp_path / "with" / "config.json").read_text())["class_name"] == "Sequential"
