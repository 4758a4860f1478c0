"""The Chromium that tests open pages in: the operating system's, driven by Playwright."""

import os
import shutil

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def launch(driver):
    """A running CHROMIUM, of Playwright's `driver`."""
    # Root, as in a container, has no sandbox.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
