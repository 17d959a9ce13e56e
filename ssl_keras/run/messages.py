"""Texts of a run: the banner before training, the closing after it, advice."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import optimizers
from ssl_keras.config import Config, baselines
from ssl_keras.datasets import DataSet
from ssl_keras.evaluators import Evaluator
from ssl_keras.run import environment, tables
from ssl_keras.run.setup import TrainingSetup

# The measures of geometry in the closing; results.json has all.
_MEASURES = {
    "alignment": "alignment (0: views equal)",
    "uniformity": "uniformity (lower: spread)",
    "effective_rank": "effective rank",
    "mean_norm": "mean norm",
    "mutual_information_bound": "shared by views, nats, at least",
}
_RECONSTRUCTION = {
    "example_error": "squared error",
    "example_explained": "share explained",
    "extra_channels_error": "extra channels, squared error",
    "extra_channels_explained": "extra channels, share explained",
}
_BITS = {"bits/recovered": "bits recovered", "bits/information": "information, in bits"}


def outcome(config: Config, workdir: Path, results: Mapping[str, Any]) -> None:
    """Print the closing of `quiet` (the directory) and of `log_json` (the results)."""
    if config.run.quiet:
        print(workdir, flush=True)
    elif config.run.log_json:
        values = {n: v if math.isfinite(v) else None for n, v in results["results"].items()}
        print(json.dumps({"workdir": str(workdir), "results": values}), flush=True)


def advice(setup: TrainingSetup) -> str:
    """The settings to change if the loss is not finite."""
    config = setup.config
    changes = ["lower --learning_rate"]
    if config.loss is not None and "temperature" in config.loss.options():
        changes.append("raise --temperature")
    if setup.engine.precision != "off":
        changes.append("use --mixed_precision=off")
    return f"To mend it: {', or '.join(changes)}."


def banner(setup: TrainingSetup) -> dict[str, str]:
    """Description of a run before its training: label -> value."""
    config, data, model = setup.config, setup.data, setup.model
    hardware, versions = environment.hardware(), environment.versions()
    optimization = config.optimization
    base = config.optimizer.learning_rate
    rule = optimizers.rule_text(base, optimization.batch_size, optimization.learning_rate_scaling)
    devices = ", ".join(hardware["gpus"]) or f"CPU, {hardware['cores']} cores"
    stem = config.encoder.describe(data.input_shape)
    return {
        "ssl_keras": f"{versions['ssl_keras']} (tensorflow {versions['tensorflow']}, keras "
        f"{versions['keras']}, keras-cv {versions['keras-cv']}, python {versions['python']})",
        "devices": f"{devices}; {hardware['processor']}" + _sharing(setup),
        "precision": _precision(setup),
        "data set": f"{data.name}: {data.train.num_examples} training, {data.test.num_examples} "
        f"test {data.modality}",
        "targets": tables.describe_targets(data.targets) or "none: there are no labels",
        "views": _views(setup),
        "encoder": f"{config.network.encoder}, {model.encoder.count_params():,} parameters"
        + (f", {stem}" if stem else ""),
        **model.describe(optimization.batch_size, config.objective.loss),
        "training": f"{setup.total_steps} steps, batch {optimization.batch_size}, "
        f"{setup.total_steps / setup.steps_per_epoch:.4g} epochs",
        "learning rate": f"{setup.peak_learning_rate:.4g} = {rule} ({optimization.optimizer}, "
        f"{optimization.learning_rate_decay} decay, {optimization.warmup_epochs:g} warm-up epochs)",
        **_decay(setup),
        "seed": str(config.run.seed),
    }


def _sharing(setup: TrainingSetup) -> str:
    """The share of each device, if there are several."""
    engine = setup.engine
    if engine.kind == "none":
        return ""
    share = setup.config.optimization.batch_size // engine.replicas
    kind = setup.data.modality.name
    return f"; {engine.kind}: {engine.replicas} devices with {share} {kind} each"


def _precision(setup: TrainingSetup) -> str:
    """Precision, compilation and micro-batches."""
    engine, micro_batch = setup.engine, setup.config.engine.micro_batch
    parts = [engine.policy + (f" ({engine.offer})" if engine.offer else "")]
    parts.append(f"XLA {'on' if engine.jit else 'off'}")
    if micro_batch is not None:
        parts.append(f"in parts of {micro_batch} {setup.data.modality.name}")
    if setup.config.engine.deterministic:
        parts.append("deterministic operations only")
    return "; ".join(parts)


def _decay(setup: TrainingSetup) -> dict[str, str]:
    """The variables that weight decay (and the trust ratio of LARS) excludes, if there is decay."""
    decay = setup.config.optimizer.weight_decay
    if not decay:
        return {}
    kinds = Counter(
        variable.path.rsplit("/", 1)[-1]
        for variable in setup.model.learned_variables
        if len(variable.shape) <= 1
    )
    excluded = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    is_lars = setup.config.optimization.optimizer == "lars"
    subject = "decay and trust ratio leave" if is_lars else "it leaves"
    return {"weight decay": f"{decay:g} of the kernels; {subject} out {excluded}"}


def resume_command(workdir: Path) -> str:
    """The command that resumes an interrupted run."""
    command = f"{_program('python')} -m ssl_keras.train --flagfile={workdir / 'flags.txt'}"
    return f"the same command resumes it, or: {command} --workdir={workdir}"


def _wait(share: float | None) -> str:
    return "input wait not measured" if share is None else f"input wait {100 * share:.1f}%"


def _views(setup: TrainingSetup) -> str:
    parts = [setup.model.augmenter.describe()]
    if rate := setup.config.views.dropout():
        parts.append(f"dropout of {rate:g} in the encoder")
    return ", ".join(part for part in parts if part) or "both are the example itself"


# Most rows of a table of measures; all are in results.json.
_MOST_ROWS = 12
_VERIFICATION = {
    "accuracy": "accuracy (chance 0.5)",
    "auc": "area under ROC (chance 0.5)",
    "equal_error_rate": "equal error rate (chance 0.5)",
    "true_accept_at_0.001": "true acceptance at 0.001 false",
}


def _few_shot_measures(values: Mapping[str, float]) -> dict[str, str]:
    """The tasks that `few_shot` has measured, with their labels."""
    keys = [key.split("/", 2)[2] for key in values if key.startswith("few_shot/")]
    tasks = [key for key in dict.fromkeys(keys) if key.endswith("_shot")]
    return {
        key: f"{name}: {task.replace('_', ' ')} (chance {1 / int(task.split('_')[0]):.2g})"
        for key in tasks
        for name, task in [key.split("/")]
    }


def _first_sentence(part: object) -> str:
    """The first sentence of a part's docstring."""
    return " ".join(str(type(part).__doc__).split()).split(". ")[0].rstrip(".:")


def _other_measures(
    values: Mapping[str, float], evaluator: str, layers: Sequence[str], targets: Iterable[str]
) -> dict[str, str]:
    """The first measures of an evaluator that are not about a target, with their labels."""
    start = f"{evaluator}/{layers[0]}/"
    keys = [key.removeprefix(start) for key in values if key.startswith(start)]
    about = set(targets)
    keys = [key for key in keys if key.split("/")[0] not in about]
    return {key: key.replace("/", ": ").replace("_", " ") for key in keys[:_MOST_ROWS]}


def evaluation_tables(
    data: DataSet,
    evaluators: Mapping[str, Evaluator],
    layers: Sequence[str],
    values: Mapping[str, float],
) -> list[str]:
    """The tables of an evaluation, as lines; an empty line follows each table.

    Args:
        data: the data set.
        evaluators: the evaluators, by name.
        layers: the evaluated layers.
        values: see `measure.measure`.
    """
    others, kind = baselines(evaluators), data.modality.name
    rows = [*evaluators, tables.ONLINE]
    accuracies = tables.accuracy_table(values, data.targets, rows, layers, others)
    lines: list[str] = []
    if accuracies:
        title = (
            f"Test accuracy on {data.test.num_examples} {kind}, frozen features (untrained: the "
            "same encoder before training)"
        )
        lines += [title, accuracies, ""]
    geometry = evaluators.get("geometry")
    viewed = min(geometry.num_views, data.test.num_examples) if geometry else 0
    tolerances = {f"tolerance/{name}": f"tolerance ({name})" for name in data.targets}
    precisions = {f"{name}/precision": name for name in data.targets}
    unseen = "classes that were not trained on" if data.unseen is not None else f"test {kind}"
    described = (
        (
            "verification",
            f"Same or different class, by cosine similarity ({unseen})",
            {
                f"{name}/{key}": f"{name}: {label}"
                for name in data.targets
                for key, label in _VERIFICATION.items()
            },
        ),
        (
            "few_shot",
            f"Nearest mean of a few examples, small tasks ({unseen})",
            _few_shot_measures(values),
        ),
        ("bits", f"How many of the {data.num_bits} bits the features hold (test {kind})", _BITS),
        ("retrieval", f"Share of the nearest training {kind} with the same label", precisions),
        ("decoder", f"Reconstruction of test {kind} from frozen features", _RECONSTRUCTION),
        ("reconstruction", f"Reconstruction of test {kind} by the autoencoder", _RECONSTRUCTION),
        (
            "geometry",
            f"Geometry of {viewed} test {kind} on the unit sphere (mean norm: before)",
            _MEASURES | tolerances,
        ),
    )
    shown = {evaluator for evaluator, *_ in described} | {"local_features"}
    further = [
        (name, _first_sentence(evaluator), _other_measures(values, name, layers, data.targets))
        for name, evaluator in evaluators.items()
        if name not in shown
    ]
    for evaluator, title, measures in (*described, *further):
        if table := tables.measures_table(values, evaluator, measures, layers, others):
            lines += [title, table, ""]
    if table := tables.local_table(values, data.local_targets, others):
        lines += ["Local targets at each location, linear probe (test images)", table, ""]
    return lines


def closing(setup: TrainingSetup, workdir: Path, results: Mapping[str, Any]) -> str:
    """The tables after a run, and commands to try next."""
    config = setup.config
    lines = evaluation_tables(
        setup.data, config.evaluators, setup.model.layer_names, results["results"]
    )
    if results["warning"]:
        lines += [f"Warning: {results['warning']}", ""]
    times = results["times"]
    lines += [
        f"Weights and batch-norm statistics unchanged by evaluation (SHA-256 "
        f"{results['weights_sha256'][:12]}).",
        *_exported(results["saved_model_relative_difference"]),
        f"Time: {times['total']:.0f} s ({times['training']:.0f} s training, "
        f"{times.get('evaluation', 0):.0f} s evaluation; {_wait(times['input_wait_share'])}).",
        "",
        "Next:",
        f"  {_program('tensorboard')} --logdir {shlex.quote(str(workdir))}",
        *(f"  {_program('python')} -m ssl_keras.{line}" for line in _next(setup, workdir)),
    ]
    return "\n".join(lines)


def _exported(difference: float | None) -> list[str]:
    """The line about the SavedModel, if there is one."""
    if difference is None:
        return []
    return [f"SavedModel reloaded: relative difference {difference:.1g}."]


def _next(setup: TrainingSetup, workdir: Path) -> list[str]:
    """Command lines that make sense after a run: programs of this package with their flags."""
    config, run = setup.requested, f"--run={shlex.quote(str(workdir))}"
    lines = []
    num_bits = config.flat().get("num_bits")
    if num_bits is not None and num_bits < 16:
        lines.append(_train(config, num_bits=max(1, 2 * num_bits)))
    if config.loss is None:
        # By name, although it is the default: so options of this method are left out.
        lines.append(_train(config, method="simclr", loss="nt_xent"))
    elif config.objective.loss != "nt_xent":
        lines.append(_train(config, loss="nt_xent"))
    else:
        # It has neither tiles nor negatives.
        lines.append(_train(config, loss="uniform_prior", loss_impl=None, cancel_negatives=None))
    if any(target.kind == "class" for target in setup.data.targets.values()):
        others = [n for n in ("retrieval", "knn", "linear") if n not in config.evaluators]
        lines += [f"evaluate {run} --heads={name}" for name in others[:1]]
        lines.append(f"finetune {run} --label_fraction=0.1")
    return lines if config.run.export else [*lines, f"export {run}"]


def _train(config: Config, **values: Any) -> str:
    """The command line of a run like this one with other values."""
    changed = config.changed(**values, workdir=None, overwrite=None)
    flags = [
        f"--{'' if value else 'no'}{name}"
        if isinstance(value, bool)
        else f"--{name}={shlex.quote(str(value))}"
        for name, value in changed.items()
    ]
    return " ".join(["train", *flags])


def _program(name: str) -> str:
    """The command that calls a program of this environment from the working directory."""
    folder = Path(sys.executable).parent
    if str(folder) in os.environ.get("PATH", "").split(os.pathsep):
        return name
    try:
        return str((folder / name).relative_to(Path.cwd()))
    except ValueError:
        return str(folder / name)
