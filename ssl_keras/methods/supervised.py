"""The supervised baseline: the same encoder, views and budget, with labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_keras.annotations import Model, Tensor
from ssl_keras.datasets.base import Target
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf
from ssl_keras.methods.learner import Learner, Views, default_targets, feature_dim, target_terms
from ssl_keras.networks import build_linear_probe


class Supervised(Learner):
    """An encoder trained to predict labels of its views.

        features --> classifier --> cross-entropy, the mean over the learned targets

    Each example enters as two views with its labels, so a step has as many views as in SimCLR.

    Args:
        encoder: see `Learner`.
        classifier: `keras.Model` from features to {target name: logits}, for the learned targets.
            Default: a linear one of the class.
        linear_probe: see `Learner`.
        learned: the learned targets: name -> `Target`. The probe may predict others. Default: the
            class.
        num_classes: number of classes, for the defaults.
        **arguments: see `Learner`.

    Raises:
        UserError: see `Learner`; or neither `learned` nor `num_classes` says what to learn.
    """

    def __init__(
        self,
        encoder: Model,
        classifier: Model | None = None,
        linear_probe: Model | None = None,
        *,
        learned: Mapping[str, Target] | None = None,
        num_classes: int | None = None,
        **arguments: Any,
    ):
        if learned is None:
            if num_classes is None:
                raise UserError("Supervised learns classes: how many? Give num_classes.")
            learned = default_targets(num_classes)
        if classifier is None:
            sizes = {name: target.size for name, target in learned.items()}
            classifier = build_linear_probe(feature_dim(encoder), sizes)
        measures = ("loss", *(f"supervised/{name}/accuracy" for name in learned))
        super().__init__(encoder, linear_probe, measures=measures, **arguments)
        self.classifier = classifier
        self.learned = dict(learned)

    @property
    def parts(self) -> list[Model]:
        return [self.classifier]

    @property
    def needed_labels(self) -> list[str]:
        return [*super().needed_labels, *self.classifier.output]

    @property
    def progress_names(self) -> dict[str, str]:
        learned = {f"supervised/{name}/accuracy": f"learned {name}" for name in self.learned}
        return learned | super().progress_names

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        return {"method": f"supervised: learns {', '.join(self.learned)}"}

    def outputs(self, features: Tensor) -> Tensor:
        """The logits of the classifier: target name -> (rows, size)."""
        return self.classifier(features, training=True)

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        losses, accuracies = target_terms(self.learned, outputs, views.labels)
        loss = tf.add_n(list(losses.values())) / len(losses)
        named = {f"supervised/{name}/accuracy": value for name, value in accuracies.items()}
        return {"loss": loss, **named}
