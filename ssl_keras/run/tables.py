"""Tables for the terminal: the banner, accuracies and other measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ssl_keras import errors
from ssl_keras.datasets.base import LocalTarget, Target

# Prefixes of the controls: the encoder before training, and shuffled labels.
CONTROL = "untrained"
SHUFFLED = "shuffled_labels"
# The linear probe that is trained with the encoder, on augmented views.
ONLINE = "online_probe"
# Most names of classes that one line lists.
_SHOWN_NAMES = 4


def banner(lines: Mapping[str, str]) -> str:
    """Labels and values, aligned."""
    width = max(len(label) for label in lines)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in lines.items())


def describe_targets(targets: Mapping[str, Target]) -> str:
    """The targets with their chance levels, in one line."""
    parts = []
    for name, target in targets.items():
        if target.kind == "class":
            shown = f"{target.size} classes{_names(target)}, chance {target.chance:.3g}"
            parts.append(f"{name} ({shown})")
        else:
            parts.append(
                f"{name} ({target.size}, chance {target.chance:.3g} each, "
                f"{target.all_right_chance:.3g} all right)"
            )
    return ", ".join(parts)


def _names(target: Target) -> str:
    """The names of the first classes, unless they are the numbers from 0 on: ": cat, dog"."""
    if list(target.names) == [str(number) for number in range(len(target.names))]:
        return ""
    more = ", ..." if target.size > _SHOWN_NAMES else ""
    return ": " + ", ".join(errors.printable(name) for name in target.names[:_SHOWN_NAMES]) + more


def accuracy_table(
    values: Mapping[str, float],
    targets: Mapping[str, Target],
    evaluators: Sequence[str],
    layers: Sequence[str],
    baselines: Sequence[str] = (),
) -> str:
    """Test accuracy for every target and evaluator, at every layer, with chance level.

    Args:
        values: see `measure.measure`.
        targets: name -> `Target`.
        evaluators: the evaluators, in order.
        layers: the layers, in order; controls and baselines have only the first.
        baselines: the methods of the baselines.

    Returns:
        The table, or "" without accuracies. The number after ± is half the width of the 95%
        interval.
    """
    header = ["target", "head", "chance", "shuffled", "untrained", *layers, *baselines]
    rows = [header]
    for name, target in targets.items():
        for measure, (label, chance) in _accuracies(target).items():
            for evaluator in evaluators:
                keys = _columns(evaluator, f"{name}/{measure}", layers, baselines)
                cells = [with_interval(values, key) for key in keys]
                shuffled = values.get(f"{SHUFFLED}/{evaluator}/{layers[0]}/{name}/{measure}")
                if any(cells):
                    text = "" if shuffled is None else f"{shuffled:.3f}"
                    rows.append([label, evaluator, f"{chance:.3f}", text, *cells])
    return aligned(rows, left=2) if len(rows) > 1 else ""


def _columns(
    evaluator: str, measure: str, layers: Sequence[str], baselines: Sequence[str]
) -> list[str]:
    """Keys of a measure: untrained encoder, every layer, baselines."""
    keys = [f"{CONTROL}/{evaluator}/{layers[0]}/{measure}"]
    keys += [f"{evaluator}/{layer}/{measure}" for layer in layers]
    return keys + [f"{baseline}/{evaluator}/{layers[0]}/{measure}" for baseline in baselines]


def _accuracies(target: Target) -> dict[str, tuple[str, float]]:
    """The accuracies of a target: measure -> (label, chance level)."""
    if not target.is_vector:
        return {"accuracy": (target.name, target.chance)}
    return {
        "accuracy": (f"{target.name} (mean)", target.chance),
        "all_right": (f"{target.name} (all right)", target.all_right_chance),
    }


def finetuning_table(values: Mapping[str, float], target: Target) -> str:
    """Test accuracy of fine-tuning and of linear evaluation before it, with chance level.

    Args:
        values: "START/PROTOCOL/target/measure" -> value, see `finetune.finetune_run`.
        target: the learned target.

    Returns:
        The table. The number after ± is half the width of the 95% interval. With repetitions there
        are columns of standard deviations.
    """
    starts = {"pretrained": "the run", "scratch": "before training", "gain": "gain"}
    protocols = {"linear": "linear, frozen", "finetuned": "fine-tuned"}
    spread = any(key.endswith("_sd") for key in values)
    rows = [["target", "weights of", "chance"]]
    for title in protocols.values():
        rows[0] += [title, "sd"] if spread else [title]
    for measure, (label, chance) in _accuracies(target).items():
        for start, title in starts.items():
            row = [label, title, "" if start == "gain" else f"{chance:.3f}"]
            for protocol in protocols:
                key = f"{start}/{protocol}/{target.name}/{measure}"
                row += [with_interval(values, key)]
                row += [f"{values[f'{key}_sd']:.3f}"] if spread else []
            rows.append(row)
    return aligned(rows, left=2)


def with_interval(values: Mapping[str, float], key: str) -> str:
    """A value as text, with half the width of its 95% interval (if any); "" without a value."""
    if key not in values:
        return ""
    low, high = values.get(f"{key}_low"), values.get(f"{key}_high")
    if low is None or high is None:
        return f"{values[key]:.3f}"
    return f"{values[key]:.3f} ±{(high - low) / 2:.3f}".replace("±0.", "±.")


def measures_table(
    values: Mapping[str, float],
    evaluator: str,
    measures: Mapping[str, str],
    layers: Sequence[str],
    baselines: Sequence[str] = (),
) -> str:
    """Other measures of an evaluator, at every layer.

    Args:
        values: see `measure.measure`.
        evaluator: name of the evaluator.
        measures: name of the measure -> its label, in order; those without values are omitted.
        layers, baselines: see `accuracy_table`.

    Returns:
        The table, or "" without values.
    """
    rows = [["", "untrained", *layers, *baselines]]
    for measure, label in measures.items():
        cells = [values.get(key) for key in _columns(evaluator, measure, layers, baselines)]
        if any(value is not None for value in cells):
            rows.append([label, *("" if value is None else f"{value:.3f}" for value in cells)])
    return aligned(rows, left=1) if len(rows) > 1 else ""


def local_table(
    values: Mapping[str, float],
    local_targets: Mapping[str, LocalTarget],
    baselines: Sequence[str] = (),
) -> str:
    """The accuracies of the evaluator `local_features` at every block, with pixels and chance.

    Args:
        values: see `measure.measure`.
        local_targets: name -> `LocalTarget`.
        baselines: see `accuracy_table`.

    Returns:
        The table, or "" without values.
    """
    evaluator = "local_features"
    blocks = [key.split("/")[1] for key in values if key.startswith(f"{evaluator}/block_")]
    rows = [["block", "", "chance", "pixels", "untrained", "trained", *baselines]]
    for block in dict.fromkeys(blocks):
        keys = [f"{evaluator}/{block.replace('block', 'pixels')}", f"{CONTROL}/{evaluator}/{block}"]
        keys += [
            f"{evaluator}/{block}",
            *(f"{baseline}/{evaluator}/{block}" for baseline in baselines),
        ]
        for name in local_targets:
            measures = {
                "accuracy": (name, "chance"),
                "balanced_accuracy": (f"{name}, balanced", "balanced_chance"),
            }
            if name != "region":
                measures |= {
                    f"accuracy_at_{region}": (f"{name} at {region}, balanced", "balanced_chance")
                    for region in local_targets["region"].values[1:]
                }
            for measure, (label, chance) in measures.items():
                accuracies = [values.get(f"{key}/{name}/{measure}") for key in keys]
                cells = [values.get(f"{evaluator}/{block}/{name}/{chance}"), *accuracies]
                if any(value is not None for value in accuracies):
                    texts = ["" if value is None else f"{value:.3f}" for value in cells]
                    rows.append([block, label, *texts])
    return aligned(rows, left=2) if len(rows) > 1 else ""


def duration(seconds: float) -> str:
    """A time as text: "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    larger, smaller, units = (
        (*divmod(whole, 60), ("min", "s"))
        if whole < 3600
        else (*divmod(round(seconds / 60), 60), ("h", "min"))
    )
    return f"{larger} {units[0]}" + (f" {smaller} {units[1]}" if smaller else "")


def aligned(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows as aligned lines, with a rule below the first; `left` columns are left-aligned."""
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
