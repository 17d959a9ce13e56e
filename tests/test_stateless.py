"""Nothing in a training draws from a state: every draw is a function of seed, purpose and step."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from ssl_keras.config import Config
from ssl_keras.run import build
from ssl_keras.run.loop import batches
from tests.tiers import first_in_check

PACKAGE = Path(__file__).parent.parent / "ssl_keras"
DRAWS = re.compile(r"Random|Normal(?!iz)|Uniform|Multinomial|Shuffle|Rng|Poisson|Gamma|Sampl")


def stateful_draws(graph: Any) -> set[str]:
    """The operations of a graph, functions included, that draw numbers from a state."""
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return {
        node.op
        for node in nodes
        if DRAWS.search(node.op)
        and not node.op.startswith(("Stateless", "RandomIndexShuffle"))
        and "NoSeed" not in node.op
    }


def graph_of(dataset: Any) -> Any:
    content = tf.raw_ops.DatasetToGraphV2(input_dataset=dataset._variant_tensor)
    return tf.compat.v1.GraphDef.FromString(content.numpy())


SETTINGS: list[dict[str, Any]] = [
    {"loss": "uniform_prior", "views": "augment,mixup,dropout", "mixup_kind": "binary"},
    {"dataset": "table", "noise_deviation": 0.1, "corruption_rate": 0.3},
    {"loss": "gaussian_prior", "micro_batch": 4, "ema_decay": 0.9},
    {"dataset": "overlay", "color_strength": 0.8, "grayscale": 0.2, "blur": 0.5},
    {"loss": "nt_xent", "dataset": "multi_digit", "image_size": 40, "num_train_images": 64},
    {"method": "supervised"},
    {"method": "autoencoder"},
    {"method": "two_towers"},
]


@pytest.mark.full
@pytest.mark.parametrize("settings", [*SETTINGS[:2], *first_in_check(SETTINGS[2:], 2)], ids=str)
def test_a_training_step_and_its_data_draw_from_no_state(
    settings: dict[str, Any], data_dir: str
) -> None:
    config = Config.make(
        **{"dataset": "bit_concat", "batch_size": 8, "steps": 2, "heads": "", **settings},
        width_multiplier=0.125,
        data_dir=data_dir,
    )
    built = build(config)
    data = batches(built, 0)
    assert stateful_draws(graph_of(data)) == set()
    step = tf.function(built.model.train_step).get_concrete_function(data.element_spec)
    assert stateful_draws(step.graph.as_graph_def()) == set()
    generators = [v.path for v in built.model.variables if "seed_generator" in v.path]
    assert generators == []


def test_the_search_finds_them() -> None:
    shuffled = tf.data.Dataset.range(3).shuffle(3)
    assert stateful_draws(graph_of(shuffled)) == {"ShuffleDatasetV3"}
    noisy = tf.function(lambda: tf.map_fn(lambda x: x + tf.random.normal([]), tf.zeros(3)))
    draws = stateful_draws(noisy.get_concrete_function().graph.as_graph_def())
    assert draws == {"RandomStandardNormal"}


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_the_source_calls_no_generator_with_a_state() -> None:
    wrong = re.compile(
        r"(np\.random\.(?!default_rng$|Generator$)\w+"
        r"|tf\.random\.(?!stateless_|experimental|set_global_generator|Generator)\w+"
        r"|tf\.random\.experimental\.(?!stateless_|index_shuffle)\w+"
        r"|keras\.random\.\w+)$"
    )
    stateful = {
        f"{path.name}: {call}"
        for path in PACKAGE.rglob("*.py")
        for call in calls(ast.parse(path.read_text()))
        if wrong.match(call)
    }
    assert stateful == set()
