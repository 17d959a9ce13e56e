"""Optimizers, their learning-rate rule and schedule.

`OPTIMIZERS` is the dictionary behind `--optimizer`. Weight decay is decoupled (Loshchilov and
Hutter 2019; LARS couples it): each step also does weight -= learning_rate * weight_decay * weight.
It applies to kernels only, not to batch-norm parameters and biases (variables of rank 0 or 1).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.lazy import keras, tf
from ssl_keras.options import Options, Registry, option

SCALING = ("none", "linear", "sqrt")
DECAY = ("cosine", "linear", "constant")
_RATE_HELP = "base learning rate, see --learning_rate_scaling"


@dataclass(frozen=True)
class Optimizer(Options):
    """Base of the optimizers: `build(schedule)` makes the Keras one."""

    learning_rate: float = option(1e-3, above=0, help=_RATE_HELP)
    weight_decay: float = option(0.0, minimum=0, help="decoupled weight decay of the kernels")

    keras_name: ClassVar[str] = "Adam"

    def build(self, learning_rate: Any) -> Any:
        """The `keras.optimizers.Optimizer` with this learning rate or schedule."""
        arguments = {n: value for n, value in self.options().items() if n != "learning_rate"}
        # Keras' AdamW needs a number; the others have no decay if it is None.
        if not arguments["weight_decay"] and self.keras_name != "AdamW":
            arguments["weight_decay"] = None
        return getattr(keras.optimizers, self.keras_name)(learning_rate=learning_rate, **arguments)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), Keras' defaults."""


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam with weight decay by default."""

    weight_decay: float = option(1e-4, minimum=0, help="decoupled weight decay of the kernels")
    keras_name = "AdamW"


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    learning_rate: float = option(0.05, above=0, help=_RATE_HELP)
    momentum: float = option(0.9, minimum=0, below=1, help="momentum of sgd and lars")
    keras_name = "SGD"


@dataclass(frozen=True)
class Lamb(Optimizer):
    """LAMB (You et al. 2020, arXiv 1904.00962): Adam with layer-wise trust ratios, for large
    batches.

        w = w - learning_rate * trust * u,   trust = ||w|| / ||u||,   u = m / (sqrt(v) + epsilon)

    As Keras computes it, which departs from the paper: the trust has no upper bound; biases and
    batch-norm parameters have it too; the weight decay is decoupled, outside of u and its trust.
    The trust is 1 if a norm is 0.
    """

    keras_name = "Lamb"


@dataclass(frozen=True)
class Lars(Optimizer):
    """LARS (You et al. 2017, arXiv 1708.03888): momentum with layer-wise trust ratios, for large
    batches.

        g = gradient + weight_decay * w
        v = momentum * v + learning_rate * trust * g,   trust = 0.001 ||w|| / ||g||
        w = w - v

    The trust is 1 if a norm is 0. Batch-norm parameters and biases have neither decay nor trust.
    The decay is coupled, that is, part of the momentum, as in google-research/simclr,
    lars_optimizer.py. Use it with --learning_rate_scaling=linear and a warm-up; the default rate is
    that of SimCLR for 256 images.
    """

    weight_decay: float = option(1e-6, minimum=0, help="weight decay of the kernels")
    learning_rate: float = option(0.3, above=0, help=_RATE_HELP)
    momentum: float = option(0.9, minimum=0, below=1, help="momentum of sgd and lars")

    def build(self, learning_rate: Any) -> Any:
        return _lars_class()(learning_rate, momentum=self.momentum, coupled_decay=self.weight_decay)


def lars_velocity(
    velocity: Any,
    weights: Any,
    slope: Any,
    learning_rate: Any,
    momentum: float,
    trust_coefficient: float = 0.001,
) -> Any:
    """The next velocity of a kernel, see `Lars`: all tensors, or arrays, of one dtype and shape.

    Args:
        velocity, weights: the current ones.
        slope: the gradient, with the coupled decay added.
        learning_rate, momentum, trust_coefficient: numbers or scalars of that dtype.
    """
    lengths = tf.norm(weights), tf.norm(slope)
    trust = trust_coefficient * tf.math.divide_no_nan(*lengths)
    trust = tf.where(tf.reduce_min(lengths) > 0, trust, 1.0)
    return momentum * velocity + learning_rate * (trust * slope)


@functools.cache
def _lars_class() -> Any:
    class LARS(keras.optimizers.Optimizer):
        """See `Lars`."""

        def __init__(
            self,
            learning_rate: Any,
            momentum: float = 0.9,
            coupled_decay: float = 0.0,
            trust_coefficient: float = 0.001,
            name: str = "lars",
            **arguments: Any,
        ):
            super().__init__(learning_rate=learning_rate, name=name, **arguments)
            self.momentum, self.coupled_decay = momentum, coupled_decay
            self.trust_coefficient = trust_coefficient

        def build(self, variables: Any) -> None:
            if self.built:
                return
            super().build(variables)
            self.velocities = [
                self.add_variable_from_reference(variable, name="velocity")
                for variable in variables
            ]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = tf.cast(learning_rate, variable.dtype)
            slope, weights = tf.cast(gradient, variable.dtype), tf.convert_to_tensor(variable)
            velocity = self.velocities[self._get_variable_index(variable)]
            if len(variable.shape) > 1:
                slope = slope + self.coupled_decay * weights
                constants = self.momentum, self.trust_coefficient
                update = lars_velocity(velocity, weights, slope, rate, *constants)
            else:
                update = self.momentum * velocity + rate * slope
            self.assign(velocity, update)
            self.assign_sub(variable, velocity)

        def get_config(self) -> dict[str, Any]:
            return super().get_config() | {
                "momentum": self.momentum,
                "coupled_decay": self.coupled_decay,
                "trust_coefficient": self.trust_coefficient,
            }

    return LARS


OPTIMIZERS: Registry[Optimizer] = Registry(
    "optimizer", Optimizer, {"adam": Adam, "adamw": AdamW, "sgd": SGD, "lamb": Lamb, "lars": Lars}
)


def scaled_learning_rate(learning_rate: float, batch_size: int, scaling: str) -> float:
    """The peak learning rate of a batch size.

    Args:
        learning_rate: the base rate.
        batch_size: images in the global batch.
        scaling: "none"; "linear": rate * batch / 256 (Goyal et al. 2017); "sqrt":
            rate * sqrt(batch) (Chen et al. 2020, appendix B.1).
    """
    factors = {"none": 1.0, "linear": batch_size / 256, "sqrt": math.sqrt(batch_size)}
    return learning_rate * factors[scaling]


def rule_text(learning_rate: float, batch_size: int, scaling: str) -> str:
    """The rule of `scaled_learning_rate` with its numbers, for the banner."""
    return {
        "none": f"{learning_rate:g}",
        "linear": f"{learning_rate:g} * {batch_size} / 256",
        "sqrt": f"{learning_rate:g} * sqrt({batch_size})",
    }[scaling]


def build_schedule(peak: float, *, total_steps: int, warmup_steps: int, decay: str) -> Any:
    """Linear warm-up from 0, then decay to 0: a `keras` learning-rate schedule.

        step < warmup_steps:  peak * step / warmup_steps
        afterwards:           peak * f((step - warmup_steps) / (total_steps - warmup_steps))

    with f(t) = (1 + cos(pi t)) / 2 for "cosine", 1 - t for "linear" and 1 for "constant".
    Source: google-research/simclr, tf2/model.py (WarmUpAndCosineDecay).
    """

    class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            step = tf.cast(step, tf.float32)
            ramp = tf.minimum(step / max(warmup_steps, 1), 1.0) if warmup_steps else 1.0
            progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
            progress = tf.clip_by_value(progress, 0.0, 1.0)
            if decay == "cosine":
                factor = (1.0 + tf.cos(math.pi * progress)) / 2.0
            else:
                factor = 1.0 - progress if decay == "linear" else tf.ones_like(progress)
            return peak * ramp * factor

        def get_config(self) -> dict[str, Any]:
            return {
                "peak": peak,
                "total_steps": total_steps,
                "warmup_steps": warmup_steps,
                "decay": decay,
            }

    return WarmupDecay()


def exclude_from_decay(optimizer: Any, variables: list[Any]) -> list[Any]:
    """Exclude batch-norm parameters and biases from weight decay, before `optimizer` is built.

    Returns:
        The excluded variables: those of rank 0 or 1.
    """
    excluded = [variable for variable in variables if len(variable.shape) <= 1]
    optimizer.exclude_from_weight_decay(var_list=excluded)
    return excluded
