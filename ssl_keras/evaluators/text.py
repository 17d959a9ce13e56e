"""What sentence features know: passages that say the same; and the control, TF-IDF."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.datasets.base import DataSet
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, measured
from ssl_keras.inputs import Tokens
from ssl_keras.neighbours import unit_rows
from ssl_keras.options import option


@dataclass(frozen=True)
class Parallel(Evaluator):
    """Whether the sentence nearest to one of a passage that occurs twice is its twin.

    `recall_at_1`: the share of those sentences whose nearest sentence, by the cosine, among all of
    these and the test sentences, is the twin. They are not trained on. For the data set sentences;
    the King James Bible has 321 pairs. Chance: 1 / sentences.
    """

    needs_labels: ClassVar[bool] = False  # nothing is fitted

    def check_data(self, data: DataSet) -> None:
        if data.unseen_target is None or data.unseen_target.name != "passage":
            raise UserError(
                f"The evaluator parallel needs passages that occur twice, and {data.name} has "
                "none: choose --dataset=sentences --source=kjv, or leave it out of --heads."
            )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        if frozen.unseen is not None and frozen.unseen_labels is not None:
            rows = unit_rows(np.concatenate([frozen.unseen, frozen.test]))
            yield "passage/recall_at_1", twin_recall(rows, frozen.unseen_labels)


def twin_recall(rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of the first `len(labels)` rows whose nearest other row has their label.

    Args:
        rows: (sentences, dim), dense or sparse, of unit length.
        labels: int, of the first rows; other rows have none.
    """
    count = len(labels)
    scores = rows[:count] @ rows.T
    scores = np.asarray(scores.todense()) if hasattr(scores, "todense") else scores
    scores[np.arange(count), np.arange(count)] = -np.inf
    found = scores.argmax(axis=1)
    known = np.concatenate([labels, np.full(len(scores[0]) - count, -1, labels.dtype)])
    return float(np.mean(known[found] == labels))


@dataclass(frozen=True)
class TfIdf(Evaluator):
    """A control without any network: words counted, and weighed by how rare they are.

    Sentences are vectors of (1 + log count) * (1 + log((1 + sentences) / (1 + sentences with the
    word))), of unit length. Each class is read by a ridge classifier; twins are found as in
    `parallel`. It reads the sentences, not the features: its values are the same for all encoders.
    """

    needs_labels: ClassVar[bool] = False  # no features are read, so shuffling shows nothing
    reads_data: ClassVar[bool] = True

    tf_idf_l2: float = option(1.0, above=0, help="L2 penalty of the classifier in tf_idf")

    def check_data(self, data: DataSet) -> None:
        if not isinstance(data.modality, Tokens):
            raise UserError(
                f"The evaluator tf_idf counts words, and {data.name} has {data.modality}: leave it "
                "out of --heads."
            )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        from sklearn.linear_model import RidgeClassifier

        train, test, unseen = _weighed(frozen)
        for name, target in frozen.targets.items():
            if target.kind == "class":
                model = RidgeClassifier(alpha=self.tf_idf_l2)
                model.fit(train, frozen.train_labels[name])
                scores = np.full((test.shape[0], target.size), -np.inf)
                decision = model.decision_function(test)
                if decision.ndim == 1:  # of two classes, or of one
                    both = np.stack([-decision, decision], axis=1)
                    decision = both[:, -len(model.classes_) :]
                scores[:, model.classes_] = decision
                for key, value in measured(target, frozen.test_labels[name], scores, seed).items():
                    yield f"{name}/{key}", value
        if unseen is not None and frozen.unseen_labels is not None:
            from scipy.sparse import vstack

            rows = vstack([unseen, test]).tocsr()
            yield "passage/recall_at_1", twin_recall(rows, frozen.unseen_labels)


def _weighed(frozen: FrozenFeatures) -> tuple[Any, Any, Any]:
    """(train, test, unseen or None): sparse matrices (sentences, words)."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer

    inputs = frozen.inputs
    assert inputs is not None
    assert isinstance(inputs.modality, Tokens)
    num_tokens = inputs.modality.num_tokens

    def counts(ids: np.ndarray) -> Any:
        ids = ids.astype(np.int64)
        rows, places = np.nonzero(ids)
        ones = np.ones(len(rows))
        return csr_matrix((ones, (rows, ids[rows, places])), (len(ids), num_tokens))

    weights = TfidfTransformer(sublinear_tf=True)
    train = weights.fit_transform(counts(inputs.train(np.arange(len(frozen.train)))))
    test = weights.transform(counts(inputs.test(np.arange(len(frozen.test)))))
    unseen = None
    if inputs.unseen is not None and frozen.unseen is not None:
        unseen = weights.transform(counts(inputs.unseen(np.arange(len(frozen.unseen)))))
    return train, test, unseen
