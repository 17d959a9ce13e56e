"""The story of a run: train, evaluate, export, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras import config as configuration
from ssl_keras import files, log
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import Interrupted, UserError, printable
from ssl_keras.evaluators import Baseline, Evaluator
from ssl_keras.run import messages, run_directory, sharing, stages, tables, tensorboard, workers
from ssl_keras.run.callbacks import (
    History,
    JsonLines,
    KerasCallbacks,
    Listener,
    NonFiniteGuard,
    Profiler,
    Progress,
    Saver,
    TensorBoardScalars,
    check_callbacks,
)
from ssl_keras.run.checkpoints import Checkpoints, weights_digest
from ssl_keras.run.devices import Engine
from ssl_keras.run.export import export_setup
from ssl_keras.run.geometry import build_geometry_log
from ssl_keras.run.interruption import Interruption
from ssl_keras.run.loop import train_setup
from ssl_keras.run.measure import (
    EncoderFeatures,
    draw,
    measure,
    protocols,
    trained_features,
    untrained_features,
    write_pictures,
)
from ssl_keras.run.record import RunRecord, timed
from ssl_keras.run.restore import restored
from ssl_keras.run.setup import TrainingSetup, build, build_engine, slow_batch_norm


def train_and_evaluate(config: Config, callbacks: Sequence[Any] = ()) -> dict[str, Any]:
    """The whole run: train, evaluate, export, write the run directory, print the tables.

    Args:
        config: the configuration.
        callbacks: `keras.callbacks.Callback`s that listen to the training, see
            `callbacks.KerasCallbacks`. They are not recorded with the run, and baselines are
            trained without them.

    Returns:
        The contents of results.json; {} in workers other than the chief, see `workers`.

    Raises:
        UserError: the run cannot start, and nothing is written; or it stops, and what is written
            remains.
    """
    check_callbacks(callbacks)
    with log.warnings_only(config.run.quiet or config.run.log_json):
        return _train_and_evaluate(config, callbacks)


def _train_and_evaluate(config: Config, callbacks: Sequence[Any]) -> dict[str, Any]:
    # ---- Devices: worker 0 continues here, the others follow it.
    engine = build_engine(config)
    if not engine.is_chief:
        return workers.follow(config, engine)

    # ---- Data, networks, directory, training.
    run = train_run(config, engine=engine, callbacks=callbacks)
    try:
        with run_directory.watched(run.workdir):
            if run.untrained is not None:
                _evaluate(run, run.untrained, engine)

            # ---- Export, results.json, closing.
            results = finish(run)
        log.info("\n" + messages.closing(run.setup, run.workdir, results))
        messages.outcome(run.setup.config, run.workdir, results)
        workers.dismiss(engine)
        return results
    except KeyboardInterrupt as interruption:
        moment = str(interruption) or " after the training"
        raise Interrupted(f"{moment}; {messages.resume_command(run.workdir)}") from None
    finally:
        run.claimed.release()


def _evaluate(run: TrainedRun, untrained: EncoderFeatures, engine: Engine) -> None:
    """Measure the model, the control and the baselines; write pictures and TensorBoard's tables."""
    setup, record = run.setup, run.record
    evaluators, seed = setup.config.evaluators, setup.config.run.seed
    # ---- Baselines: the same run with other methods.
    with timed(record.times, "baselines"):
        baselines = baseline_features(setup, evaluators, run.workdir, engine)

    # ---- Evaluation of frozen features.
    with timed(record.times, "evaluation"):
        log.info("Evaluating frozen features")
        trained = trained_features(setup, evaluators, seed)
        encoders = {"": trained, tables.CONTROL: untrained, **baselines}
        record.results = measure(evaluators, seed, encoders)
        drawn = draw(evaluators, seed, encoders)
        pictures = write_pictures(run.workdir / "pictures", drawn)
    record.protocol = protocols(evaluators)
    tensorboard.write_results(setup, run.board, run.workdir, record.setup, record.results)
    for name, picture in pictures.items():
        run.board.image(f"pictures/{name}", picture, setup.total_steps)
    tensorboard.write_test_embedding(run.workdir / "tensorboard", trained.layers)


@dataclass
class TrainedRun:
    """A run after its training.

    Attributes:
        setup: the trained setup.
        workdir: the directory of the run.
        record: the record, without evaluation.
        board: writer of TensorBoard's scalars and pictures.
        started: start of the run in this process, by `time.perf_counter`.
        claimed: the directory, locked for this process.
        untrained: the features before training, if there is something to evaluate.
    """

    setup: TrainingSetup
    workdir: Path
    record: RunRecord
    board: TensorBoardScalars
    started: float
    claimed: run_directory.ClaimedDirectory
    untrained: EncoderFeatures | None


def train_run(
    config: Config,
    data: DataSet | None = None,
    brief: bool = False,
    engine: Engine | None = None,
    callbacks: Sequence[Any] = (),
) -> TrainedRun:
    """Train, and save the weights in the run's directory.

    Args:
        config: the configuration.
        data: its data set, if it is already loaded.
        brief: whether to omit the banner and lines of JSON.
        engine: the engine. Default: that of the configuration.
        callbacks: see `train_and_evaluate`.

    Raises:
        UserError: see `train_and_evaluate`.
    """
    # ---- Data, networks, and a directory locked for this process.
    times: dict[str, Any] = {}
    started = time.perf_counter()
    run_directory.check_place(config)
    with timed(times, "build"):
        setup = build(config, data, engine)
    if callbacks:  # they may hold the model, which is then not kept for later runs
        setup.graph = None
    claimed = run_directory.claim(setup.config, setup.requested)
    try:
        with run_directory.watched(claimed.workdir):
            return _train_in(claimed, setup, times, started, brief, callbacks)
    except BaseException:
        claimed.release()
        raise


def _train_in(
    claimed: run_directory.ClaimedDirectory,
    setup: TrainingSetup,
    times: dict[str, Any],
    started: float,
    brief: bool,
    callbacks: Sequence[Any],
) -> TrainedRun:
    config, model, workdir = setup.config, setup.model, claimed.workdir
    banner = messages.banner(setup)
    if not brief:
        log.info(tables.banner({**banner, "workdir": str(workdir)}) + "\n")
        for notice in (*config.notices, *setup.data.notices, *_network_notices(setup)):
            log.info(f"Note: {printable(notice)}.")

    # ---- The control: the encoder before training.
    evaluated = any(setup.data.targets or not e.needs_labels for e in config.evaluators.values())
    untrained = None
    if evaluated:
        with timed(times, "control"):
            untrained = untrained_features(setup, config.evaluators)

    # ---- The state of an earlier process, if there is one.
    checkpoints = Checkpoints(
        workdir / "checkpoints", model.state_groups, config.run.checkpoint_keep
    )
    restored_state = checkpoints.restore() if claimed.resumes else None
    first_step, state, notices = restored_state or (0, {}, [])
    if restored_state is not None:
        _check_engine(setup, state)
    if claimed.extends and restored_state is None:
        raise UserError(
            f"The run {workdir} has no checkpoint any more, so it cannot be trained for longer: "
            "begin again with --overwrite, or in another --workdir."
        )
    workers.start(setup.engine, model, config, first_step)
    # All checks have passed: from here on earlier results may be removed.
    claimed.begin(dict(setup.data.digests))
    for notice in notices:
        log.warning(f"Note: {notice}, so training resumes from the one before.")
    if claimed.extends:
        shorter = workdir / run_directory.SHORTER
        log.info(f"Note: the finished run is kept in {shorter} until this one is finished.")
    elif claimed.resumes and restored_state is None:
        log.info("Note: the run has no checkpoint yet: it begins with its first step.")

    # ---- Listeners of the training.
    history = History()
    board = TensorBoardScalars(
        workdir / "tensorboard",
        setup.schedules,
        setup.chance_levels,
        config.optimization.batch_size,
        first_step if restored_state else None,
    )
    geometry = build_geometry_log(setup, board)
    guard = NonFiniteGuard(model.non_finite_step, _non_finite_report(setup, workdir, checkpoints))
    with_state = {"history": history} | ({} if geometry is None else {"geometry": geometry})
    resumed_at = [*state.get("resumed_at", []), *([first_step] if restored_state else [])]
    earlier = state.get("times", {})  # of earlier processes, by part
    started -= earlier.get("total", 0.0)
    for part in ("build", "control"):
        times[part] = times.get(part, 0.0) + earlier.get(part, 0.0)
    for name, listener in with_state.items():
        if name in state:
            listener.restore(state[name])
    if restored_state is None:
        tensorboard.write_panel(setup, board, workdir, banner)
        tensorboard.write_views(setup, board, workdir)
    else:
        log.info(f"Resuming after step {first_step} of {setup.total_steps}.")

    def save(step: int) -> None:
        guard.check()
        states = {name: listener.state() for name, listener in with_state.items()}
        now = time.perf_counter()
        spent = times | {"training": now - training_started, "total": now - started}
        about = {"times": spent, "resumed_at": resumed_at, "engine": setup.engine.described()}
        checkpoints.save(step, {**states, **about})

    # ---- The earlier stages, if there are any, and the order of the examples.
    try:
        with timed(times, "earlier_stages"):
            stages.prepare(setup, workdir, lambda stage: _train_stage(stage, setup))
        times["earlier_stages"] += earlier.get("earlier_stages", 0.0)
    except Interrupted as stopped:
        advice = "" if brief else f"; {messages.resume_command(workdir)}"
        raise Interrupted(f"{stopped}{advice}") from None

    # ---- Training.
    with Interruption() as interruption:
        saver = Saver(
            save,
            config.run.checkpoint_every,
            config.run.checkpoint_minutes,
            lambda: interruption.requested,
        )
        training_started = time.perf_counter() - earlier.get("training", 0.0)
        log.info(f"Training: {setup.total_steps - first_step} steps")
        others = [_progress(setup, brief), *_keras_callbacks(setup, callbacks)]
        # The saver comes last: it saves the states of the others after the step.
        listeners = [guard, *with_state.values(), board, *others, saver]
        if config.run.profile_steps is not None and not brief:
            listeners.append(Profiler(workdir / "tensorboard", config.run.profile_steps))
        try:
            with workers.lost_workers_as_errors(setup.engine):
                wait = train_setup(setup, listeners, first_step)
        except Interrupted as stopped:
            advice = "" if brief else f"; {messages.resume_command(workdir)}"
            raise Interrupted(f"{stopped}{advice}") from None
    model.adopt_average()

    # ---- The record of the training.
    times["training"] = time.perf_counter() - training_started
    times |= {"resumed_at": resumed_at, "input_wait_share": wait}
    record = RunRecord.begin(setup, workdir, banner)
    record.times = times
    record.training, record.history = history.records[-1], history.records
    if geometry is not None:
        record.geometry_history, record.warning = geometry.records, geometry.warning
    record.weights_sha256 = weights_digest(model.variables)
    return TrainedRun(setup, workdir, record, board, started, claimed, untrained)


def finish(run: TrainedRun) -> dict[str, Any]:
    """Export the encoder if that is set, write results.json, release the directory.

    Returns:
        The contents of results.json.

    Raises:
        RuntimeError: the weights have changed since the end of the training, or the SavedModel
            gives other features.
    """
    record, workdir = run.record, run.workdir
    run.board.on_end()
    # The measurements are safe if the export fails.
    record.write(workdir)
    if run.setup.config.run.export:
        with timed(record.times, "export"):
            record.saved_model_relative_difference = export_setup(
                run.setup, workdir / "saved_model", record.as_json()
            )
    if weights_digest(run.setup.model.variables) != record.weights_sha256:
        raise RuntimeError("evaluation or export changed the weights or batch-norm statistics")
    record.times["total"] = time.perf_counter() - run.started
    record.finished = True
    record.write(workdir)
    files.remove(workdir / run_directory.SHORTER)
    run.claimed.release()
    sharing.keep(run.setup.model, run.setup.graph)
    return record.as_json()


def baseline_features(
    setup: TrainingSetup, evaluators: Mapping[str, Evaluator], workdir: Path, engine: Engine
) -> dict[str, EncoderFeatures]:
    """Method -> features, for each baseline among the evaluators.

    A baseline is a separate run in `baselines/METHOD` of the run's directory, without an export; a
    missing one is trained on `engine`.
    """
    features = {}
    others = {name: e for name, e in evaluators.items() if not isinstance(e, Baseline)}
    for method in configuration.baselines(evaluators):
        directory = workdir / "baselines" / method
        config = setup.config.baseline(method)
        if not run_directory.holds(directory, config):
            log.info(f"\nBaseline: {method}")
            finish(train_run(config.in_directory(directory), setup.data, True, engine))
        config, results = run_directory.read(directory)
        baseline = restored(config, results, directory, setup.data)
        seed = setup.config.run.seed
        features[method] = trained_features(baseline, others, seed, pixels=False)
    return features


def _train_stage(config: Config, setup: TrainingSetup) -> None:
    """Train an earlier stage of a run, in its directory."""
    finish(train_run(config, setup.data, True, setup.engine))


def _network_notices(setup: TrainingSetup) -> list[str]:
    momentum = slow_batch_norm(setup.model.encoder)
    if momentum is None:
        return []
    return [
        f"the encoder's batch norm has a momentum of {momentum:g}: its moving averages lag by "
        f"about {round(1 / (1 - momentum))} steps, and features in inference mode with them"
    ]


def _check_engine(setup: TrainingSetup, state: Mapping[str, Any]) -> None:
    """Check that the engine of a resumed run is that of its checkpoint.

    Raises:
        UserError: this machine has another precision, compilation or number of devices.
    """
    here = setup.engine.described()
    there = state.get("engine", here)
    for name, value in here.items():
        if value != there[name]:
            raise UserError(
                f"The run was begun with {name}={there[name]}, but on this machine it would resume "
                f"with {name}={value}: resume it where it was begun, or begin again with "
                "--overwrite."
            )


def _non_finite_report(
    setup: TrainingSetup, workdir: Path, checkpoints: Checkpoints
) -> Callable[[int], str]:
    """Function from a step with a non-finite loss to the message; it also lists the batch."""
    config, train = setup.config, setup.train

    def report(step: int) -> str:
        rows = train.step_rows(step, config.optimization.batch_size, config.run.seed)
        path = workdir / "non_finite.json"
        files.write_json(path, {"step": step, "images": rows.numpy().tolist()})
        steps = checkpoints.steps()
        last = f"that of step {steps[-1]}" if steps else "there is none"
        return (
            f"The last good checkpoint: {last}. The examples of the batch are listed in {path}. "
            f"{messages.advice(setup)}"
        )

    return report


def _keras_callbacks(setup: TrainingSetup, callbacks: Sequence[Any]) -> list[Listener]:
    """The listener that calls the user's callbacks, if there are any."""
    if not callbacks:
        return []
    log_every = setup.config.run.log_every or setup.steps_per_epoch
    return [KerasCallbacks(setup.model, callbacks, log_every)]


def _progress(setup: TrainingSetup, brief: bool) -> Listener:
    """The listener that shows progress, by the settings."""
    settings, batch = setup.config.run, setup.config.optimization.batch_size
    if settings.quiet or (settings.log_json and brief):
        return Listener()
    if settings.log_json:
        return JsonLines(batch)
    return Progress(batch, setup.model.progress_names, setup.data.modality.name)
