"""One set of losses on words, sentences, tables, characters and goals."""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import GLYPHS, Study, size

LOSSES: dict[str, dict[str, Any]] = {
    "nt_xent": {"loss": "nt_xent", "negatives": "cross", "temperature": 0.1},
    "decoupled_nt_xent": {"loss": "decoupled_nt_xent", "temperature": 0.1},
    "hypersphere_prior": {"loss": "hypersphere_prior"},
    "align_uniform": {"loss": "align_uniform"},
    "n_pair": {"loss": "n_pair"},
    "sgns": {"loss": "sgns"},
}
# Where the data give pairs, examples with an equal partner are no negatives of each other.
_PAIRS = {"views": "given", "method": "two_towers"}
_CANCELS = ("nt_xent", "n_pair")


def _domains(scale: str) -> dict[str, dict[str, Any]]:
    length = {"laptop": 1, "full": 10}[scale]
    return {
        "tables": {
            **{"dataset": "table", "source": "digits", "encoder": "mlp", "mlp_layers": 2},
            **{"views": "mixup", "mixup_alpha": 0.5, "batch_size": 256, "steps": 600 * length},
            "heads": "geometry,knn",
        },
        "words": {
            **{"dataset": "skip_gram", "encoder": "embedding", "projection_layers": 0, **_PAIRS},
            **{"batch_size": 512, "steps": 4000 * length, "learning_rate": 0.005},
            "heads": "geometry,similarity",
        },
        "sentences": {
            **{"dataset": "sentences", "encoder": "transformer", "views": "dropout"},
            **{"embedding_dim": 64, "transformer_layers": 1, "max_words": 32},
            **{"projection_layers": 0, "batch_size": 128, "steps": 400 * length},
            "heads": "geometry,knn,parallel,tf_idf",
        },
        "characters": {
            **{**size("laptop", 15), **GLYPHS},
            **({} if scale == "laptop" else {"epochs": 150}),
            "heads": "geometry,knn",
        },
        "goals": {
            **{"dataset": "four_rooms", "num_walks": 10_000, "encoder": "mlp", "mlp_layers": 2},
            **{**_PAIRS, "projection_dim": 64, "batch_size": 500, "steps": 2000 * length},
            **{"learning_rate": 0.003, "heads": "geometry,goal_reaching"},
        },
    }


def _cells(scale: str) -> dict[str, dict[str, Any]]:
    cells = {}
    for domain, settings in _domains(scale).items():
        for name, loss in LOSSES.items():
            cell = {**settings, **loss, "measure_images": 0}
            if domain == "words" and name in _CANCELS:
                cell["cancel_negatives"] = "context"
            cells[f"{domain}-{name}"] = cell
    return cells


# What tells how good the features are, in the order of the domains: the first that a run has
# measured. Rank correlation with judged pairs of words; share of sentences that find their twin;
# share of starts that reach a goal; accuracy of nearest neighbours.
_KEYS = (
    "similarity/features/men/spearman",
    "parallel/features/passage/recall_at_1",
    "goal_reaching/projection_2/maze/cosine_success",
    "knn/features/class/accuracy",
)

STUDIES = {
    "domains": Study(
        question="What do the same losses learn of words, sentences, tables, characters and goals?",
        answer=(
            "Words agree with people's judgement at {words-sgns:value} with word2vec's loss and at "
            "{words-nt_xent:value} with NT-Xent (untrained {words-sgns:untrained}). Sentences find "
            "their twin at {sentences-nt_xent:value} (untrained {sentences-nt_xent:untrained}; "
            "counting words {sentences-nt_xent:tf_idf}). Goals are reached at "
            "{goals-nt_xent:value} with NT-Xent and at {goals-sgns:value} with word2vec's loss."
        ),
        grid=_cells,
        measures={
            "value": " or ".join(_KEYS),
            # The similarity of untrained towers is read from their features.
            "untrained": " or ".join(
                f"untrained/{key.replace('projection_2', 'features')}" for key in _KEYS
            ),
            "inner_product": "goal_reaching/projection_2/maze/success",
            "class": "knn/features/class/accuracy",
            "length": "knn/features/length/accuracy",
            "tf_idf": "tf_idf/features/passage/recall_at_1",
            "alignment": "geometry/features/alignment",
            "uniformity": "geometry/features/uniformity",
        },
        figure=figures.domains,
        panels=6,
        smoke=("sentences-nt_xent", "goals-sgns"),
    ),
}
