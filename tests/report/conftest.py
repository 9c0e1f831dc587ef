"""Chromium, where there is one, and pages opened in it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; tests are skipped where there is none, or no playwright to drive it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it is in the extra `dev`")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a page; at the end of all tests none may have said anything on its console."""
    said: list[str] = []
    contexts = []

    def page(path: Path, width: int = 1300, height: int = 1500, hash: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        found = context.new_page()
        found.on("console", lambda message: said.append(message.text))
        found.on("pageerror", lambda error: said.append(str(error)))
        found.goto(path.absolute().as_uri() + hash)
        return found

    yield page
    for context in contexts:
        context.close()
    assert said == []
