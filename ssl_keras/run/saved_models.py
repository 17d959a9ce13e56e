"""Exports trained networks as SavedModels that TensorFlow loads without this package."""

from __future__ import annotations

import importlib.util
import inspect
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Target
from ssl_keras.errors import UserError, one_line, unknown_name
from ssl_keras.inputs import Modality
from ssl_keras.lazy import keras, tf
from ssl_keras.networks import (
    as_plain_keras,
    build_backbone,
    build_projection_head,
    in_order,
    save_model,
)

# Files in the directory of the SavedModel: its description, and the networks in Keras' format.
CARD, ENCODER, HEAD = "card.json", "encoder.keras", "projection_head.keras"
ONNX = "encoder.onnx"


def export_encoder(
    modality: Modality,
    encoder: Any,
    projection_head: Any,
    directory: Path,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Write encoder and projection head to `directory`, for inference in float32.

    Signatures on examples (`Modality.signatures`), with any batch size: images (batch, height,
    width, channels), float32 in [0, 1], and, if the data have bits, bits (batch, num_bits),
    float32; or vectors x (batch, dim), float32; or text (batch,), strings:

        serving_default, features    -> {"features"}
        projections                  -> {"projection_1", ...}, if there is a projection head

    `features_uint8` and `projections_uint8` are the same on uint8 images, `features_ids` and
    `projections_ids` on numbers of words. On network inputs, with
    bits as channels:

        representations              -> {"features", "projection_1", ...}

    There is no augmentation, and batch norm is in inference mode; the variables stay trainable. The
    directory also holds both networks as `.keras` files, and the card.

    Args:
        modality: what an example is made of.
        encoder: float32 `keras.Model`.
        projection_head: float32 `keras.Model`, or None.
        directory: is created.
        card: description of the networks, as JSON.
    """
    head = projection_head or build_projection_head(
        encoder.output_shape[-1], num_layers=0, hidden_dim=1, dim=1
    )
    names = ["features", *(name for name in head.output if name != "projection_0")]
    whole = [tf.TensorSpec((None, *encoder.input_shape[1:]), tf.float32, name="inputs")]

    @tf.function(input_signature=whole, autograph=False)  # one graph for all signatures
    def representations(inputs: Any) -> dict[str, Any]:
        features = encoder(inputs, training=False)
        outputs = [features, *in_order(head(features, training=False))]
        return dict(zip(names, outputs, strict=False))

    def endpoint(layers: Sequence[str], specs: Sequence[Any]) -> Any:
        def serve(*arguments: Any) -> dict[str, Any]:
            outputs = representations(modality.serve(*arguments))
            return {name: outputs[name] for name in layers}

        return _function(serve, specs)

    endpoints: dict[str, tuple[Callable[..., Any], list[Any]]] = {}
    signatures = modality.signatures()
    for name, layers in (("features", names[:1]), ("projections", names[1:])):
        for suffix, specs in signatures.items() if layers else ():
            endpoints[f"{name}{suffix}"] = (endpoint(layers, specs), specs)
    default = next(iter(signatures.values()))
    endpoints["serving_default"] = (endpoint(names[:1], default), default)
    endpoints["representations"] = (representations, whole)
    _write(directory, [encoder, head, *modality.resources], endpoints)
    save_model(as_plain_keras(encoder), directory / ENCODER)
    save_model(as_plain_keras(head), directory / HEAD)
    about = {"signatures": {n: _described(specs) for n, (_, specs) in endpoints.items()}}
    (directory / CARD).write_text(json.dumps({**(card or {}), **about}, indent=2) + "\n")


def _function(serve: Callable[..., Any], specs: Sequence[Any]) -> Any:
    """A `tf.function` with the names of the specs as parameters.

    It is traced for all of them, and for the first alone if there are more: a call without the
    others then says what is missing.
    """
    first, *others = (spec.name for spec in specs)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(first, kind)]
    parameters += [inspect.Parameter(name, kind, default=None) for name in others]

    def checked(*arguments: Any) -> Any:
        given = [argument for argument in arguments if argument is not None]
        if len(given) == len(specs):
            return serve(*given)
        takes = " and ".join(f"{s.name} {s.dtype.name} {_shape(s)}" for s in specs)
        never = tf.debugging.assert_negative(
            tf.shape(given[0])[0], message=f"This encoder takes {takes}: give {others[0]} too."
        )
        with tf.control_dependencies([never]):
            missing = [tf.zeros((tf.shape(given[0])[0], *s.shape[1:]), s.dtype) for s in specs[1:]]
            return serve(given[0], *missing)

    checked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function = tf.function(checked, autograph=False)
    function.get_concrete_function(*specs)  # the first one is the signature
    if others:
        function.get_concrete_function(specs[0])
    return function


def _shape(spec: Any) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in spec.shape)})"


def _described(specs: Sequence[Any]) -> dict[str, str]:
    return {spec.name: f"{spec.dtype.name} {_shape(spec)}" for spec in specs}


def load_encoder(directory: Path | str, layer: str = "features") -> Any:
    """An exported encoder as a `keras.Model` that can be trained.

    Args:
        directory: directory of a run, or of its SavedModel.
        layer: the output: "features" for the encoder alone, or "projection_1", ... with the layers
            of the projection head.

    Returns:
        A model from network inputs, such as float32 images (batch, height, width, channels +
        num_bits) in [0, 1], to (batch, dim). Pass `training=` when you call it.

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
    except Exception as error:  # a damaged one raises errors of all kinds
        raise UserError(f"The encoder in {place} cannot be read: {one_line(error)}") from error
    layers = ["features", *(name for name in head.output if name != "projection_0")]
    if layer not in layers:
        raise unknown_name("layer", layer, layers)
    return build_backbone(encoder, head, layer)


def check_onnx() -> None:
    """Check that the packages for ONNX are installed.

    Raises:
        UserError: one is missing.
    """
    if any(importlib.util.find_spec(name) is None for name in ("tf2onnx", "onnx")):
        raise UserError(
            "The packages tf2onnx and onnx, which write ONNX, are not installed: run pip install "
            "'.[onnx]' in the folder of ssl_keras, or leave out --onnx."
        )


def export_onnx(encoder: Any, path: Path) -> None:
    """Write an encoder as ONNX, with Keras' own exporter.

    Args:
        encoder: float32 `keras.Model` from network inputs to features; the ONNX model has the same
            input and output.
        path: path of the file.

    Raises:
        UserError: see `check_onnx`.
    """
    check_onnx()
    encoder(np.zeros((1, *encoder.input_shape[1:]), np.float32), training=False)
    with warnings.catch_warnings():  # Keras uses a deprecated name of NumPy
        warnings.simplefilter("ignore", FutureWarning)
        encoder.export(str(path), format="onnx", verbose=False)


def export_classifier(network: Any, classifier: Any, target: Target, directory: Path) -> None:
    """Write a network and its classifier to `directory`, for inference in float32, with a card.

    One signature: `serving_default`, network inputs -> {"logits"}. The card, JSON, has the target;
    its "names" are those of the classes, in the order of the logits.

    Args:
        network: float32 `keras.Model` from network inputs.
        classifier: float32 `keras.Model` from its output to {target name: logits}.
        target: the target.
        directory: is created.
    """

    def logits(inputs: Any) -> dict[str, Any]:
        return {"logits": classifier(network(inputs, training=False), training=False)[target.name]}

    inputs = [tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, name="inputs")]
    _write(directory, [network, classifier], {"serving_default": (logits, inputs)})
    card = {"target": target.described()}
    (directory / CARD).write_text(json.dumps(card, indent=2) + "\n")


def _write(
    directory: Path,
    tracked: Sequence[Any],
    endpoints: Mapping[str, tuple[Callable[..., Any], list[Any]]],
) -> None:
    """Write tracked networks and tables with functions, each with the `tf.TensorSpec`s of its
    arguments; those of a `tf.function` are what it has been traced for."""
    archive = keras.export.ExportArchive()
    for resource in tracked:
        archive.track(resource)
    for name, (function, specs) in endpoints.items():
        traced = hasattr(function, "get_concrete_function")
        archive.add_endpoint(name, function, input_signature=None if traced else specs)
    # Autograph would rewrite the networks' Python code, which needs no rewriting, for a second.
    write_out = tf.autograph.experimental.do_not_convert(archive.write_out)
    # In a notebook TensorFlow says that it has written its own files.
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        write_out(str(directory), verbose=False)
    finally:
        logger.setLevel(level)


def relative_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute difference, relative to the largest expected magnitude."""
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-12))


def compare_export(directory: Path, inputs: Any, expected: Any, output: str = "features") -> float:
    """Load a SavedModel and compare its output with that of the exported model.

    Args:
        directory: directory written by `export_encoder` or `export_classifier`.
        inputs: network inputs.
        expected: features (batch, dim) of the exported model, or its logits.
        output: name of the output.

    Returns:
        The `relative_difference`.

    Raises:
        RuntimeError: the difference is above 1e-5.
    """
    loaded = tf.saved_model.load(str(directory))
    name = "representations" if "representations" in loaded.signatures else "serving_default"
    features = loaded.signatures[name](inputs=tf.convert_to_tensor(inputs))[output]
    expected = np.asarray(expected)
    if not np.isfinite(expected).all():
        raise RuntimeError(f"the {output} of the model are not finite numbers")
    difference = relative_difference(features.numpy(), expected)
    if not difference <= 1e-5:
        raise RuntimeError(
            f"The SavedModel in {directory} gives other {output} than the model (relative "
            f"difference {difference:.2g})"
        )
    return difference
