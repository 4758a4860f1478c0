"""Builds docs/playground.html: one file out of this folder's template, style and scripts.

    python docs/playground/build.py

The same sources give the same bytes. tests/test_playground.py fails when the page is older than its sources.
"""

import base64
import hashlib
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "playground.html"
MATHEMATICS = ("autodiff.js", "gan.js", "data.js", "settings.js", "situations.js")  # runs without a page too
VIEW = ("draw.js", "app.js")


def read(names: tuple[str, ...]) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def content_hash(text: str) -> str:
    """What the page's Content-Security-Policy lets run: this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def build() -> str:
    script, style = '"use strict";\n' + read(MATHEMATICS + VIEW), read(("style.css",))
    page = read(("template.html",))
    parts = {
        "script_hash": content_hash(script),
        "style_hash": content_hash(style),
        "style": style,
        "script": script,
    }
    for name, text in parts.items():
        page = page.replace("{{" + name + "}}", text)
    return page


if __name__ == "__main__":
    PAGE.write_text(build(), encoding="utf-8", newline="\n")
