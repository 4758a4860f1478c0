"""Assembles the page: one HTML file with style, scripts, networks and records, which fetches nothing."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np

from gan_tf import __version__
from gan_tf.gan import random_inputs
from gan_tf.run.folder import Run
from gan_tf.web.layers import encode, largest_difference
from gan_tf.web.record import record

SOURCES = resources.files("gan_tf.web")
# What runs in the page and in its worker.
SHARED = ("latents.js",)
# What runs in the worker only, away from the page, so that the page never waits for a network.
WORKER = ("networks.js", "gif.js", "worker.js")
# What runs in the page only.
VIEW = ("page.js", "draw.js", "walk.js", "directions.js", "eye.js", "learned.js", "start.js")
COMPARED = 64  # Images that show how far the page is from Keras.


def read(*names: str) -> str:
    return "\n".join(SOURCES.joinpath(name).read_text(encoding="utf-8") for name in names)


def content_hash(text: str) -> str:
    """What the page's Content-Security-Policy lets run: this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def as_json(value: Any) -> str:
    """JSON that no HTML parser takes for an end of the script element that holds it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def pack(run: Run) -> tuple[dict[str, Any], float]:
    """A run for the page, and by how many grey levels of 255 a pixel of it differs from Keras's at most.

    Raises InputError for a run without a generator, a damaged file, or a layer that the page does not know.
    """
    generator = run.load_generator()
    shares = list(run.read_classes().values())
    packed = {**record(run), "generator": encode(generator), "discriminator": None}
    height, width, channels = generator.output_shape[1:]
    packed["shape"] = [height, width, channels]
    discriminator = run.load_discriminator() if channels == 1 else None
    if discriminator is not None:
        packed["discriminator"] = encode(discriminator)
    inputs = random_inputs(COMPARED, generator.input_shape[1] - len(shares), shares)
    return packed, largest_difference(generator, inputs.astype(np.float32))


def build(runs: Sequence[dict[str, Any]], home: str | None = None) -> str:
    """The page of packed runs. The same runs give the same text. `home` is the address of a page to link back to."""
    strict = '"use strict";\n'
    shared, script, style = strict + read(*SHARED), strict + read(*VIEW), read("page.css")
    parts = {
        "title": html.escape(", ".join(run["name"] for run in runs)),
        "version": __version__,
        "home": f'<a href="{html.escape(home)}">All generators</a>' if home else "",
        "shared_hash": content_hash(shared),
        "script_hash": content_hash(script),
        "style_hash": content_hash(style),
        "style": style,
        "shared": shared,
        "worker": read(*WORKER),
        "script": script,
        "runs": as_json(list(runs)),
    }
    page = read("page.html")
    before, *places = page.split("{{")
    # One pass, so that nothing inside a run is taken for a place.
    return before + "".join(parts[name] + rest for name, _, rest in (place.partition("}}") for place in places))


def make_page(folders: Sequence) -> tuple[str, list[tuple[str, float]]]:
    """The page of the runs in these folders, and each run's name with the difference that `pack` measured. Raises
    InputError."""
    packed = [pack(Run.open(folder)) for folder in folders]
    return build([run for run, _ in packed]), [(run["name"], difference) for run, difference in packed]
