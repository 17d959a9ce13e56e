"""What single locations of an image tell: parts of objects, and which digit is where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ssl_keras import pictures
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, FrozenLocations, spread
from ssl_keras.evaluators.linear import probe
from ssl_keras.options import option

_MAX_ITERATIONS = 200
# Positions are told apart on a grid of at most so many cells a side.
_CELLS = 4
# Shares of fewer decisions say little.
_LEAST_DECISIONS = 10
# Least height of an image in the picture of clusters.
_SHOWN_PIXELS = 96


@dataclass(frozen=True)
class LocalFeatures(Evaluator):
    """Features of single locations, at the end of every block of the encoder.

    For each local target of the data a multinomial logistic regression, as in `linear` but of at
    most 200 iterations, from the features of a location to what lies at the pixel at its centre. It
    learns from at most 20,000 locations of `local_features_images` training images, and is tested
    on all locations of as many test images:

        accuracy                of its decisions
        chance                  of always deciding for the value that is most frequent in training
        balanced_accuracy       mean recall over the values that occur, of balanced decisions
        balanced_chance         1 / the number of values that occur
        accuracy_at_REGION      of balanced decisions in a region, for features other than "region"
        position_ROW_COLUMN     of balanced decisions where there is something, by the position in
                                the image on a grid of up to 4 x 4 cells, for the same features;
                                left out where less than 10 locations show something

    Most locations show nothing, and decisions follow that. Balanced decisions are for the highest
    logit minus the logarithm of the value's share in training (Menon et al. 2021, arXiv
    2007.07314): those of the same regression if all values were equally frequent. The control
    `pixels_k` has the square of pixels around a location of block k, with a side of its stride, in
    place of features.

    The pictures: K-means on the features of all locations of some test images together, each
    location coloured by its cluster, the largest cluster first (Chen, Luo, Li 2021, section 4.2);
    and the accuracy by position. Data without local features gives the first alone.
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
            fair = balanced(logits, shares / shares.sum()).argmax(axis=1) == labels
            values = np.unique(labels)
            yield f"{name}/accuracy", float(right.mean())
            yield f"{name}/chance", float(np.mean(labels == shares.argmax()))
            recalls = [fair[labels == value].mean() for value in values]
            yield f"{name}/balanced_accuracy", float(np.mean(recalls))
            yield f"{name}/balanced_chance", 1 / len(values)
            if name == "region":
                continue
            regions = frozen.test_labels["region"]
            for value, region in enumerate(frozen.local_targets["region"].values):
                if np.any(regions == value):
                    yield f"{name}/accuracy_at_{region}", float(fair[regions == value].mean())
            found = by_position(frozen.maps(fair), frozen.maps(labels > 0), _LEAST_DECISIONS)
            frozen.cache[f"local_features/{name}"] = found
            for row, column in np.argwhere(np.isfinite(found)):
                yield f"{name}/position_{row}_{column}", float(found[row, column])

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        known = {name: own for name, own in subjects.items() if isinstance(own, FrozenLocations)}
        known = dict(sorted(known.items(), key=lambda item: _order(*item)))
        first = next(iter(known.values()), None)
        if first is None or first.inputs is None:
            return
        shown = spread(len(first.test_rows), self.local_features_shown)
        images = first.inputs.modality.pictures(first.inputs.test(first.test_rows[shown]))
        rows = {"test image": images}
        for name, frozen in known.items():
            found = clusters(frozen.maps(frozen.test)[shown], self.local_features_clusters, seed)
            rows[name] = pictures.paint_clusters(
                images, found, frozen.grid.centres(), frozen.grid.stride
            )
        yield "clusters", pictures.labelled_rows(rows, pixels=_SHOWN_PIXELS)
        for target in first.local_targets:
            lines: dict[int, dict[str, np.ndarray]] = {}
            for name, frozen in known.items():
                shares = frozen.cache.get(f"local_features/{target}")
                if shares is not None and np.isfinite(shares).any():
                    lines.setdefault(frozen.grid.stride, {})[name] = shares
            if lines:
                chance = 1 / first.targets[target].size
                title = (
                    f"How often the {target} at a location is right, by position in the image "
                    f"(chance {chance:.2f})"
                )
                yield f"{target} by position", pictures.heat_maps(list(lines.values()), title)


def _order(name: str, frozen: FrozenLocations) -> tuple[int, int]:
    """By block; within one, pixels and the untrained encoder first."""
    controls = ("pixels", "untrained")
    kind = next((i for i, word in enumerate(controls) if name.startswith(word)), len(controls))
    return frozen.grid.stride, kind


def balanced(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Logits (examples, size) as they were if all values were equally frequent.

    Args:
        logits: of a classifier.
        shares: (size,), how frequent each value was when it was trained. Values that did not occur
            are never decided for.
    """
    occurs = shares > 0
    return np.where(occurs, logits - np.log(np.where(occurs, shares, 1.0)), -np.inf)


def by_position(right: np.ndarray, there: np.ndarray, least: int = 1) -> np.ndarray:
    """The share of right decisions where something is, by cells of the image.

    Args:
        right, there: bool (images, height, width).
        least: of how many decisions a share is made.

    Returns:
        (min(4, height), min(4, width)), not a number where there are fewer in all images together.
    """
    cells = [min(_CELLS, size) for size in right.shape[1:]]
    rows, columns = (
        np.arange(size) * count // size for size, count in zip(right.shape[1:], cells, strict=True)
    )
    totals, counts = np.zeros(cells), np.zeros(cells)
    places = np.ix_(rows, columns)
    np.add.at(totals, places, np.sum(right & there, axis=0))
    np.add.at(counts, places, np.sum(there, axis=0))
    return np.where(counts >= least, totals / np.maximum(counts, 1), np.nan)


def clusters(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    """K-means on the features of all locations together.

    Args:
        features: (images, height, width, dim).
        count: clusters; fewer if there are fewer distinct features.
        seed: chooses where K-means starts.

    Returns:
        int (images, height, width): the cluster of each location, 0 for the largest.
    """
    from sklearn.cluster import KMeans

    flat = np.asarray(features, np.float64).reshape(-1, features.shape[3])
    count = min(count, len(np.unique(flat, axis=0)))
    found = KMeans(count, n_init=4, random_state=seed).fit_predict(flat)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    return np.argsort(order)[found].reshape(features.shape[:3])
