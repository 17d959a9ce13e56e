"""The settings of fine-tuning a finished run."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_keras.options import Options, option

# The default length of fine-tuning: epochs (SimCLR's for 10% of the labels), but at least so many
# steps, so that the control converges with few labels too.
DEFAULT_EPOCHS, LEAST_STEPS = 30, 500


@dataclass(frozen=True)
class FinetuningConfig(Options):
    """Fine-tuning"""

    label_fraction: float = option(
        0.1, above=0, maximum=1, help="share of the training examples of each class with labels"
    )
    finetune_from: str = option(
        "features",
        help="layer that the new classifier is put on: features, projection_1, ...",
    )
    target: str | None = option(
        None, help="target to learn (class if the data have it, or the first)"
    )
    epochs: int | None = option(
        None,
        minimum=1,
        help=f"passes over the labelled examples ({DEFAULT_EPOCHS}, at least {LEAST_STEPS} steps)",
    )
    steps: int | None = option(None, minimum=1, help="training steps; overrides --epochs")
    batch_size: int = option(64, minimum=2, help="examples in a batch, at most all of them")
    learning_rate: float = option(1e-3, above=0, help="peak learning rate of Adam, cosine decay")
    seed: int = option(
        0,
        minimum=0,
        maximum=2**31 - 1,
        help="seed of labelled examples, classifier, order and views; each repetition adds 1",
    )
    repeats: int = option(
        1, minimum=1, maximum=1000, help="number of repetitions, with different seeds"
    )

    def total_steps(self, num_examples: int, batch_size: int) -> int:
        """The length of the training on `num_examples` in batches of `batch_size`."""
        steps_per_epoch = num_examples // batch_size
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return max(DEFAULT_EPOCHS * steps_per_epoch, LEAST_STEPS)
