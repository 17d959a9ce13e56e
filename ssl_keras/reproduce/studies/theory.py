"""Arora et al. 2019: the mean classifier, its bound, and the number of negatives."""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import ACCURACY, GLYPHS, UNTRAINED, Study
from ssl_keras.reproduce.verdicts import papers

BATCHES = (4, 16, 64, 250)


def _cells(scale: str) -> dict[str, dict[str, Any]]:
    """The logistic loss by the number of negatives, which is that of the batch without one."""
    base: dict[str, Any] = {
        "laptop": {**GLYPHS, "epochs": 20},
        "full": {
            "dataset": "plain",
            "source": "cifar100",
            "encoder": "resnet18",
            "epochs": 200,
        },
    }[scale]
    base |= {"loss": "logistic", "heads": "linear,mean_classifier,geometry"}
    return {f"batch-{batch}": {**base, "batch_size": batch} for batch in BATCHES}


STUDIES = {
    "arora": Study(
        answer=(
            "The mean classifier has a loss of {batch-16:mean_classifier_loss}, the unsupervised "
            "loss is {batch-16:unsupervised_loss}: far above its bound, since views of one image "
            "are no pairs of a class. 15 negatives are best (linear {batch-16:accuracy}; 249: "
            "{batch-250:accuracy}), at equal epochs."
        ),
        question="Does the unsupervised loss bound that of the mean classifier, and do more "
        "negatives help? (Arora et al. 2019)",
        grid=_cells,
        measures={
            "accuracy": ACCURACY,
            "mean_classifier": "mean_classifier/features/class/accuracy",
            "avg_2": "mean_classifier/features/class/avg_2_accuracy",
            "avg_2_few_shot": "mean_classifier/features/class/avg_2_few_shot_accuracy",
            "unsupervised_loss": "geometry/projection_2/pairwise_logistic_loss",
            "mean_classifier_loss": "geometry/projection_2/mean_classifier_loss/class",
            "untrained": UNTRAINED,
            "chance": "chance/class",
        },
        figure=figures.arora,
        panels=2,
        smoke=("batch-4", "batch-250"),
        claim="The logistic loss of the mean classifier, of two classes, is at most (L - c) / "
        "(1 - c), with L the unsupervised loss with one negative and c the probability that a "
        "negative is of the anchor's class; means of five images a class classify nearly as well "
        "as those of all; and more negatives than some number hurt, since more of them are of the "
        "anchor's class (Arora et al. 2019, theorem 4.1, section 6 and table 1).",
        differs="62 characters in fonts that were not seen, 6,200 images, 20 epochs, a small "
        "convnet, in place of Wiki-3029 and CIFAR-100. The theorem takes two images of one class "
        "as the positive pair; here they are two views of one image, for which nothing guarantees "
        "the bound. Larger batches make fewer steps.",
        verdict=papers.arora,
    ),
}
