"""Builds the gallery: docs/index.html, and docs/NAME.html for each generator in pretrained/.

    python docs/gallery/build.py

The same sources give the same bytes with the same Pillow and zlib. tests/test_page.py fails when a page is older than
its sources.
"""

import base64
import hashlib
import html
import io
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from gan_tf.common.errors import exit_on_input_error
from gan_tf.run import plots
from gan_tf.run.folder import Run
from gan_tf.web.build import build, pack
from gan_tf.web.record import without_gaps

HERE = Path(__file__).parent
DOCS = HERE.parent
ROOT = DOCS.parent
# One line for each generator. Others get their page too, with what its record says.
LINES = {
    "creatures": "Bears, cats, foxes, frogs, owls and rabbits. Mix two of them.",
    "digits": "All ten digits. Draw one yourself, and find the closest fake.",
    "fashion": "T-shirts to ankle boots. Turn a coat into a dress.",
    "fives": "Nothing but fives: the first generator of the course.",
}
STRIP = 8  # Pictures in a strip.
LARGEST = 3 * 10**6  # Bytes of a page.


def strip(run: Run) -> str:
    """Pictures of the run side by side, from its last sample grid, as a JPEG in base 64.

    A stored picture, not a new one: another processor would round some pixels differently.
    """
    last = run.sample_png(run.sampled_epochs()[-1])
    height, width, _ = run.read_config()[1]["data"]["shape"]
    tiles = without_gaps(plots.open_png(last), height, width)
    rows, columns = len(tiles) // height, tiles.shape[1] // width
    # One of each row, and another latent each time.
    places = [(i % rows, i % columns) for i in range(STRIP)]
    picked = [tiles[y * height : (y + 1) * height, x * width : (x + 1) * width] for y, x in places]
    scale = -(-112 // height)
    picture = plots.grid(np.stack(picked), columns=STRIP, scale=scale, gap=0)
    encoded = io.BytesIO()
    plots.to_pillow(picture).save(encoded, format="JPEG", quality=85, optimize=True)
    return base64.b64encode(encoded.getvalue()).decode()


def card(run: Run, about: str) -> str:
    """The link to one generator's page."""
    name = run.folder.name
    line = html.escape(LINES.get(name, about))
    picture = f'<img src="data:image/jpeg;base64,{strip(run)}" alt="" width="896" height="112">'
    words = f"<b>{html.escape(name.capitalize())}</b><span>{line}</span>"
    return f'<a class="card" href="{html.escape(name)}.html">{picture}{words}</a>'


def chapters() -> str:
    """The list of the notebooks: title and promise, from their first cells."""
    url = re.search(r'^Repository = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    # While the address is not known, the links work in a clone.
    base = "../notebooks" if "/OWNER/" in url else f"{url}/blob/main/notebooks"
    items = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        head = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        title = re.search(r"^# \d+\. (.+)$", head, re.MULTILINE)[1]
        promise = re.search(r"^\*\*Promise\*\*: (.+)$", head, re.MULTILINE)[1]
        link = f'<a href="{base}/{path.name}">{html.escape(title)}</a>'
        items.append(f"<li>{link} <span>{html.escape(promise)}</span></li>")
    return "\n".join(items)


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    runs = [Run.open(path.parent) for path in sorted((ROOT / "pretrained").glob("*/generator.keras"))]
    packed = [pack(run)[0] for run in runs]
    found = {f"{run['name']}.html": build([run], home="index.html") for run in packed}
    style = (HERE / "style.css").read_text(encoding="utf-8")
    parts = {
        "style": style,
        "style_hash": "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        "cards": "\n".join(card(run, record["about"]) for run, record in zip(runs, packed, strict=True)),
        "chapters": chapters(),
    }
    index = (HERE / "template.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        index = index.replace("{{" + name + "}}", text)
    return found | {"index.html": index}


def main() -> None:
    for name, text in pages().items():
        size = len(text.encode())
        assert size <= LARGEST, f"{name} has {size:,} bytes."
        (DOCS / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"docs/{name}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    with exit_on_input_error():
        main()
