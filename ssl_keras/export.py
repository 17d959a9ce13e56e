"""The trained encoder as a SavedModel that plain TensorFlow can load."""

from __future__ import annotations

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
    signature = [tf.TensorSpec((None, *encoder.input_shape[1:]), tf.float32, name="images")]
    names = depth_names(num_layers)

    def features(images: Any) -> dict[str, Any]:
        return {"features": encoder(images, training=False)}

    def representations(images: Any) -> dict[str, Any]:
        first = encoder(images, training=False)
        outputs = [first, *in_order(projection_head(first, training=False))]
        return dict(zip(names, outputs, strict=False))

    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.track(projection_head)
    archive.add_endpoint("serving_default", features, input_signature=signature)
    archive.add_endpoint("representations", representations, input_signature=signature)
    archive.write_out(str(directory), verbose=False)


def compare_export(directory: Path, images: Any, expected: Any) -> float:
    """Load a SavedModel and compare its features.

    Args:
        directory: what `export_encoder` wrote.
        images: composed images.
        expected: features (batch, dim) of the model that was exported.

    Returns:
        The largest absolute difference, relative to the largest expected magnitude.

    Raises:
        RuntimeError: the difference is above 1e-4.
    """
    loaded = tf.saved_model.load(str(directory))
    found = loaded.signatures["serving_default"](images=tf.convert_to_tensor(images))["features"]
    expected = np.asarray(expected)
    if not np.isfinite(expected).all():
        raise RuntimeError("the features of the model are not finite numbers")
    difference = float(np.abs(found.numpy() - expected).max() / max(np.abs(expected).max(), 1e-12))
    if not difference <= 1e-4:
        raise RuntimeError(
            f"The SavedModel in {directory} gives other features than the model (relative "
            f"difference {difference:.2g})"
        )
    return difference
