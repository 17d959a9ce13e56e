"""Trained networks as SavedModels that plain TensorFlow can load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.evaluation.extraction import depth_names
from ssl_keras.networks import in_order


def export_encoder(encoder: Any, projection_head: Any, num_layers: int, directory: Path) -> None:
    """Write encoder and projection head to `directory`, for inference in float32.

    Signatures, each from composed float32 images (batch, height, width, channels) in [0, 1], with
    any batch size: `serving_default` -> {"features"}, and `representations` -> {"features",
    "projection_1", ...}. No augmentation, batch norm in inference mode; the variables stay
    trainable.

    Args:
        encoder: float32 `keras.Model`.
        projection_head: float32 `keras.Model`.
        num_layers: layers of the projection head.
        directory: is created.
    """
    names = depth_names(num_layers)

    def features(images: Any) -> dict[str, Any]:
        return {"features": encoder(images, training=False)}

    def representations(images: Any) -> dict[str, Any]:
        first = encoder(images, training=False)
        outputs = [first, *in_order(projection_head(first, training=False))]
        return dict(zip(names, outputs, strict=False))

    endpoints = {"serving_default": features, "representations": representations}
    _write(directory, [encoder, projection_head], endpoints)


def export_classifier(network: Any, classifier: Any, feature: str, directory: Path) -> None:
    """Write a network and its classifier to `directory`, for inference in float32.

    One signature, `serving_default`, from images as in `export_encoder` -> {"logits"}.

    Args:
        network: float32 `keras.Model` from composed images.
        classifier: float32 `keras.Model` from its output to {feature name: logits}.
        feature: the name of the feature.
        directory: is created.
    """

    def logits(images: Any) -> dict[str, Any]:
        return {"logits": classifier(network(images, training=False), training=False)[feature]}

    _write(directory, [network, classifier], {"serving_default": logits})


def _write(
    directory: Path, networks: Sequence[Any], endpoints: Mapping[str, Callable[[Any], Any]]
) -> None:
    """Write networks, of which the first takes the images, with functions of the images."""
    signature = [tf.TensorSpec((None, *networks[0].input_shape[1:]), tf.float32, name="images")]
    archive = keras.export.ExportArchive()
    for network in networks:
        archive.track(network)
    for name, function in endpoints.items():
        archive.add_endpoint(name, function, input_signature=signature)
    archive.write_out(str(directory), verbose=False)


def compare_export(directory: Path, images: Any, expected: Any, output: str = "features") -> float:
    """Load a SavedModel and compare what it gives.

    Args:
        directory: what `export_encoder` or `export_classifier` wrote.
        images: composed images.
        expected: features (batch, dim) of the model that was exported, or its logits.
        output: the name of what is compared.

    Returns:
        The largest absolute difference, relative to the largest expected magnitude.

    Raises:
        RuntimeError: the difference is above 1e-4.
    """
    loaded = tf.saved_model.load(str(directory))
    found = loaded.signatures["serving_default"](images=tf.convert_to_tensor(images))[output]
    expected = np.asarray(expected)
    if not np.isfinite(expected).all():
        raise RuntimeError(f"the {output} of the model are not finite numbers")
    difference = float(np.abs(found.numpy() - expected).max() / max(np.abs(expected).max(), 1e-12))
    if not difference <= 1e-4:
        raise RuntimeError(
            f"The SavedModel in {directory} gives other {output} than the model (relative "
            f"difference {difference:.2g})"
        )
    return difference
