"""TrainedRun networks as SavedModels that plain TensorFlow can load."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ssl_keras.errors import UserError, unknown_name
from ssl_keras.evaluators.extraction import layer_names
from ssl_keras.inputs.composing import compose_images
from ssl_keras.networks import as_plain_keras, build_backbone, in_order

# Beside the SavedModel, in its directory: what it is, and the networks as Keras keeps them.
CARD, ENCODER, HEAD = "card.json", "encoder.keras", "projection_head.keras"
ONNX = "encoder.onnx"


def export_encoder(
    encoder: Any,
    projection_head: Any,
    num_layers: int,
    directory: Path,
    *,
    num_bits: int = 0,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write encoder and projection head to `directory`, for inference in float32.

    Signatures, with any batch size: from images (batch, height, width, channels) as float32 in
    [0, 1] and, if the data have bits, their bits (batch, num_bits) as float32,

        serving_default, features    -> {"features"}
        projections                  -> {"projection_1", ...}, if there is a head

    the same as `features_uint8` and `projections_uint8` from uint8 images, and

        representations              -> {"features", "projection_1", ...}

    from composed images, bits as channels. No augmentation, batch norm in inference mode; the
    variables stay trainable. Beside them lie both networks as `.keras` files, and the card.

    Args:
        encoder: float32 `keras.Model`.
        projection_head: float32 `keras.Model`.
        num_layers: layers of the projection head.
        directory: is created.
        num_bits: how many of the last input channels are bit channels.
        card: what the networks are, as JSON.
    """
    names = layer_names(num_layers)
    height, width, channels = encoder.input_shape[1:]

    whole = [tf.TensorSpec((None, height, width, channels), tf.float32, name="images")]

    @tf.function(input_signature=whole, autograph=False)  # one graph, which all signatures call
    def representations(images: Any) -> dict[str, Any]:
        first = encoder(images, training=False)
        outputs = [first, *in_order(projection_head(first, training=False))]
        return dict(zip(names, outputs, strict=False))

    def composed(images: Any, bits: Any = None) -> Any:
        right = tf.debugging.assert_equal(
            tf.shape(images)[1:3],
            [height, width],
            message=f"This encoder takes images of {height}x{width} pixels: resize them.",
        )
        with tf.control_dependencies([right]):
            inputs = compose_images(tf.identity(images), bits)
        return tf.ensure_shape(inputs, [None, height, width, channels])

    def chosen(wanted: Sequence[str]) -> Callable[..., dict[str, Any]]:
        def of_both(images: Any, bits: Any) -> dict[str, Any]:
            found = representations(composed(images, bits))
            return {name: found[name] for name in wanted}

        def of_images(images: Any) -> dict[str, Any]:
            return of_both(images, None)

        return of_both if num_bits else of_images

    def inputs(dtype: Any) -> list[Any]:
        images = tf.TensorSpec((None, None, None, channels - num_bits), dtype, name="images")
        bits = tf.TensorSpec((None, num_bits), tf.float32, name="bits")
        return [images, bits] if num_bits else [images]

    endpoints: dict[str, tuple[Callable[..., Any], list[Any]]] = {}
    for name, wanted in (("features", names[:1]), ("projections", names[1:])):
        if wanted:
            endpoints[name] = (chosen(wanted), inputs(tf.float32))
            endpoints[f"{name}_uint8"] = (chosen(wanted), inputs(tf.uint8))
    endpoints["serving_default"] = (chosen(names[:1]), inputs(tf.float32))
    endpoints["representations"] = (representations, whole)
    _write(directory, [encoder, projection_head], endpoints)
    as_plain_keras(encoder).save(directory / ENCODER)
    as_plain_keras(projection_head).save(directory / HEAD)
    about = {"signatures": {n: _described(specs) for n, (_, specs) in endpoints.items()}}
    (directory / CARD).write_text(json.dumps({**(card or {}), **about}, indent=2) + "\n")


def _described(specs: Sequence[Any]) -> dict[str, str]:
    found = {}
    for spec in specs:
        sides = ", ".join("any" if side is None else str(side) for side in spec.shape)
        found[spec.name] = f"{spec.dtype.name} ({sides})"
    return found


def load_encoder(directory: Path | str, layer: str = "features") -> Any:
    """An exported encoder as a `keras.Model` that can be trained.

    Args:
        directory: of a run, or of its SavedModel.
        layer: the last layer that is wanted: "features" for the encoder, or "projection_1", ... for
            the layers of the projection head on top of it.

    Returns:
        A model from composed float32 images (batch, height, width, channels + num_bits) in [0, 1]
        to (batch, dim). Pass `training=` when you call it.

    Raises:
        UserError: there is no export, or it has no such layer.
    """
    directory = Path(directory)
    place = next(
        (path for path in (directory, directory / "saved_model") if (path / ENCODER).is_file()),
        None,
    )
    if place is None:
        raise UserError(
            f"{directory} holds no exported encoder ({ENCODER}): give the directory of a finished "
            "run, or of its SavedModel; python -m ssl_keras.export --run=DIR writes one."
        )
    try:
        encoder, head = (keras.models.load_model(place / name) for name in (ENCODER, HEAD))
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"The encoder in {place} cannot be read: {reason}") from error
    layers = ["features", *(name for name in head.output if name != "projection_0")]
    if layer not in layers:
        raise unknown_name("layer", layer, layers)
    return build_backbone(encoder, head, layer)


def check_onnx() -> None:
    """Refuse to write ONNX where the packages for it are missing.

    Raises:
        UserError: they are.
    """
    if any(importlib.util.find_spec(name) is None for name in ("tf2onnx", "onnx")):
        raise UserError(
            "The packages tf2onnx and onnx, which write ONNX, are not installed: run pip install "
            "'.[onnx]' in the folder of ssl_keras, or leave out --onnx."
        )


def export_onnx(encoder: Any, path: Path) -> None:
    """Write an encoder as ONNX, with Keras' own exporter.

    Args:
        encoder: float32 `keras.Model` from composed images (batch, height, width, channels +
            num_bits) in [0, 1] to features; input and output keep those shapes.
        path: of the file.

    Raises:
        UserError: see `check_onnx`.
    """
    check_onnx()
    encoder(np.zeros((1, *encoder.input_shape[1:]), np.float32), training=False)
    with warnings.catch_warnings():  # Keras asks NumPy for what it no longer has
        warnings.simplefilter("ignore", FutureWarning)
        encoder.export(str(path), format="onnx", verbose=False)


def export_classifier(network: Any, classifier: Any, target: str, directory: Path) -> None:
    """Write a network and its classifier to `directory`, for inference in float32.

    One signature, `serving_default`, from images as in `export_encoder` -> {"logits"}.

    Args:
        network: float32 `keras.Model` from composed images.
        classifier: float32 `keras.Model` from its output to {target name: logits}.
        target: the name of the target.
        directory: is created.
    """

    def logits(images: Any) -> dict[str, Any]:
        return {"logits": classifier(network(images, training=False), training=False)[target]}

    images = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, name="images")]
    _write(directory, [network, classifier], {"serving_default": (logits, images)})


def _write(
    directory: Path,
    networks: Sequence[Any],
    endpoints: Mapping[str, tuple[Callable[..., Any], list[Any]]],
) -> None:
    """Write networks with functions, each with the `tf.TensorSpec`s of its arguments."""
    archive = keras.export.ExportArchive()
    for network in networks:
        archive.track(network)
    for name, (function, specs) in endpoints.items():
        archive.add_endpoint(name, function, input_signature=specs)
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
        RuntimeError: the difference is above 1e-5.
    """
    loaded = tf.saved_model.load(str(directory))
    name = "representations" if "representations" in loaded.signatures else "serving_default"
    found = loaded.signatures[name](images=tf.convert_to_tensor(images))[output]
    expected = np.asarray(expected)
    if not np.isfinite(expected).all():
        raise RuntimeError(f"the {output} of the model are not finite numbers")
    difference = float(np.abs(found.numpy() - expected).max() / max(np.abs(expected).max(), 1e-12))
    if not difference <= 1e-5:
        raise RuntimeError(
            f"The SavedModel in {directory} gives other {output} than the model (relative "
            f"difference {difference:.2g})"
        )
    return difference
