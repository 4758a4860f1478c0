"""Every notebook, as it is stored and as it runs in smoke mode with its exercises solved."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
import make

PATHS = make.notebooks()
# As a reader without a network has it.
OFFLINE = {"HF_HUB_OFFLINE": "1", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(path):
    return nbformat.read(path, as_version=4)


def test_there_are_eight_in_reading_order():
    assert [path.name[:2] for path in PATHS] == [f"0{number}" for number in range(1, 9)]


def test_the_readme_leads_to_them():
    assert make.table() in (Path(__file__).parent.parent / "README.md").read_text()


@each
def test_it_is_stored_as_it_ran(path):
    notebook = read(path)
    assert make.problems(notebook) == []
    assert make.addressed(read(path), path.name) == notebook
    head = notebook.cells[0].source
    assert head.startswith(f"# {int(path.name[:2])}. ")
    for part in ("**Promise**: ", "**You need to know**: "):
        assert part in head
    assert re.search(r"\*\*Time\*\*: [\d.]+ minutes on \d+ CPU cores", head)


@each
def test_it_leads_on(path):
    """Links lead to files that are there."""
    notebook = read(path)
    assert notebook.cells[-1].source.startswith("## Where next")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links and all((path.parent / link).exists() for link in links)


@each
def test_it_runs_with_its_exercises_solved(path, tmp_path):
    stored = read(path)
    assert 3 <= sum("solution" in cell.metadata for cell in code(stored)) <= 5
    notebook = read(path)
    for cell in code(notebook):
        cell.source = cell.metadata.get("solution", cell.source)
    make.execute(
        notebook, GAN_TF_SMOKE="1", GAN_TF_STORED="1", GAN_TF_DATA=str(tmp_path), **OFFLINE, KERAS_HOME=str(tmp_path)
    )
    assert make.problems(notebook) == []
    verdicts = [
        cell.outputs[0].text for cell in code(notebook) if re.search(r"^nb\.check\(", cell.source, re.MULTILINE)
    ]
    assert verdicts == ["Right.\n"] * sum("solution" in cell.metadata for cell in code(stored))
    for cell, as_stored in zip(code(notebook), code(stored), strict=True):
        assert bool(cell.outputs) <= bool(as_stored.outputs), f"no stored output: {cell.source}"


def broken(change):
    notebook = nbformat.v4.new_notebook()
    html = '<img alt="a grid" src="data:image/png;base64,AAAA">'
    for number in (1, 2):
        output = nbformat.v4.new_output("display_data", {"text/html": html})
        notebook.cells.append(nbformat.v4.new_code_cell("show(1)", execution_count=number, outputs=[output]))
    change(notebook.cells[1])
    return make.problems(notebook)


def set_html(html):
    return lambda cell: cell.outputs[0].data.update({"text/html": html})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda cell: cell.update(execution_count=3), "was run as number 3, not 2"),
        (lambda cell: cell.update(outputs=[]), "has no stored output"),
        (
            lambda cell: cell.outputs.append(nbformat.v4.new_output("error", evalue="no")),
            "an error output or a warning",
        ),
        (
            lambda cell: cell.outputs.append(nbformat.v4.new_output("stream", name="stderr", text="UserWarning")),
            "an error output or a warning: UserWarning",
        ),
        (set_html('<img src="data:image/png;base64,AAAA">'), "without an alt text"),
        (set_html('<img alt="" src="data:image/png;base64,AAAA">'), "without an alt text"),
        (set_html(f'<img alt="a" src="data:image/png;base64,{"A" * 404_000}">'), "beyond 300 kB"),
        (lambda cell: cell.outputs[0].data.update({"image/png": "AAAA"}), "show it by gan_tf.notebook"),
        (lambda cell: cell.update(source="#" * 2_000_000), "larger than 2 MB"),
    ],
)
def test_what_is_amiss_is_told(change, problem):
    assert broken(lambda cell: None) == []
    assert any(problem in sentence for sentence in broken(change))


def test_a_notebook_that_fails_stays_as_it_was(tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# 1. Title\n\n**Time**: never"),
        nbformat.v4.new_code_cell("# The setup"),
        nbformat.v4.new_code_cell("1 / 0"),
    ]
    path = tmp_path / "01_fails.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with pytest.raises(make.CellExecutionError, match="ZeroDivisionError"):
        make.store(path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
