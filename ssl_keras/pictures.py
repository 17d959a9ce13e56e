"""Pictures as arrays: grids of views, rows of images, clusters, heat maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import files
from ssl_keras.plots import METHODS, SERIES, describe

# Distinct colours, for clusters.
COLORS = np.array(
    [
        (0.20, 0.40, 0.90),
        (1.00, 0.60, 0.00),
        (0.00, 0.65, 0.20),
        (0.90, 0.10, 0.30),
        (0.95, 0.90, 0.10),
        (0.60, 0.20, 0.75),
        (0.20, 0.85, 0.90),
        (1.00, 0.60, 0.80),
        (0.55, 0.35, 0.15),
        (0.90, 0.90, 0.90),
    ]
)


def labelled_rows(
    rows: Mapping[str, np.ndarray],
    image_channels: int = 3,
    pixels: int = 64,
    titles: Sequence[str] = (),
) -> np.ndarray:
    """Rows of images with the name of each row at its left.

    Args:
        rows: name -> (count, height, width, channels) in [0, 1]; the number of images may differ.
            The first `image_channels` channels are the picture (3: colours; fewer: the first one
            is shown); the others are extra channels, whose means are drawn as stripes below it.
        image_channels: see `rows`.
        pixels: approximate height of an image in the result, at least that of the image.
        titles: texts above the columns, of one line or several.

    Returns:
        (height, width, 3) in [0, 1].
    """
    strips = []
    for images in rows.values():
        bits = images[..., image_channels:].mean(axis=(1, 2))
        factor = max(1, round(pixels / images.shape[1]))
        picture = enlarge_all(images[..., :image_channels], factor)
        strips.append(_strip(picture, bits if bits.shape[1] else None))
    margin = 10 + max(_text_width(name) for name in rows)
    width = margin + max(strip.shape[1] for strip in strips)
    parts = []
    if titles:
        height = 6 + 15 * max(title.count("\n") + 1 for title in titles)
        column = strips[0].shape[1] // len(next(iter(rows.values())))
        cells = [_text(title, height, column) for title in titles]
        parts.append(np.concatenate([_text("", height, margin), *cells], axis=1))
    for name, strip in zip(rows, strips, strict=True):
        parts.append(np.concatenate([_text(name, strip.shape[0], margin), strip], axis=1))
    parts = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=1.0)
        for part in parts
    ]
    return np.concatenate(parts, axis=0).astype(np.float32)


def _text(text: str, height: int, width: int) -> np.ndarray:
    """Black text on white, shortened or cut to the width: (height, width, 3)."""
    from PIL import Image, ImageDraw, ImageFont

    text = "\n".join(_shortened(line, width - 6) for line in text.split("\n"))
    label = Image.new("L", (width, height), 255)
    place = (4, height // 2)
    ImageDraw.Draw(label).text(place, text, fill=0, font=ImageFont.load_default(13), anchor="lm")
    return np.repeat(np.asarray(label, np.float32)[..., None] / 255.0, 3, axis=2)


def _shortened(line: str, width: int) -> str:
    """The text, or as much of it as fits in `width` pixels with three dots, if any does."""
    if _text_width(line) <= width:
        return line
    fitting = [line[:end] for end in range(len(line)) if _text_width(f"{line[:end]}...") <= width]
    return f"{fitting[-1].rstrip()}..." if fitting else line


def _text_width(text: str) -> int:
    from PIL import ImageFont

    font = ImageFont.load_default(13)
    return max(int(font.getlength(line)) for line in text.split("\n"))


def _strip(images: np.ndarray, bits: np.ndarray | None, border: int = 2) -> np.ndarray:
    """Images side by side with white borders, each above the stripes of its bits."""
    images = np.clip(images, 0, 1)
    images = images if images.shape[3] == 3 else np.repeat(images[..., :1], 3, axis=3)
    if bits is not None:
        stripes = _stripes(bits, max(4, images.shape[1] // 8), images.shape[2])
        images = np.concatenate([images, stripes], axis=1)
    cells = np.pad(images, ((0, 0), (border,) * 2, (border,) * 2, (0, 0)), constant_values=1.0)
    return np.concatenate(list(cells), axis=1)


def _stripes(bits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Vertical stripes (count, height, width, 3), one for each bit, the first at the left.

    1, or the largest value above 1, is white; 0 is almost black.
    """
    count, num_bits = bits.shape
    edges = np.linspace(0, width, num_bits + 1).round().astype(int)
    cells = np.zeros((count, height, width, 3))
    shades = np.clip(bits / max(1.0, float(bits.max())), 0, 1) * 0.85 + 0.1
    for bit in range(num_bits):
        end = max(edges[bit + 1] - 1, edges[bit] + 1)
        cells[:, :, edges[bit] : end] = shades[:, bit, None, None, None]
    return cells


def enlarge_all(images: np.ndarray, factor: int) -> np.ndarray:
    """Images with every pixel repeated `factor` times in both directions."""
    return np.repeat(np.repeat(images, factor, axis=1), factor, axis=2)


def paint_clusters(
    images: np.ndarray,
    clusters: np.ndarray,
    centres: tuple[np.ndarray, np.ndarray],
    side: int,
    opacity: float = 0.6,
) -> np.ndarray:
    """Grey images with the colour of its cluster over each location.

    Args:
        images: (count, height, width, channels) in [0, 1].
        clusters: int (count, rows, columns), indices of `COLORS`.
        centres: pixel rows (rows,) and pixel columns (columns,) of the locations.
        side: of the coloured square around each centre; other pixels stay grey.
        opacity: of the colours.

    Returns:
        (count, height, width, 3) in [0, 1].
    """
    grey = images.mean(axis=3, keepdims=True)
    nearest, inside = [], []
    for positions, size in zip(centres, images.shape[1:3], strict=True):
        # Pixel p is in the square of c if c - side // 2 <= p < c - side // 2 + side.
        index = (np.arange(size) - (positions[0] - side // 2)) // side
        inside.append((index >= 0) & (index < len(positions)))
        nearest.append(np.clip(index, 0, len(positions) - 1))
    colors = COLORS[clusters[:, nearest[0][:, None], nearest[1]]]
    amount = opacity * (inside[0][:, None] & inside[1])[None, :, :, None]
    return np.asarray((1 - amount) * grey + amount * colors, np.float32)


def heat_maps(rows: Sequence[Mapping[str, np.ndarray]], title: str) -> np.ndarray:
    """Heat maps on one colour scale from 0, with the number in each cell.

    Args:
        rows: the maps of each row of the picture: name -> (height, width), NaN for empty cells.
        title: of the picture.

    Returns:
        (height, width, 3) in [0, 1].
    """
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    largest = max(float(np.nanmax(values)) for row in rows for values in row.values())
    figure = Figure((2.1 * columns + 1.2, 2.3 * len(rows) + 0.6), dpi=100, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        for axis, (name, values) in zip(line, row.items(), strict=False):
            image = axis.imshow(values, vmin=0, vmax=largest, cmap="viridis")
            axis.set_title(name, fontsize=10)
            for (y, x), value in np.ndenumerate(values):
                if np.isfinite(value):
                    text = f"{value:.2f}".removeprefix("0")
                    color = "white" if value < 0.6 * largest else "black"
                    axis.text(x, y, text, ha="center", va="center", fontsize=10, color=color)
    figure.suptitle(title)
    figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.6)
    return _rendered(figure)


def fields(maps: Mapping[str, np.ndarray], title: str) -> np.ndarray:
    """Maps side by side, each on its own colour scale; NaN is black.

    Args:
        maps: name -> (height, width).
        title: of the picture.

    Returns:
        (height, width, 3) in [0, 1].
    """
    from matplotlib.figure import Figure

    figure = Figure((2.0 * len(maps) + 0.4, 2.6), dpi=100, layout="constrained")
    for axis, (name, values) in zip(
        figure.subplots(1, len(maps), squeeze=False)[0], maps.items(), strict=True
    ):
        axis.imshow(np.ma.masked_invalid(values), cmap="viridis")
        axis.set_facecolor("black")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_title(name, fontsize=9)
    figure.suptitle(title, fontsize=10)
    return _rendered(figure)


def curves(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    title: str,
    x: str,
    y: str,
    logarithmic: tuple[float, float],
) -> np.ndarray:
    """Curves of values in [0, 1] over a logarithmic axis.

    Args:
        lines: name -> (x values, y values).
        title: of the picture.
        x, y: names of the axes.
        logarithmic: ends of the axis of x.

    Returns:
        (height, width, 3) in [0, 1].
    """
    from matplotlib.figure import Figure

    figure = Figure((5.2, 3.6), dpi=100, layout="constrained")
    axis = figure.subplots()
    styles = iter(SERIES)
    for name, (places, values) in lines.items():
        style = METHODS["untrained"] if name.startswith("untrained") else next(styles, SERIES[-1])
        keywords = {**style.keywords(), "marker": ""}
        axis.plot(np.maximum(places, logarithmic[0]), values, label=name, **keywords)
    axis.set_xscale("log")
    axis.set_xlim(*logarithmic)
    axis.set_ylim(0, 1.02)
    describe(axis, title, x, y)
    axis.legend(fontsize=7)
    return _rendered(figure)


def _rendered(figure: Any) -> np.ndarray:
    """A figure of matplotlib as a picture (height, width, 3) in [0, 1]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), np.float32)[..., :3] / 255.0


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture (height, width, 3) in [0, 1]."""
    from PIL import Image

    image = Image.fromarray(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    with files.whole_file(path) as temporary:
        image.save(temporary, format="PNG")


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """A picture with every pixel repeated `factor` times in both directions."""
    return enlarge_all(picture[None], factor)[0]
