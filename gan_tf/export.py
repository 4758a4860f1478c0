"""Take a run's generator out of Python.

Example: python -m gan_tf.export runs/NAME --to onnx

savedmodel, for TensorFlow and TensorFlow Serving: a folder.

onnx, for ONNX Runtime: generator.onnx.

litert, for phones and other small devices: generator.tflite.

openvino, for Intel's processors: a folder with generator.xml.

hub, for the Hugging Face hub: a folder with a model card and pictures.

All compute in float32, whatever the run's precision, and take any batch size.
"""

import dataclasses
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.options import Checked, optional, parse_options

if TYPE_CHECKING:
    import keras

    from gan_tf.run.folder import Run


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN_DIR")]
    """The folder of the run whose generator to export."""
    to: Literal["savedmodel", "onnx", "litert", "openvino", "hub"]
    """The format."""
    out: Annotated[Path | None, optional("PATH", "in the run's folder, named after the format")] = None
    """The file or folder to write. One that exists is never replaced."""

    def __post_init__(self):
        super().__post_init__()
        suffix = Path(FORMATS[self.to].name).suffix
        if self.out and suffix and self.out.suffix != suffix:
            self.reject("out", f"a name that ends in {suffix} with --to {self.to}")


def write_savedmodel(path: Path, run: "Run") -> None:
    """Write a folder that TensorFlow Serving and `tf.saved_model.load` open."""
    keras_export(load_float32(run), path, "tf_saved_model")


def write_onnx(path: Path, run: "Run") -> None:
    """Write a file for ONNX Runtime."""
    keras_export(load_float32(run), path, "onnx")


def write_litert(path: Path, run: "Run") -> None:
    """Write a .tflite file for LiteRT, formerly TensorFlow Lite."""
    keras_export(load_float32(run), path, "litert")


def write_openvino(path: Path, run: "Run") -> None:
    """Write a folder with OpenVINO's two files, generator.xml and generator.bin."""
    path.mkdir()
    keras_export(load_float32(run), path / "generator.xml", "openvino")


def write_hub(path: Path, run: "Run") -> None:
    """Write a folder to upload to the Hugging Face hub, as `keras.saving.load_model("hf://...")` expects it: the model,
    a card (README.md), pictures, and the run's page where gan_tf.page can make one."""
    import keras

    from gan_tf.generate import Request, write_grid
    from gan_tf.run.callbacks import MOST_CLASSES
    from gan_tf.run.card import model_card

    path.mkdir()
    generator, shares = load_float32(run), list(run.read_classes().values())
    keras.saving.save_model(generator, path, zipped=False)
    count, labels = (8, range(min(len(shares), MOST_CLASSES))) if shares else (64, ())
    write_grid(path / "fakes.png", Request(generator, count, shares=shares, labels=labels))
    (path / "README.md").write_text(model_card(run, write_page(path, run)), encoding="utf-8")


def write_page(folder: Path, run: "Run") -> str | None:
    """Write the run's page into `folder`. Returns the file's name, or None if this gan_tf makes no pages."""
    if not importlib.util.find_spec("gan_tf.page"):
        return None
    page, _ = importlib.import_module("gan_tf.web.build").make_page((run.folder,))
    (folder / "page.html").write_text(page, encoding="utf-8", newline="\n")
    return "page.html"


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is written, and what that needs."""

    name: str  # of the file or folder in the run's folder
    write: Callable[[Path, "Run"], None]
    keras: tuple[int, int] = (3, 6)  # the first version of Keras that writes it
    packages: tuple[str, ...] = ()  # modules that Keras needs for it, from the extra `export`


FORMATS = {
    "savedmodel": Format("savedmodel", write_savedmodel),
    "onnx": Format("generator.onnx", write_onnx, (3, 8), ("onnx", "tf2onnx")),
    "litert": Format("generator.tflite", write_litert, (3, 13)),
    "openvino": Format("openvino", write_openvino, (3, 11), ("openvino",)),
    "hub": Format("hub", write_hub),
}


def check_available(to: str) -> None:
    """Raise InputError if a package that the format needs is missing, or if Keras is too old for it."""
    missing = [name for name in FORMATS[to].packages if not importlib.util.find_spec(name)]
    if missing:
        raise InputError(
            f"--to {to} needs {' and '.join(missing)}, which the extra export installs: run python -m pip install -e "
            '".[export]" in the folder of gan_tf\'s repository.'
        )
    installed, needed = importlib.metadata.version("keras"), FORMATS[to].keras
    if tuple(int(part) for part in installed.split(".")[:2]) < needed:
        version = ".".join(map(str, needed))
        raise InputError(
            f"--to {to} needs Keras {version} or newer, but Keras {installed} is installed: run python -m pip install "
            f'"keras>={version},<4"'
            + (", with Python 3.11 or newer." if needed >= (3, 13) and sys.version_info < (3, 11) else ".")
        )


def check_python(to: str) -> None:
    """Raise InputError if the format's converter does not run on this Python."""
    # Its function get_environment_setup fails there: exec("del tensorflow") no longer sees what another exec imported.
    if to == "openvino" and sys.version_info >= (3, 13):
        raise InputError(
            "--to openvino needs Python 3.10 to 3.12: the converter of OpenVINO (tried: 2026.4.1) fails on Python 3.13."
        )


def load_float32(run: "Run") -> "keras.Sequential":
    """The run's generator, computing in float32. Raises InputError."""
    from gan_tf.models import to_float32

    return to_float32(run.load_generator())


def keras_export(model: "keras.Model", path: Path, format: str) -> None:
    """`keras.Model.export` without its messages. The batch size stays open."""
    import numpy as np

    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports to ONNX only what has been called.
    with warnings.catch_warnings():
        # Keras looks for NumPy's old aliases, which tf2onnx uses.
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)
        model.export(str(path), format=format, verbose=False)


def describe(run: "Run") -> str:
    """What the exported generator takes and returns."""
    config, record = run.read_config()
    classes, shape = record["data"]["classes"], ", ".join(map(str, record["data"]["shape"]))
    told = f", then the label as one-hot of {len(classes)}" if classes else ""
    opacity = ": red, green, blue and opacity" if config.alpha else ""
    return (
        f"It maps float32 (N, {config.latent_dim + len(classes)}) to images, "
        f"float32 (N, {shape}) in [-1, 1]{opacity}.\n"
        f"Inputs: {config.latent_dim} numbers from N(0, 1){told}."
    )


def export(options: Options) -> None:
    """Run the command. Raises InputError."""
    from gan_tf.common.files import atomic_write

    check_python(options.to)
    check_available(options.to)
    format = FORMATS[options.to]
    out = options.out or options.run / format.name
    if out.exists():
        raise InputError(f"{out} exists already: remove it, or name another place with --out.")
    from gan_tf.run import devices
    from gan_tf.run.folder import Run

    devices.prepare()
    run = Run.open(options.run)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as temporary:
            format.write(temporary, run)
    except OSError as error:
        raise InputError(f"{out} could not be written ({error.strerror or error}).") from error
    print(f"Exported: {out}", describe(run), sep="\n")
    if options.to == "hub":
        from gan_tf.run.card import repository

        print(f"Put your name for USER in {out / 'README.md'}, then: hf upload {repository(run)} {out} .")


def parse(argv: list[str]) -> Options:
    """The command line's options. Raises InputError."""
    return parse_options(Options, prog="python -m gan_tf.export", description=__doc__ or "", argv=argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command with `argv`, or else with the arguments of the process."""
    with exit_on_input_error():
        export(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
