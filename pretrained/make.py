"""Train the generators in this folder anew, and measure them: python pretrained/make.py --data-dir data

Each is a run like any other, packed small: only some of its sample grids, and both models with weights rounded to
float16. With the same files of the data sets and the same versions of TensorFlow and Keras, the pictures come out the
same. Half an hour on two CPU cores.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gan_tf  # noqa: F401

# isort: split
# After gan_tf, which imports TensorFlow without its messages.
import keras
import numpy as np

from gan_tf.common.errors import exit_on_input_error
from gan_tf.common.files import atomic_write
from gan_tf.measure import report
from gan_tf.run.folder import Run, telling_epochs

FOLDER = Path(__file__).parent
# The options of python -m gan_tf.train.
GENERATORS = {
    "fives": ["--dataset", "mnist", "--digit", "5"],
    "digits": ["--dataset", "mnist", "--conditional"],
    "fashion": ["--dataset", "fashion", "--conditional"],
    "creatures": ["--dataset", "creatures", "--conditional"],
}
GRIDS = 8  # Sample grids that are kept.
LARGEST = 2 * 10**6  # Bytes of a file.
# Fields of a layer that Keras 3.6 does not know, with the value that says nothing.
NEWER = {
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
    "ragged": False,
    "optional": False,
    "input_axes": None,
    "output_axes": None,
}


def portable(config: str) -> str:
    """A saved model's config.json without fields that Keras 3.6 does not know. Raises ValueError if one matters."""

    def without_newer(fields: dict) -> dict:
        said = {name: fields[name] for name, nothing in NEWER.items() if name in fields and fields[name] != nothing}
        if said:
            raise ValueError(f"{said} needs a newer Keras than 3.6")
        return {name: value for name, value in fields.items() if name not in NEWER}

    return json.dumps(json.loads(config, object_hook=without_newer))


def compact(source: Path, target: Path) -> None:
    """Save the Keras model in `source` with weights rounded to float16, compressed, so that Keras 3.6 opens it. They
    stay float32 numbers, so that Keras computes as before."""
    model = keras.models.load_model(source, compile=False)
    for weight in model.weights:
        weight.assign(np.asarray(weight).astype(np.float16))
        assert np.isfinite(weight).all(), f"{weight.path} is too large for float16."
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model.keras"
        model.save(saved)
        # Keras stores without compression. Half of the bits of a rounded float32 are 0 and take no space with it.
        with zipfile.ZipFile(saved) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, portable(content.decode()) if name == "config.json" else content)


def pack(run: Run, packed: Run) -> None:
    """Copy what a reader needs of a finished run into a new folder."""
    shutil.rmtree(packed.folder, ignore_errors=True)
    packed.samples.mkdir(parents=True)
    config, record = run.read_config()
    # Nothing that depends on this machine.
    record["config"]["data_dir"], record["starts"] = None, []
    record["data"]["source"] = f"the data set {config.dataset}"
    packed.write_json(packed.config_json, record)
    shutil.copy(run.history_csv, packed.history_csv)
    for epoch in telling_epochs(config.epochs, GRIDS - 1):
        shutil.copy(run.sample_png(epoch), packed.samples)
    compact(run.generator_keras, packed.generator_keras)
    compact(run.discriminator_keras, packed.discriminator_keras)


def command(module: str, *arguments: str) -> None:
    """Run python -m gan_tf.MODULE. Exits where it fails."""
    code = subprocess.run([sys.executable, "-m", f"gan_tf.{module}", *arguments], cwd=FOLDER.parent).returncode
    if code:
        sys.exit(code)


def make(name: str, data_dir: str | None) -> None:
    """Train, pack and measure one generator."""
    place = ["--data-dir", str(Path(data_dir).resolve())] if data_dir else []
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / name)
        command("train", *GENERATORS[name], "--run", str(run.folder), "--no-fallback", *place)
        pack(run, Run(FOLDER / name))
    packed = Run(FOLDER / name)
    command("evaluate", str(packed.folder), *place)
    packed.copies_png.unlink()  # It shows training images.
    metrics = json.loads(packed.metrics_json.read_text())
    distance = metrics["evaluation"]["fakes"]["frechet_distance"]["mean"]
    sizes = {path.name: path.stat().st_size for path in sorted(packed.folder.rglob("*")) if path.is_file()}
    print(f"{name}: Frechet distance {distance:.3g}; kB:", {file: size // 1000 for file, size in sizes.items()})
    assert max(sizes.values()) <= LARGEST, sizes


def table() -> str:
    """The generators as Markdown, from what lies in their folders."""
    lines = ["| name | what it draws | labels | Frechet distance / floor | coverage / floor | drawn as asked | MB |"]
    lines.append("|---" * 7 + "|")
    for name in GENERATORS:
        run = Run(FOLDER / name)
        config, record = run.read_config()
        metrics = run.read_metrics()
        fakes, floor = metrics["evaluation"]["fakes"], metrics["evaluation"][report.FLOOR]
        height, width, _ = record["data"]["shape"]
        what = f"{record['data']['images']:,} images of `{config.dataset}`, {height}x{width}"
        told = ", ".join(record["data"]["classes"]) or "none: it is told nothing"
        pairs = [
            f"{fakes[measure]['mean']:.2g} / {floor[measure]['mean']:.2g}"
            for measure in ("frechet_distance", "coverage")
        ]
        asked = [found["as_asked"][0] for found in metrics.get("labels", {}).values() if "as_asked" in found]
        share = f"{np.mean(asked):.1%}" if asked else "-"
        size = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file()) / 1e6
        lines.append(f"| {' | '.join([f'`{name}`', what, told, *pairs, share, f'{size:.1f}'])} |")
    return "\n".join(lines)


def update_readme() -> None:
    """Write the table into README.md."""
    begin, end = "<!-- table: python pretrained/make.py --table -->\n", "<!-- /table -->"
    path = FOLDER / "README.md"
    before, _, rest = path.read_text().partition(begin)
    with atomic_write(path) as temporary:
        temporary.write_text(f"{before}{begin}\n{table()}\n\n{end}{rest.partition(end)[2]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder with your data files, as in gan_tf.train")
    parser.add_argument("--names", nargs="+", default=list(GENERATORS), choices=GENERATORS)
    parser.add_argument("--table", action="store_true", help="only write README.md's table, from what is here")
    options = parser.parse_args()
    for name in options.names if not options.table else ():
        make(name, options.data_dir)
    update_readme()


if __name__ == "__main__":
    with exit_on_input_error():
        main()
