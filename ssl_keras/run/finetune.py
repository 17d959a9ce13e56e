"""Fine-tuning of a finished run on a fraction of the labels, with the control from scratch."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import files, log, networks, optimizers
from ssl_keras.config import Config, FinetuningConfig
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.base import Target
from ssl_keras.datasets.splits import labelled_rows
from ssl_keras.errors import UserError, printable, unknown_name
from ssl_keras.evaluators.base import measured
from ssl_keras.evaluators.extraction import extract
from ssl_keras.evaluators.linear import Linear
from ssl_keras.lazy import keras
from ssl_keras.methods.options import target_name
from ssl_keras.methods.supervised import Supervised
from ssl_keras.run import environment, loop, run_directory, tables
from ssl_keras.run.callbacks import NonFiniteGuard, Progress
from ssl_keras.run.measure import averaged, protocols
from ssl_keras.run.record import timed
from ssl_keras.run.restore import load_weights, recorded_engine
from ssl_keras.run.saved_models import compare_export, export_classifier
from ssl_keras.run.setup import (
    TrainingSetup,
    build,
    build_encoder,
    build_engine,
    build_views,
)

# Standard deviation of the classifier's initial weights. Source: google-research/simclr,
# tf2/model.py (LinearLayer).
_INITIAL_DEVIATION = 0.01
# Number of examples on which the SavedModel is compared with the model.
_COMPARED_EXAMPLES = 16
# Number of logs of a training.
_LOGS = 5
# Start of the training -> its description.
_DESCRIPTIONS = {"pretrained": "Fine-tuning the run", "scratch": "Training from scratch"}


def finetune_run(workdir: Path | str, options: FinetuningConfig) -> dict[str, Any]:
    """Fine-tune a finished run on a fraction of the labels; print a table, write a record.

    The whole network is trained by Adam with cosine decay: the encoder, the projection head up to
    the layer `finetune_from`, and a new linear classifier with small random weights. Each labelled
    example enters as two views, made like those of the run; batch norm is in training mode. The
    control differs in its initial weights alone: those of the run before its training. `Linear`
    also evaluates both starts, frozen, on the same labelled examples. The test examples are used
    once for each number, after training; nothing is selected on them.

    After Chen et al. 2020 (SimCLR), appendix B.5, and Chen et al. 2020 (SimCLR v2) for layers of
    the projection head. Departures: Adam instead of Nesterov momentum; two views of each example
    instead of one; all operations of the run's views, not only crops and mirroring; another length.

    Args:
        workdir: directory of the run. Only its folder `finetuned` is written to.
        options: the settings. Repetition r has seed + r. With more than one, values are means, with
            standard deviations as "NAME_sd".

    Returns:
        The record, which is written to `finetuned/` in the run's directory. Its "results" are
        "START/PROTOCOL/TARGET/MEASURE" with the starts "pretrained" and "scratch" (the control) and
        the protocols "finetuned" and "linear". The start "gain" is their difference within each
        repetition, which varies less than its terms. The model of the first repetition is written
        beside the record.

    Raises:
        UserError: it is not a finished run, or the settings do not fit its data.
    """
    with run_directory.used(Path(workdir), alone=True):
        return _finetune(Path(workdir), options)


def _finetune(workdir: Path, options: FinetuningConfig) -> dict[str, Any]:
    """`finetune_run` of a run that is locked."""
    start = time.perf_counter()
    config, results = run_directory.read(workdir, with_data=True)
    setup = build(config, engine=recorded_engine(results))
    layers = setup.model.layer_names
    if options.finetune_from not in layers:
        raise unknown_name("layer", options.finetune_from, layers)
    data = setup.data
    name = target_name(options.target, data, "fine-tuning")
    options = dataclasses.replace(options, target=name)
    target, labels = data.targets[name], data.probing.read_labels(name)
    seeds = [options.seed + repeat for repeat in range(options.repeats)]
    rows = [labelled_rows(labels, options.label_fraction, seed) for seed in seeds]
    trial = _Trial(setup, options, target, len(rows[0]))
    model = setup.model
    backbone = networks.build_backbone(model.encoder, model.projection_head, options.finetune_from)
    scratch = backbone.get_weights()
    load_weights(setup, workdir, results)
    starts = {"pretrained": backbone.get_weights(), "scratch": scratch}
    path = run_directory.finetuned_path(workdir, options.options())
    log.info(tables.banner({"run": str(workdir), **trial.banner()}) + "\n")
    for notice in (*data.notices, *trial.notices()):
        log.info(f"Note: {printable(notice)}.")

    repetitions: list[dict[str, float]] = []
    seconds: dict[str, float] = {}
    difference = 0.0
    for seed, labelled in zip(seeds, rows, strict=True):
        # The data with the labelled training examples alone.
        subset = dataclasses.replace(
            data, train=data.probing.subset(labelled), probing_split=None, targets={name: target}
        )
        values: dict[str, float] = {}
        for title, weights in starts.items():
            log.info(f"{_DESCRIPTIONS[title]}, seed {seed}: {trial.total_steps} steps")
            with timed(seconds, title):
                learner, measures = trial.run(subset, weights, seed)
            values |= {f"{title}/{key}": value for key, value in measures.items()}
            if title == "pretrained" and seed == options.seed:
                with files.whole_directory(path.with_suffix("")) as directory:
                    difference = trial.export(learner, subset, directory)
        repetitions.append(values | _gains(values))

    record: dict[str, Any] = {
        "results": averaged(repetitions),
        "repetitions": repetitions,
        "seeds": seeds,
        "settings": options.options(),
        "labelled": {
            "images": trial.num_labelled,
            "of": data.train.num_examples,
            "per_class": _per_class(target, labels[rows[0]]),
        },
        "test_images": data.test.num_examples,
        "batch_size": trial.batch_size,
        "steps": trial.total_steps,
        "target": target.described(),
        "weights_sha256": results["weights_sha256"],
        "saved_model_relative_difference": difference,
        "protocol": {
            "finetuned": " ".join(str(finetune_run.__doc__).split("Args:")[0].split()),
            **protocols({"linear": Linear()}),
        },
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": {"total": time.perf_counter() - start, **seconds},
    }
    files.write_json(path, record)
    log.info("\n" + _closing(record, target, data.modality.name, path))
    return record


class _Trial:
    """Fine-tuning with given settings, for any start, labelled examples and seed.

    Args:
        setup: the run; its model is not changed.
        options: the settings.
        target: the learned target.
        num_labelled: number of examples with labels.

    Raises:
        UserError: fewer than two examples have labels.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        options: FinetuningConfig,
        target: Target,
        num_labelled: int,
    ):
        if num_labelled < 2:
            raise UserError(
                f"label_fraction is {options.label_fraction:g}, which leaves {num_labelled} of "
                f"{setup.data.train.num_examples} {setup.data.modality.name}: choose a larger "
                "--label_fraction."
            )
        self.setup, self.options, self.target = setup, options, target
        self.num_labelled = num_labelled
        self.engine = build_engine(setup.config, alone=True)
        self.batch_size = min(options.batch_size, num_labelled)
        self.total_steps = options.total_steps(num_labelled, self.batch_size)

    def banner(self) -> dict[str, str]:
        """Description of the fine-tuning: label -> value."""
        data, options = self.setup.data, self.options
        epochs, kind = self.total_steps / (self.num_labelled // self.batch_size), data.modality.name
        return {
            "data set": f"{data.name}: {self.num_labelled} labelled of {data.train.num_examples} "
            f"training {kind}, {data.test.num_examples} test {kind}",
            "learns": tables.describe_targets({self.target.name: self.target}),
            "layers": f"all up to {options.finetune_from}, and a linear classifier",
            "training": f"{self.total_steps} steps, batch {self.batch_size}, {epochs:.4g} epochs",
            "learning rate": f"{options.learning_rate:g} (adam, cosine decay)",
            "seed": str(options.seed),
        }

    def notices(self) -> list[str]:
        """Sentences for the user."""
        kind, notices = self.setup.data.modality.name, []
        if self.batch_size < self.options.batch_size:
            notices.append(
                f"batch_size is {self.options.batch_size}, but only {self.num_labelled} {kind} "
                "have labels: each batch has them all"
            )
        if part := _label_user(self.setup.config):
            notices.append(
                f"{part} has seen the labels of all training {kind}: its gain over the control is "
                f"not due to the labelled {kind} alone"
            )
        return notices

    def run(self, data: DataSet, weights: Any, seed: int) -> tuple[Supervised, dict[str, float]]:
        """Evaluate a start, train it, and evaluate the trained model.

        Args:
            data: data whose training split is the labelled examples.
            weights: initial weights of the backbone.
            seed: seed of classifier, order and views.

        Returns:
            (trained model, measures): "linear/TARGET/MEASURE" and "finetuned/TARGET/MEASURE" ->
            value on the test examples; "finetuned/TARGET/labelled_MEASURE" on the labelled ones.
        """
        name = self.target.name
        learner = self._learner(data, weights, seed)
        # Evaluation is in float32, whatever the precision of the training.
        backbone = self._backbone("float32", weights)

        def outputs(inputs: Any) -> list[Any]:
            return [backbone(inputs, training=False)]

        def logits(inputs: Any) -> list[Any]:
            return [learner.classifier(backbone(inputs, training=False))[name]]

        frozen = extract(outputs, data, ["frozen"])["frozen"]
        values = {f"linear/{key}": float(v) for key, v in Linear().evaluate(frozen, seed)}
        loop.train(
            learner,
            data.train.training_batches(self.batch_size, seed=seed, num_steps=self.total_steps),
            total_steps=self.total_steps,
            log_every=max(1, self.total_steps // _LOGS),
            listeners=[
                NonFiniteGuard(
                    learner.non_finite_step, lambda _: "To mend it: lower --learning_rate."
                ),
                Progress(self.batch_size, {"loss": "loss", f"supervised/{name}/accuracy": name}),
            ],
        )
        backbone.set_weights(learner.encoder.get_weights())
        predictions = extract(logits, data, ["logits"])["logits"]
        for prefix, labels, scores in (
            ("", predictions.test_labels, predictions.test),
            ("labelled_", predictions.train_labels, predictions.train),
        ):
            for measure, value in measured(self.target, labels[name], scores, seed).items():
                values[f"finetuned/{name}/{prefix}{measure}"] = value
        return learner, values

    def _learner(self, data: DataSet, weights: Any, seed: int) -> Supervised:
        """The model, compiled, from initial weights of the backbone."""
        config = self.setup.config
        engine = self.engine
        network = self._backbone(engine.policy, weights)
        classifier = networks.build_linear_probe(
            network.output_shape[-1],
            {self.target.name: self.target.size},
            keras.initializers.RandomNormal(stddev=_INITIAL_DEVIATION, seed=seed),
        )
        learner = Supervised(
            network,
            classifier,
            augmenter=build_views(config, data, seed)[0],
            modality=data.modality,
            learned=data.targets,
            seed=seed,
            dtype=keras.DTypePolicy(engine.policy),
        )
        schedule = optimizers.build_schedule(
            self.options.learning_rate,
            total_steps=self.total_steps,
            warmup_steps=0,
            decay="cosine",
        )
        learner.compile(
            keras.optimizers.Adam(schedule),
            total_steps=self.total_steps,
            jit_compile=engine.jit,
        )
        return learner

    def _backbone(self, policy: str, weights: Any) -> Any:
        """A new backbone with these weights: the encoder, and the projection head up to a layer."""
        config = self.setup.config
        encoder, head = config.method.build_networks(
            lambda: build_encoder(config, self.setup.data, policy), policy
        )
        network = networks.build_backbone(encoder, head, self.options.finetune_from)
        network.set_weights(weights)
        return network

    def export(self, learner: Supervised, data: DataSet, directory: Path) -> float:
        """Export in float32 and compare with the logits of the model."""
        name = self.target.name
        network = self._backbone("float32", learner.encoder.get_weights())
        export_classifier(network, learner.classifier, self.target, directory)
        inputs = data.inputs(next(iter(data.test.batches(_COMPARED_EXAMPLES))))
        expected = learner.classifier(network(inputs, training=False))[name]
        return compare_export(directory, inputs, expected, output="logits")


def _label_user(config: Config) -> str:
    """The setting by which the run has used labels, or nothing."""
    if config.method.uses_labels:
        return f"method={config.training.method}"
    uses_labels = config.loss is not None and "positive_target" in config.loss.options()
    return f"loss={config.objective.loss}" if uses_labels else ""


def _gains(values: dict[str, float]) -> dict[str, float]:
    """The run minus the control, for every measure with an interval."""
    measures = [
        key.removeprefix("scratch/")
        for key in values
        if key.startswith("scratch/") and f"{key}_low" in values
    ]
    return {f"gain/{m}": values[f"pretrained/{m}"] - values[f"scratch/{m}"] for m in measures}


def _per_class(target: Target, labels: np.ndarray) -> list[int] | None:
    """The number of labels of each class; None for vectors."""
    return None if target.is_vector else np.bincount(labels, minlength=target.size).tolist()


def _closing(record: dict[str, Any], target: Target, kind: str, path: Path) -> str:
    """The table, the paths and the time; `kind` is what the examples are, such as "images"."""
    labelled, settings = record["labelled"], record["settings"]
    return "\n".join(
        [
            f"Test accuracy on {record['test_images']} {kind}, with {labelled['images']} labelled "
            f"training {kind} of {labelled['of']}, from {settings['finetune_from']}",
            tables.finetuning_table(record["results"], target),
            "",
            f"Written: {path}",
            f"SavedModel: {path.with_suffix('')} (reloaded: relative difference "
            f"{record['saved_model_relative_difference']:.1g})",
            f"Time: {record['times']['total']:.0f} s.",
        ]
    )
