"""Write any source as a TensorFlow Datasets data set, so that it can be used by name.

    python -m tools.prepare_tfds --source=idx:/usr/share/datasets/fashion-mnist \\
        --name=my_fashion --data_dir=data
    python -m ssl_keras.train --source=my_fashion --data_dir=data
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.datasets.sources import ON_BAD_IMAGE
from ssl_keras.datasets.sources.decoding import RESIZE
from ssl_keras.errors import UserError


def write(source: str, name: str, data_dir: str, **options: Any) -> None:
    """Store both splits of `source` as the TensorFlow Datasets data set `name` 1.0.0."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from ssl_keras.datasets import load_source
    from ssl_keras.datasets.examples import Examples
    from ssl_keras.datasets.sources.tfds import EMBEDDED

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(
            f"name is {name!r}; small letters, digits and underscores are needed, such as my_data."
        )
    if (Path(data_dir) / name).exists():
        raise UserError(f"{Path(data_dir) / name} exists already: choose another --name.")
    if name in EMBEDDED or name in tfds.list_builders(with_community_datasets=False):
        raise UserError(
            f"name is {name!r}, which is another data set: choose another, such as my_{name}."
        )
    size = options.get("image_size")
    if size is not None and not 4 <= size <= 1024:
        raise UserError(f"image_size must be at least 4 and at most 1024, not {size}.")
    loaded = load_source(source, **options)
    label: dict[str, Any] = {}
    if loaded.labelled:
        names = list(loaded.class_names) or [str(index) for index in range(loaded.num_classes)]
        label = {"label": tfds.features.ClassLabel(names=names)}

    def rows(examples: Examples) -> Any:
        def generate() -> Iterator[dict[str, Any]]:
            indices = tf.data.Dataset.range(examples.count).batch(256)
            for batch in examples.batched(indices, 256):
                images = batch["image"].numpy()
                labels = batch["label"].numpy() if loaded.labelled else None
                for position, image in enumerate(images):
                    yield {"image": image} | (
                        {} if labels is None else {"label": int(labels[position])}
                    )

        signature: dict[str, Any] = {"image": tf.TensorSpec(loaded.image_shape, tf.uint8)}
        if loaded.labelled:
            signature["label"] = tf.TensorSpec((), tf.int64)
        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=loaded.image_shape), **label}
        ),
        split_datasets={"train": rows(loaded.train), "test": rows(loaded.test)},
        data_dir=data_dir,
        description=f"{source}, written by ssl_keras.",
    )
    print(f"Written: --source={name} --data_dir={data_dir}")


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("tools.prepare_tfds", __doc__)
    parser.add_argument("--source", required=True, help="as --source of ssl_keras.train")
    parser.add_argument("--name", required=True, help="name of the data set to write")
    parser.add_argument("--data_dir", required=True, help="folder to write it to")
    parser.add_argument("--image_size", type=int, help="side of the images in pixels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split, if it needs one")
    parser.add_argument("--resize", choices=RESIZE, default="squash", help="how files are scaled")
    parser.add_argument("--on_bad_image", choices=ON_BAD_IMAGE, default="refuse")
    values = vars(parser.parse_args(arguments))

    def body() -> None:
        startup.start_tensorflow()
        write(**values)

    return startup.guarded("tools.prepare_tfds", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
