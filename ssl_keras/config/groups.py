"""The groups of settings, in the order of `--help`; each docstring is the title of its group."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_keras import paths
from ssl_keras.datasets import DATASETS
from ssl_keras.datasets.sources import ON_BAD_IMAGE
from ssl_keras.datasets.sources.decoding import MAX_MEGAPIXELS, RESIZE
from ssl_keras.datasets.sources.glyphs import CHARACTERS
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.losses import LOSSES
from ssl_keras.losses.base import IMPLEMENTATIONS
from ssl_keras.methods import METHODS
from ssl_keras.networks import ENCODERS
from ssl_keras.optimizers import DECAY, OPTIMIZERS, SCALING
from ssl_keras.options import Needs, Options, option


@dataclass(frozen=True)
class DataConfig(Options):
    """Data set"""

    dataset: str = option("bit_concat", choices=DATASETS, help="data set")
    max_train_images: int | None = option(
        None, minimum=2, help="largest number of training examples, drawn by the seed (all)"
    )
    held_out_classes: int | None = option(
        None,
        minimum=1,
        help="number of classes, drawn by the seed, that are not trained on; verification and "
        "few_shot measure them (none)",
    )
    held_out_target: str | None = option(
        None,
        help="target whose classes are held out (class, or the first)",
        needs=Needs("held_out_classes", minimum=1),
    )
    data_dir: str | None = option(
        None,
        help="folder of prepared TensorFlow Datasets ($TFDS_DATA_DIR, or in the home folder)",
        convert=paths.local_path,
    )
    download: bool = option(False, help="download the source if it is not prepared")


@dataclass(frozen=True)
class ImageConfig(Options):
    """Images"""

    image_size: int | None = option(
        None, minimum=4, maximum=1024, help="side of the images in pixels (that of the source)"
    )
    view_size: int | None = option(
        None,
        minimum=4,
        maximum=1024,
        help="side of the views, crops of images of --image_size (that of the images)",
    )
    image_channels: int | None = option(
        None,
        minimum=1,
        maximum=3,
        help="number of leading channels that form the picture, 1 or 3; the others are extra "
        "channels (3 if the source has 3 or more)",
    )
    resize: str = option(
        "squash", choices=RESIZE, help="scale image files whole, or their largest centred square"
    )
    on_bad_image: str = option(
        "refuse", choices=ON_BAD_IMAGE, help="what to do with unreadable image files"
    )
    max_megapixels: int = option(
        MAX_MEGAPIXELS,
        minimum=1,
        maximum=100_000,
        help="image files with more million pixels count as unreadable",
    )
    num_characters: int | None = option(
        None,
        minimum=2,
        maximum=len(CHARACTERS),
        help="number of characters of glyphs, from digits and Latin to Greek and Cyrillic (62; "
        "factors: 20)",
    )


@dataclass(frozen=True)
class MethodConfig(Options):
    """Method"""

    method: str = option("simclr", choices=METHODS, help="training method")


@dataclass(frozen=True)
class LossConfig(Options):
    """Loss"""

    loss: str = option("uniform_prior", choices=LOSSES, help="loss of the contrastive methods")


@dataclass(frozen=True)
class NetworkConfig(Options):
    """Networks"""

    encoder: str = option("auto", help=f"encoder: {', '.join(ENCODERS)}; auto: that of the data")


@dataclass(frozen=True)
class OptimizationConfig(Options):
    """Optimization"""

    batch_size: int = option(250, minimum=2, help="examples in the global batch")
    epochs: int = option(
        100, minimum=1, help="passes over the training data", needs=Needs("steps", set_aside=True)
    )
    steps: int | None = option(None, minimum=1, help="training steps, instead of --epochs")
    optimizer: str = option("adam", choices=OPTIMIZERS, help="optimizer")
    learning_rate_scaling: str = option(
        "none",
        choices=SCALING,
        help="rule for the batch size: linear: *batch/256; sqrt: *sqrt(batch)",
    )
    learning_rate_decay: str = option("cosine", choices=DECAY, help="schedule after warm-up")
    warmup_epochs: float = option(0.0, minimum=0, help="epochs of linear warm-up")
    kernel_l2: float = option(
        0.0, minimum=0, help="weight of the sum of squares of all kernels, added to the loss"
    )
    ema_decay: float | None = option(
        None,
        above=0,
        below=1,
        help="evaluate and export a moving average of the weights, such as 0.99 (the weights)",
    )
    probe_learning_rate: float = option(
        3e-3, above=0, help="peak learning rate of the online linear probe (Adam)"
    )


@dataclass(frozen=True)
class EngineConfig(Options):
    """Precision and devices"""

    mixed_precision: str = option(
        "auto",
        choices=("auto", "off", "float16", "bfloat16"),
        help="precision of the networks' layers; auto: bfloat16 or float16 if the GPU supports it, "
        "off on a CPU",
    )
    jit: str = option(
        "auto",
        choices=("auto", "off", "on"),
        help="compile the training step with XLA; auto: on a single GPU, elsewhere the views of "
        "colour images alone; off: nothing",
    )
    steps_per_execution: int = option(
        1, minimum=1, maximum=10_000, help="training steps in each call of the runtime"
    )
    micro_batch: int | None = option(
        None,
        minimum=1,
        help="examples whose activations a device holds at once; the loss remains that of the "
        "whole batch (the whole batch)",
    )
    loss_impl: str = option(
        "auto",
        choices=IMPLEMENTATIONS,
        help="how softmax losses go over all pairs: whole matrices, or tiles, whose memory is "
        "linear in the batch; auto: by size",
    )
    deterministic: bool = option(
        False, help="refuse operations that are not deterministic, on GPUs as well"
    )
    strategy: str = option(
        "none",
        choices=("none", "mirrored", "multi_worker"),
        help="devices that share each batch: one, several of this machine, or those of several "
        "machines (TF_CONFIG)",
    )
    devices: int | None = option(
        None,
        minimum=1,
        maximum=64,
        help="number of devices for --strategy=mirrored (all GPUs); without a GPU the CPU is "
        "divided",
        needs=Needs("strategy", ("mirrored",)),
    )
    wait_minutes: float = option(
        10.0,
        above=0,
        maximum=10_000,
        help="how long the workers wait for each other before the training",
        needs=Needs("strategy", ("multi_worker",)),
    )


@dataclass(frozen=True)
class EvaluationConfig(Options):
    """Evaluation"""

    heads: str = option(
        "linear,knn,geometry,bits",
        help=f"evaluators of frozen features, comma-separated: {', '.join(EVALUATORS)}; or empty",
        is_list=True,
    )


@dataclass(frozen=True)
class RunConfig(Options):
    """Run"""

    seed: int = option(0, minimum=0, maximum=2**31 - 1, help="seed of all random numbers")
    workdir: str | None = option(
        None, help="directory of the run (runs/NAME-HASH)", convert=paths.tensorflow_path
    )
    overwrite: bool = option(False, help="replace a run that --workdir already holds")
    plugins: str = option(
        "",
        help="modules that add losses, methods, encoders, data sets or evaluators, comma-separated",
        is_list=True,
    )
    checkpoint_every: int | None = option(
        None, minimum=1, help="steps between checkpoints (by --checkpoint_minutes alone)"
    )
    checkpoint_minutes: float = option(
        5.0, above=0, help="maximum number of minutes between checkpoints"
    )
    checkpoint_keep: int = option(2, minimum=1, help="number of checkpoints to keep")
    export: bool = option(
        True, help="write the encoder as a SavedModel; ssl_keras.export can do it later"
    )
    quiet: bool = option(False, help="print warnings only, and the run's directory at the end")
    log_json: bool = option(
        False, help="print only lines of JSON: the metrics of every log, and the results"
    )
    log_every: int | None = option(None, minimum=1, help="steps between logs (an epoch)")
    measure_images: int = option(
        128, minimum=0, help="number of training examples whose geometry is logged; 0: none"
    )
    measure_every: int | None = option(
        None,
        minimum=1,
        help="steps between measurements of geometry (a 25th of the training)",
        needs=Needs("measure_images", minimum=1),
    )
    profile_steps: int | None = option(
        None,
        minimum=1,
        maximum=1000,
        help="number of steps to profile for TensorBoard, after ten steps of warm-up (none)",
    )
