"""What is measured while a run trains: the geometry of some training images, and collapse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from ssl_keras import metrics, randomness
from ssl_keras.callbacks import Listener, TensorBoardScalars
from ssl_keras.datasets.composing import compose_images
from ssl_keras.evaluation.geometry import TEMPERATURE, describe
from ssl_keras.experiment.building import Experiment

# Measurements in a run, unless --measure_every says otherwise.
MEASUREMENTS = 50
# Projections whose pairs are closer than this on average count as one point: at a uniformity of
# -0.05 their mean squared distance is about 0.025.
COLLAPSED_UNIFORMITY = -0.05
COLLAPSED_RANK = 1.1


def build_measure(experiment: Experiment, num_images: int) -> Callable[[int], dict[str, Any]]:
    """A function from the step to the measures of features and projections.

    The images are some training images, the same at each call, un-augmented and in two views that
    are the same at each call too, all in inference mode: what changes from call to call is the
    network alone, and measuring changes nothing in the training.

    Args:
        experiment: what `build` has made.
        num_images: how many images, at least 2.

    Returns:
        step -> {"features/NAME" and "projections/NAME": scalar}, with the names of
        `evaluation.geometry.describe`, and {"positives", "negatives"}: similarities of projections.
    """
    data, model, config = experiment.data, experiment.model, experiment.config
    num_images = min(num_images, data.train.num_examples)
    seed = config.run.seed
    batch = next(iter(data.train.training_batches(num_images, seed=seed, num_steps=1)))
    views, planes, _ = model.augmenter.two_views(batch["image"], 0, batch.get("planes"))
    inputs = tf.concat([data.inputs(batch), compose_images(views, planes)], axis=0)
    key = randomness.key(seed, "geometry")

    @tf.function
    def measure(step: Any) -> dict[str, Any]:
        outputs = model.representations(inputs)
        loss = model.contrastive_loss.at(model.progress(step))
        temperature = getattr(loss, "temperature", TEMPERATURE)
        found: dict[str, Any] = {}
        for depth, output in (("features", outputs[0]), ("projections", outputs[-1])):
            images, first, second = tf.split(output, 3)
            measures = describe(
                images,
                first,
                second,
                batch["labels"],
                data.features,
                temperature=temperature,
                seed=key,
            )
            found |= {f"{depth}/{name}": value for name, value in measures.items()}
        similarities, _ = metrics.relative_penalties(first, second, temperature)
        units = [metrics.normalize(view) for view in (first, second)]
        found["positives"] = tf.reduce_sum(units[0] * units[1], axis=1)
        found["negatives"] = similarities
        return found

    return lambda step: {
        name: value.numpy() for name, value in measure(tf.constant(step, tf.int64)).items()
    }


class GeometryLog(Listener):
    """Measures while training, writes scalars and histograms, and warns of a collapse, once.

    Args:
        measure: what `build_measure` returns.
        board: where scalars go.
        every: least steps between measurements; they are made when metrics are logged.
        diagnose: (step, training values, measures) -> a warning, or None.
    """

    def __init__(
        self,
        measure: Callable[[int], dict[str, Any]],
        board: TensorBoardScalars,
        every: int,
        diagnose: Callable[[int, Mapping[str, float], Mapping[str, float]], str | None],
    ):
        self.measure, self.board, self.every, self.diagnose = measure, board, every, diagnose
        self.records: list[dict[str, float]] = []
        self.warning: str | None = None
        self.next = 0

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.total, self.next = total_steps, first_step

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        if step < self.next and step != self.total:
            return
        self.next = step + self.every
        found = self.measure(step)
        histograms = {name: found.pop(name) for name in ("positives", "negatives")}
        measures = {name: float(v) for name, v in found.items() if not math.isnan(v)}
        self.records.append({"step": step, **measures})
        self.board.scalars({f"geometry/{name}": v for name, v in measures.items()}, step)
        for name, similarities in histograms.items():
            self.board.histogram(f"similarities/{name}", similarities, step)
        if self.warning is None and (text := self.diagnose(step, values, measures)):
            self.warning = text
            print(f"\nWarning: {text}", flush=True)


def diagnosis(experiment: Experiment) -> Callable[..., str | None]:
    """The `diagnose` of `GeometryLog` for a run: says whether projections have collapsed, and why.

    Signs: uniformity above -0.05 (all projections point the same way), an effective rank below
    1.1, a loss within 1% of its value at collapse. Any of them counts after a tenth of the
    training.
    """
    config, model = experiment.config, experiment.model
    batch = config.optimization.batch_size
    dim = int(model.representations(tf.zeros((1, *experiment.data.input_shape)))[-1].shape[-1])

    def diagnose(
        step: int, values: Mapping[str, float], measures: Mapping[str, float]
    ) -> str | None:
        if step < experiment.total_steps / 10:
            return None
        loss = config.loss.at(step / experiment.total_steps)
        chance = loss.collapse_value(batch, dim)
        uniformity = measures["projections/uniformity"]
        rank = measures["projections/effective_rank"]
        signs = []
        if uniformity > COLLAPSED_UNIFORMITY:
            signs.append(f"uniformity {uniformity:.3f}")
        if rank < COLLAPSED_RANK:
            signs.append(f"effective rank {rank:.2f} of {dim}")
        if abs(values["loss"] - chance) <= 0.01 * max(abs(chance), 0.1):
            signs.append(f"loss {values['loss']:.4g}, that of equal projections")
        if not signs:
            return None
        return f"the projections have collapsed at step {step} ({', '.join(signs)}). {_cause()}"

    def _cause() -> str:
        weight_name = next(
            (n for n in ("distribution_weight", "uniformity_weight") if hasattr(config.loss, n)),
            None,
        )
        if weight_name and not float(config.loss.at(0.5).weights[1]):
            return f"The likely cause: {weight_name} is 0, so nothing keeps images apart."
        usual = config.optimizer.default_learning_rate
        if experiment.peak_learning_rate > 10 * usual:
            return (
                f"The likely cause: a learning rate of {experiment.peak_learning_rate:g}, where "
                f"{usual:g} is usual."
            )
        if getattr(config.loss, "mining", None) == "hard":
            return "The likely cause: mining=hard from the start; try semi_hard."
        changes = ["a lower --learning_rate"]
        if weight_name:
            changes.append(f"a higher --{weight_name}")
        if hasattr(config.loss, "temperature"):
            changes.append("a lower --temperature")
        return f"No single cause is evident; try {' or '.join(changes)}."

    return diagnose
