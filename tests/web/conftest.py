"""What the tests of the pages share: a browser, and a page in it that may not fail or fetch anything."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.browser import launch

# What Chromium says when a test reads pixels from a canvas again and again.
TESTS_OWN = "Canvas2D: Multiple readback operations"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = launch(driver)
        yield browser
        browser.close()


@pytest.fixture
def open_file(browser):
    """Opens an HTML file. Fails the test if the page logs an error or asks for anything but itself."""
    contexts, problems = [], []

    def open_file(file: Path, address: str = "", width: int = 1400, height: int = 900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                None if message.type == "log" or TESTS_OWN in message.text else problems.append(message.text)
            ),
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        allowed = (file.as_uri(), "data:", "blob:")
        page.on(
            "request",
            lambda request: None if request.url.startswith(allowed) else problems.append(request.url),
        )
        page.goto(file.as_uri() + address)
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert problems == []
