"""How many milliseconds does the page of a run need for one picture, and the playground for one frame?

    python benchmarks/page_speed.py

New generators of each size, with the channels of the presets, compute in headless Chromium as they do in the page's
worker: on one thread. It prints the processor time of the browser's renderer per picture, which other programs on the
machine do not change as they change the time on the wall, as the median over ROUNDS rounds, each of all sizes in turn.

The playground plays at a phone's and at a desktop's width. Its frames a second are those of an otherwise idle machine.
A frame's processor time says how far it is from the 16.7 ms of 60 frames a second.

The result is written to results/page_speed.md.
"""

import os
import platform
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from engine import table, write_results

from gan_tf.config import COLOUR, Config
from gan_tf.models import make_generator
from gan_tf.web.build import read
from gan_tf.web.layers import encode
from tests.web.browser import launch

PLAYGROUND = Path(__file__).parents[1] / "docs/playground.html"
WIDTHS = {"a phone": (390, 844), "a desktop": (1400, 900)}
FRAME_HEAD = ("the playground on", "frames a second", "least to most", "processor ms a frame", "least to most")
SECONDS = 3  # of play in a round
HEAD = ("size", "latents", "most channels", "ms", "least to most", "ms allowed")
ROUNDS = 9
MILLISECONDS = 600  # of work in a round, about
SMALL = {"latent_dim": Config().latent_dim, "width": Config().width}
LARGE = {name: COLOUR[name] for name in SMALL}
# Size, channels, options, and what the page may need.
GENERATORS = [
    (28, 1, SMALL, 15),
    (32, 3, SMALL, None),
    (64, 3, LARGE, 50),
    (96, 3, LARGE, None),
    (128, 3, LARGE, 300),
]


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def renderer_seconds(session) -> float:
    """The processor time of all renderers of a browser so far."""
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(process["cpuTime"] for process in processes if process["type"] == "renderer")


def measure() -> list[list[float]]:
    """Milliseconds of processor time per picture: for each generator, one value per round."""
    from playwright.sync_api import sync_playwright

    models = [encode(make_generator((size, size, c), seed=0, **kind)) for size, c, kind, _ in GENERATORS]
    latents = [np.random.default_rng(0).standard_normal(kind["latent_dim"]).tolist() for _, _, kind, _ in GENERATORS]
    with sync_playwright() as driver:
        browser = launch(driver)
        page = browser.new_page()
        page.evaluate(f"() => {{ {read('networks.js')}; window.Network = Network; window.toPixels = toPixels; }}")
        counts = page.evaluate(
            """async ({ models, latents, milliseconds }) => {
              window.networks = await Promise.all(models.map((model) => Network.decode(model)));
              window.inputs = latents.map((latent) => Float64Array.from(latent));
              window.draw = (i, count) => {
                for (let n = 0; n < count; n++) toPixels(networks[i].forward(inputs[i]));
              };
              return networks.map((_, i) => {
                draw(i, 20); // The browser compiles what is called often.
                const began = performance.now();
                draw(i, 10);
                return Math.max(3, Math.round((10 * milliseconds) / (performance.now() - began)));
              });
            }""",
            {"models": models, "latents": latents, "milliseconds": MILLISECONDS},
        )
        session = browser.new_browser_cdp_session()
        found: list[list[float]] = [[] for _ in GENERATORS]
        for _ in range(ROUNDS):
            for i, count in enumerate(counts):
                before = renderer_seconds(session)
                page.evaluate("([i, count]) => draw(i, count)", [i, count])
                found[i].append(1000 * (renderer_seconds(session) - before) / count)
        browser.close()
    return found


def measure_playground() -> dict[str, list[tuple[float, float]]]:
    """For each of WIDTHS, (frames a second, processor ms a frame) of each round."""
    from playwright.sync_api import sync_playwright

    count_frames = """(milliseconds) => new Promise((resolve) => {
      let frames = 0;
      const began = performance.now();
      const frame = () => {
        frames++;
        const passed = performance.now() - began;
        if (passed < milliseconds) requestAnimationFrame(frame);
        else resolve([frames, passed]);
      };
      requestAnimationFrame(frame);
    })"""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WIDTHS}
    with sync_playwright() as driver:
        browser = launch(driver)
        session = browser.new_browser_cdp_session()
        for _ in range(ROUNDS):
            for name, (width, height) in WIDTHS.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(PLAYGROUND.as_uri())  # It plays at once.
                page.wait_for_timeout(1000)
                before = renderer_seconds(session)
                frames, passed = page.evaluate(count_frames, 1000 * SECONDS)
                work = renderer_seconds(session) - before
                found[name].append((1000 * frames / passed, 1000 * work / frames))
                page.close()
        browser.close()
    return found


def frame_row(name: str, rounds: list[tuple[float, float]]) -> list[str]:
    """A row under FRAME_HEAD."""
    cells = [name]
    for values in zip(*rounds, strict=True):
        cells += [f"{statistics.median(values):.1f}", f"{min(values):.1f} to {max(values):.1f}"]
    return cells


def main(folder: Path | None = None) -> None:
    found = measure()
    rows = []
    for (size, channels, kind, allowed), times in zip(GENERATORS, found, strict=True):
        colour = "grey" if channels == 1 else "colour"
        spread = f"{min(times):.1f} to {max(times):.1f}"
        cells = [f"{size}x{size}, {colour}", *map(str, kind.values()), f"{statistics.median(times):.1f}", spread]
        rows.append([*cells, str(allowed or "-")])
    about = (
        f"Headless Chromium on one core of a virtual machine ({processor()}, {os.cpu_count()} cores). The "
        f"processor time of one picture, from latent numbers to pixels: the median of {ROUNDS} rounds, and their "
        "range."
    )
    frames = table(FRAME_HEAD, [frame_row(name, rounds) for name, rounds in measure_playground().items()])
    write_results("page_speed", about, table(HEAD, rows), frames, folder=folder)


if __name__ == "__main__":
    main()
