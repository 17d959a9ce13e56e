"""What a run prints: the banner before it, the table after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssl_keras.datasets.base import Feature, LocalFeature

# What stands before the names of the controls: the encoder before training, and labels that say
# nothing.
CONTROL = "random_encoder"
SHUFFLED = "shuffled_labels"
# The linear classifier that learns beside the encoder, from its augmented views.
ONLINE = "online_probe"


def banner(lines: Mapping[str, str]) -> str:
    """Labels and values, aligned."""
    width = max(len(label) for label in lines)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in lines.items())


def describe_features(features: Mapping[str, Feature]) -> str:
    """The declared features with their chance levels, in one line."""
    parts = []
    for name, feature in features.items():
        if feature.kind == "class":
            parts.append(f"{name} ({feature.size} classes, chance {feature.chance:.3g})")
        else:
            parts.append(
                f"{name} ({feature.size}, chance {feature.chance:.3g} each, "
                f"{feature.all_right_chance:.3g} all right)"
            )
    return ", ".join(parts)


def accuracy_table(
    values: Mapping[str, float],
    features: Mapping[str, Feature],
    heads: Sequence[str],
    depths: Sequence[str],
    baselines: Sequence[str] = (),
) -> str:
    """Test accuracy for every declared feature and head, at every depth, against chance.

    Args:
        values: "head/depth/feature/measure" -> value, and the same under "random_encoder/" and
            "shuffled_labels/".
        features: the declared features.
        heads: the heads, in order.
        depths: the depths, in order; controls and baselines have the first one only.
        baselines: the methods that were trained beside the run.

    Returns:
        The table, or nothing if there is no accuracy. After the sign ± stands half the width of the
        95% interval.
    """
    header = ["feature", "head", "chance", "shuffled", "untrained", *depths, *baselines]
    rows = [header]
    for name, feature in features.items():
        for measure, (label, chance) in _accuracies(feature).items():
            for head in heads:
                keys = _columns(head, f"{name}/{measure}", depths, baselines)
                cells = [with_interval(values, key) for key in keys]
                shuffled = values.get(f"{SHUFFLED}/{head}/{depths[0]}/{name}/{measure}")
                if any(cells):
                    text = "" if shuffled is None else f"{shuffled:.3f}"
                    rows.append([label, head, f"{chance:.3f}", text, *cells])
    return aligned(rows, left=2) if len(rows) > 1 else ""


def _columns(head: str, measure: str, depths: Sequence[str], baselines: Sequence[str]) -> list[str]:
    """Keys of a measure: of the untrained encoder, at every depth, and of the baselines."""
    keys = [f"{CONTROL}/{head}/{depths[0]}/{measure}"]
    keys += [f"{head}/{depth}/{measure}" for depth in depths]
    return keys + [f"{baseline}/{head}/{depths[0]}/{measure}" for baseline in baselines]


def _accuracies(feature: Feature) -> dict[str, tuple[str, float]]:
    """What accuracy means for a feature: measure -> (label, chance)."""
    if not feature.is_vector:
        return {"accuracy": (feature.name, feature.chance)}
    return {
        "accuracy": (f"{feature.name} (mean)", feature.chance),
        "all_right": (f"{feature.name} (all right)", feature.all_right_chance),
    }


def finetuning_table(values: Mapping[str, float], feature: Feature) -> str:
    """Test accuracy after fine-tuning, and of linear evaluation before it, against chance.

    Args:
        values: "START/PROTOCOL/feature/measure" -> value, with the starts and protocols below.
        feature: what was learned.

    Returns:
        The table. After the sign ± stands half the width of the 95% interval; of repetitions, also
        the standard deviations.
    """
    starts = {"pretrained": "the run", "scratch": "before training", "gain": "gain"}
    protocols = {"linear": "linear, frozen", "finetuned": "fine-tuned"}
    spread = any(key.endswith("_sd") for key in values)
    rows = [["feature", "weights of", "chance"]]
    for title in protocols.values():
        rows[0] += [title, "sd"] if spread else [title]
    for measure, (label, chance) in _accuracies(feature).items():
        for start, title in starts.items():
            row = [label, title, "" if start == "gain" else f"{chance:.3f}"]
            for protocol in protocols:
                key = f"{start}/{protocol}/{feature.name}/{measure}"
                row += [with_interval(values, key)]
                row += [f"{values[f'{key}_sd']:.3f}"] if spread else []
            rows.append(row)
    return aligned(rows, left=2)


def with_interval(values: Mapping[str, float], key: str) -> str:
    """A value as text, with half the width of its 95% interval if it has one; or nothing."""
    if key not in values:
        return ""
    low, high = values.get(f"{key}_low"), values.get(f"{key}_high")
    if low is None or high is None:
        return f"{values[key]:.3f}"
    return f"{values[key]:.3f} ±{(high - low) / 2:.3f}".replace("±0.", "±.")


def measures_table(
    values: Mapping[str, float],
    head: str,
    measures: Mapping[str, str],
    depths: Sequence[str],
    baselines: Sequence[str] = (),
) -> str:
    """Measures that are no accuracies, at every depth.

    Args:
        values: as in `accuracy_table`.
        head: the head that made them.
        measures: name of the measure -> its label, in order; those without a value are left out.
        depths, baselines: as in `accuracy_table`.

    Returns:
        The table, or nothing if there is no value.
    """
    rows = [["", "untrained", *depths, *baselines]]
    for measure, label in measures.items():
        found = [values.get(key) for key in _columns(head, measure, depths, baselines)]
        if any(value is not None for value in found):
            rows.append([label, *("" if value is None else f"{value:.3f}" for value in found)])
    return aligned(rows, left=1) if len(rows) > 1 else ""


def local_table(
    values: Mapping[str, float],
    local_features: Mapping[str, LocalFeature],
    baselines: Sequence[str] = (),
) -> str:
    """What the head `local_features` says of every block, against pixels and chance.

    Args:
        values: as in `accuracy_table`.
        local_features: the local features of the data.
        baselines: as in `accuracy_table`.

    Returns:
        The table, or nothing if there is no value.
    """
    head = "local_features"
    found = [key.split("/")[1] for key in values if key.startswith(f"{head}/block_")]
    rows = [["block", "", "chance", "pixels", "untrained", "trained", *baselines]]
    for block in dict.fromkeys(found):
        keys = [f"{head}/{block.replace('block', 'pixels')}", f"{CONTROL}/{head}/{block}"]
        keys += [f"{head}/{block}", *(f"{baseline}/{head}/{block}" for baseline in baselines)]
        for name in local_features:
            measures = {
                "accuracy": (name, "chance"),
                "balanced_accuracy": (f"{name}, balanced", "balanced_chance"),
            }
            if name != "region":
                measures |= {
                    f"accuracy_at_{region}": (f"{name} at {region}, balanced", "balanced_chance")
                    for region in local_features["region"].values[1:]
                }
            for measure, (label, chance) in measures.items():
                own = [values.get(f"{key}/{name}/{measure}") for key in keys]
                cells = [values.get(f"{head}/{block}/{name}/{chance}"), *own]
                if any(value is not None for value in own):
                    texts = ["" if value is None else f"{value:.3f}" for value in cells]
                    rows.append([block, label, *texts])
    return aligned(rows, left=2) if len(rows) > 1 else ""


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows as lines, a rule below the first; the first `left` columns are aligned to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for index, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if index == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)
