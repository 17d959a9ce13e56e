"""Every public call explains itself, and so does what a registry makes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import ssl_keras
from ssl_keras import annotations, losses
from ssl_keras.config import REGISTRIES

PACKAGES = ("losses", "metrics", "datasets", "networks", "evaluators", "methods", "views")
SHORTEST = 12


def modules() -> Iterator[ModuleType]:
    """The public packages, and the modules in them."""
    for name in PACKAGES:
        package = importlib.import_module(f"ssl_keras.{name}")
        yield package
        for info in pkgutil.iter_modules(getattr(package, "__path__", ())):
            yield importlib.import_module(f"ssl_keras.{name}.{info.name}")


def public() -> dict[str, Any]:
    """Path -> each public function and class: the names of `ssl_keras`, those of the packages, and
    what their modules define."""
    found = {f"ssl_keras.{name}": getattr(ssl_keras, name) for name in ssl_keras.__all__}
    for module in modules():
        names = getattr(module, "__all__", None) or [
            name
            for name, value in vars(module).items()
            if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
        ]
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in names}
    return {n: v for n, v in found.items() if inspect.isclass(v) or inspect.isfunction(v)}


def calls(thing: Any) -> Iterator[tuple[str, Any]]:
    """(name, method or property) that a class of this package defines and others may call."""
    for name, value in vars(thing).items():
        if not name.startswith("_") or name == "__call__":
            value = getattr(value, "__func__", value)  # of a class method
            if inspect.isfunction(value) or isinstance(value, property):
                yield name, getattr(thing, name)


def lacks_docstring(thing: Any) -> bool:
    text = inspect.getdoc(thing) or ""
    generated = inspect.isclass(thing) and text.startswith(f"{thing.__name__}(")  # by dataclass
    return generated or len(text) < SHORTEST


def test_every_public_call_has_a_docstring() -> None:
    missing = []
    things = public()
    assert len(things) > 150
    for name, thing in things.items():
        if lacks_docstring(thing):
            missing.append(name)
        if inspect.isclass(thing):
            missing += [f"{name}.{n}" for n, call in calls(thing) if lacks_docstring(call)]
    assert missing == []


@pytest.mark.parametrize("registry", [r for _, r in REGISTRIES.values()], ids=lambda r: r.kind)
def test_what_a_registry_makes_explains_itself_and_its_options(registry: Any) -> None:
    for name, entry in registry.items():
        assert not lacks_docstring(entry), name
        for option, setting in registry.settings().items():
            for use in setting.values():
                assert len(use.help) > 5, option


@pytest.mark.parametrize("name", losses.LOSSES)
def test_help_of_a_loss_has_its_formula_and_how_to_call_it(name: str) -> None:
    loss = losses.get(name)
    text = inspect.getdoc(loss) or ""
    formulas = [part for part in text.split("\n\n") if part.startswith("    ")]
    assert re.search(r"[\w)\]] [-+*/] [\w(\[]", formulas[0]), text
    assert "(batch, dim)" in text
    assert "float32 scalar" in (inspect.getdoc(loss.__call__) or "")


def test_signatures_name_what_they_take() -> None:
    """No bare `Any` in the signatures of losses and measures."""
    for name, thing in public().items():
        if name.startswith(("ssl_keras.metrics", "ssl_keras.losses.base.Loss")):
            functions = [thing] if inspect.isfunction(thing) else [c for _, c in calls(thing)]
            for function in filter(inspect.isfunction, functions):
                hints = inspect.get_annotations(function)
                assert "Any" not in hints.values(), f"{name}.{function.__name__}: {hints}"
    for alias in ("Tensor", "TensorLike", "Labels", "Model"):
        assert not lacks_docstring(getattr(annotations, alias))
