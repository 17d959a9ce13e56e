"""The settings of fine-tuning a finished run."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_keras.options import Options, option

# The length of fine-tuning where none is given: passes over the labelled images (SimCLR's with 10%
# of the labels), but no fewer steps than these, so that the control gets there with few labels too.
DEFAULT_EPOCHS, LEAST_STEPS = 30, 500


@dataclass(frozen=True)
class FinetuningConfig(Options):
    """Fine-tuning"""

    label_fraction: float = option(
        0.1, above=0, maximum=1, help="share of the training images of each class with labels"
    )
    finetune_from: str = option(
        "features",
        help="last layer that is kept, below the new classifier: features, projection_1, ...",
    )
    target: str | None = option(
        None, help="target that is learned (class if there is one, or the first)"
    )
    epochs: int | None = option(
        None,
        minimum=1,
        help=f"passes over the labelled images ({DEFAULT_EPOCHS}, at least {LEAST_STEPS} steps)",
    )
    steps: int | None = option(None, minimum=1, help="training steps; overrides --epochs")
    batch_size: int = option(64, minimum=2, help="images in a batch, or all if there are fewer")
    learning_rate: float = option(1e-3, above=0, help="peak learning rate of Adam, cosine decay")
    seed: int = option(
        0,
        minimum=0,
        maximum=2**31 - 1,
        help="chooses labelled images, classifier, order and views; a repetition takes the next",
    )
    repeats: int = option(
        1, minimum=1, maximum=1000, help="times everything is done, with other seeds"
    )

    def total_steps(self, num_images: int, batch_size: int) -> int:
        """The length of the training on `num_images` in batches of `batch_size`."""
        steps_per_epoch = num_images // batch_size
        if self.steps is not None:
            return self.steps
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return max(DEFAULT_EPOCHS * steps_per_epoch, LEAST_STEPS)
