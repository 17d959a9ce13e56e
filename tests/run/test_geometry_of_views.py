"""Geometry is measured on the views that are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.config import Config
from ssl_keras.evaluators.extraction import extract
from ssl_keras.run import build
from ssl_keras.run.geometry import build_measure


def dropout_run(**settings: Any) -> Any:
    base = {"views": "dropout", "dropout_rate": 0.3, "num_bits": 0, "heads": "", "steps": 1}
    base |= {"batch_size": 16, "width_multiplier": 0.25, "max_train_images": 64}
    return build(Config.make(**base, **settings))


@pytest.mark.full
@pytest.mark.parametrize("masks", ["independent", "equal"])
def test_geometry_is_that_of_the_views_with_their_masks(masks: str) -> None:
    setup = dropout_run(loss="nt_xent", dropout_masks=masks)
    logged = build_measure(setup, 32)(0)["features/alignment"]
    frozen = extract(
        setup.model.representations,
        setup.data,
        ["features"],
        augmenter=setup.model.augmenter,
        num_views=32,
    )["features"]
    views = frozen.views
    assert views is not None
    if masks == "equal":
        assert logged == 0
        np.testing.assert_array_equal(views.first, views.second)
    else:
        assert logged > 0.01
        assert np.abs(views.first - views.second).max() > 0.01
        # Examples themselves are measured without dropout.
        again = extract(setup.model.representations, setup.data, ["features"])["features"]
        np.testing.assert_array_equal(frozen.test, again.test)


@pytest.mark.full
def test_geometry_of_two_towers_reads_second_views_with_the_second(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 5)).astype(np.float32)
    np.savez(tmp_path / "pairs.npz", x=x, partner=x)
    settings = {"dataset": "table", "source": f"npz:{tmp_path / 'pairs.npz'}", "views": "given"}
    settings |= {"method": "two_towers", "loss": "nt_xent", "batch_size": 16, "steps": 1}
    setup = build(Config.make(**settings, heads="", mlp_width=16))
    measure = build_measure(setup, 32)
    assert measure(0)["projections/alignment"] > 0.01  # equal inputs, different towers
    model = setup.model
    model.partner_encoder.set_weights(model.encoder.get_weights())
    model.partner_projection_head.set_weights(model.trained_head.get_weights())
    assert measure(0)["projections/alignment"] < 1e-6
