"""Views: the random augmentations, as keras-cv layers with stateless draws.

This is the one package that imports keras_cv. Every layer takes the images and its own columns of
a matrix of uniform draws, one row for each image, so the views of an image are a function of
(seed, step, view, position in the global batch): the same in eager mode, in a graph and under
XLA, on one device or several, whole or in slices. Pixel work is batched.

Images are float32 in [0, 1]. Bits that are not image (random bits) are never augmented; they come
here only for mixup, which mixes them if it is asked to. (They are constant over space, so crops and
flips would not change them.)
"""

from ssl_keras.views.augmenter import Augmenter, Chain, build_augmenter
from ssl_keras.views.mixup import Mixup

__all__ = ["Augmenter", "Chain", "Mixup", "build_augmenter"]
