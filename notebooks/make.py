"""Run the notebooks from top to bottom and store them with their outputs: make notebooks, or
python notebooks/make.py 01 06

A notebook with a failing cell or an unacceptable output is left as it was. The badge and the first cell are made from
the address in pyproject.toml, and the minutes in the first paragraph are those that this run took. The first picture of
the cell tagged `thumbnail` becomes thumbnails/NAME.png, and that of a cell whose metadata has `saves` the file named
there. With --table, nothing runs: it prints the README's table.
"""

import argparse
import ast
import base64
import contextlib
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from jupyter_client import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parent
MAX_IMAGE, MAX_NOTEBOOK = 300_000, 2_000_000  # Bytes.
SETUP = """# In Colab, this fetches gan_tf and installs what is missing. Elsewhere gan_tf is the
# folder beside this one.
import os
import sys

if "google.colab" in sys.modules and not os.path.exists("../gan_tf"):
    !git clone --quiet --depth 1 {url} repository
    !pip install --quiet ./repository
    os.chdir("repository/notebooks")
# Where gan_tf looks for your own data files.
os.environ.setdefault("GAN_TF_DATA", "../data")
sys.path.insert(0, "..")
import gan_tf  # noqa: F401 (before TensorFlow, whose start-up messages it silences)"""
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab}/{name})"


def address() -> str:
    """The repository's address, from pyproject.toml."""
    text = (FOLDER.parent / "pyproject.toml").read_text()
    return re.search(r'^Repository = "(.+)"', text, re.MULTILINE)[1]


def colab(url: str) -> str:
    """The address under which Colab opens the notebooks."""
    return (
        url.replace("https://github.com", "https://colab.research.google.com/github")
        + "/blob/main/notebooks"
    )


def notebooks(names: list[str] = ()) -> list[Path]:
    """The notebooks whose file names begin with one of `names`; without names, all, in reading order."""
    found = sorted(FOLDER.glob("[0-9]*.ipynb"))
    return [path for path in found if not names or path.name.startswith(tuple(names))]


def addressed(notebook: NotebookNode, name: str) -> NotebookNode:
    """The notebook with the badge under its title and SETUP as its first code cell.

    While the address is not known, a notebook gets no badge, which would lead nowhere.
    """
    url = address()
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = SETUP.format(url=url)
    if "/OWNER/" in url:
        return notebook
    head = notebook.cells[0]
    head.source = re.sub(
        r"^\[!\[Open in Colab.*\n\n", "", head.source, flags=re.MULTILINE
    )
    title, rest = head.source.split("\n\n", 1)
    head.source = "\n\n".join([title, BADGE.format(colab=colab(url), name=name), rest])
    return notebook


@contextlib.contextmanager
def kernel(**environment: str) -> Iterator[KernelManager]:
    """A running Python kernel, in the notebooks' folder and with these environment variables added."""
    manager = KernelManager(kernel_name="python3")
    # Without the warning that its local connection is not encrypted.
    manager.start_kernel(
        cwd=str(FOLDER),
        env=os.environ | environment,
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def execute(notebook: NotebookNode, manager: KernelManager) -> NotebookNode:
    """Run all cells in a kernel. Raises CellExecutionError."""
    # Lines that are printed one by one become one output.
    client = NotebookClient(
        notebook, km=manager, timeout=3600, record_timing=False, coalesce_streams=True
    )
    try:
        return client.execute()
    finally:
        client.kc.stop_channels()  # It keeps a kernel that it did not start, and its connections too.


def must_show(source: str) -> bool:
    """Whether a code cell must leave an output: it ends with a call, such as print or show, or with a value."""
    body = ast.parse(re.sub(r"^(\s*)!.*", r"\1pass", source, flags=re.MULTILINE)).body
    return (
        bool(body)
        and isinstance(body[-1], ast.Expr)
        and "train_epochs(" not in ast.unparse(body[-1])
    )


def machine_paths() -> list[str]:
    """Folders of this machine that no output may name."""
    folders = [
        FOLDER.parent.resolve(),
        Path.home(),
        Path(tempfile.gettempdir()),
        Path(sys.prefix),
    ]
    folders += [Path(value) for value in [os.environ.get("GAN_TF_DATA")] if value]
    return [
        str(folder)
        for folder in folders
        if len(folder.parts) > 1 and folder.is_absolute()
    ]


def problems(notebook: NotebookNode) -> list[str]:
    """What keeps a notebook from being stored, a sentence each."""
    found, count = [], 0
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        count, where = count + 1, f"cell {number}"
        if cell.execution_count != count:
            found.append(
                f"{where} was run as number {cell.execution_count}, not {count}: run all cells in order."
            )
        if must_show(cell.source) and not cell.outputs:
            found.append(f"{where} has no stored output.")
        if count == 1 and cell.outputs:
            found.append(f"{where}, the setup, is not silent.")
        for output in cell.outputs:
            found += [f"{where} {problem}" for problem in output_problems(output)]
    if len(nbformat.writes(notebook)) > MAX_NOTEBOOK:
        found.append(f"it is larger than {MAX_NOTEBOOK // 1_000_000} MB.")
    return found


def output_problems(output: NotebookNode) -> list[str]:
    """What is wrong with one output of a cell, a sentence each without its subject."""
    found, text, data = [], output.get("text", ""), output.get("data", {})
    if output.output_type == "error" or (
        output.get("name") == "stderr" and not text.startswith("gan_tf: ")
    ):
        found.append(
            f"has an error output or a warning: {output.get('evalue') or text}"
        )
    if "<img" in data.get("text/html", ""):
        found.append(
            "has a picture inside HTML, which code hosts remove: show it with gan_tf.notebook."
        )
    for kind, picture in pictures(output).items():
        if not output.metadata.get(kind, {}).get("alt"):
            found.append(
                "has a picture without an alt text: show it with gan_tf.notebook."
            )
        if len(picture) > MAX_IMAGE:
            found.append(f"has a picture of more than {MAX_IMAGE // 1000} kB.")
    words = [text, *(value for kind, value in data.items() if kind.startswith("text/"))]
    found += [
        f"names the folder {path} of this machine."
        for path in machine_paths()
        if any(path in w for w in words)
    ]
    return found


def pictures(output: NotebookNode) -> dict[str, bytes]:
    """The picture files of one output, by their media type."""
    shown = output.get("data", {}).items()
    return {
        kind: base64.b64decode(data)
        for kind, data in shown
        if kind.startswith("image/")
    }


def save_thumbnail(notebook: NotebookNode, path: Path, side: int = 112) -> None:
    """Write the upper left square of the tagged cell's first picture, 2 * side pixels wide, at half its size.

    A cell with the tag `whole` too gives all of a square picture.
    """
    tagged = (
        cell for cell in notebook.cells if "thumbnail" in cell.metadata.get("tags", ())
    )
    first, tags = next(
        (picture, cell.metadata["tags"])
        for cell in tagged
        for output in cell.outputs
        for picture in pictures(output).values()
    )
    with Image.open(io.BytesIO(first)) as picture:
        scale = 2 * side / min(picture.size)
        if "whole" not in tags:
            scale = max(1.0, scale)  # A small picture is enlarged.
        picture = picture.convert("RGB").resize(
            [round(length * scale) for length in picture.size]
        )
    path.parent.mkdir(exist_ok=True)
    picture.crop((0, 0, 2 * side, 2 * side)).resize((side, side)).save(
        path, optimize=True
    )


def save_pictures(notebook: NotebookNode, folder: Path) -> None:
    """Write the first picture of each cell that `saves` one, such as the film that a chapter opens with.

    The chapter opened with the file as the run before had left it. It gets what this run saves instead.
    """
    for cell in notebook.cells:
        if name := cell.metadata.get("saves"):
            saved, path = cell.outputs[0], folder / name
            before = path.read_bytes() if path.exists() else None
            for output in (o for c in notebook.cells for o in c.get("outputs", ())):
                if before in pictures(output).values():
                    output.data = saved.data
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(next(iter(pictures(saved).values())))


def display_share(notebook: NotebookNode) -> float:
    """The share of code lines that display: statements outside functions that call nb, quiz, print or a module of this
    folder, whose functions show things."""
    modules = "|".join(path.stem for path in FOLDER.glob("*.py"))
    displays = re.compile(rf"(nb|quiz|print|display|{modules})\b")
    shown = total = 0
    for cell in [cell for cell in notebook.cells if cell.cell_type == "code"][1:]:
        lines = cell.source.splitlines()
        code = {
            i
            for i, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith("#")
        }
        total += len(code)
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.Expr) and displays.match(ast.unparse(node)):
                shown += len(code & set(range(node.lineno, node.end_lineno + 1)))
    return shown / total


def table() -> str:
    """The README's table of the chapters, from the stored notebooks: HTML, two to a row so that it fits a phone."""
    cells = []
    for path in notebooks():
        head = nbformat.read(path, as_version=4).cells[0].source
        title = re.search(r"^# (\d+\. .+)", head)[1]
        promise = re.search(r"\*\*Promise\*\*: (.+)", head)[1]
        minutes = re.search(r"\*\*Time\*\*: ([\d.]+)", head)[1]
        link = f'<a href="notebooks/{path.name}">'
        picture = f'<img src="notebooks/thumbnails/{path.stem}.png" alt="{title}" width="112">'
        cells.append(
            f'<td width="50%" valign="top">{link}{picture}</a><br><b>{link}{title}</a></b> '
            f"({minutes} minutes)<br>{promise}</td>"
        )
    # Without blank lines, at which GitHub would end the table.
    rows = [
        "<tr>" + "\n".join(cells[i : i + 2]) + "</tr>" for i in range(0, len(cells), 2)
    ]
    return "\n".join(["<table>", *rows, "</table>"])


def store(path: Path) -> float:
    """Run one notebook and replace it, completely or not at all. Returns the minutes that it took."""
    notebook = addressed(nbformat.read(path, as_version=4), path.name)
    began = time.perf_counter()
    with kernel(GAN_TF_STORED="1") as manager:
        execute(notebook, manager)
    minutes = (time.perf_counter() - began) / 60
    head = notebook.cells[0]
    head.source = re.sub(
        r"(\*\*Time\*\*:).*",
        rf"\1 {minutes:.1f} minutes on {os.cpu_count()} CPU cores",
        head.source,
    )
    # Not the kernel's own metadata, which differs between machines.
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
    }
    amiss = problems(notebook)
    if amiss:
        (path.parent / "failed").mkdir(exist_ok=True)
        nbformat.write(notebook, path.parent / "failed" / path.name)
        sys.exit(
            f"{path.name} is not stored (failed/{path.name} has its outputs): "
            + " ".join(amiss)
        )
    save_thumbnail(notebook, path.parent / "thumbnails" / f"{path.stem}.png")
    save_pictures(notebook, path.parent)
    temporary = path.with_name(f".{path.name}")
    nbformat.write(notebook, temporary)
    os.replace(temporary, path)
    return minutes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", help="how the names begin, such as 01; all by default"
    )
    parser.add_argument(
        "--table", action="store_true", help="print the README's table of the chapters"
    )
    options = parser.parse_args()
    if options.table:
        print(table())
        return
    for path in notebooks(options.names):
        try:
            print(f"{path.name}: {store(path):.1f} minutes", flush=True)
        except CellExecutionError as error:
            sys.exit(f"{path.name} is not stored, because a cell failed:\n{error}")


if __name__ == "__main__":
    main()
