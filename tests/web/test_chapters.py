"""The chapters' formulas, as a browser shows them on a phone."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbformat.v4 import new_markdown_cell, new_notebook

from tests.web.browser import NEEDS_BROWSER, until

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# nbclassic brings a copy of MathJax, so the formulas are drawn without a network.
NBCLASSIC = importlib.util.find_spec("nbclassic")
pytestmark = [
    *NEEDS_BROWSER,
    pytest.mark.skipif(NBCLASSIC is None, reason="nbclassic, which brings MathJax, is not installed"),
]
PHONE = {"width": 390, "height": 844}
FORMULA = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)


def mathjax() -> str:
    """The address of the local MathJax."""
    script = Path(NBCLASSIC.origin).parent / "static/components/MathJax/MathJax.js"
    return f"{script.as_uri()}?config=TeX-AMS-MML_HTMLorMML-full,Safe"


def text_with_formulas(path: Path) -> list[str]:
    """The sources of a chapter's markdown cells that hold a formula, without what stands in backticks."""
    cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    return [text for text in cells if FORMULA.search(re.sub(r"`[^`]*`", "", text))]


def render(page, texts: list[str], path: Path) -> dict:
    """Show markdown as nbconvert does, and say what became of its formulas."""
    exporter = HTMLExporter(mathjax_url=mathjax())
    html, _ = exporter.from_notebook_node(new_notebook(cells=[new_markdown_cell(text) for text in texts]))
    path.write_text(html, encoding="utf-8")
    page.goto(path.as_uri())
    until(page, "Boolean(window.MathJax && MathJax.isReady)")
    page.evaluate("() => new Promise((resolve) => MathJax.Hub.Queue(() => resolve()))")
    return page.evaluate(
        """() => ({
          drawn: document.querySelectorAll(".MathJax").length,
          errors: [...document.querySelectorAll(".merror, .noError")].map((one) => one.textContent),
          wide: [...document.querySelectorAll(".MathJax")]
            .filter((one) => one.getBoundingClientRect().right > innerWidth)
            .map((one) => one.textContent),
        })"""
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_formula_is_drawn_and_fits_a_phone(path, browser, tmp_path):
    texts = text_with_formulas(path)
    if not texts:
        return
    page = browser.new_page(viewport=PHONE)
    found = render(page, texts, tmp_path / "chapter.html")
    count = sum(len(FORMULA.findall(re.sub(r"`[^`]*`", "", text))) for text in texts)
    assert found == {"drawn": count, "errors": [], "wide": []}


def test_a_wrong_and_a_wide_formula_are_found(browser, tmp_path):
    page = browser.new_page(viewport=PHONE)
    found = render(page, [r"$\frac{1}$ and $$" + "x + " * 40 + "x$$"], tmp_path / "chapter.html")
    assert len(found["errors"]) == 1 and len(found["wide"]) == 1
