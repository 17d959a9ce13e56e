"""Options are typed, bounded and converted; a registry finds, refuses and suggests."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, make_dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.losses import LOSSES
from ssl_keras.losses.base import Loss
from ssl_keras.options import Needs, Options, Registry, Scheduled, option, settings


@dataclass(frozen=True)
class Sample(Options):
    count: int = option(3, minimum=1, maximum=9, help="how many")
    rate: float = option(0.5, above=0, below=1, help="how fast")
    mode: str = option("a", choices=("a", "b"), help="which")
    on: bool = option(False, help="whether")
    limit: int | None = option(None, minimum=0, help="at most")


@dataclass(frozen=True)
class Other(Options):
    rate: float = option(0.1, above=0, help="how fast")


@dataclass(frozen=True)
class Listed(Options):
    names: str = option("a", help="which", is_list=True)


REGISTRY: Registry[Options] = Registry("thing", Options, {"sample": Sample, "other": Other})


FOURS = [4, 4.0, np.int64(4), np.uint8(4), np.float16(4), np.array(4), Decimal(4), Fraction(8, 2)]


@pytest.mark.parametrize("four", [*FOURS, tf.constant(4)], ids=lambda four: type(four).__name__)
def test_whole_numbers_may_be_of_any_type(four: Any) -> None:
    made = Sample(count=four)
    assert type(made.count) is int
    assert made.count == 4


@pytest.mark.parametrize(
    "tenth", [0.1, np.float16(0.1), np.float32(0.1), np.array(0.1), Decimal("0.1")]
)
def test_numbers_of_any_precision_are_the_decimal_they_show(tenth: Any) -> None:
    made = Sample(rate=tenth)
    assert type(made.rate) is float
    assert made.rate == 0.1


def test_texts_may_be_paths_and_truth_values_those_of_numpy() -> None:
    made = Sample(mode=Path("b"), on=np.True_, limit=None)  # type: ignore[arg-type]
    assert made.options() == {"count": 3, "rate": 0.5, "mode": "b", "on": True, "limit": None}
    assert type(made.mode) is str
    assert type(made.on) is bool
    assert type(Sample(mode=np.str_("b")).mode) is str


@pytest.mark.parametrize("names", ["a,b/c,3", ["a", Path("b/c"), np.int64(3)], ("a,b/c", 3)])
def test_lists_may_be_lists(names: Any) -> None:
    assert Listed(names=names).names == "a,b/c,3"
    assert Listed(names=[]).names == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count must be at least 1 and at most 9, not 0."),
        ({"count": 2.5}, "count must be a whole number, not 2.5."),
        ({"count": "2"}, "count must be a whole number, not '2'."),
        ({"count": None}, "count must be a whole number, not None."),
        ({"count": True}, "count must be a whole number, not True."),
        ({"rate": 1}, "rate must be above 0 and below 1, not 1."),
        ({"rate": float("inf")}, "rate must be above 0 and below 1, not inf."),
        ({"mode": "c"}, "Unknown mode 'c'. Valid: a, b."),
        ({"mode": 1}, "mode must be a text, not 1."),
        ({"on": 1}, "on must be true or false, not 1."),
        ({"on": np.int64(1)}, "on must be true or false, not np.int64(1)."),
        ({"count": np.True_}, "count must be a whole number, not np.True_."),
        ({"count": np.array([1, 2])}, "count must be a whole number, not array([1, 2])."),
        ({"count": np.array(["x\ny"])}, "count must be a whole number, not array(['x\\ny']"),
        ({"count": [4]}, "count must be a whole number, not [4]."),
        ({"count": 4 + 0j}, "count must be a whole number, not (4+0j)."),
        ({"count": 10**20}, "count must be at least 1 and at most 9, not 100000000000000000000."),
        ({"count": 10**5000}, "count must be a whole number, not a number of more than 1000 bits."),
        ({"rate": np.float32("nan")}, "rate must be above 0 and below 1, not np.float32(nan)."),
        ({"mode": ["a"]}, "mode must be a text, not ['a']."),
        ({"mode": b"a"}, "mode must be a text, not b'a'."),
    ],
)
def test_bad_values_are_refused_in_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Sample(**values)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("names", [3, None, {"a"}, [None], [True], [["a"]], [b"a"]])
def test_lists_of_other_things_are_refused(names: Any) -> None:
    with pytest.raises(UserError, match="names must be a text") as caught:
        Listed(names=names)
    assert "\n" not in str(caught.value)


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Sample().count = 4  # type: ignore[misc]


def test_registry_makes_entries_and_lists_their_settings() -> None:
    assert REGISTRY.get("other", rate=2) == Other(rate=2.0)
    assert list(REGISTRY) == ["sample", "other"]
    uses = REGISTRY.settings()
    assert list(uses) == ["count", "rate", "mode", "on", "limit"]
    assert {name: setting.default for name, setting in uses["rate"].items()} == {
        "sample": 0.5,
        "other": 0.1,
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("smaple", {}, "Unknown thing 'smaple'. Did you mean 'sample'? Valid: other, sample."),
        ("zzz", {}, "Unknown thing 'zzz'. Valid: other, sample."),
        ("other", {"raet": 1}, "The thing 'other' has no raet: it has rate. Did you mean rate?"),
        ("other", {"rate": 0}, "thing 'other': rate must be above 0, not 0."),
    ],
)
def test_registry_errors(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        REGISTRY.get(name, **options)
    assert str(caught.value) == message


# This file's annotations are texts; those of `make_dataclass` are types.
@dataclass(frozen=True)
class Texts(Options):
    a: float = option(0.5, help="a")
    b: int = option(1, help="b")
    c: str = option("", help="c")
    d: bool = option(True, help="d")
    e: int | None = option(None, help="e")
    f: Optional[float] = option(None, help="f")  # noqa: UP045
    g: Scheduled = option(0.1, help="g")


TYPES = {"a": float, "b": int, "c": str, "d": bool, "e": int | None, "f": Optional[float]}  # noqa: UP045
TYPES["g"] = Scheduled


def made_of_types() -> type[Options]:
    fields = [
        (name, hint, option(settings(Texts)[name].default, help=name))
        for name, hint in TYPES.items()
    ]
    return make_dataclass("Types", fields, bases=(Options,), frozen=True)


@pytest.mark.parametrize("make", [lambda: Texts, made_of_types], ids=["texts", "types"])
def test_kinds_come_from_annotations_of_either_form(make: Any) -> None:
    options = make()
    form = str if options is Texts else type(Options | None) | type
    assert isinstance(options.__annotations__["e"], form)
    described = settings(options)
    assert {name: setting.kind for name, setting in described.items()} == {
        "a": float, "b": int, "c": str, "d": bool, "e": int, "f": float, "g": float,
    }  # fmt: skip
    assert [name for name, setting in described.items() if setting.scheduled] == ["g"]
    made = options(a=1, e=np.int32(3), g="linear:1:0")
    assert (made.a, made.e, made.f, made.g) == (1.0, 3, None, "linear:1.0:0.0")
    assert type(made.a) is float
    with pytest.raises(UserError, match=r"^e must be a whole number, not 0.5.$"):
        options(e=0.5)


@pytest.mark.parametrize("hint", [list, "list[int]", int | str, "int | float | None", Any])
def test_other_annotations_are_an_error_of_the_programmer(hint: Any) -> None:
    wrong = make_dataclass(
        "Wrong", [("things", hint, option(3, help="things"))], bases=(Options,), frozen=True
    )
    with pytest.raises(TypeError, match=r"the option things of Wrong must be .* annotated as flo"):
        settings(wrong)
    with pytest.raises(TypeError, match="the option things of Wrong"):
        wrong()


def test_a_field_without_help_is_an_error_of_the_programmer() -> None:
    bare = make_dataclass("Bare", [("size", int, 3)], bases=(Options,), frozen=True)
    with pytest.raises(TypeError, match=r"the option size of Bare must be made with option\("):
        bare()


@dataclass(frozen=True)
class Tool(Options):
    required: ClassVar[tuple[str, ...]] = ("use", "keep")

    def use(self) -> None:
        raise NotImplementedError

    def keep(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Hammer(Tool):
    def use(self) -> None: ...

    def keep(self) -> None: ...


@dataclass(frozen=True)
class Lost(Tool):
    def use(self) -> None: ...


class Plain(Hammer):
    hammer_weight: float = option(1.0, help="weight")


@dataclass(frozen=True)
class Slow(Hammer):
    steps: int = option(1, help="number of steps")


@dataclass(frozen=True)
class Retyped(Hammer):
    hammer_length: int = option(1, help="length")


@dataclass(frozen=True)
class Long(Hammer):
    hammer_length: float = option(1.0, help="length")


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("hammer", Hammer, "There is a tool 'hammer' already: choose another name."),
        (
            "nail",
            Sample,
            "'nail' is no tool: it must be a class derived from tests.test_options.Tool.",
        ),
        (
            "nail",
            Hammer(),
            "'nail' is no tool: it must be a class derived from tests.test_options.Tool.",
        ),
        ("lost", Lost, "The tool 'lost' does not define keep."),
        (
            "plain",
            Plain,
            "The tool 'plain' has options, but is no dataclass: put @dataclass(frozen=True) before "
            "it.",
        ),
        (
            "slow",
            Slow,
            "The option steps of a tool cannot be added: steps is an option of the group "
            "'Optimization' of the settings already; choose another name.",
        ),
        (
            "retyped",
            Retyped,
            "The option hammer_length of a tool cannot be added: hammer_length is of type float "
            "already; choose another name.",
        ),
    ],
)
def test_what_does_not_fit_a_registry_is_refused_in_one_sentence(
    name: str, entry: Any, message: str
) -> None:
    import ssl_keras.config  # noqa: F401  (which claims the names of its groups)

    registry: Registry[Tool] = Registry("tool", Tool, {"hammer": Hammer, "long": Long})
    with pytest.raises(UserError) as caught:
        registry.add(name, entry)
    assert str(caught.value) == message
    assert list(registry) == ["hammer", "long"]


def test_a_subclass_without_options_of_its_class_needs_no_dataclass() -> None:
    class Same(Hammer):
        pass

    registry: Registry[Tool] = Registry("tool", Tool, {})
    registry.add("same", Same)
    assert registry.get("same").options() == {}


def test_a_loss_with_the_name_of_another_setting_is_refused() -> None:
    @dataclass(frozen=True)
    class Stepwise(Loss):
        steps: int = option(1, help="number of steps")

        def terms(self, *arguments: Any) -> Any: ...

        def collapse_value(self, num_images: int, dim: int) -> float:
            return 0.0

    import ssl_keras.config  # noqa: F401

    with pytest.raises(UserError, match=r"^The option steps of a loss cannot be added: [^.]*\.$"):
        LOSSES.add("stepwise", Stepwise)
    assert "stepwise" not in LOSSES


@pytest.mark.parametrize(
    ("needs", "meeting", "failing", "text"),
    [
        (
            Needs("views", ("mixup", "dropout")),
            ["mixup", "augment, dropout"],
            ["", "augment", "mixups", None],
            "views=mixup or dropout",
        ),
        (Needs("blend", ("max",)), ["max"], ["alpha", None], "blend=max"),
        (Needs("depth", minimum=2), [2, 9], [1, 0, None], "depth of at least 2"),
        (Needs("sizes"), [None], ["", 0, "a"], "no sizes"),
    ],
    ids=str,
)
def test_conditions(needs: Needs, meeting: list[Any], failing: list[Any], text: str) -> None:
    assert all(needs.met(value) for value in meeting)
    assert not any(needs.met(value) for value in failing)
    assert str(needs) == text


def test_one_condition_or_several() -> None:
    first, second = Needs("a", ("b",)), Needs("c", minimum=1)

    @dataclass(frozen=True)
    class Conditional(Options):
        one: int = option(0, help="one", needs=first)
        two: int = option(0, help="two", needs=(first, second))
        none: int = option(0, help="none")

    assert [s.needs for s in settings(Conditional).values()] == [(first,), (first, second), ()]
