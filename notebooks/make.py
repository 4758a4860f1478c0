"""Run the notebooks top to bottom and store them with their outputs: make notebooks, or python notebooks/make.py 01 06

A notebook that fails, or that would be stored with something amiss, stays as it was. Each gets its badge and its first
cell from the address in pyproject.toml, and into its head the minutes that it took. The first picture of its cell with
the tag thumbnail becomes thumbnails/NAME.png. With --table, nothing runs: it prints the README's table of them.
"""

import argparse
import ast
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

FOLDER = Path(__file__).parent
MOST_IMAGE, MOST_NOTEBOOK = 300_000, 2_000_000  # Bytes.
SETUP = """# In Colab, this fetches gan_tf and installs what is missing. Elsewhere gan_tf is the folder beside this one.
import os
import sys

if "google.colab" in sys.modules and not os.path.exists("../gan_tf"):
    !git clone --quiet --depth 1 {url} repository
    !pip install --quiet -r repository/requirements.txt
    os.chdir("repository/notebooks")
sys.path.insert(0, "..")
os.environ.setdefault("GAN_TF_DATA", "../data")  # Where pictures of your own are looked for.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # TensorFlow's notes to itself are not for the reader."""
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}/{name})"


def address() -> str:
    """Where the repository lies, from the one place that says so."""
    text = (FOLDER.parent / "pyproject.toml").read_text()
    return re.search(r'^Repository = "(.+)"', text, re.MULTILINE)[1]


def colab(url: str) -> str:
    """The same, as Colab opens it."""
    return url.replace("https://github.com", "https://colab.research.google.com/github") + "/blob/main/notebooks"


def notebooks(names: list[str] = ()) -> list[Path]:
    """Those whose file names begin with one of `names`, or all."""
    found = sorted(FOLDER.glob("[0-9]*.ipynb"))
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def addressed(notebook, name: str):
    """The notebook with the badge in its first cell and the setup in its first cell of code."""
    url = address()
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = SETUP.format(url=url)
    head = notebook.cells[0]
    head.source = re.sub(r"^\[!\[Open in Colab.*\n\n", "", head.source, flags=re.MULTILINE)
    title, rest = head.source.split("\n\n", 1)
    head.source = "\n\n".join([title, BADGE.format(colab=colab(url), name=name), rest])
    return notebook


def execute(notebook, **environment: str):
    """Run all cells in a new kernel with these environment variables. Raises CellExecutionError."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        client = NotebookClient(
            notebook,
            timeout=3600,
            kernel_name="python3",
            resources={"metadata": {"path": FOLDER}},
            record_timing=False,
        )
        return without_logs(client.execute())
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def shows(source: str) -> bool:
    """Whether code is sure to leave an output: it ends with a call, as of print or show, or with a value."""
    body = ast.parse(re.sub(r"^(\s*)!.*", r"\1pass", source, flags=re.MULTILINE)).body
    return bool(body) and isinstance(body[-1], ast.Expr) and "fit(" not in ast.unparse(body[-1])


def without_logs(notebook):
    """The notebook without what TensorFlow's C++ writes for itself: some at its import, before it can be told not to,
    and in 2.18 that its optimizer leaves a LeakyReLU's gradient as it is."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not re.match(r"WARNING: All log|[EWI]\d{4} ", o.get("text", ""))]
    return notebook


def problems(notebook) -> list[str]:
    """What is amiss with a stored notebook, a sentence each."""
    found, count = [], 0
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        count, where = count + 1, f"cell {number}"
        if cell.execution_count != count:
            found.append(f"{where} was run as number {cell.execution_count}, not {count}: run all cells in order.")
        if shows(cell.source) and not cell.outputs:
            found.append(f"{where} has no stored output.")
        for output in cell.outputs:
            text = output.get("text", "")
            if output.output_type == "error" or (output.get("name") == "stderr" and not text.startswith("gan_tf: ")):
                found.append(f"{where} has an error output or a warning: {output.get('evalue') or text}")
            data = output.get("data", {})
            if any(kind.startswith("image/") for kind in data):
                found.append(f"{where} has an image without an alt text: show it by gan_tf.notebook.")
            # `gan_tf.notebook.show` makes them, which refuses a figure without axis labels.
            tags = re.findall(r"<img[^>]*>", data.get("text/html", ""))
            if not all(re.search(r'alt="[^"]', tag) for tag in tags):
                found.append(f"{where} has an image without an alt text.")
        if any(len(picture) > MOST_IMAGE for picture in pictures(cell)):
            found.append(f"{where} has an image beyond {MOST_IMAGE // 1000} kB.")
    if len(nbformat.writes(notebook)) > MOST_NOTEBOOK:
        found.append(f"it is larger than {MOST_NOTEBOOK // 1_000_000} MB.")
    return found


def pictures(cell) -> list[bytes]:
    """The PNG and GIF files that a cell shows."""
    shown = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", ())]
    return [base64.b64decode(data) for data in re.findall(r'<img[^>]*base64,([^"]+)"', "".join(shown))]


def save_thumbnail(notebook, path: Path, side: int = 112) -> None:
    """Write the upper left square, of two `side`, of the tagged cell's first picture, half as large."""
    first = next(pictures(cell)[0] for cell in notebook.cells if "thumbnail" in cell.metadata.get("tags", ()))
    with Image.open(io.BytesIO(first)) as picture:
        scale = max(1.0, 2 * side / min(picture.size))  # A small one is enlarged.
        picture = picture.convert("RGB").resize([round(length * scale) for length in picture.size])
    path.parent.mkdir(exist_ok=True)
    picture.crop((0, 0, 2 * side, 2 * side)).resize((side, side)).save(path, optimize=True)


def table() -> str:
    """The chapters as the README shows them, from what is stored."""
    lines = ["| chapter | | minutes | at its end |", "| --- | --- | --- | --- |"]
    for path in notebooks():
        head = nbformat.read(path, as_version=4).cells[0].source
        title = re.search(r"^# (\d+\. .+)", head)[1]
        promise = re.search(r"\*\*Promise\*\*: (.+)", head)[1]
        minutes = re.search(r"\*\*Time\*\*: ([\d.]+)", head)[1]
        picture = f'<img src="notebooks/thumbnails/{path.stem}.png" alt="{title}" width="112">'
        lines.append(f"| [{title}](notebooks/{path.name}) | {picture} | {minutes} | {promise} |")
    return "\n".join(lines)


def store(path: Path) -> float:
    """Run one and write it, whole or not at all; returns the minutes that it took."""
    notebook = addressed(nbformat.read(path, as_version=4), path.name)
    began = time.perf_counter()
    execute(notebook, GAN_TF_STORED="1")
    minutes = (time.perf_counter() - began) / 60
    head = notebook.cells[0]
    head.source = re.sub(
        r"(\*\*Time\*\*:).*",
        rf"\1 {minutes:.1f} minutes on {os.cpu_count()} CPU cores",
        head.source,
    )
    # Of the kernel nothing is kept that changes from one machine to the next.
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    amiss = problems(notebook)
    if amiss:
        (path.parent / "failed").mkdir(exist_ok=True)
        nbformat.write(notebook, path.parent / "failed" / path.name)
        sys.exit(f"{path.name} is not stored (failed/{path.name} has its outputs): " + " ".join(amiss))
    save_thumbnail(notebook, FOLDER / "thumbnails" / f"{path.stem}.png")
    temporary = path.with_name(f".{path.name}")
    nbformat.write(notebook, temporary)
    os.replace(temporary, path)
    return minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="how their names begin, such as 01; by default all")
    parser.add_argument("--table", action="store_true", help="print the README's table of the chapters")
    options = parser.parse_args()
    if options.table:
        print(table())
        return
    for path in notebooks(options.names):
        try:
            print(f"{path.name}: {store(path):.1f} minutes", flush=True)
        except CellExecutionError as error:
            sys.exit(f"{path.name} is not stored, as a cell failed:\n{error}")


if __name__ == "__main__":
    main()
