"""Features of single locations of an image: parts of objects, and which digit is where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ssl_keras import pictures
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, FrozenLocations, spread
from ssl_keras.evaluators.linear import probe
from ssl_keras.options import option

_MAX_ITERATIONS = 200
# Most cells a side of the grid of positions.
_CELLS = 4
# Least number of decisions for an accuracy by position.
_LEAST_DECISIONS = 10
# Height of an image in the picture of clusters.
_SHOWN_PIXELS = 96


@dataclass(frozen=True)
class LocalFeatures(Evaluator):
    """Features of single locations, at the end of every block of the encoder.

    For each local target of the data, a multinomial logistic regression, as in `linear` but with at
    most 200 iterations, from the features of a location to the label of the pixel at its centre. It
    is fitted on at most 20,000 locations of `local_features_images` training images, and tested on
    all locations of as many test images:

        accuracy                of its decisions
        chance                  accuracy of the most frequent training label
        balanced_accuracy       mean recall over the labels that occur, of balanced decisions
        balanced_chance         1 / the number of labels that occur
        accuracy_at_REGION      of balanced decisions in a region, for targets other than "region"
        position_ROW_COLUMN     of balanced decisions at locations that are not empty, by position
                                in the image on a grid of up to 4 x 4 cells, for the same targets;
                                left out for cells with fewer than 10 such locations

    Most locations are empty, which biases decisions. A balanced decision is for the highest logit
    minus the logarithm of the label's share in training (Menon et al. 2021, arXiv 2007.07314): the
    decision if all labels were equally frequent. The control `pixels_k` has, in place of features,
    the square of pixels around a location of block k, with its stride as the side.

    The pictures: K-means on the features of all locations of some test images together, each
    location coloured by its cluster, the largest cluster first (Chen, Luo, Li 2021, section 4.2);
    and the accuracy by position. Without local targets there is only the first.
    """

    local_features_images: int = option(
        300, minimum=2, help="most training and most test images of the head local_features"
    )
    local_features_clusters: int = option(
        5,
        minimum=2,
        maximum=len(pictures.COLORS),
        help="clusters in the picture of the head local_features",
    )
    local_features_shown: int = option(
        8, minimum=1, maximum=64, help="test images in the picture of the head local_features"
    )

    needs_labels = False
    needs_pictures = True

    @property
    def num_local_images(self) -> int:
        return self.local_features_images

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        assert isinstance(frozen, FrozenLocations)
        for name, target in frozen.targets.items():
            labels = frozen.test_labels[name]
            logits = probe(frozen, name, seed, _MAX_ITERATIONS).logits
            shares = np.bincount(frozen.train_labels[name], minlength=target.size)
            right = logits.argmax(axis=1) == labels
            balanced_right = balanced(logits, shares / shares.sum()).argmax(axis=1) == labels
            values = np.unique(labels)
            yield f"{name}/accuracy", float(right.mean())
            yield f"{name}/chance", float(np.mean(labels == shares.argmax()))
            recalls = [balanced_right[labels == value].mean() for value in values]
            yield f"{name}/balanced_accuracy", float(np.mean(recalls))
            yield f"{name}/balanced_chance", 1 / len(values)
            if name == "region":
                continue
            regions = frozen.test_labels["region"]
            for value, region in enumerate(frozen.local_targets["region"].values):
                if np.any(inside := regions == value):
                    yield f"{name}/accuracy_at_{region}", float(balanced_right[inside].mean())
            right_maps, occupied = frozen.maps(balanced_right), frozen.maps(labels > 0)
            accuracies = by_position(right_maps, occupied, _LEAST_DECISIONS)
            frozen.cache[f"local_features/{name}"] = accuracies
            for row, column in np.argwhere(np.isfinite(accuracies)):
                yield f"{name}/position_{row}_{column}", float(accuracies[row, column])

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        local = {n: f for n, f in subjects.items() if isinstance(f, FrozenLocations)}
        local = dict(sorted(local.items(), key=lambda item: _order(*item)))
        first = next(iter(local.values()), None)
        if first is None or first.inputs is None:
            return
        images = spread(len(first.test_rows), self.local_features_shown)
        test_images = first.inputs.modality.pictures(first.inputs.test(first.test_rows[images]))
        rows = {"test image": test_images}
        for name, frozen in local.items():
            maps = frozen.maps(frozen.test)[images]
            indices = clusters(maps, self.local_features_clusters, seed)
            centres, side = frozen.grid.centres(), frozen.grid.stride
            rows[name] = pictures.paint_clusters(test_images, indices, centres, side)
        yield "clusters", pictures.labelled_rows(rows, pixels=_SHOWN_PIXELS)
        for target in first.local_targets:
            lines: dict[int, dict[str, np.ndarray]] = {}
            for name, frozen in local.items():
                shares = frozen.cache.get(f"local_features/{target}")
                if shares is not None and np.isfinite(shares).any():
                    lines.setdefault(frozen.grid.stride, {})[name] = shares
            if lines:
                chance = 1 / first.targets[target].size
                title = (
                    f"Accuracy of the {target} at a location, by position in the image "
                    f"(chance {chance:.2f})"
                )
                yield f"{target} by position", pictures.heat_maps(list(lines.values()), title)


def _order(name: str, frozen: FrozenLocations) -> tuple[int, int]:
    """Sort key: by block; within a block, pixels and the untrained encoder first."""
    controls = ("pixels", "untrained")
    kind = next((i for i, word in enumerate(controls) if name.startswith(word)), len(controls))
    return frozen.grid.stride, kind


def balanced(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Logits (examples, size) of the same classifier for equally frequent labels.

    Args:
        logits: of the classifier.
        shares: (size,), shares of the labels in its training. Labels with a share of 0 are never
            predicted.
    """
    occurs = shares > 0
    return np.where(occurs, logits - np.log(np.where(occurs, shares, 1.0)), -np.inf)


def by_position(right: np.ndarray, occupied: np.ndarray, minimum: int = 1) -> np.ndarray:
    """The share of right decisions at occupied locations, by cells of the image.

    Args:
        right, occupied: bool (images, height, width).
        minimum: least number of occupied locations of a cell, over all images.

    Returns:
        (min(4, height), min(4, width)), NaN for cells with fewer.
    """
    cells = [min(_CELLS, size) for size in right.shape[1:]]
    rows, columns = (
        np.arange(size) * count // size for size, count in zip(right.shape[1:], cells, strict=True)
    )
    totals, counts = np.zeros(cells), np.zeros(cells)
    places = np.ix_(rows, columns)
    np.add.at(totals, places, np.sum(right & occupied, axis=0))
    np.add.at(counts, places, np.sum(occupied, axis=0))
    return np.where(counts >= minimum, totals / np.maximum(counts, 1), np.nan)


def clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """K-means on the features of all locations together.

    Args:
        features: (images, height, width, dim).
        count: number of clusters; fewer if there are fewer distinct features.
        seed: of the initial centres of K-means.

    Returns:
        int (images, height, width): the cluster of each location, 0 for the largest.
    """
    from sklearn.cluster import KMeans

    flat = np.asarray(features, np.float64).reshape(-1, features.shape[3])
    count = min(count, len(np.unique(flat, axis=0)))
    indices = KMeans(count, n_init=4, random_state=seed).fit_predict(flat)
    order = np.argsort(-np.bincount(indices, minlength=count), kind="stable")
    return np.argsort(order)[indices].reshape(features.shape[:3])
