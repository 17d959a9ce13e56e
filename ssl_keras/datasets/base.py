"""What a data set is: two splits, the targets it declares, and the builder that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ssl_keras.datasets.examples import Examples
from ssl_keras.datasets.splits import Split
from ssl_keras.inputs import Images, Modality
from ssl_keras.inputs.images import nearest_pixels
from ssl_keras.options import Options, option

KINDS = ("class", "bits", "presence")
# What stands before the colon of a source that is a path.
PATH_KINDS = ("idx", "folder", "npz", "csv")


def absolute(name: str) -> str:
    """The name of a source with its path, if it has one, made absolute."""
    kind, colon, path = name.partition(":")
    if colon and kind in PATH_KINDS:
        return f"{kind}:{Path(path).expanduser().resolve()}"
    return name


@dataclass(frozen=True)
class Target:
    """One of the competing features that a data set declares; heads and probes follow from it.

    Attributes:
        name: key of its labels, such as "class" or "bits".
        kind: "class" (labels are integers in [0, size)), "bits" (labels are binary vectors of
            length `size`, random bits), or "presence" (binary vectors: which classes are there).
        size: number of classes, or length of the vector.
        chance: the accuracy without looking at the image: the share of the most frequent label,
            for vectors the mean of that over their entries.
        all_right_chance: the same for the vector as a whole; for a class equal to `chance`.
    """

    name: str
    kind: str
    size: int
    chance: float
    all_right_chance: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")

    @property
    def is_vector(self) -> bool:
        """Whether labels are binary vectors, each entry a decision of its own."""
        return self.kind != "class"


def class_target(name: str, labels: np.ndarray | None, num_classes: int) -> Target:
    """The `Target` of integer labels; without labels to count, classes count as balanced."""
    if labels is None:
        chance = 1.0 / num_classes
    else:
        chance = float(np.bincount(labels, minlength=num_classes).max() / len(labels))
    return Target(name, "class", num_classes, chance, chance)


def vector_target(name: str, kind: str, labels: np.ndarray) -> Target:
    """The `Target` of binary vectors (examples, size), with chance counted in these labels."""
    means = labels.mean(axis=0)
    chance = float(np.maximum(means, 1.0 - means).mean())
    _, counts = np.unique(labels, axis=0, return_counts=True)
    return Target(name, kind, labels.shape[1], chance, float(counts.max() / len(labels)))


@dataclass(frozen=True)
class LocalTarget:
    """A label of every pixel of an image.

    "region" says what kind of thing lies at a pixel, every other local target which one it is.

    Attributes:
        name: key of its maps, such as "region" or "digit".
        values: what the integers of its maps stand for; the first one, 0, for nothing.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where examples come from: two splits.

    Attributes:
        name: the name it was asked for by.
        train, test: the splits; images of one size, or vectors of one length.
        num_classes: number of classes; 0 without labels.
        class_names: one name for each class, or empty.
        augmentation: the preset of views that suits these images.
        notices: what the user should know (images that were skipped, labels that are missing).
        image_channels: how many of the first channels are the picture: 3 (RGB) or 1 (grey). The
            others are extra channels, such as masks or depth. Default: 3 if there are so many.
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
        return self.train.image_shape

    @property
    def labelled(self) -> bool:
        return self.num_classes > 0


@dataclass(frozen=True)
class DataSet:
    """A data set ready to train on.

    Attributes:
        name: what it is, for people: data set and source.
        train, test: the splits.
        targets: target name -> `Target`, every competing feature that can be probed.
        modality: what an example is made of.
        class_names: names of the classes of the target "class", or empty.
        notices: what the user should know.
        local_targets: name -> `LocalTarget`, what is known of every pixel; see `locations`.
        own_probing: as many images as `train` has, in the same order, that heads are fitted on in
            its place, where training shows less of a target than testing does; or None.
    """

    name: str
    train: Split
    test: Split
    targets: Mapping[str, Target]
    modality: Modality
    class_names: tuple[str, ...] = field(default=())
    notices: tuple[str, ...] = field(default=())
    local_targets: Mapping[str, LocalTarget] = field(default_factory=dict)
    own_probing: Split | None = None

    @property
    def probing(self) -> Split:
        """The images that heads are fitted on, to be evaluated on `test`."""
        return self.train if self.own_probing is None else self.own_probing

    @property
    def training_chances(self) -> dict[str, float]:
        """Target name -> `Target.chance`, but in the images that training shows."""
        chances = {name: target.chance for name, target in self.targets.items()}
        if self.own_probing is not None:
            for name, target in self.targets.items():
                if target.kind == "class":
                    labels = self.train.labels_of(name)
                    chances[name] = class_target(name, labels, target.size).chance
        return chances

    def training_on(self, change: Callable[[Split], Split]) -> DataSet:
        """The data set with other training images, heads being fitted on what corresponds to them.

        Args:
            change: of a split; it must choose the same images of splits of one length.
        """
        own = None if self.own_probing is None else change(self.own_probing)
        return replace(self, train=change(self.train), own_probing=own)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input of the encoder."""
        return self.modality.network_shape

    @property
    def num_bits(self) -> int:
        """Random bits of each example, if it is an image with bits."""
        return self.modality.num_bits if isinstance(self.modality, Images) else 0

    def inputs(self, batch: Mapping[str, Any]) -> Any:
        """The encoder's input for an un-augmented batch: float32 (batch, *input_shape)."""
        return self.modality.inputs(batch["example"])

    def locations(self, split: Split, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is at each pixel of the encoder's un-augmented inputs.

        Args:
            split: `train`, `probing` or `test`.
            rows: which of its images.

        Returns:
            local target name -> int16 (rows, height, width), of `input_shape`.
        """
        size = (self.input_shape[0], self.input_shape[1])
        return {name: nearest_pixels(maps, size) for name, maps in split.locations(rows).items()}


@dataclass(frozen=True)
class BuildContext:
    """What a builder makes a data set from.

    Attributes:
        seed: chooses whatever is random in the data set.
        image_size: side of the images in pixels, or None for that of the source.
        load_images: name of a source, image size -> `Source` of images.
        load_vectors: name of a source -> `Source` of vectors.
    """

    seed: int
    image_size: int | None
    load_images: Callable[[str, int | None], Source]
    load_vectors: Callable[[str], Source]


@dataclass(frozen=True)
class DatasetBuilder(Options):
    """How to build a data set. Its fields are the options of `--dataset=NAME`."""

    required: ClassVar[tuple[str, ...]] = ("build",)
    # The encoder of `--encoder=auto`.
    default_encoder: ClassVar[str] = "convnet"
    # Whether examples are images, so that the settings of images have an effect.
    has_images: ClassVar[bool] = True
    # Raised when the same options come to give other examples, or other ones to fit evaluators on.
    version: ClassVar[int] = 1

    def build(self, context: BuildContext) -> DataSet:
        """The data set; lazily composed, see `datasets.load`.

        Raises:
            UserError: options and sources do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} builds nothing")


@dataclass(frozen=True)
class ImageBuilder(DatasetBuilder):
    """Base of the builders that take images from a source."""

    source: str = option(
        "mnist_5k",
        help="where examples come from; images: mnist_5k, photos, idx:FOLDER, folder:FOLDER, "
        "npz:FILE, or a TensorFlow Datasets name; tables: breast_cancer, wine, digits, npz:FILE, "
        "csv:FILE",
        convert=absolute,
    )

    def main_source(self, context: BuildContext) -> Source:
        """The source, at the size that was asked for."""
        return context.load_images(self.source, context.image_size)


def images(source: Source, num_bits: int = 0) -> Images:
    """The modality of the images of a source."""
    return Images(source.image_shape, source.image_channels, num_bits, None, source.augmentation)
