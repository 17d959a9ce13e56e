"""Pictures of what the program sees, as arrays."""

from __future__ import annotations

import numpy as np


def view_grid(
    images: np.ndarray, views_1: np.ndarray, views_2: np.ndarray, planes: np.ndarray | None = None
) -> np.ndarray:
    """Images and their two views, one image a column; below them the bits, if any.

    Args:
        images, views_1, views_2: (count, height, width, channels) in [0, 1]; the first three
            channels are shown as colours, or the first one if there are fewer.
        planes: (count, num_bits) or None.

    Returns:
        (rows, columns, 3) in [0, 1]: rows of images, first views, second views, and bit stripes
        (white is 1), with grey borders.
    """
    count, height, width = images.shape[:3]
    border = 2
    strips = []
    for row in (images, views_1, views_2):
        row = np.clip(row, 0, 1)
        shown = row[..., :3] if row.shape[3] >= 3 else row[..., :1]
        cells = np.broadcast_to(shown, (*row.shape[:3], 3))
        strips.append(
            np.pad(cells, ((0, 0), (border, 0), (border, 0), (0, 0)), constant_values=0.5)
        )
    if planes is not None and planes.shape[1]:
        size = max(4, height // 8)
        # Stripes from left to right: least significant bit first.
        edges = np.linspace(0, width, planes.shape[1] + 1).round().astype(int)
        cells = np.zeros((count, size, width, 3))
        top = max(float(np.abs(planes).max()), 1e-12)
        for bit in range(planes.shape[1]):
            value = (planes[:, bit] / top)[:, None, None, None]
            cells[:, :, edges[bit] : max(edges[bit + 1] - 1, edges[bit] + 1)] = value * 0.85 + 0.1
        strips.append(
            np.pad(cells, ((0, 0), (border, 0), (border, 0), (0, 0)), constant_values=0.5)
        )
    rows = [np.concatenate(list(strip), axis=1) for strip in strips]
    grid = np.concatenate(rows, axis=0)
    return np.pad(grid, ((0, border), (0, border), (0, 0)), constant_values=0.5).astype(np.float32)


def enlarge(picture: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel `factor` times as high and wide."""
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)
