"""Pictures of a data set as training sees it: image, pairs of views, bits, labels;
and the source, where it looks otherwise.

    python -m ssl_keras.show_views --flagfile=flags/overlay.flags --output=overlay.png

Takes the flags of `python -m ssl_keras.train`, and:

    --output=FILE     where the PNG goes (views.png)
    --show_images=N   how many images (8)
    --show_pairs=N    how many pairs of views of each (3)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_keras.cli import flags, startup
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from tools.common import png_path

PROGRAM = "python -m ssl_keras.show_views"


def draw(config: Config, output: Path, num_images: int, num_pairs: int) -> None:
    """Write the picture: one column an image; its composition, pairs of views, bits and labels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    import tensorflow as tf

    from ssl_keras.run import build

    setup = build(config)
    data, augmenter = setup.data, setup.model.augmenter
    modality = data.modality
    if not modality.has_pictures:
        raise UserError(f"show_views shows images, but {data.name} has {modality.name}.")
    columns = min(num_images, data.train.num_examples)
    batch = next(iter(data.train.training_batches(columns, seed=config.run.seed, num_steps=1)))
    rows = [("image", modality.pictures(data.inputs(batch).numpy()))]
    if "source" in config.flat():
        source = _source_images(config, columns)
        if not np.array_equal(source, rows[0][1]):
            rows.insert(0, ("source", source))
    for pair in range(num_pairs):
        views, _ = augmenter.two_views(batch, tf.constant(pair))
        for view, part in enumerate(
            np.split(modality.pictures(modality.compose(views).numpy()), 2)
        ):
            rows.append((f"step {pair}\nview {view + 1}", part))
    has_bits = data.num_bits > 0
    heights = [1.0] * len(rows) + ([0.25] if has_bits else [])
    figure, axes = plt.subplots(
        len(heights),
        columns,
        figsize=(1.15 * columns + 0.7, height := 1.15 * sum(heights) + 0.8),
        gridspec_kw={"height_ratios": heights, "wspace": 0.06, "hspace": 0.06},
        squeeze=False,
    )
    for row, (label, images) in enumerate(rows):
        for column in range(columns):
            image = np.clip(images[column], 0, 1)
            axes[row, column].imshow(
                image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=1
            )
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    if has_bits:
        bits = batch["example"]["bits"].numpy()
        for column in range(columns):
            axes[-1, column].imshow(
                bits[column][None], cmap="gray", vmin=0, vmax=bits.max() or 1, aspect="auto"
            )
        axes[-1, 0].set_ylabel("bits", rotation=0, ha="right", va="center", fontsize=8)
    for column in range(columns):
        texts: list[str] = []
        for name, target in data.targets.items():
            label = batch["labels"][name][column].numpy()
            if target.kind == "class":
                names = data.class_names if name == "class" else ()
                texts.append(f"{name}: {names[label] if names else label}"[:18])
            elif target.kind == "presence":
                texts.append("has " + ",".join(map(str, np.flatnonzero(label))))
        axes[0, column].set_title("\n".join(texts), fontsize=6.5, pad=3)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{data.name}\nviews: {augmenter.describe() or 'none'}", fontsize=8, y=1.0)
    figure.subplots_adjust(top=1.0 - 0.8 / height, bottom=0.0)
    figure.savefig(output, dpi=110, bbox_inches="tight")
    plt.close(figure)
    print(f"Written: {output}")


def _source_images(config: Config, count: int) -> Any:
    """The images of the source behind the first batch: the order of a split is that of its seed."""
    from ssl_keras import datasets

    plain = datasets.load(
        "plain",
        source=config.flat()["source"],
        seed=config.run.seed,
        data_dir=config.data.data_dir,
        max_train_images=config.data.max_train_images,
        **config.images.options(),
    )
    batches = plain.train.training_batches(count, seed=config.run.seed, num_steps=1)
    return plain.modality.pictures(plain.inputs(next(iter(batches))).numpy())


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    given = list(sys.argv if arguments is None else arguments)
    flag_values = flags.define()
    flags.define_extra(flag_values, "output", "views.png", "file of the picture")
    flags.define_extra(flag_values, "show_images", 8, "how many images")
    flags.define_extra(flag_values, "show_pairs", 3, "how many pairs of views of each")
    if flags.wants_help(given):
        print(__doc__)
        return startup.OK

    def body() -> None:
        config = flags.parse(given, flag_values)
        output = png_path(str(flag_values["output"].value))
        numbers = [int(flag_values[name].value or 0) for name in ("show_images", "show_pairs")]
        if min(numbers) < 1:
            raise UserError("show_images and show_pairs must be at least 1.")
        startup.start_tensorflow()
        draw(config, output, *numbers)

    return startup.guarded("ssl_keras.show_views", body, lambda: flags.verbose(flag_values))


if __name__ == "__main__":
    sys.exit(main())
