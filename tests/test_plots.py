"""The visual language of the figures."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import colors

from ssl_keras import plots

mpl.use("Agg")
# Two kinds of colour blindness as matrices on linear RGB: Viénot, Brettel and Mollon (1999).
BLIND = {
    "protanopia": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranopia": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


def seen(color: str, kind: str) -> np.ndarray:
    return np.clip(np.array(BLIND[kind]) @ np.array(colors.to_rgb(color)) ** 2.2, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("kind", BLIND)
def test_methods_and_series_are_told_apart_without_colours(kind: str) -> None:
    for styles in (list(plots.METHODS.values()), list(plots.SERIES)):
        assert len({style.marker for style in styles}) == len(styles)
        for one, other in combinations(styles, 2):
            far = np.linalg.norm(seen(one.color, kind) - seen(other.color, kind)) > 0.12
            assert far or (one.marker, one.line) != (other.marker, other.line)
    methods = list(plots.METHODS.values())
    for one, other in combinations(methods, 2):
        assert np.linalg.norm(seen(one.color, kind) - seen(other.color, kind)) > 0.12


def axes() -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    return plt.subplots()


@pytest.mark.parametrize(
    ("low", "label"), [(0.0, "accuracy"), (0.6, "accuracy\n(does not begin at 0)")]
)
def test_an_axis_that_is_cut_says_so(low: float, label: str) -> None:
    figure, axis = axes()
    plots.curve(axis, [{"x": 1, "y": 0.8}, {"x": 2, "y": 0.9}], "x", "y", plots.SERIES[0], "a")
    plots.describe(axis, "title", "bits", "accuracy")
    axis.set_ylim(low, 1)
    plots.finish(figure, [{}])
    assert axis.get_ylabel() == label
    assert axis.get_xlabel() == "bits"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"y": 1.0}], "One seed: no error bars."),
        ([{"y": 1.0, "y_sd": 0.1, "seeds": 3}], "Means over 3 seeds; error bars: ± one standard"),
        (
            [{"y": 1.0, "y_sd": 0.1, "seeds": 3}, {"y": 2.0, "y_sd": 0.1, "seeds": 5}],
            "Means over 3 to 5 seeds",
        ),
    ],
)
def test_a_figure_says_what_its_error_bars_are(rows: list[dict[str, Any]], text: str) -> None:
    figure, _ = axes()
    plots.finish(figure, rows)
    assert any(shown.get_text().startswith(text) for shown in figure.texts)


def test_error_bars_are_the_spread_over_seeds() -> None:
    _, axis = axes()
    rows = [{"x": 2, "y": 0.5, "y_sd": 0.1}, {"x": 1, "y": 0.7, "y_sd": 0.2}, {"x": 3}]
    plots.curve(axis, rows, "x", "y", plots.METHODS["supervised"], "supervised")
    (container,) = axis.containers
    line, _, (bars,) = container.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.7], [2, 0.5]])
    np.testing.assert_allclose(
        [segment[:, 1] for segment in bars.get_segments()], [[0.5, 0.9], [0.4, 0.6]]
    )
    assert colors.same_color(line.get_color(), plots.METHODS["supervised"].color)


def test_names_are_words() -> None:
    assert [plots.word(name) for name in ("simclr", "nt_xent-10-bits", "small_digit")] == [
        "SimCLR",
        "NT-Xent 10 bits",
        "small digit",
    ]
