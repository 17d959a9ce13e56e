"""The claims of the papers. The borders are ours; each answer shows the numbers it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from ssl_keras.metrics import mean_classifier_bound
from ssl_keras.reproduce.pairs import blocks, digit_and_rival, with_remedy_and_rival
from ssl_keras.reproduce.verdicts.claims import (
    AGREE,
    POINT,
    Check,
    Claims,
    Not,
    Numbers,
    Provided,
    Result,
    Rows,
    agrees,
    exceeds,
    falls,
    halves,
    improves,
    is_above,
    margin,
    rises,
    stays,
)

CHANCE = 0.1  # of ten classes
HALF, SLIGHTLY = 0.5, 0.1
first, last, final = itemgetter(0), itemgetter(-1), itemgetter(slice(-1, None))


def spread(values: Numbers) -> float:
    return float(np.ptp(values))


def may_exceed(values: Numbers, least: float, against: Numbers, *_: Any) -> bool | None:
    """Yes or undecided."""
    return exceeds(values, least, against) or None


def improves_slightly(values: Numbers, least: float, against: Numbers, *_: Any) -> bool | None:
    return improves(values, least, against) and values[0] - against[0] < SLIGHTLY


# Derived columns: (rows in order, column) -> values.


def _untrained(row: Mapping[str, Any], column: str) -> float:
    names = f"untrained_{column}", column.replace("simclr", "untrained")
    return float(row[next((x for x in names if x != column and x in row), "untrained")])


def gain_over_untrained(rows: Rows, column: str) -> Numbers:
    return [row[column] - _untrained(row, column) for row in rows]


def drop_from_untrained(rows: Rows, column: str) -> Numbers:
    return [_untrained(row, column) - row[column] for row in rows]


def distance_to_published(rows: Rows, column: str) -> Numbers:
    return [abs(row[column] - row[f"{column}_published"]) for row in rows]


def share_kept(rows: Rows, column: str) -> Numbers:
    """Of what the first row has above chance; all of it where that is nothing."""
    above = rows[0][column] - CHANCE
    return [(row[column] - CHANCE) / above if is_above(above, POINT) else 1.0 for row in rows]


def relative_to_supervised(rows: Rows, column: str) -> Numbers:
    """Of what a supervised encoder has above chance."""
    supervised = column.replace("simclr", "supervised")
    return [(row[column] - CHANCE) / (row[supervised] - CHANCE) for row in rows]


def worth_of_the_highest_weight(rows: Rows, column: str) -> Numbers:
    """Over the lowest one, at each temperature."""
    curves = Check(column, over="distribution_weight", by=("temperature",))
    values = map(curves.values, curves.groups(rows).values())
    return [curve[-1] - curve[0] for curve in values]


def lost_with_five_images(rows: Rows, column: str) -> Numbers:
    return [row[column] - row[f"{column}_few_shot"] for row in rows]


def largest_difference(rows: Rows, column: str) -> Numbers:
    """Between losses, at the same batch size."""
    cells = Check(column, by=("batch_size",))
    return [max(spread(cells.values(cell)) for cell in cells.groups(rows).values())]


# The generalized losses. No head at all is only reported.
_USUAL_LENGTH = {"epochs": lambda lengths: lengths[len(lengths) // 2 :][:1]}


def _agree(depths: Any) -> Check:
    where = {"projection_layers": depths, **_USUAL_LENGTH}
    by = ("batch_size",)
    return Check(
        "accuracy", agrees, None, where, "loss", by, None, {"column": "untrained"}, pooled=where
    )


_shallow = _agree(lambda depths: [depth for depth in depths if depth][:1])
_by_depth = Check(
    "accuracy", derived=largest_difference, where=_USUAL_LENGTH, by=("projection_layers",)
)
_by_length = Check(
    "accuracy",
    derived=largest_difference,
    where={"projection_layers": final, "batch_size": lambda batches: batches[:1]},
    by=("epochs",),
)
losses = Claims(
    {
        "under a deep head the losses agree, within half of what they gain": [_agree(final)],
        "under a shallow one they differ": [Not([_shallow])],
    },
    notes=[_by_depth, _by_length, Check("accuracy", where=_USUAL_LENGTH, by=("cell",))],
)


def _best_weights(rows: Rows) -> Result:
    """Whether the weights that are as good as the best one lie apart at the lowest and the highest
    temperature, and lower at the highest. A function: no predicate compares ranges of settings."""
    pieces, ranges = [], []
    for group, cells in Check("", over="temperature", by=("temperature",)).groups(rows).items():
        accuracy = {row["distribution_weight"]: row["accuracy"] for row in cells}
        best, least = max(accuracy, key=accuracy.__getitem__), margin(*cells)
        good = [w for w, value in accuracy.items() if not is_above(accuracy[best] - value, least)]
        ranges.append((min(good), max(good)))
        edge = ", at the edge" if best in (min(accuracy), max(accuracy)) else ""
        pieces.append(f"Best with {group}: {best:g}{edge}; as good: {min(good):g} to {max(good):g}")
    coldest, *_, hottest = ranges
    apart = hottest[1] < coldest[0] or hottest[0] > coldest[1]
    return hottest[1] < coldest[0] if apart else None, pieces


# Two readings that exclude each other, so that the claim is reproduced in part at best: one about
# effects (a high weight is worth the more the higher the temperature), one about best values.
_worth = Check("accuracy", rises, worth_of_the_highest_weight, over="temperature")
lambda_temperature = Claims(
    {
        "one reading: raising the temperature acts as lowering the weight": [_worth],
        "the other reading: the higher the temperature, the lower the best weight": [_best_weights],
    }
)

# Random bits. They make the class hard to read without training too, so that training must have
# lowered its accuracy; and at most half of what was above chance may be left.
_MOST = {"num_bits": final}
_ENDS = {"num_bits": lambda bits: (bits[0], bits[-1])}
_FEW = {"num_bits": lambda bits: [count for count in bits[:-1] if count][:2]}
_PUBLISHED = {
    "num_bits": lambda bits: [count for count in bits if count],
    "online_published": lambda values: [value for value in values if value > CHANCE + AGREE],
}


def _left(column: str, *by: str, **where: Any) -> Check:
    return Check(column, stays, share_kept, _ENDS | where, "num_bits", by, last, border=HALF)


def _trained_away(column: str) -> Check:
    return Check(column, exceeds, drop_from_untrained, _MOST, by=("cell",))


_plain = Check("online", stays, distance_to_published, {"num_bits": 0}, "temperature")
_bits = Check("online", falls, over="num_bits", by=("temperature",), pooled={})
_heat = Check("online", falls, None, _FEW, "temperature", ("num_bits",), pooled={})
_beside_bits = Check("online", stays, distance_to_published, _PUBLISHED, by=("cell",))
randbit = Claims(
    {
        "without bits the digit is read as well as published": [_plain],
        "bits suppress it": [_bits, _left("online", "temperature"), _trained_away("linear")],
        "a lower temperature helps": [_heat],
        "with bits, too, it is read as well as published": [_beside_bits],
    }
)
randbit_fashion = Claims(
    {
        "bits suppress the class": [_bits, _left("online", "temperature"), _trained_away("knn")],
        "a lower temperature helps": [_heat],
    }
)

# What is varied is compared at the number of bits before the last: something is left to lose.
_SOME = {"num_bits": lambda bits: bits[-2:-1]}
_USUAL = {"loss": "nt_xent", "batch_size": 250, "width_multiplier": 1}


def _varied(predicate: Any, setting: str, derived: Any = None, take: Any = last) -> Check:
    """The accuracy over one setting, the others being as usual, against the usual value."""
    where = _SOME | {name: value for name, value in _USUAL.items() if name != setting}
    against = {"where": _SOME | _USUAL, "take": first}
    return Check("accuracy", predicate, derived, where, setting, (), take, against, pooled=_SOME)


_loss = _varied(exceeds, "loss", take=max)
_batch = replace(_varied(improves_slightly, "batch_size"), against={"take": first})
_width = _varied(exceeds, "width_multiplier")
_gain = _varied(may_exceed, "width_multiplier", gain_over_untrained)  # wider ones begin higher too
_suffers = _left("accuracy", **_USUAL)
_every = [_left("accuracy", *_USUAL), _trained_away("accuracy")]
_baselines = [Not([_left(encoder, **_USUAL)]) for encoder in ("supervised", "autoencoder")]
randbit_factors = Claims(
    {
        "many bits suppress the class under every loss, batch size and width": _every,
        "other losses do not help": [Provided(_suffers, Not([_loss]))],
        "larger batches, with as many images in fewer steps, help by less than 0.1": [_batch],
        "wider encoders do not help": [Provided(_suffers, Not([_width, _gain]))],
        "a supervised encoder and an autoencoder suffer much less": [_suffers, *_baselines],
    }
)

# Remedies: read better beside ten bits than before training, and than by NT-Xent.
_TEN = {"num_bits": 10}


def _with_remedies(rows: Rows) -> Rows:
    return [{**row, "remedy": row["cell"].rsplit("-", 2)[0]} for row in rows]


def _helps(remedy: str) -> list[Check]:
    mine = Check("accuracy", exceeds, None, {"remedy": remedy, **_TEN}, pooled=_TEN)
    plain = {"where": {"remedy": "nt_xent", **_TEN}}
    return [replace(mine, derived=gain_over_untrained), replace(mine, against=plain)]


remedies = Claims(
    {
        "implicit feature modification": _helps("ifm"),
        "a temperature schedule": _helps("temperature_schedule"),
        "dropped channels": _helps("channel_dropout"),
        "reconstruction beside the loss": _helps("hybrid"),
        "decoded target features": _helps("ltd"),
        "negatives from clusters of an earlier stage": _helps("clusters"),
        "negatives from neighbours in an earlier stage (ours)": _helps("neighbours"),
    },
    notes=[
        Check("accuracy", where={"remedy": remedy}, over="num_bits", by=("remedy",))
        for remedy in ("nt_xent", "neighbours")
    ],
    prepare=_with_remedies,
)

_COLOR = {"rival": "color", "target": "character"}


def _brings_back(remedy: str) -> list[Check]:
    plain = {"where": {"remedy": "nt_xent", **_COLOR}}
    where = {"remedy": remedy, **_COLOR}
    return [Check("features", exceeds, None, where, against=plain, pooled=_COLOR)]


rivals = Claims(
    {
        "where the views keep the colour, the character is lost": [
            Check(
                "untrained",
                exceeds,
                None,
                {"remedy": "nt_xent", **_COLOR},
                against={"column": "features"},
            )
        ],
        "a low temperature keeps it": _brings_back("low_temperature"),
        "implicit feature modification keeps it": _brings_back("ifm"),
        "reconstruction beside the loss keeps it": _brings_back("hybrid"),
        "negatives from clusters of an earlier stage keep it": _brings_back("clusters"),
        "negatives from neighbours in an earlier stage keep it (ours)": _brings_back("neighbours"),
    },
    prepare=with_remedy_and_rival,
)

# Objects as rivals.


def _unique(column: str, predicate: Any = falls, *by: str, take: Any = None) -> Check:
    return Check(column, predicate, None, {}, "num_unique_digits", by, take)


_less, _more = _unique("simclr_class"), _unique("simclr_digit", rises)
_learnt = Check("simclr_digit", exceeds, gain_over_untrained, {}, _more.over, take=last, least=0.0)
_unchanged = _unique("supervised_class", stays, take=spread)
overlay = Claims(
    {
        "the more different digits, the less SimCLR learns of the image": [_less],
        "and the more of the digit": [_more, _learnt],
        "a supervised encoder's accuracy for the image does not change, as SimCLR's does": [
            Provided(_less, _unchanged)
        ],
    },
)


def _with_variants(rows: Rows) -> Rows:
    return [{**row, "variant": row["cell"].rsplit("-", 2)[0].replace("-", " ")} for row in rows]


# Reported without being judged: of many settings one shows anything by chance.
_class_and_digit = [
    _unique(column, falls, "variant") for column in ("simclr_class", "simclr_digit")
]
overlay_causes = Claims(notes=_class_and_digit, prepare=_with_variants)


def _with_rivals(rows: Rows) -> Rows:
    """With the digit and its rival, whichever is the smaller one, and with the larger of two."""
    side, pairs = digit_and_rival(rows)
    pairs = [
        {**row, "larger": "digit" if row["rival"] < side else "rival"} if row["rival"] else row
        for row in pairs
    ]
    return [*pairs, *(row for row in rows if "digit_sizes" not in row)]


def _rival(predicate: Any, derived: Any = None, take: Any = None, **more: Any) -> Check:
    return Check("simclr_digit", predicate, derived, {}, "rival", (), take, **more)


def _larger(who: str) -> Check:
    pairs = {"larger": ("digit", "rival")}
    where = {"larger": who}
    return Check(f"simclr_{who}", exceeds, gain_over_untrained, where, "rival", pooled=pairs)


_smaller = [
    _rival(falls),
    _rival(falls, gain_over_untrained),
    _rival(exceeds, gain_over_untrained, first),
    _rival(halves, relative_to_supervised, last, against={"take": first}),
]
_presence = [f"{who}_presence" for who in ("simclr", "untrained", "supervised", "chance")]
multi_digit = Claims(
    {
        "the larger its rival, the less is learnt of a digit, and less than half of the share of "
        "what a supervised encoder reads above chance is left": _smaller,
        "the larger of the two is learnt": [_larger("digit"), _larger("rival")],
    },
    notes=[Check(column, over="num_digits") for column in _presence],
    prepare=_with_rivals,
)

# Local features, and views.


def _with_best_blocks(rows: Rows) -> Rows:
    """With the best block before and after training, and the best field of pixels."""
    return [
        row
        | {
            f"best_of_{name}{suffix}": row[best + suffix]
            for name in ("trained", "untrained", "pixels")
            for best in [max((f"{name}_{block}" for block in blocks(row)), key=row.__getitem__)]
            for suffix in ("", "_sd")
            if best + suffix in row
        }
        for row in map(dict, rows)
    ]


def _local(dataset: str) -> list[Check]:
    controls = [{"column": f"best_of_{control}"} for control in ("untrained", "pixels")]
    where = {"dataset": dataset}
    return [Check("best_of_trained", exceeds, None, where, against=other) for other in controls]


_TELLS = "the best block of the trained encoder tells which digit lies at a location, better than"
_TELLS += " any field of pixels and any block before training"
local_features = Claims(
    {
        f"four digits: {_TELLS}": _local("multi_digit"),
        f"digits over images: {_TELLS}": _local("overlay"),
    },
    prepare=_with_best_blocks,
)


def _learns(cell: str, equal: str = "equal-0-bits") -> list[Check]:
    more: dict[str, Any] = {"where": {"cell": cell}, "pooled": {"cell": (cell, equal)}}
    controls = {"where": {"cell": equal}}, {"column": "untrained"}
    return [Check("accuracy", exceeds, against=control, **more) for control in controls]


views = Claims(
    {
        "mixup alone teaches something of the digit": _learns("mixup-0-bits"),
        "dropout alone teaches something of the digit": _learns("dropout-0-bits"),
    },
    notes=[Check(column, where=_MOST, by=("cell",)) for column in ("accuracy", "untrained")],
)

_CROPPED = {"crop_area_min": 0.5}


def _over_jitter(predicate: Any, factor: str) -> Check:
    return Check(f"projections_{factor}", predicate, where=_CROPPED, over="color_strength")


augmentation = Claims(
    {
        "the stronger the jitter, the less is left of the colour": [_over_jitter(falls, "color")],
        "the more is learnt of the character": [_over_jitter(rises, "character")],
        "the more is learnt of the font": [_over_jitter(rises, "font")],
    },
    notes=[Check(f"projections_{name}", by=("cell",)) for name in ("color", "character", "font")],
)

_DEEPEST = {"projection_layers": final}
_CHANGED = ("color", "size", "position")
LAYERS = ("features", "projection_1", "projection_2", "projection_3")


def from_layer_to_layer(rows: Rows, _: str) -> Numbers:
    return [row[layer] for row in rows for layer in LAYERS if layer in row]


def share_lost_by_the_head(rows: Rows, _: str) -> Numbers:
    """Of what the features have above chance: what the last layer has not."""
    layers = [from_layer_to_layer([row], "") for row in rows]
    return [
        (values[0] - values[-1]) / max(values[0] - row["chance"], POINT)
        for values, row in zip(layers, rows, strict=True)
    ]


def _at_last(target: str, predicate: Any, derived: Any, **more: Any) -> Check:
    return Check("features", predicate, derived, {"target": target, **_DEEPEST}, **more)


_of_character = {"where": {"target": "character", **_DEEPEST}}
depth = Claims(
    {
        "what the views change is lost from layer to layer": [
            _at_last(target, falls, from_layer_to_layer) for target in _CHANGED
        ],
        "a larger share of it than of the character, which they share": [
            _at_last(target, exceeds, share_lost_by_the_head, against=_of_character)
            for target in _CHANGED
        ],
        "the deeper the head, the more the features keep of it": [
            Check("features", rises, None, {"target": target}, "projection_layers")
            for target in _CHANGED
        ],
    },
    notes=[Check("features", derived=from_layer_to_layer, where=_DEEPEST, by=("target",))],
)

# The neighbouring papers.


def with_bounds(rows: Rows) -> Rows:
    """With the bound of Arora et al. on the loss of the mean classifier."""
    return [
        {**row, "bound": mean_classifier_bound(row["unsupervised_loss"], row["chance"])}
        for row in rows
    ]


_below = Check("bound", exceeds, None, {}, "batch_size", least=0.0)
_fewer = Check("accuracy", improves, None, {}, "batch_size", take=lambda x: max(x[:-1]))
_learns_something = Check("accuracy", exceeds, gain_over_untrained, {}, "batch_size", take=max)
_few_shots = Check("avg_2", stays, lost_with_five_images, {}, "batch_size")
arora = Claims(
    {
        "the loss of the mean classifier stays below its bound": [
            replace(_below, against={"column": "mean_classifier_loss"})
        ],
        "more negatives than the best number hurt": [replace(_fewer, against={"take": last})],
        "five images a class give nearly the mean classifier of all, for tasks of two classes": [
            Provided(_learns_something, _few_shots)
        ],
    },
    notes=[
        Check(column, over="batch_size") for column in ("accuracy", "mean_classifier", "untrained")
    ],
    prepare=with_bounds,
)
_NT_XENT, _HARD, _SIMPLE = ({"loss": x} for x in ("nt_xent", "hard_contrastive", "simple"))
_AT_ENDS = {"take": lambda values: max(values[0], values[-1])}


def _heated(column: str, predicate: Any, take: Any = None, against: Any = None) -> Check:
    return Check(column, predicate, None, _NT_XENT, "temperature", (), take, against or {})


_between = _heated("accuracy", improves, lambda values: max(values[1:-1]), _AT_ENDS)
_varies = {"where": _NT_XENT}
_flat = Check("uniformity", halves, None, _HARD, "temperature", take=spread, against=_varies)
_highest = {"where": _NT_XENT, "over": "temperature", "take": max}
_uneven = Check("uniformity", exceeds, None, _SIMPLE, against=_highest, least=0.0)
_worse = _heated("accuracy", exceeds, min, {"where": _SIMPLE, "over": "", "take": None})
temperature = Claims(
    {
        "the higher the temperature, the less uniform (a higher value) and the more tolerant": [
            _heated("uniformity", rises),
            _heated("tolerance", rises),
        ],
        "accuracy is best in between": [_between],
        "a loss of hard negatives stays uniform, varying by less than half as much": [_flat],
        "one that treats all negatives alike is neither uniform nor as accurate": [_uneven, _worse],
    },
    notes=[Check(name, where=_SIMPLE) for name in ("tolerance", "tolerance_published")],
)


def _corrected(loss: str, setting: str) -> Check:
    best, none = (lambda values: max(values[1:])), {"take": first}
    return Check("accuracy", improves, None, {"loss": loss}, setting, (), best, none, pooled={})


_WEIGHTED = {"loss": "align_uniform", "alignment_weight": 3, "t": 3}
_equal = {"where": {"loss": "debiased", "tau_plus": 0}}
_weighted = Check("accuracy", improves, None, _WEIGHTED, against=_equal, pooled={})
grids = Claims(
    {
        "correcting for negatives of the same class helps": [_corrected("debiased", "tau_plus")],
        "weighing hard negatives helps": [_corrected("hard_negative", "beta")],
        "align_uniform with weight 3 and t = 3 is better than NT-Xent": [_weighted],
    },
    notes=[Check("accuracy", where={"loss": "align_uniform"}, by=("cell",))],
)
