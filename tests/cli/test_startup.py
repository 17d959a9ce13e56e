"""What the start of a program loads."""

from __future__ import annotations

import importlib
import sys

import keras
import pytest

from ssl_keras import lazy


def test_unused_packages_look_absent_only_while_keras_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    importlib.import_module("matplotlib")  # loaded by others: it stays
    monkeypatch.delitem(sys.modules, "kagglehub", raising=False)
    with lazy._without_unused():
        with pytest.raises(ImportError):
            importlib.import_module("kagglehub")
        assert importlib.import_module("matplotlib") is not None
    assert "kagglehub" not in sys.modules
    assert importlib.import_module("kagglehub").__name__ == "kagglehub"


def test_a_program_starts_with_keras_cv_and_without_what_it_does_not_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    imported: list[tuple[str, set[str]]] = []

    def record(name: str) -> None:
        imported.append((name, {unused for unused in lazy._UNUSED if sys.modules[unused] is None}))

    for name in lazy._UNUSED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(lazy, "start", lambda: record("start"))
    monkeypatch.setattr(lazy.keras, "config", keras.config)
    monkeypatch.setattr(lazy.importlib, "import_module", record)
    lazy.start_program()
    assert imported == [(name, set(lazy._UNUSED)) for name in ("start", "keras_cv")]
