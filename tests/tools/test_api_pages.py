"""The pages of the public calls: `make docs` makes them, formulas included."""

from __future__ import annotations

import html
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ssl_keras
from ssl_keras import losses

ROOT = Path(__file__).parents[2]


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:pdoc", "-m", "tools.api_pages", str(directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    assert done.stdout == f"{directory / 'ssl_keras.html'}\n"
    return directory


@pytest.mark.exhaustive
def test_each_loss_has_its_formula_on_its_page(site: Path) -> None:
    for name in losses.LOSSES:
        loss = losses.get(name)
        page = site / f"{type(loss).__module__.replace('.', '/')}.html"
        formula = re.search(r"(?m)^    (\S.+)$", inspect.getdoc(loss) or "")
        assert formula is not None
        assert formula[1] in text_of(page), (name, formula[1])


@pytest.mark.exhaustive
def test_the_first_page_has_every_public_name(site: Path) -> None:
    text = text_of(site / "ssl_keras.html")
    for name in ssl_keras.__all__:
        thing = getattr(ssl_keras, name)
        summary = (inspect.getdoc(thing) or "").splitlines()[0]
        assert re.sub("`", "", summary) in text, name
    assert "projections_1: ssl_keras.annotations.TensorLike" in text_of(
        site / "ssl_keras" / "losses" / "base.html"
    )


@pytest.mark.exhaustive
def test_programs_and_private_parts_have_no_pages(site: Path) -> None:
    names = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    assert "ssl_keras/methods/simclr.html" in names
    assert not {name for name in names if re.search(r"/(cli|train|reproduce|sweep|runs)\b", name)}
