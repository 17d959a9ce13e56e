"""Data sets: two splits, their targets, and the builder that makes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ssl_keras.datasets.examples import Examples
from ssl_keras.datasets.splits import MemorySplit, Split
from ssl_keras.inputs import Images, Modality
from ssl_keras.inputs.images import nearest_pixels
from ssl_keras.options import Options, option, settings
from ssl_keras.paths import local_path

KINDS = ("class", "bits", "presence")
# Prefixes of sources that are paths, such as "npz:FILE".
PATH_KINDS = ("idx", "folder", "npz", "csv", "fonts", "text", "pairs")


def absolute_source(name: str | os.PathLike[str]) -> str:
    """The name of a source, its path (if any) made absolute.

    A path in place of a name stands for npz:PATH or csv:PATH, by its suffix, or for folder:PATH.
    """
    if isinstance(name, os.PathLike):
        suffix = Path(name).suffix.lower().removeprefix(".")
        name = f"{suffix if suffix in ('npz', 'csv') else 'folder'}:{os.fspath(name)}"
    kind, colon, path = name.partition(":")
    if colon and kind in PATH_KINDS:
        return f"{kind}:{Path(local_path(path)).resolve()}"
    return name


@dataclass(frozen=True)
class Target:
    """One of the competing features of a data set; evaluators and probes predict it.

    Attributes:
        name: key of its labels, such as "class" or "bits".
        kind: "class" (labels are integers in [0, size)), "bits" (labels are binary vectors of
            length `size`, random bits), or "presence" (binary vectors: the classes in an image).
        size: number of classes, or length of the vector.
        chance: what the best constant answer reaches on the test examples: the share of their most
            frequent label; for vectors, its mean over the entries.
        all_right_chance: the same for whole vectors; for a class equal to `chance`.
        names: of the classes; or empty, and then they are numbers.
    """

    name: str
    kind: str
    size: int
    chance: float
    all_right_chance: float
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")

    @property
    def is_vector(self) -> bool:
        """Whether labels are binary vectors; their entries are predicted independently."""
        return self.kind != "class"

    def described(self) -> dict[str, Any]:
        """Its attributes, as JSON."""
        return {**asdict(self), "names": list(self.names)}

    def name_of(self, label: int) -> str:
        """The name of a class."""
        return self.names[label] if self.names else str(label)


def class_target(
    name: str, labels: np.ndarray | None, num_classes: int, names: Sequence[str] = ()
) -> Target:
    """The `Target` of the integer labels of the test examples. Without labels the classes are taken
    as balanced."""
    if labels is None:
        chance = 1.0 / num_classes
    else:
        chance = float(np.bincount(labels, minlength=num_classes).max() / len(labels))
    return Target(name, "class", num_classes, chance, chance, tuple(names))


def vector_target(name: str, kind: str, labels: np.ndarray, names: Sequence[str] = ()) -> Target:
    """The `Target` of the binary vectors (examples, size) of the test examples."""
    means = labels.mean(axis=0)
    chance = float(np.maximum(means, 1.0 - means).mean())
    _, counts = np.unique(labels, axis=0, return_counts=True)
    all_right = float(counts.max() / len(labels))
    return Target(name, kind, labels.shape[1], chance, all_right, tuple(names))


@dataclass(frozen=True)
class LocalTarget:
    """A target with one label for each pixel.

    "region" is the kind of object at a pixel; any other local target is its class.

    Attributes:
        name: key of its maps, such as "region" or "digit".
        values: meanings of the integers in its maps; the first, 0, means nothing.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where examples come from: two splits.

    Attributes:
        name: value of `--source`.
        train, test: the splits; images of one size, or vectors of one length.
        num_classes: number of classes; 0 without labels.
        class_names: one name for each class, or empty.
        augmentation: preset of `--augmentation=auto`, for images.
        notices: sentences for the user, such as skipped images or missing labels.
        image_channels: number of leading channels that form the picture: 3 (RGB) or 1 (grey). The
            others are extra channels, such as masks or depth. Default: 3 if there are 3 or more.
    """

    name: str
    train: Examples
    test: Examples
    num_classes: int
    class_names: tuple[str, ...] = ()
    augmentation: str = "digits"
    notices: tuple[str, ...] = ()
    image_channels: int = 0

    def __post_init__(self) -> None:
        if not self.image_channels and hasattr(self.train, "image_shape"):
            object.__setattr__(self, "image_channels", 3 if self.image_shape[2] >= 3 else 1)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image."""
        return self.train.image_shape

    @property
    def labelled(self) -> bool:
        """Whether each example has a class."""
        return self.num_classes > 0


@dataclass(frozen=True)
class DataSet:
    """A data set ready to train on.

    Attributes:
        name: description for people: data set and source.
        train, test: the splits.
        targets: target name -> `Target`, the competing features.
        modality: what an example is made of.
        notices: sentences for the user.
        local_targets: name -> `LocalTarget`, the targets of pixels; see `locations`.
        probing_split: examples that evaluators are fitted on instead of `train`: as many and in
            the same order, where training shows less of a target than testing does; or examples of
            another kind, as many as they are; or None.
        digests: what identifies the data, see `datasets.digests`.
        unseen, unseen_target: test examples of classes that are not trained on, and their target,
            see `held_out.hold_out`; or None.
    """

    name: str
    train: Split
    test: Split
    targets: Mapping[str, Target]
    modality: Modality
    notices: tuple[str, ...] = field(default=())
    local_targets: Mapping[str, LocalTarget] = field(default_factory=dict)
    probing_split: Split | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    unseen: Split | None = None
    unseen_target: Target | None = None

    @property
    def probing(self) -> Split:
        """The examples that evaluators are fitted on; they are tested on `test`."""
        return self.train if self.probing_split is None else self.probing_split

    @property
    def training_chances(self) -> dict[str, float]:
        """Target name -> `Target.chance` on the training examples; where reading their labels means
        reading everything, on the test examples."""
        chances = {name: target.chance for name, target in self.targets.items()}
        if isinstance(self.train, MemorySplit):
            for name, target in self.targets.items():
                if target.kind == "class":
                    labels = self.train.read_labels(name)
                    chances[name] = class_target(name, labels, target.size).chance
        return chances

    def map_training(self, change: Callable[[Split], Split]) -> DataSet:
        """The data set with `change` applied to the splits `train` and `probing`.

        Args:
            change: split -> split; it must select the same rows of splits of equal length.
        """
        probing = self.probing_split
        if probing is not None and probing.num_examples == self.train.num_examples:
            probing = change(probing)
        return replace(self, train=change(self.train), probing_split=probing)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the encoder."""
        return self.modality.network_shape

    @property
    def num_bits(self) -> int:
        """Number of random bits of each example; 0 unless it is an image with bits."""
        return self.modality.num_bits if isinstance(self.modality, Images) else 0

    def inputs(self, batch: Mapping[str, Any]) -> Any:
        """The encoder's input for an un-augmented batch: float32 (batch, *input_shape)."""
        return self.modality.inputs(batch["example"])

    def locations(self, split: Split, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Labels of the local targets at each pixel of the encoder's un-augmented inputs.

        Args:
            split: `train`, `probing` or `test`.
            rows: indices of examples, int (rows,).

        Returns:
            local target name -> int16 (rows, height, width), of `input_shape`.
        """
        size = (self.input_shape[0], self.input_shape[1])
        return {name: nearest_pixels(maps, size) for name, maps in split.locations(rows).items()}


@dataclass(frozen=True)
class BuildContext:
    """What a builder makes a data set from.

    Attributes:
        seed: seed of everything random in the data set.
        image_size: side of the images in pixels, or None for that of the source.
        load_images: name of a source, image size -> `Source` of images.
        load_vectors: name of a source -> `Source` of vectors.
        num_characters: number of characters of glyphs, or None for the default.
    """

    seed: int
    image_size: int | None
    load_images: Callable[[str, int | None], Source]
    load_vectors: Callable[[str], Source]
    num_characters: int | None = None


@dataclass(frozen=True)
class DatasetBuilder(Options):
    """Builds a data set. Its fields are the options of `--dataset=NAME`."""

    required: ClassVar[tuple[str, ...]] = ("build",)
    # The encoder of `--encoder=auto`.
    default_encoder: ClassVar[str] = "convnet"
    # What the sources hold: "images", "vectors" or "text".
    source_kind: ClassVar[str] = "images"
    # Incremented when the same options produce other examples or another probing split.
    version: ClassVar[int] = 1

    @property
    def has_images(self) -> bool:
        """Whether examples are images; if not, the settings of images have no effect."""
        return self.source_kind == "images"

    def sources(self) -> dict[str, str]:
        """Option -> name of a source that the data set is made from."""
        found = settings(type(self)).items()
        return {n: getattr(self, n) for n, setting in found if setting.convert is absolute_source}

    def build(self, context: BuildContext) -> DataSet:
        """The data set; its batches are composed lazily, see `datasets.load`.

        Raises:
            UserError: the options do not fit the source.
        """
        raise NotImplementedError(f"{type(self).__name__} builds nothing")


@dataclass(frozen=True)
class ImageBuilder(DatasetBuilder):
    """Base class of builders that take images from a source."""

    source: str = option(
        "mnist_5k",
        help="where examples come from; images: mnist_5k, glyphs, photos, idx:FOLDER, "
        "folder:FOLDER, fonts:FOLDER, npz:FILE, pairs:FILE.csv, or a TensorFlow Datasets name; "
        "tables: breast_cancer, wine, digits, npz:FILE, csv:FILE, pairs:FILE.csv; text: kjv, "
        "text:FILE, text:FOLDER",
        convert=absolute_source,
    )

    def main_source(self, context: BuildContext) -> Source:
        """The source `source`, its images scaled to `context.image_size`."""
        return context.load_images(self.source, context.image_size)


def images(source: Source, num_bits: int = 0) -> Images:
    """The modality of the images of a source."""
    return Images(source.image_shape, source.image_channels, num_bits, None, source.augmentation)
