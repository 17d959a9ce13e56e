"""Measures during training: the geometry of some training examples, and signs of collapse."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ssl_keras import log, metrics, randomness
from ssl_keras.errors import UserError
from ssl_keras.evaluators.extraction import view_representations
from ssl_keras.evaluators.geometry import TEMPERATURE, describe
from ssl_keras.lazy import tf
from ssl_keras.losses import Loss
from ssl_keras.losses.pairs import compare
from ssl_keras.run.callbacks import Listener, TensorBoardScalars
from ssl_keras.run.messages import advice
from ssl_keras.run.setup import TrainingSetup

# The measures that are shown as distributions.
HISTOGRAMS = (
    "similarities/positives",
    "similarities/negatives",
    "norms/features",
    "norms/projections",
)
# Above this uniformity all projections count as one point; their mean squared distance is then
# about 0.025.
COLLAPSED_UNIFORMITY = -0.05
COLLAPSED_RANK = 1.1
# The loss counts as that of equal projections within this share of its distance to the loss of
# random points with equal views.
AT_CHANCE = 0.02


def build_measure(setup: TrainingSetup, num_images: int) -> Callable[[int], dict[str, Any]]:
    """A function from the step to the measures of features and projections.

    Each call measures the same training examples, un-augmented and in the same two views, in
    inference mode. So only the network changes between calls, and measuring does not affect the
    training.

    Args:
        setup: the training setup.
        num_images: number of examples, at least 2.

    Returns:
        step -> {"features/NAME" and, for contrastive methods, "projections/NAME": scalar}, with the
        names of `evaluators.geometry.describe`, and the arrays of `HISTOGRAMS`: similarities of
        projections (of features without a projection head) and norms of both.
    """
    data, model, config = setup.data, setup.model, setup.config
    targets = data.targets  # `measure` outlives the data, see `sharing`
    num_images = min(num_images, data.train.num_examples)
    seed = config.run.seed
    batch = next(iter(data.train.training_batches(num_images, seed=seed, num_steps=1)))
    views, dropout = model.augmenter.two_views(batch, 0)
    inputs = tf.concat([data.inputs(batch), data.modality.compose(views)], axis=0)
    key = randomness.key(seed, "geometry")

    @tf.function(autograph=False)
    def measure(
        step: Any, inputs: Any, dropout: Any, labels: Mapping[str, Any], key: Any
    ) -> dict[str, Any]:
        if config.views.dropout() or model.partner_representations is not None:
            # Examples themselves have no masks, and the encoder of first views.
            plain, views = tf.split(inputs, [num_images, 2 * num_images])
            of_views = view_representations(
                model.representations, model.partner_representations, views, dropout
            )
            both = zip(model.representations(plain), of_views, strict=True)
            outputs = [tf.concat(layer, axis=0) for layer in both]
        else:
            outputs = model.representations(inputs)
        # Runs that share this function may differ in the constants of their loss.
        loss = model.loss_with_variables and model.loss_with_variables.at(model.progress(step))
        temperature = getattr(loss, "temperature", TEMPERATURE)
        values: dict[str, Any] = {}
        layers = {"features": outputs[0]}
        if config.method.contrastive:
            layers["projections"] = outputs[-1]
        for layer, output in layers.items():
            values[f"norms/{layer}"] = tf.norm(output, axis=1)
            images, first, second = tf.split(output, 3)
            measures = describe(
                images,
                first,
                second,
                labels,
                targets,
                temperature=temperature,
                seed=key,
            )
            values |= {f"{layer}/{name}": value for name, value in measures.items()}
        pairs = compare(*(metrics.normalize(view) for view in tf.split(outputs[-1], 3)[1:]))
        values["similarities/positives"] = pairs.positives[:num_images]
        values["similarities/negatives"] = pairs.hardest(pairs.num_negatives)
        return values

    kinds = tuple((name, target.kind, target.size) for name, target in targets.items())
    traced = model.traced.get(("geometry", num_images, kinds), lambda: measure)

    def measured(step: int) -> dict[str, Any]:
        values = traced(tf.constant(step, tf.int64), inputs, dropout, batch["labels"], key)
        return {name: value.numpy() for name, value in values.items()}

    return measured


class GeometryLog(Listener):
    """Measures geometry during training, writes scalars and histograms, and warns of a collapse.

    Args:
        measure: see `build_measure`.
        board: the writer of scalars.
        every: minimum number of steps between measurements, which are made at logs.
        diagnose: (step, training values, measures) -> a warning, or None; the first one is shown.
        advice: the advice if numbers are not finite.
    """

    def __init__(
        self,
        measure: Callable[[int], dict[str, Any]],
        board: TensorBoardScalars,
        every: int,
        diagnose: Callable[[int, Mapping[str, float], Mapping[str, float]], str | None],
        advice: str,
    ):
        self.measure, self.board, self.every = measure, board, every
        self.diagnose, self.advice = diagnose, advice
        self.records: list[dict[str, float]] = []
        self.warning: str | None = None
        self.next = 0

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.total, self.next = total_steps, max(self.next, first_step)

    def state(self) -> dict[str, Any]:
        return {"records": self.records, "warning": self.warning, "next": self.next}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.records = list(state["records"])
        self.warning, self.next = state["warning"], state["next"]

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        if step < self.next and step != self.total:
            return
        self.next = step + self.every
        results = self.measure(step)
        histograms = {name: results.pop(name) for name in HISTOGRAMS if name in results}
        if not all(math.isfinite(v) for name, v in results.items() if name.endswith("mean_norm")):
            raise UserError(
                f"The representations are not finite numbers at step {step}: training was stopped. "
                f"{self.advice}"
            )
        measures = {name: float(v) for name, v in results.items() if math.isfinite(v)}
        self.records.append({"step": step, **measures})
        self.board.scalars({f"geometry/{name}": v for name, v in measures.items()}, step)
        for name, array in histograms.items():
            self.board.histogram(name, array, step)
        if self.warning is None and (text := self.diagnose(step, values, measures)):
            self.warning = text
            log.warning(f"\nWarning: {text}")


def diagnosis(setup: TrainingSetup) -> Callable[..., str | None]:
    """The `diagnose` of `GeometryLog` for a run: detects a collapse and names the likely cause.

    The projections have collapsed if their uniformity is above -0.05 (all point the same way) or
    their effective rank is below 1.1. If they have not, the loss may still be that of equal
    projections: training has not lowered it. Both are checked after a tenth of the training.
    """
    config = setup.config
    if config.loss is None:
        return lambda *_: None
    contrastive_loss, batch, dim = (
        config.loss,
        config.optimization.batch_size,
        setup.model.projection_dim,
    )

    def diagnose(
        step: int, values: Mapping[str, float], measures: Mapping[str, float]
    ) -> str | None:
        if step < setup.total_steps / 10:
            return None
        uniformity = measures["projections/uniformity"]
        rank = measures["projections/effective_rank"]
        signs = []
        if uniformity > COLLAPSED_UNIFORMITY:
            signs.append(f"uniformity {uniformity:.3f}")
        if rank < COLLAPSED_RANK:
            signs.append(f"effective rank {rank:.2f} of {dim}")
        finding = "the projections have collapsed" if signs else "nothing lowers the loss"
        current = contrastive_loss.at(step / setup.total_steps)
        chance = current.collapse_value(batch, dim)
        # A loss without a distribution term is lowest where all projections are equal.
        if abs(chance - values["loss"]) <= max(AT_CHANCE * _room(current), 1e-3):
            signs.append(f"loss {values['loss']:.4g}, that of equal projections")
        if not signs:
            return None
        return f"{finding} at step {step} ({', '.join(signs)}). {_cause()}"

    @functools.cache  # without a schedule the loss is the same for the whole training
    def _room(loss: Loss) -> float:
        """The loss of equal projections minus that of random points with equal views."""
        count = min(batch, 512)
        points = np.random.default_rng(0).normal(size=(count, dim)).astype(np.float32)
        return loss.collapse_value(count, dim) - float(loss(points, points, seed=0))

    def _cause() -> str:
        weights = ("distribution_weight", "uniformity_weight")
        weight_name = next((name for name in weights if hasattr(contrastive_loss, name)), None)
        if weight_name and not float(contrastive_loss.at(0.5).weights[1]):
            return f"The likely cause: {weight_name} is 0, so nothing keeps examples apart."
        usual = type(config.optimizer)().learning_rate
        if setup.peak_learning_rate > 10 * usual:
            return (
                f"The likely cause: a learning rate of {setup.peak_learning_rate:g}, where "
                f"{usual:g} is usual."
            )
        if getattr(contrastive_loss, "mining", None) == "hard":
            return "The likely cause: mining=hard from the start; try semi_hard."
        changes = ["a lower --learning_rate"]
        if weight_name:
            changes.append(f"a higher --{weight_name}")
        if hasattr(contrastive_loss, "temperature"):
            changes.append("a lower --temperature")
        return f"No single cause is evident; try {' or '.join(changes)}."

    return diagnose


def build_geometry_log(setup: TrainingSetup, board: TensorBoardScalars) -> GeometryLog | None:
    """The listener that measures geometry while training, unless it is switched off."""
    settings = setup.config.run
    if not settings.measure_images:
        return None
    every = settings.measure_every or 1
    measure = build_measure(setup, settings.measure_images)
    return GeometryLog(measure, board, every, diagnosis(setup), advice(setup))
