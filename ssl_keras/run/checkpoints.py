"""Checkpoints of a training: written atomically, checked when read; the newest good one is used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import files
from ssl_keras.errors import UserError
from ssl_keras.lazy import keras, tf
from ssl_keras.paths import tensorflow_path


def weights_digest(variables: Sequence[Any]) -> str:
    """SHA-256 of the values of variables, in their order."""
    digest = hashlib.sha256()
    for variable in variables:
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    return digest.hexdigest()


def _record_digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record, as JSON with sorted names."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


class Checkpoints:
    """Checkpoints `step-N` in a directory, each with a file `step-N.json`.

    A checkpoint holds variables by group. The file is written last; it holds the digest of their
    values, their names and shapes, the other state of the training, and the digest of all that. A
    checkpoint without its file, or with another digest, is ignored.

    Args:
        directory: is created on demand, in a folder that exists.
        groups: name -> variables (of Keras or TensorFlow), always in the same order.
        keep: number of checkpoints to keep.
    """

    def __init__(self, directory: Path, groups: Mapping[str, Sequence[Any]], keep: int = 2):
        self.directory = Path(tensorflow_path(directory))
        self.groups = {name: list(variables) for name, variables in groups.items()}
        self.keep = keep
        trackables = {
            name: [v.value if isinstance(v, keras.Variable) else v for v in variables]
            for name, variables in self.groups.items()
        }
        self.checkpoint = tf.train.Checkpoint(**trackables)

    @property
    def variables(self) -> list[Any]:
        """The variables of all groups."""
        return [variable for variables in self.groups.values() for variable in variables]

    def steps(self) -> list[int]:
        """The steps of the complete checkpoints, in ascending order."""
        numbers = [path.stem.removeprefix("step-") for path in self.directory.glob("step-*.json")]
        return sorted(int(number) for number in numbers if number.isdigit())

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, then remove those beyond `keep`.

        Args:
            step: number of completed steps.
            state: the other state of the training, as JSON.

        Raises:
            UserError: it cannot be written; earlier checkpoints remain.
        """
        prefix = self.directory / f"step-{step}"
        record = {
            "step": step,
            "sha256": weights_digest(self.variables),
            "shapes": self._shapes(),
            "state": dict(state),
        }
        record = json.loads(json.dumps(record))  # as it will be read
        try:
            self.directory.mkdir(exist_ok=True)
            prefix.with_suffix(".json").unlink(missing_ok=True)
            self.checkpoint.write(str(prefix))
            whole = files.whole_file(prefix.with_suffix(".json"))
            with whole as temporary, temporary.open("w") as file:
                json.dump({"record_sha256": _record_digest(record), **record}, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, tf.errors.OpError) as error:
            reason = " ".join((getattr(error, "strerror", None) or str(error)).split())[:200]
            steps = self.steps()
            last = (
                f"the last good one is that of step {steps[-1]}" if steps else "there is none yet"
            )
            raise UserError(
                f"The checkpoint of step {step} cannot be written to {self.directory} ({reason}): "
                f"free space there, and run the same command again; {last}."
            ) from error
        kept = {f"step-{number}" for number in self.steps()[-self.keep :]}
        for path in self.directory.glob("step-*"):  # what killed processes have left, too
            if path.name.split(".")[0] not in kept:
                files.remove(path)

    def restore(self) -> tuple[int, dict[str, Any], list[str]] | None:
        """Set the variables to the values of the newest good checkpoint.

        Returns:
            (step, state, notices about newer, damaged checkpoints), or None without checkpoints.

        Raises:
            UserError: all checkpoints are damaged, or they have other variables.
        """
        notices: list[str] = []
        for step in reversed(self.steps()):
            try:
                record = files.read_json(self.directory / f"step-{step}.json")
                whole = record.pop("record_sha256") == _record_digest(record)
                shapes = record["shapes"]
            except (UserError, KeyError, TypeError, AttributeError, RecursionError):
                whole = False
            if not whole:
                notices.append(f"the checkpoint of step {step} is damaged")
                continue
            self._check(shapes)
            try:
                prefix = str(self.directory / f"step-{step}")
                self.checkpoint.read(prefix).assert_consumed()
                good = weights_digest(self.variables) == record["sha256"]
            except (tf.errors.OpError, AssertionError, ValueError, IndexError, OSError):
                good = False  # TensorFlow raises many kinds of errors for damaged files
            if good:
                return record["step"], record["state"], notices
            notices.append(f"the checkpoint of step {step} is damaged")
        if notices:
            raise UserError(
                f"No checkpoint in {self.directory} can be read ({'; '.join(notices)}): start "
                "again with --overwrite."
            )
        return None

    def _shapes(self) -> dict[str, list[list[Any]]]:
        return {
            group: [[getattr(v, "path", v.name), list(v.shape)] for v in variables]
            for group, variables in self.groups.items()
        }

    def _check(self, shapes: Mapping[str, Sequence[Sequence[Any]]]) -> None:
        """Check that a checkpoint has these variables; the error names the first difference."""
        for group, expected in self._shapes().items():
            there = shapes.get(group, [])
            for (name, shape), other in zip(expected, there, strict=False):
                if list(shape) != list(other[1]):
                    raise UserError(
                        f"The checkpoints in {self.directory} are of another network: {name} has "
                        f"the shape {tuple(shape)} here, and {other[0]} {tuple(other[1])} there."
                    )
            if len(expected) != len(there):
                raise UserError(
                    f"The checkpoints in {self.directory} are of another network: {group} are "
                    f"{len(expected)} variables here, and {len(there)} there."
                )
