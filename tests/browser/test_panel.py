"""The panel as a user sees it: TensorBoard on a small run, in a headless browser.

    make test-browser

needs Chromium (Debian: apt-get install chromium). Without it, or without playwright, these tests
are skipped. Screenshots go to $SSL_KERAS_SCREENSHOTS, if it is set.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.config import Config
from ssl_keras.run import train_and_evaluate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Iterator[str]:
    """TensorBoard on two small runs."""
    runs = tmp_path_factory.mktemp("panel")
    for temperature in (0.1, 0.5):
        train_and_evaluate(
            Config.make(
                num_bits=2, steps=40, batch_size=64, log_every=4, width_multiplier=0.25,
                temperature=temperature, loss="nt_xent", heads="linear,knn,retrieval",
                max_train_images=1000, measure_images=64, measure_every=4,
                workdir=str(runs / f"temperature-{temperature}"),
            )
        )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("tensorboard")
    server = subprocess.Popen(
        [program, f"--logdir={runs}", f"--port={port}", "--reload_interval=1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=2)
            break
        except OSError:
            time.sleep(0.2)
    yield url
    server.kill()
    server.wait()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        # Software rendering: the Projector draws with WebGL.
        options = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def shot(page: Any, name: str) -> None:
    if folder := os.environ.get("SSL_KERAS_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_curves_are_drawn_and_accuracies_come_first(page: Any, address: str) -> None:
    page.goto(f"{address}/#timeseries")
    page.wait_for_timeout(5000)
    page.get_by_text("accuracy/bits/linear_probe").first.wait_for(state="visible")
    page.get_by_text("train", exact=False).first.wait_for(state="attached")
    page.locator("card-view svg, card-view canvas").first.wait_for(state="attached")
    page.wait_for_timeout(3000)
    shot(page, "time_series")


def test_what_belongs_together_is_on_one_chart(page: Any, address: str) -> None:
    page.goto(f"{address}/#custom_scalars")
    page.get_by_text("Accuracy against chance").first.wait_for()
    page.get_by_text("Objective").first.wait_for()
    page.locator("tf-custom-scalar-multi-line-chart-card svg").first.wait_for(state="attached")
    page.wait_for_timeout(4000)
    assert page.locator("tf-custom-scalar-multi-line-chart-card").count() >= 3
    shot(page, "custom_scalars")


def test_pictures_are_shown(page: Any, address: str) -> None:
    page.goto(f"{address}/#images")
    page.get_by_text("pictures/retrieval", exact=False).first.wait_for(state="attached")
    page.get_by_text("views", exact=False).first.wait_for(state="attached")
    page.wait_for_timeout(2000)
    widths = page.evaluate(
        """() => {
            const found = [];
            const walk = node => {
                if (node.tagName === 'IMG' && node.naturalWidth > 20) found.push(node.naturalWidth);
                if (node.shadowRoot) walk(node.shadowRoot);
                node.childNodes.forEach(walk);
            };
            walk(document.body);
            return found;
        }"""
    )
    assert len(widths) >= 2
    shot(page, "images")


def test_settings_stand_beside_results(page: Any, address: str) -> None:
    page.goto(f"{address}/#hparams")
    page.get_by_text("temperature", exact=False).first.wait_for(state="attached")
    page.get_by_text("class, linear", exact=False).first.wait_for(state="attached")
    page.wait_for_timeout(2000)
    page.set_viewport_size({"width": 2000, "height": 900})  # results stand right of the settings
    shot(page, "hparams")
    page.set_viewport_size({"width": 1400, "height": 900})


def test_the_embedding_is_there(page: Any, address: str) -> None:
    # TensorBoard looks for embeddings in the background, when it is asked for them first.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listing = urllib.request.urlopen(f"{address}/data/plugins_listing").read()
        if json.loads(listing)["projector"]["enabled"]:
            break
        time.sleep(1)
    page.goto(f"{address}/#projector")
    page.reload()
    # The plugin lives in a page of its own, inside the page of TensorBoard's plugins.
    projector = page.frame_locator("iframe").frame_locator("iframe")
    projector.get_by_text("Points: 1000").first.wait_for(state="attached")
    page.wait_for_timeout(5000)
    shot(page, "projector")
    assert projector.locator("#scatter canvas, vz-projector canvas").count() >= 1


def test_the_card_is_there(page: Any, address: str) -> None:
    page.goto(f"{address}/#text")
    page.get_by_text("ssl_keras.train --flagfile", exact=False).first.wait_for(state="attached")
    page.get_by_text("Test accuracy on 1000 images", exact=False).first.wait_for(state="attached")
    page.wait_for_timeout(1000)
    shot(page, "text")
