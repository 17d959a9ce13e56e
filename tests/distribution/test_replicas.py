"""Several devices that share a batch train as one device would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets, losses
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.run import build
from ssl_keras.run.loop import batches
from tests import processes
from tests.distribution import parity
from tests.tiers import first_in_check

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


# One that gathers projections, one that matches a prior, and one that compares entries.
OF_THREE_KINDS = ["nt_xent", "uniform_prior", "vicreg"]
OTHERS = sorted(set(losses.LOSSES) - set(OF_THREE_KINDS))


@pytest.mark.parametrize(
    "loss", [OF_THREE_KINDS[0], *first_in_check([*OF_THREE_KINDS[1:], *OTHERS], 2)]
)
def test_three_steps_on_two_devices_equal_those_on_one(loss: str, two_replicas: Any) -> None:
    # Value and gradient of every loss on two devices are compared in tests/losses/test_losses.py.
    parity.compare(loss, two_replicas)


@pytest.mark.exhaustive
def test_whatever_a_step_touches_is_that_of_one_device(two_replicas: Any) -> None:
    # Views, dropout, batch norm after convolutions, probe, penalty, metrics, moving averages.
    parity.compare("uniform_prior", two_replicas, full=True, ema_decay=0.5)


@pytest.mark.exhaustive
def test_dropout_in_parts_of_shares_repeats_its_masks(two_replicas: Any) -> None:
    options = {"full": True, "batch_norm": False}
    alone = parity.trained(parity.make("nt_xent", **options), None)
    with two_replicas.scope():
        model = parity.make("nt_xent", **options, micro_batch=2)
    parity.agree(parity.trained(model, two_replicas), alone, "nt_xent")


@pytest.mark.exhaustive
def test_parts_of_shares_give_the_step_of_the_whole_batch(two_replicas: Any) -> None:
    alone = parity.trained(parity.make("nt_xent", batch_norm=False), None)
    with two_replicas.scope():
        model = parity.make("nt_xent", batch_norm=False, micro_batch=2)
    parity.agree(parity.trained(model, two_replicas), alone, "nt_xent")


@pytest.mark.exhaustive
def test_three_steps_on_four_devices_equal_those_on_one() -> None:
    done = processes.run(["-m", "tests.distribution.parity", "4"], cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    # All losses are compared on two devices, above.
    assert done.stdout.count("4 devices equal one") == len(parity.one_of_each_kind()) >= 4


@pytest.mark.full
def test_every_device_gets_its_share_of_the_batch_of_the_step(
    two_replicas: Any, data_dir: str
) -> None:
    config = Config.make(
        dataset="plain", batch_size=6, steps=5, strategy="mirrored", devices=2, heads="",
        max_train_images=20, data_dir=data_dir,
    )  # fmt: skip
    built = build(config)
    iterator = iter(batches(built, first_step=2))
    split = built.data.train
    for step in (2, 3, 4):
        shares = two_replicas.experimental_local_results(next(iterator)["labels"]["class"])
        rows = split.step_rows(step, 6, seed=0).numpy()
        expected = split.read_labels("class")[rows]
        np.testing.assert_array_equal(np.concatenate(shares), expected)
        assert [len(share) for share in shares] == [3, 3]


@pytest.mark.parametrize("shares", [(range(2, 4), 4), (range(1), 3)])
def test_shares_of_a_batch_follow_each_other(shares: tuple[range, int], data_dir: str) -> None:
    split = datasets.load("plain", data_dir=data_dir).train
    numbers, count = shares
    found = split.training_batches(
        12, seed=1, num_steps=4, start_step=1, shares=numbers, num_shares=count
    )
    labels = [batch["labels"]["class"].numpy() for batch in found]
    assert len(labels) == 3 * len(numbers)
    whole = [split.read_labels("class")[split.step_rows(s, 12, seed=1)] for s in (1, 2, 3)]
    parts = [np.split(rows, count)[share] for rows in whole for share in numbers]
    np.testing.assert_array_equal(labels, parts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 7}, "batch_size is 7, which 2 devices cannot share equally: give a mult"),
        (
            {"micro_batch": 5},
            "does not divide the 8 examples of a device: give a divisor, such as 4",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(settings: dict[str, Any], message: str) -> None:
    values = {"batch_size": 16, "strategy": "mirrored", "devices": 2, "heads": "", **settings}
    with pytest.raises(UserError, match=message):
        build(Config.make(dataset="plain", **values))
