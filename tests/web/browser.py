"""The Chromium that tests open pages in: the operating system's, driven by Playwright."""

import importlib.util
import os
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# The marks of a test file that needs it.
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="Playwright is not installed: pip install playwright"
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH"),
]


def launch(driver):
    """A running CHROMIUM, of Playwright's `driver`."""
    # Root, as in a container, has no sandbox.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return driver.chromium.launch(executable_path=CHROMIUM, args=arguments)


def until(page, condition: str, seconds: float = 30) -> None:
    """Wait for a condition in the page. Playwright's own waiting needs eval, which the page forbids."""
    for _ in range(int(seconds * 10)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"still false after {seconds} s: {condition}")


def forbidden_things_that_work(page) -> list[bool]:
    """Whether the page lets a script fetch, run another script, and load a picture from elsewhere."""
    return page.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          const image = new Image();
          const loaded = new Promise((resolve) => {
            image.onload = () => resolve(true);
            image.onerror = () => resolve(false);
          });
          image.src = "https://example.org/image.png";
          return [await fetch("data:text/plain,x").then(() => true, () => false), Boolean(window.ran), await loaded];
        }"""
    )
