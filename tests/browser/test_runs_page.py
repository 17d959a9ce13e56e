"""The page of runs as a user sees it: it sorts, filters and opens in a headless browser.

    make test-browser

needs Chromium and playwright, see test_panel.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.runs import __main__ as runs
from tests.cli.folders import write_run, write_unfinished

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

# Temperature -> accuracy.
MEASURED = {0.1: 0.8, 0.15: 0.9, 1.0: 0.7}


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    for temperature, accuracy in MEASURED.items():
        write_run(tmp_path / f"t{temperature:g}", accuracy, temperature=temperature)
    write_unfinished(tmp_path / "open", step=3, temperature=0.5)
    assert runs.main([str(tmp_path), f"--html={tmp_path / 'runs.html'}"]) == 0
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        problems: list[str] = []
        opened.on("console", lambda message: problems.append(message.text))
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("request", lambda request: problems.append(request.url[:80]))
        opened.goto(f"file://{tmp_path / 'runs.html'}")
        yield opened
        if folder := os.environ.get("SSL_KERAS_SCREENSHOTS"):
            opened.screenshot(path=str(Path(folder) / "runs.png"))
        # The page itself is all that is ever loaded.
        assert {text.split(":")[0] for text in problems} <= {"file", "data"}, problems
        assert sum(text.startswith("file:") for text in problems) == 1
        browser.close()


def names(page: Any) -> list[str]:
    """The runs that are shown, in their order."""
    return [button.inner_text() for button in page.locator("td.name button:visible").all()]


def test_a_click_on_a_heading_sorts(page: Any) -> None:
    assert names(page) == ["open", "t0.1", "t0.15", "t1"]
    page.get_by_role("button", name="linear class").click()
    assert names(page) == ["t1", "t0.1", "t0.15", "open"]
    page.get_by_role("button", name="linear class").click()
    assert names(page) == ["t0.15", "t0.1", "t1", "open"]  # what is missing stays last
    page.get_by_role("button", name="temperature", exact=True).click()
    assert names(page) == ["t0.1", "t0.15", "open", "t1"]


def test_words_and_states_filter(page: Any) -> None:
    search = page.get_by_role("searchbox")
    search.fill("temperature=0.1")
    assert names(page) == ["t0.1"]
    search.fill("t0.1")
    assert names(page) == ["t0.1", "t0.15"]
    assert page.locator("output").inner_text() == "2 of 4 shown"
    search.fill("")
    page.get_by_label("3 finished").uncheck()
    assert names(page) == ["open"]


def test_a_click_on_a_run_opens_it(page: Any) -> None:
    run = page.locator("tbody").nth(1)
    assert not run.get_by_text("Settings").is_visible()
    run.locator("td.name button").click()
    assert run.get_by_text("Settings").is_visible()
    assert run.locator("mark:visible").all_inner_texts() == ["0.1"]
    assert run.locator(".large img").bounding_box()["width"] > 200
    run.locator("td.name button").click()
    assert not run.get_by_text("Settings").is_visible()
