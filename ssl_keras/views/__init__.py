"""Pairs of views: the random augmentations, as keras-cv layers with stateless draws.

This is the one package that imports keras_cv. Every operation takes prepared examples and its own
columns of a matrix of uniform draws, one row for each view, so the views of an example are a
function of (seed, step, view, position in the global batch): the same in eager mode, in a graph and
under XLA, on one device or several, whole or in slices.

Images are float32 in [0, 1]. Bits are never augmented; mixup mixes them if it is asked to. (They
are constant over space, so crops and flips would not change them.)
"""

MIXUP_KINDS = ("linear", "geometric", "binary")
