"""A browser for the tests of pages: the system's chromium, without a window."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """`open_page(file)` waits until the page can be used. In the end no error and no warning was told on the console,
    and nothing was asked of the network but what `allowed` begins."""
    told: list[str] = []
    asked: list[tuple[str, str]] = []
    contexts = []

    def open_page(where: Path | str, *, allowed: str = "file://", scheme: str = "light", **viewport: int) -> Any:
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800, **viewport})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.append((request.url, allowed)))
        page.goto(where.as_uri() if isinstance(where, Path) else where)
        page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert told == []
    assert [url for url, allowed in asked if not url.startswith((allowed, "data:", "blob:"))] == []
