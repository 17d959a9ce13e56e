"""Pictures of a data set as training sees it: image, pairs of views, bits, labels;
and the source, where it looks otherwise.

    python -m ssl_keras.show_views --flagfile=flags/overlay.flags --output=overlay.png

Takes the flags of `python -m ssl_keras.train`, and:

    --output=FILE     the PNG file (views.png)
    --show_images=N   how many images (8)
    --show_pairs=N    how many pairs of views of each (3)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_keras import commands
from ssl_keras.cli import flags, startup
from ssl_keras.cli.drawing import png_path
from ssl_keras.config import Config
from ssl_keras.errors import UserError


def draw(config: Config, output: Path, num_images: int, num_pairs: int) -> None:
    """Write the picture: one column an image; the source, the image, pairs of views, labels."""
    from ssl_keras import log, pictures
    from ssl_keras.run import build
    from ssl_keras.run.view_picture import draw_views

    setup = build(config)
    if not setup.data.modality.has_pictures:
        name = setup.data.modality.name
        raise UserError(f"show_views shows images, but {setup.data.name} has {name}.")
    columns = min(num_images, setup.data.train.num_examples)
    source = _source_images(config, columns) if "source" in config.flat() else None
    pictures.write_png(output, draw_views(setup, columns, num_pairs, source))
    log.info(f"Written: {output}")


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
    return plain.inputs(next(iter(batches))).numpy()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    arguments = list(sys.argv if arguments is None else arguments)
    flag_values = flags.define()
    flags.define_extra(flag_values, "output", "views.png", "file of the picture")
    flags.define_extra(flag_values, "show_images", 8, "how many images")
    flags.define_extra(flag_values, "show_pairs", 3, "how many pairs of views of each")

    def body() -> None:
        if flags.wants_help(arguments):
            print(commands.as_typed(str(__doc__)))
            return
        config = flags.parse(arguments, flag_values)
        output = png_path(str(flag_values["output"].value))
        numbers = [int(flag_values[name].value or 0) for name in ("show_images", "show_pairs")]
        if min(numbers) < 1:
            raise UserError("show_images and show_pairs must be at least 1.")
        startup.start_tensorflow()
        draw(config, output, *numbers)

    return startup.guarded("ssl_keras.show_views", body, lambda: flags.verbose(flag_values))


if __name__ == "__main__":
    sys.exit(main())
