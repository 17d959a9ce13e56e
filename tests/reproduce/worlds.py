"""Pretended results of studies: a world in which the papers' claims hold, and others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ssl_keras.reproduce.studies import STUDIES
from ssl_keras.reproduce.studies.randbit import BITS, PUBLISHED

Values = Callable[[str, dict[str, Any]], float]


def pretended_targets(name: str) -> list[str]:
    """The targets of the pretended data set."""
    if name == "depth":
        return ["character", "color", "size", "position"]
    if name == "rivals":
        return ["character", "color", "font", "class", "digit"]
    return ["class", "digit"] if STUDIES[name].by_target else ["class"]


def pretended(name: str, value: Values, seeds: int = 3) -> list[dict[str, Any]]:
    """Results of all runs of a study, in which `value(column, settings)` was measured; the settings
    have the target as well."""
    study = STUDIES[name]
    targets = pretended_targets(name)
    chances = {c: k for c, k in study.measures.items() if k.startswith("chance/")}
    return [
        {
            "results": {
                key.split(" or ")[0].format(target=target): value(
                    column, {**run.settings, "target": target}
                )
                for column, key in study.measures.items()
                for target in targets
            },
            "data": {
                "targets": {target: {"chance": 0.1} for target in targets}
                | {
                    key.removeprefix("chance/"): {"chance": value(column, dict(run.settings))}
                    for column, key in chances.items()
                }
            },
            "times": {"total": 10.0},
            "steps": run.settings.get("steps", 320),
            "hardware": {"gpus": [], "processor": "Abacus", "cores": 1},
            "versions": {"commit": "0123456789abcdef+changes"},
        }
        for run in study.runs("laptop", seeds)
    ]


def sides(cell: dict[str, Any]) -> tuple[str, str]:
    """Which of two digits is the one that all cells have, and which its rival."""
    digit, *rivals = map(int, cell.get("digit_sizes", "1").split(","))
    larger = max(rivals, default=0) > digit
    return ("small", "large") if larger else ("large", "small")


def columns_of_digit(subject: str, cell: dict[str, Any]) -> tuple[str, str]:
    """The column of a digit alone, and that of the same digit beside its rival."""
    return f"{subject}_digit", f"{subject}_{sides(cell)[0]}_digit"


def as_claimed(name: str, column: str, cell: dict[str, Any]) -> float:
    """A world in which the papers' claims hold."""
    loss, t = cell.get("loss"), cell.get("temperature", 0.2)
    bits, wide = cell.get("num_bits", 0), cell.get("width_multiplier", 1.0)
    if name == "losses":
        kinds = ("nt_xent", "decoupled_nt_xent", "uniform_prior", "hypersphere_prior")
        apart = 0.2 / (1 + 3 * cell["projection_layers"] ** 2)
        if column == "untrained":
            return 0.7
        return 0.7 + 0.03 * cell["projection_layers"] + apart * (loss in kinds[:2])
    if name == "lambda_temperature":  # by the first reading of the claim
        return 1 - abs(math.log(cell["distribution_weight"] / t)) / 10
    if name == "randbit" and column == "online":
        return PUBLISHED[t][BITS.index(bits)]
    if name in ("randbit", "randbit_fashion"):
        return 0.6 if column.startswith("untrained") else 0.9 - 0.8 * min(1, bits * t)
    if name == "randbit_factors":
        kept = column in ("supervised", "autoencoder", "untrained")
        slightly = 0.02 * math.log10(cell["batch_size"] / 250)
        return 0.9 + 0.01 * wide + slightly - (0.01 if kept else 0.07) * bits
    if name == "remedies":
        plain = {"loss": "nt_xent", "method": "simclr", "temperature": 0.2, "neighbours": None}
        plain |= {"channel_dropout": None}
        helped = any(cell.get(setting, value) != value for setting, value in plain.items())
        values = {"untrained": 0.9 - 0.05 * bits, "supervised": 0.95, "bits_all_right": 1.0}
        return values.get(column, 0.9 - (0.02 if helped else 0.08) * bits)
    if name == "rivals":
        plain = {"loss": "nt_xent", "method": "simclr", "temperature": 0.2, "neighbours": None}
        helped = any(cell.get(setting, value) != value for setting, value in plain.items())
        values = {"untrained": 0.7, "supervised": 0.9, "features": 0.8 if helped else 0.5}
        return values.get(column, 0.4)
    if name in ("overlay", "overlay_causes"):
        much = math.log10(cell["num_unique_digits"]) / 10
        values = {"simclr_class": 0.9 - much, "simclr_digit": 0.3 + much, "untrained_digit": 0.4}
        return values.get(column, 0.8)
    if name == "multi_digit":
        _, *rivals = map(int, cell.get("digit_sizes", "1").split(","))
        rival = max(rivals, default=0)
        digit, other = sides(cell)
        few = 1 - cell.get("num_digits", 2) / 100
        gone = {f"simclr_{digit}_digit": 0.9 - rival / 100, "simclr_presence": few - 0.1}
        gone |= {"simclr_digit": 0.9}
        gone |= {f"simclr_{other}_digit": 0.1 + rival / 100}
        return gone.get(column, 0.2 if column.startswith("untrained") else 0.9)
    if name == "augmentation":
        strength = cell["color_strength"] / 4
        ends = {"projections_color": 0.9 - strength, "projections_character": 0.5 + strength}
        return (ends | {"projections_font": 0.4 + strength}).get(column, 0.5)
    if name == "depth":
        layers, target = cell["projection_layers"], cell["target"]
        if target not in ("color", "size", "position"):
            return 0.8
        kept = {"features": 0.6 + 0.05 * layers, "untrained": 0.5}
        return kept.get(column) or 0.6 - 0.1 * int(column[-1])
    if name == "arora":
        best = abs(math.log(cell["batch_size"] / 64)) / 20
        return {
            "accuracy": 0.8 - best,
            "unsupervised_loss": 0.5,
            "mean_classifier_loss": 0.3,
            "chance": 0.1,
        }.get(column, 0.7)
    if name == "local_features":
        return 0.5 + 0.1 * int(column[-1]) if column.startswith("trained") else 0.4
    if name == "temperature":
        flat = loss == "hard_contrastive"
        simple = loss in ("simple", "hard_simple")
        return {
            "uniformity": -3.9 + (0 if flat else 2 if simple else t),
            "tolerance": 0.2 if flat else t / 2,
            "accuracy": 0.7 if simple else 0.9 - (math.log(t / 0.4)) ** 2 / 30,
        }.get(column, 0.5)
    if name == "grids":
        weight = math.log(cell.get("alignment_weight", 3.0) / 3)
        better = 0.05 * (loss == "align_uniform")
        helped = 0.5 * cell.get("tau_plus", 0) + 0.1 * cell.get("beta", 0)
        return 0.8 + better + helped - weight**2 / 20
    assert name == "views"
    equal = cell.get("crop_area_min") == 1.0
    return 0.5 if column == "untrained" or equal else 0.4 + 0.2 * (bits == 0)


JUDGED = [name for name in STUDIES if STUDIES[name].verdict]
