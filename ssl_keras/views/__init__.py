"""Pairs of views: random augmentations with stateless draws, for images as keras-cv layers.

Only this package imports keras_cv. Every operation takes prepared examples and its columns of a
matrix of uniform draws, one row for each view. So the views of an example are a function of (seed,
step, view, position in the global batch): the same in eager mode, in a graph and under XLA, on one
device or several, whole or in slices.

Images are float32 in [0, 1]. Augmentation leaves the bits unchanged; mixup mixes them on request.
"""

MIXUP_KINDS = ("linear", "geometric", "binary")
# See `crops`.
CROP_LAWS = ("uniform", "official", "torchvision")
