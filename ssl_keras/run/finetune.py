"""Fine-tuning of a finished run on a fraction of the labels, with the control from scratch."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ssl_keras import log, networks, optimizers
from ssl_keras.config import Config, FinetuningConfig
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.base import Target
from ssl_keras.datasets.splits import labelled_rows
from ssl_keras.errors import UserError, unknown_name
from ssl_keras.evaluators.base import measured
from ssl_keras.evaluators.extraction import extract
from ssl_keras.evaluators.linear import Linear
from ssl_keras.methods.options import target_name
from ssl_keras.methods.supervised import Supervised
from ssl_keras.run import environment, loop, run_directory, tables
from ssl_keras.run.callbacks import NonFiniteGuard, Progress
from ssl_keras.run.measure import averaged, protocols
from ssl_keras.run.restore import load_weights, recorded_engine
from ssl_keras.run.saved_models import compare_export, export_classifier
from ssl_keras.run.setup import (
    TrainingSetup,
    build,
    build_encoder,
    build_engine,
    build_views,
)

# Deviation of the initial weights of the classifier. Source: google-research/simclr, tf2/model.py
# (LinearLayer).
_INITIAL_DEVIATION = 0.01
# Images on which the SavedModel is compared with the model.
_COMPARED_IMAGES = 16
# Times that a training reports its progress.
_LOGS = 5
# The starts, and what is said of training from them.
_DOING = {"pretrained": "Fine-tuning the run", "scratch": "Training from scratch"}


def finetune_run(workdir: Path | str, options: FinetuningConfig) -> dict[str, Any]:
    """Fine-tune a finished run on a fraction of the labels; print the table, keep the numbers.

    The whole network is trained: the encoder, the layers of the projection head up to the chosen
    one, and a new linear classifier with small random weights, by Adam with cosine decay. Each
    labelled image enters as two views, those of the run; batch norm is in training mode. The
    control is the same in everything but the start: the weights of the run before its training.
    Both are also evaluated as they are, frozen, by `Linear` on the same labelled images. The test
    images are used once for each number, after training, and nothing is chosen by them.

    After Chen et al. 2020 (SimCLR), appendix B.5, and Chen et al. 2020 (SimCLR v2) for layers of
    the projection head. Departures: Adam for Nesterov momentum; two views of each image for one;
    all operations of the run's views, not only crops and mirroring; another length.

    Args:
        workdir: directory of the run. Only its folder `finetuned` is written to.
        options: the settings. Repetition r has seed + r; values are then means, with their standard
            deviations as "NAME_sd".

    Returns:
        What is written to `finetuned/` in the run's directory: under "results",
        "pretrained/finetuned/TARGET/MEASURE", and the same with "scratch" for the control and with
        "linear" for linear evaluation; under "gain" the difference, of each repetition, which is
        surer than the parts. The model of the first repetition lies beside it.

    Raises:
        UserError: it is not a finished run, or the settings do not fit its data.
    """
    start = time.perf_counter()
    workdir = Path(workdir)
    config, results = run_directory.read(workdir)
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
    backbone = _backbone_of(setup, options.finetune_from)
    scratch = backbone.get_weights()
    load_weights(setup, workdir, results)
    starts = {"pretrained": backbone.get_weights(), "scratch": scratch}
    path = run_directory.finetuned_path(workdir, options.options())
    log.info(tables.banner({"run": str(workdir), **trial.banner()}) + "\n")
    for notice in (*data.notices, *trial.notices()):
        log.info(f"Note: {notice}.")

    repetitions: list[dict[str, float]] = []
    seconds: dict[str, float] = dict.fromkeys(starts, 0.0)
    difference = 0.0
    for seed, chosen in zip(seeds, rows, strict=True):
        # Nothing below knows of other training images than the labelled ones.
        subset = dataclasses.replace(
            data, train=data.probing.subset(chosen), probing_split=None, targets={name: target}
        )
        values: dict[str, float] = {}
        for title, weights in starts.items():
            log.info(f"{_DOING[title]}, seed {seed}: {trial.total_steps} steps")
            before = time.perf_counter()
            learner, measures = trial.run(subset, weights, seed)
            seconds[title] += time.perf_counter() - before
            values |= {f"{title}/{key}": value for key, value in measures.items()}
            if title == "pretrained" and seed == options.seed:
                with run_directory.whole_directory(path.with_suffix("")) as directory:
                    difference = trial.export(learner, subset, directory)
        repetitions.append(values | _gains(values))

    record: dict[str, Any] = {
        "results": averaged(repetitions),
        "repetitions": repetitions,
        "seeds": seeds,
        "settings": options.options(),
        "labelled": {
            "images": trial.num_images,
            "of": data.train.num_examples,
            "per_class": _per_class(target, labels[rows[0]]),
        },
        "test_images": data.test.num_examples,
        "batch_size": trial.batch_size,
        "steps": trial.total_steps,
        "target": dataclasses.asdict(target),
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
    run_directory.write_json(path, record)
    log.info("\n" + _closing(record, target, path))
    return record


class _Trial:
    """One fine-tuning, for any start, labelled images and seed.

    Args:
        setup: the run; its model is left as it is.
        options: the settings.
        target: what is learned.
        num_images: how many images have labels.

    Raises:
        UserError: there are fewer than two of them.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        options: FinetuningConfig,
        target: Target,
        num_images: int,
    ):
        if num_images < 2:
            raise UserError(
                f"label_fraction is {options.label_fraction:g}, which leaves {num_images} of "
                f"{setup.data.train.num_examples} images: choose a larger --label_fraction."
            )
        self.setup, self.options, self.target = setup, options, target
        self.num_images = num_images
        self.engine = build_engine(setup.config, alone=True)
        self.batch_size = min(options.batch_size, num_images)
        self.total_steps = options.total_steps(num_images, self.batch_size)

    def banner(self) -> dict[str, str]:
        """What is about to happen: label -> value."""
        data, options = self.setup.data, self.options
        epochs = self.total_steps / (self.num_images // self.batch_size)
        return {
            "data set": f"{data.name}: {self.num_images} labelled of {data.train.num_examples} "
            f"training images, {data.test.num_examples} test images",
            "learns": tables.describe_targets({self.target.name: self.target}),
            "layers": f"all up to {options.finetune_from}, and a linear classifier",
            "training": f"{self.total_steps} steps, batch {self.batch_size}, {epochs:.4g} epochs",
            "learning rate": f"{options.learning_rate:g} (adam, cosine decay)",
            "seed": str(options.seed),
        }

    def notices(self) -> list[str]:
        """What the user should know."""
        config, notices = self.setup.config, []
        if self.batch_size < self.options.batch_size:
            notices.append(
                f"batch_size is {self.options.batch_size}, but only {self.num_images} images have "
                "labels: each batch has them all"
            )
        if user := _label_user(config):
            notices.append(
                f"{user} has seen the labels of all training images: what it gains over the "
                "control is not due to the labelled images alone"
            )
        return notices

    def run(self, data: DataSet, weights: Any, seed: int) -> tuple[Supervised, dict[str, float]]:
        """Evaluate a start, train it and evaluate what has become of it.

        Args:
            data: its training split are the labelled images.
            weights: of the backbone.
            seed: chooses classifier, order and views.

        Returns:
            The trained model; and "linear/TARGET/MEASURE" and "finetuned/TARGET/MEASURE" -> value
            on the test images, "finetuned/TARGET/labelled_accuracy" on the labelled ones.
        """
        name = self.target.name
        learner = self._learner(data, weights, seed)

        def outputs(images: Any) -> list[Any]:
            return [backbone(images, training=False)]

        def logits(images: Any) -> list[Any]:
            return [learner.classifier(backbone(images, training=False))[name]]

        # Measured in float32, whatever it is trained in.
        backbone = self._backbone("float32", weights)

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
        for key, labels, of in (
            ("{}", predictions.test_labels, predictions.test),
            ("labelled_{}", predictions.train_labels, predictions.train),
        ):
            for measure, value in measured(self.target, labels[name], of, seed).items():
                values[f"finetuned/{name}/{key.format(measure)}"] = value
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
            build_views(config, data, seed)[0],
            network,
            classifier,
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
        """A new network with these weights: encoder, and evaluator up to the chosen layer."""
        config = self.setup.config
        encoder, head = build_encoder(config, self.setup.data, policy), None
        if self.options.finetune_from != "features":
            head = config.method.build_head(  # type: ignore[attr-defined]
                encoder.output_shape[-1], policy
            )
        network = networks.build_backbone(encoder, head, self.options.finetune_from)
        network.set_weights(weights)
        return network

    def export(self, learner: Supervised, data: DataSet, directory: Path) -> float:
        """Export in float32 and compare with the logits of the model."""
        name = self.target.name
        network = self._backbone("float32", learner.encoder.get_weights())
        export_classifier(network, learner.classifier, name, directory)
        images = data.inputs(next(iter(data.test.batches(_COMPARED_IMAGES))))
        expected = learner.classifier(network(images, training=False))[name]
        return compare_export(directory, images, expected, output="logits")


def _backbone_of(setup: TrainingSetup, layer: str) -> Any:
    """The part of a run's own model that is fine-tuned."""
    model = setup.model
    return networks.build_backbone(model.encoder, model.projection_head, layer)


def _label_user(config: Config) -> str:
    """What of the run has used labels, or nothing."""
    if config.method.uses_labels:
        return f"method={config.training.method}"
    uses_labels = config.loss is not None and "positive_target" in config.loss.options()
    return f"loss={config.objective.loss}" if uses_labels else ""


def _gains(values: dict[str, float]) -> dict[str, float]:
    """How much better the run is than the control, in every measure that has an interval."""
    measures = [
        key.removeprefix("scratch/")
        for key in values
        if key.startswith("scratch/") and f"{key}_low" in values
    ]
    return {f"gain/{m}": values[f"pretrained/{m}"] - values[f"scratch/{m}"] for m in measures}


def _per_class(target: Target, labels: np.ndarray) -> list[int] | None:
    """How many of these labels are of each class; None for vectors."""
    return None if target.is_vector else np.bincount(labels, minlength=target.size).tolist()


def _closing(record: dict[str, Any], target: Target, path: Path) -> str:
    """The table, and where everything is."""
    labelled, settings = record["labelled"], record["settings"]
    return "\n".join(
        [
            f"Test accuracy on {record['test_images']} images, with {labelled['images']} labelled "
            f"training images of {labelled['of']}, from {settings['finetune_from']}",
            tables.finetuning_table(record["results"], target),
            "",
            f"Written: {path}",
            f"SavedModel: {path.with_suffix('')} (reloaded: relative difference "
            f"{record['saved_model_relative_difference']:.1g})",
            f"Time: {record['times']['total']:.0f} s.",
        ]
    )
