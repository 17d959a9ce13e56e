"""What processes of tests begin with, see `processes`. Nothing here may run an operation."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_cv
import tensorboard
import tensorflow
import tensorflow_datasets

import ssl_keras.run

__all__ = ["keras_cv", "ssl_keras", "tensorboard", "tensorflow", "tensorflow_datasets"]
