"""What the settings of precision and devices mean on a machine."""

from __future__ import annotations

import json

import pytest

from ssl_keras.errors import UserError
from ssl_keras.run import devices
from ssl_keras.run.devices import Engine, best_precision


@pytest.mark.parametrize(
    ("capabilities", "several", "jit", "expected"),
    [
        ([], False, False, "off"),
        ([(9, 0)], False, False, "bfloat16"),
        ([(8, 0), (9, 0)], True, True, "bfloat16"),
        ([(7, 5)], False, False, "float16"),
        ([(7, 5)], True, False, "off"),  # loss scaling looks at one device
        ([(7, 0)], False, True, "off"),  # and cannot be compiled
        ([(8, 6), (7, 5)], True, False, "off"),  # the weakest decides
        ([(6, 1)], False, False, "off"),
    ],
)
def test_the_best_precision_of_gpus(
    capabilities: list[tuple[int, int]], several: bool, jit: bool, expected: str
) -> None:
    assert best_precision(capabilities, several, jit) == expected


def test_auto_on_a_cpu_is_plain_float32() -> None:
    engine = devices.resolve("auto", "auto", "none", None)
    assert (engine.policy, engine.jit, engine.strategy) == ("float32", False, None)
    assert engine.described() == {"precision": "off", "jit": False, "replicas": 1}
    assert engine.is_chief


def test_what_is_asked_for_is_what_runs(two_replicas: object) -> None:
    engine = devices.resolve("bfloat16", "on", "none", None)
    assert (engine.policy, engine.jit) == ("mixed_bfloat16", True)
    shared = devices.resolve("off", "auto", "mirrored", 2)
    assert shared.strategy is two_replicas
    assert shared.replicas == 2
    assert Engine().policy == "float32"


@pytest.mark.parametrize("count", [1, 3])
def test_devices_that_are_not_there_are_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"at least two devices, and {count} of 2 CPUs"):
        devices.resolve("off", "off", "mirrored", count)


def test_training_alone_in_a_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("{broken", "{}", config("worker", 0, worker=["a:1"])):
        monkeypatch.setenv("TF_CONFIG", text)
        devices.check_alone()
    monkeypatch.setenv("TF_CONFIG", config("worker", 0, worker=["a:1"], ps=["b:1"]))
    with pytest.raises(UserError, match=r"describes 2 tasks \(worker, ps\)"):
        devices.check_alone()


def test_another_way_of_distributing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.distribution, "distribution", lambda: object())
    with pytest.raises(UserError, match=r"keras.distribution does not work"):
        devices.resolve("off", "off")


def config(kind: str = "worker", index: object = 0, **cluster: list[str]) -> str:
    cluster = cluster or {"worker": ["a:1", "b:1"]}
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "TF_CONFIG, which is not set: it must be like"),
        ("{broken", "which is '{broken'"),
        ('{"cluster": {}}', "it must be like"),
        (config("ps"), "a task of type 'ps'"),
        (config("worker", 0, worker=["a:1"], ps=["b:1"]), "in a cluster of worker, ps"),
        (config("worker", 2), "the index 2, but there are 2 workers: give an index from 0 to 1"),
        (config("worker", "first"), "it must be like"),
        (config("worker", True), "it must be like"),
        (config("worker", 0.5), "it must be like"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', "it must be"),
        ("[" * 100_000, "it must be like"),
        (config("worker", 0, worker=["a:1", "a:1"]), "gives the address a:1 to two workers"),
        (config("worker", 0, worker=["a:1", "b"]), "worker 1 the address 'b', which is not HOST:"),
        (config("worker", 0, worker=["a:1", "b:70000"]), "a port from 1 to 65535"),
        (config("worker", 0, worker=["a:1", 3]), "worker 1 the address '3'"),  # type: ignore[list-item]
    ],
)
def test_a_wrong_cluster_is_one_sentence(
    text: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as caught:
        devices.worker()
    assert message in str(caught.value)


def test_a_cluster_says_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config("worker", 1))
    assert devices.worker() == (["a:1", "b:1"], 1)
    assert not Engine(kind="multi_worker").is_chief
