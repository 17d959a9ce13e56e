"""The cost model: its counts, its fit, and what it says about many devices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tools import scaling

ROOT = Path(__file__).parents[2]
COSTS = dict(zip(scaling.PARTS, (2e-4, 1e-4, 5e-9, 2e-9, 3e-3, 4e-3), strict=True))


def points(noise: float) -> list[dict[str, float]]:
    generator = np.random.default_rng(0)
    return [
        {
            "devices": devices,
            "batch": batch,
            "seconds": scaling.predicted(COSTS, devices, batch) * generator.normal(1, noise),
        }
        for devices, batch in (*scaling.FITTED, *scaling.LEFT_OUT)
    ]


def test_counts_of_a_step() -> None:
    one = scaling.counts(1, 100, dim=8)
    assert one["pairs"] == 200**2
    assert one["gathered"] == one["synced"] == 0
    four = scaling.counts(4, 100, dim=8)
    # Forward to each of four devices, and a sum of gradients of twice that.
    assert four["gathered"] == 3 * 4 * 200 * 8
    assert four["synced"] == four["images"] == 100


def test_fit_finds_the_costs_again() -> None:
    exact = scaling.fit(points(0.0))
    for part, cost in COSTS.items():
        assert exact[part] == pytest.approx(cost, rel=1e-6)
    noisy = scaling.fit(points(0.03))
    for devices, batch in scaling.LEFT_OUT:
        expected = scaling.predicted(COSTS, devices, batch)
        assert scaling.predicted(noisy, devices, batch) == pytest.approx(expected, rel=0.08)


def test_left_out_points_are_not_fitted() -> None:
    assert not set(scaling.FITTED) & set(scaling.LEFT_OUT)


@pytest.mark.parametrize("workload", scaling.WORKLOADS, ids=lambda w: w.name)
def test_one_device_has_nothing_to_send_and_many_pay_for_it(workload: scaling.Workload) -> None:
    cluster = scaling.Cluster()
    alone = scaling.on_cluster(workload, 1, 256, cluster)
    assert alone["gather"] == alone["batch norm"] == alone["gradients"] == 0
    found = [scaling.on_cluster(workload, d, 256, cluster) for d in (1, 8, 64, 1024)]
    efficiencies = [each["efficiency"] for each in found]
    assert efficiencies == sorted(efficiencies, reverse=True)
    # The encoder's share is fixed, and tiles grow with the devices.
    assert found[-1]["encoder"] == found[0]["encoder"]
    assert found[-1]["distribution"] == pytest.approx(1024 * found[0]["distribution"])
    assert found[1]["batch norm"] == pytest.approx(5 * workload.norms * 3 * cluster.latency)
    # Ten operations of dim a pair, and six floats of traffic.
    pair = 10 * workload.dim / 200e12 + 24 / 2.5e12
    assert found[1]["distribution"] == pytest.approx(2 * 256 * 2 * 256 * 8 * pair)
    sorting = scaling.on_cluster(workload, 8, 256, cluster, sorted_prior=True)
    values = 2 * (2 * 256 * 8) * workload.dim  # projections, and as many drawn
    assert sorting["distribution"] == pytest.approx(values / cluster.sort_keys)
    assert sorting["gather"] == found[1]["gather"]
    # Memory of pairs ends to grow where tiles begin.
    other = [each["memory"] - 12 * 2 * 256 * d * workload.dim for each, d in
             zip(found, (2, 16, 128, 2048), strict=True)]  # fmt: skip
    assert other[0] < other[1] < other[2]
    assert other[3] < other[2]
    sent = 4 * 2 * 256 * 8 * workload.dim
    eight = found[1]["gather"] - 2 * 3 * cluster.latency
    assert eight == pytest.approx(3 * 7 / 8 * sent / cluster.inside)


def test_the_guide_has_the_tables_of_the_measured_points() -> None:
    measured = json.loads((ROOT / "docs" / "results" / "scaling.json").read_text())
    assert {(p["devices"], p["batch"]) for p in measured["points"]} == {
        *scaling.FITTED,
        *scaling.LEFT_OUT,
    }
    guide = (ROOT / "docs" / "scaling.md").read_text()
    for block in scaling.tables(measured).split("\n\n"):
        assert block.strip() in guide


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main(["--measure", f"--points={tmp_path / 'no' / 'such.json'}"]) == 2
    assert "whose folder is not there" in capsys.readouterr().err
    (tmp_path / "half.json").write_text('{"points": []}')
    assert scaling.main([f"--points={tmp_path / 'half.json'}"]) == 2
    assert "does not hold all points" in capsys.readouterr().err
    assert scaling.main([f"--points={tmp_path / 'none.json'}"]) == 2
    assert "make it by --measure" in capsys.readouterr().err
