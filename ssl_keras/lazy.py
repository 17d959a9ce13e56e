"""TensorFlow, Keras and TensorFlow Datasets, and names of this package, imported at first use.

Importing TensorFlow takes seconds. `--help` and the validation of the command line do not need it.
So every module imports `tf` and `keras` from here; they start without TensorFlow's noise.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# What TensorFlow's C++ code writes at every start on a machine without a GPU.
_NOISE = re.compile(
    r"absl::InitializeLog|oneDNN custom operations|[Cc]ould not find cuda drivers"
    r"|optimized to use available CPU instructions|rebuild TensorFlow with|cuInit|cuda_platform\.cc"
    r"|computation_placer|Unable to register cu|TF-TRT|cudart_stub|^\s*$"
)


@contextmanager
def without_noise() -> Iterator[None]:
    """Capture the standard error; then write it without the lines that match `_NOISE`."""
    sys.stderr.flush()
    try:
        original = os.dup(2)
    except OSError:  # the process has no standard error
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not _NOISE.search(line):
                    print(line, file=sys.stderr)


# Packages that Keras and keras-cv import if they are there, for wrappers, galleries and downloads:
# a third of the time of their import.
_UNUSED = ("sklearn", "matplotlib", "kagglehub", "IPython")


@contextmanager
def _without_unused() -> Iterator[None]:
    """Let packages that are not loaded yet, of `_UNUSED`, look as if they were not installed."""
    absent = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def start_program() -> None:
    """Like `start`, in less time, with keras-cv, and with the defaults of Keras, whatever the
    user's keras.json says.

    Keras's wrappers for scikit-learn and its galleries do not work afterwards, so this is for
    programs and not for a user's process.
    """
    with _without_unused():
        start()
        importlib.import_module("keras_cv")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


@functools.cache
def start() -> None:
    """Import TensorFlow and Keras, and look for devices, without noise. No device is opened, so
    that they can still be configured.

    Keras is told its backend and the order of the axes of images, which the user's keras.json may
    have otherwise: the networks here depend on both.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # keras-cv imports progress bars of notebooks, which nothing here draws.
    warnings.filterwarnings("ignore", message="IProgress not found")
    with without_noise():
        importlib.import_module("keras").config.set_image_data_format("channels_last")
        importlib.import_module("tensorflow").config.list_physical_devices()


class LazyModule:
    """The module `name`, imported at the first access to an attribute; `starts`: after `start`."""

    def __init__(self, name: str, starts: bool = True):
        self._name, self._starts = name, starts

    def __getattr__(self, attribute: str) -> Any:
        if self._starts:
            start()
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


def attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are imported when they are used.

    Args:
        package: its name.
        modules: public name -> the module inside the package that defines it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get


tf: Any = LazyModule("tensorflow")
keras: Any = LazyModule("keras")
# Lists its data sets without TensorFlow; who reads one calls `start` first.
tfds: Any = LazyModule("tensorflow_datasets", starts=False)
