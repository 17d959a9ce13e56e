"""TensorBoard's panel: grouped charts, a card, settings with results, and an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import errors, files, pictures
from ssl_keras.datasets.base import Target
from ssl_keras.evaluators.base import FrozenFeatures, spread
from ssl_keras.lazy import tf
from ssl_keras.run import messages
from ssl_keras.run.callbacks import TensorBoardScalars
from ssl_keras.run.setup import TrainingSetup
from ssl_keras.run.view_picture import draw_views

# Number of images in the picture of the views.
_SHOWN_VIEWS = 10
# Maximum number of points of the embedding, and of pixels of the side of a thumbnail.
MAX_POINTS, MAX_PIXELS = 1000, 32
# The settings that differ between runs most often.
_SHOWN_FIRST = ("loss", "temperature", "distribution_weight", "num_bits", "dataset", "seed")
# Labels with more entries than this have no column for each entry.
_COLUMNS = 12


def charts(targets: Mapping[str, Target], contrastive: bool) -> dict[str, dict[str, list[str]]]:
    """Category -> chart -> regular expressions of its tags.

    Args:
        targets: name -> `Target`.
        contrastive: whether there is a contrastive loss.
    """
    objective = {"loss": ["train/loss"]}
    geometry = {
        name: [f"geometry/(features|projections)/{name}"]
        for name in ("alignment", "uniformity", "effective_rank", "mean_norm")
    }
    if contrastive:
        objective["parts of the loss"] = ["train/(alignment|distribution)"]
        objective["contrastive accuracy"] = ["train/contrastive_accuracy"]
    probes = {name: [f"accuracy/{name}/.*"] for name in targets}
    return {
        **({"Accuracy against chance": probes} if probes else {}),
        "Objective": objective,
        "Geometry": geometry
        | {"tolerance": [f"geometry/projections/tolerance/{name}" for name in targets]}
        if targets
        else geometry,
        "Speed": {"images a second": ["speed/images_per_second"], "memory": ["speed/.*_gib"]},
    }


def layout(categories: Mapping[str, Mapping[str, Sequence[str]]]) -> bytes:
    """The summary that arranges charts in TensorBoard's tab "Custom scalars".

    Args:
        categories: see `charts`.
    """
    from tensorboard.plugins.custom_scalar import layout_pb2, summary

    arranged = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=category,
                chart=[
                    layout_pb2.Chart(
                        title=title, multiline=layout_pb2.MultilineChartContent(tag=list(tags))
                    )
                    for title, tags in charts_by_title.items()
                ],
            )
            for category, charts_by_title in categories.items()
        ]
    )
    return bytes(summary.pb(arranged).SerializeToString())


def hyperparameters(settings: Mapping[str, Any], metrics: Sequence[str], name: str) -> list[bytes]:
    """The summaries of TensorBoard's tab "HParams": settings and results of a run.

    Args:
        settings: flag -> value.
        metrics: tags of the results.
        name: name of the run.
    """
    from tensorboard.plugins.hparams import api, summary

    plain = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in sorted(settings.items())
    }
    shown = [api.Metric(tag, display_name=_in_words(tag)) for tag in metrics]
    config = summary.experiment_pb(
        [_described(key, value) for key, value in plain.items()],
        [metric.as_proto() for metric in shown],
    )
    return [
        bytes(config.SerializeToString()),
        bytes(api.hparams_pb(plain, trial_id=name).SerializeToString()),
    ]


def _in_words(tag: str) -> str:
    """The heading of a column: "class, linear, untrained"; TensorBoard breaks long words."""
    *untrained, evaluator, _, target, measure = tag.removeprefix("results/").split("/")
    return ", ".join([target, measure if evaluator == target else evaluator, *untrained])


def _described(name: str, value: Any) -> Any:
    from tensorboard.plugins.hparams import api_pb2

    kinds = {bool: "DATA_TYPE_BOOL", str: "DATA_TYPE_STRING"}
    kind = getattr(api_pb2, kinds.get(type(value), "DATA_TYPE_FLOAT64"))
    # TensorBoard shows settings with `differs` first.
    return api_pb2.HParamInfo(name=name, type=kind, differs=name in _SHOWN_FIRST)


def card(command: str, lines: Mapping[str, str], results: Sequence[str] = ()) -> str:
    """The description of a run, as Markdown.

    Args:
        command: the command that repeats it.
        lines: label -> value.
        results: the lines of the tables of results.
    """
    cells = {label: value.replace("|", "&#124;") for label, value in lines.items()}
    rows = "\n".join(f"| {label} | {value} |" for label, value in cells.items())
    text = f"    {command}\n\n| | |\n|---|---|\n{rows}\n"
    return text + (f"\n{_preformatted(results)}" if results else "")


def _preformatted(texts: Sequence[str]) -> str:
    return "".join(f"    {line}\n" for text in texts for line in text.splitlines() or [""])


def headline(values: Mapping[str, float], targets: Sequence[str]) -> dict[str, float]:
    """The final numbers that matter most, in their order: tag -> value.

    The accuracy of each target from the features, by the linear classifier, before training, and by
    nearest neighbours; and the bits that the features hold.

    Args:
        values: see `measure.measure`.
        targets: the names of the targets.
    """
    keys = [
        f"{evaluator}/features/{target}/accuracy"
        for evaluator in ("linear", "untrained/linear", "knn")
        for target in targets
    ]
    keys.append("bits/features/bits/information")
    return {f"results/{key}": values[key] for key in keys if key in values}


def write_embedding(
    directory: Path,
    embeddings: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    targets: Mapping[str, Target],
    images: np.ndarray | None,
) -> None:
    """Write files for TensorBoard's Embedding Projector.

    Args:
        directory: directory of the event file.
        embeddings: name -> (points, dim).
        labels: target name -> (points,) or (points, size).
        targets: target name -> `Target`; classes are shown by their names.
        images: (points, height, width, 1 or 3) in [0, 1], the thumbnails; or None.
    """
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    folder = directory / "projector"
    folder.mkdir(parents=True, exist_ok=True)
    config = projector.ProjectorConfig()
    columns = _columns(labels, targets)
    if columns:
        rows = zip(*columns.values(), strict=True)
        lines = ["\t".join(row) for row in rows]
        if len(columns) > 1:  # the Projector expects no header for a single column
            lines.insert(0, "\t".join(columns))
        files.write_text(folder / "labels.tsv", "\n".join(lines) + "\n")
    if images is not None:
        sheet, (height, width) = _sheet(images)
        pictures.write_png(folder / "sprite.png", sheet)
    for name, values in embeddings.items():
        with files.whole_file(folder / f"{name}.tsv") as temporary:
            np.savetxt(temporary, values, fmt="%.5g", delimiter="\t")
        embedding = config.embeddings.add(tensor_name=name, tensor_path=f"projector/{name}.tsv")
        if columns:
            embedding.metadata_path = "projector/labels.tsv"
        if images is not None:
            embedding.sprite.image_path = "projector/sprite.png"
            embedding.sprite.single_image_dim.extend([width, height])
    text = text_format.MessageToString(config)
    files.write_text(directory / "projector_config.pbtxt", text)


def _sheet(images: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Thumbnails row by row on a square sheet, and the (height, width) of each."""
    factor = min(1.0, MAX_PIXELS / max(images.shape[1:3]))
    size = [max(1, round(side * factor)) for side in images.shape[1:3]]
    small = tf.image.resize(images, size, antialias=True).numpy()
    small = np.repeat(small, 3, axis=-1) if small.shape[-1] == 1 else small[..., :3]
    side = int(np.ceil(np.sqrt(len(small))))
    sheet = np.zeros((side * side, *size, 3), np.float32)
    sheet[: len(small)] = np.clip(small, 0, 1)
    sheet = sheet.reshape(side, side, *size, 3).swapaxes(1, 2)
    return sheet.reshape(side * size[0], side * size[1], 3), (size[0], size[1])


def _columns(
    labels: Mapping[str, np.ndarray], targets: Mapping[str, Target]
) -> dict[str, list[str]]:
    """A column of texts for each target; short vectors also have a column for each entry."""
    columns: dict[str, list[str]] = {}
    for name, values in labels.items():
        if values.ndim == 1:
            columns[name] = [errors.printable(targets[name].name_of(value)) for value in values]
            continue
        columns[name] = ["".join(str(entry) for entry in row) for row in values]
        if values.shape[1] <= _COLUMNS:
            columns |= {
                f"{name}_{k}": [str(v) for v in values[:, k]] for k in range(values.shape[1])
            }
    return columns


def _command(workdir: Path) -> str:
    return f"python -m ssl_keras.train --flagfile={workdir / 'flags.txt'}"


def write_panel(
    setup: TrainingSetup, board: TensorBoardScalars, workdir: Path, banner: Mapping[str, str]
) -> None:
    """Write the card of the run and the layout of its charts."""
    board.text("run", card(_command(workdir), banner), step=0)
    board.summary(layout(charts(setup.data.targets, setup.config.loss is not None)), step=0)


def write_views(setup: TrainingSetup, board: TensorBoardScalars, workdir: Path) -> None:
    """Write the picture of some images and their views, to TensorBoard and as PNG."""
    if setup.data.modality.has_pictures:
        picture = draw_views(setup, num_images=_SHOWN_VIEWS, num_pairs=1)
        board.image("views", picture, step=0)
        pictures.write_png(workdir / "views.png", picture)


def write_results(
    setup: TrainingSetup,
    board: TensorBoardScalars,
    workdir: Path,
    banner: Mapping[str, str],
    values: Mapping[str, float],
) -> None:
    """Write the results: all of them as tables, also at the end of the card; the most important
    ones as scalars beside the settings; those of each baseline under the same names, as a separate
    run."""
    step, config, targets = setup.total_steps, setup.config, list(setup.data.targets)
    tables = messages.evaluation_tables(
        setup.data, config.evaluators, setup.model.layer_names, values
    )
    board.text("results", _preformatted(tables), step)
    board.text("run", card(_command(workdir), banner, tables), step)
    shown = headline(values, targets)
    board.scalars(shown, step)
    for name in config.baselines:
        baseline = TensorBoardScalars(workdir / "baselines" / name / "tensorboard")
        prefix = f"{name}/"
        own = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
        baseline.scalars(headline(own, targets), step)
        baseline.on_end()
    for content in hyperparameters(config.determining(), list(shown), workdir.name):
        board.summary(content, step)


def write_test_embedding(directory: Path, layers: Mapping[str, FrozenFeatures]) -> None:
    """Write the embedding of some test examples: their features, and the last layer."""
    features = layers["features"]
    if features.inputs is None:
        return
    modality, rows = features.inputs.modality, spread(len(features.test), MAX_POINTS)
    shown = {"features": features, list(layers)[-1]: layers[list(layers)[-1]]}
    write_embedding(
        directory,
        {name: frozen.test[rows] for name, frozen in shown.items()},
        {name: labels[rows] for name, labels in features.test_labels.items()},
        features.targets,
        modality.pictures(features.inputs.test(rows)) if modality.has_pictures else None,
    )
