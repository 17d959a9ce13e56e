"""The claims of the papers. The borders are ours; each answer shows the numbers it rests on."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import numpy as np

from ssl_keras.reproduce.pairs import digit_and_rival
from ssl_keras.reproduce.verdicts.claims import (
    AGREE,
    POINT,
    Check,
    Claims,
    Numbers,
    Result,
    Rows,
    agrees,
    contrary,
    exceeds,
    falls,
    halves,
    improves,
    is_above,
    margin,
    may_exceed,
    provided,
    rises,
    stays,
)

CHANCE = 0.1  # of ten classes
HALF, SLIGHTLY = 0.5, 0.1
# Numbers that count; and of the values of a setting, the last one alone.
first, last, final = itemgetter(0), itemgetter(-1), itemgetter(slice(-1, None))


def spread(values: Numbers) -> float:
    return float(np.ptp(values))


# Derived columns: (rows in order, column) -> values.


def gain_over_untrained(rows: Rows, column: str) -> Numbers:
    untrained = column.replace("simclr", "untrained") if "simclr" in column else "untrained"
    return [row[column] - row[untrained] for row in rows]


def distance_to_published(rows: Rows, column: str) -> Numbers:
    return [abs(row[column] - row[f"{column}_published"]) for row in rows]


def share_kept(rows: Rows, column: str) -> Numbers:
    """Of what the first row has above chance; all of it where that is nothing."""
    above = rows[0][column] - CHANCE
    return [(row[column] - CHANCE) / above if is_above(above, POINT) else 1.0 for row in rows]


def share_of_supervised(rows: Rows, column: str) -> Numbers:
    """Of what a supervised encoder has above chance."""
    supervised = column.replace("simclr", "supervised")
    return [(row[column] - CHANCE) / (row[supervised] - CHANCE) for row in rows]


def worth_of_the_highest_weight(rows: Rows, column: str) -> Numbers:
    """Over the lowest one, at each temperature."""
    curves = Check(column, over="distribution_weight", by=("temperature",))
    values = map(curves.values, curves.groups(rows).values())
    return [curve[-1] - curve[0] for curve in values]


def largest_difference(rows: Rows, column: str) -> Numbers:
    """Between losses, at the same batch size."""
    cells = Check(column, by=("batch_size",))
    return [max(spread(cells.values(own)) for own in cells.groups(rows).values())]


def _agree(depths: Any) -> Check:
    """That losses agree, at each batch size, under a projection head of this depth."""
    where = {"projection_layers": depths}
    return Check("accuracy", agrees, None, where, "loss", ("batch_size",),
                 against={"column": "untrained"}, border=AGREE, pooled=where)  # fmt: skip


losses = Claims(
    {
        "under a deep head the losses agree": [_agree(final)],
        "under a shallow one they differ": [
            contrary(_agree(lambda depths: [depth for depth in depths if depth][:1]))
        ],
    },
    notes=[  # no head at all is only reported
        Check("accuracy", derived=largest_difference, by=("projection_layers",)),
        Check("accuracy", by=("cell",)),
    ],
)


def _best_weights(rows: Rows) -> Result:
    """Whether the weights that are as good as the best one lie apart at the lowest and the highest
    temperature, and lower at the highest. A function: no predicate compares ranges of settings."""
    pieces, ranges = [], []
    for group, own in Check("", over="temperature", by=("temperature",)).groups(rows).items():
        accuracy = {row["distribution_weight"]: row["accuracy"] for row in own}
        best, least = max(accuracy, key=accuracy.__getitem__), margin(*own)
        good = [w for w, value in accuracy.items() if not is_above(accuracy[best] - value, least)]
        ranges.append((min(good), max(good)))
        edge = ", at the edge" if best in (min(accuracy), max(accuracy)) else ""
        pieces.append(f"Best with {group}: {best:g}{edge}; as good: {min(good):g} to {max(good):g}")
    coldest, *_, hottest = ranges
    apart = hottest[1] < coldest[0] or hottest[0] > coldest[1]
    return hottest[1] < coldest[0] if apart else None, pieces


# Two readings that exclude each other, so that the claim is reproduced in part at best: one about
# effects (a high weight is worth the more the higher the temperature), one about best values.
lambda_temperature = Claims(
    {
        "one reading: raising the temperature acts as lowering the weight": [
            Check("accuracy", rises, worth_of_the_highest_weight, over="temperature")
        ],
        "the other reading: the higher the temperature, the lower the best weight": [_best_weights],
    }
)

_MOST = {"num_bits": final}
_SOME = {"num_bits": lambda bits: bits[-2:-1]}  # something is left to lose
_ENDS = {"num_bits": lambda bits: (bits[0], bits[-1])}
_MIDDLE = {"num_bits": lambda bits: [count for count in bits[:-1] if count][:2]}
_BITS = {"num_bits": lambda bits: [count for count in bits if count]}
_CLEAR = {"online_published": lambda values: [x for x in values if x > CHANCE + AGREE]}
_USUAL = {"loss": "nt_xent", "batch_size": 250, "width_multiplier": 1}


def _trained_away(column: str, untrained: str) -> Check:
    """That training has lowered the accuracy where there are most bits: bits in the input make the
    class hard to read without any training too."""
    return Check(untrained, exceeds, None, _MOST, by=("cell",), against={"column": column},
                 spread=column)  # fmt: skip


def _half_lost(column: str, *by: str, where: Any = _ENDS) -> Check:
    """That at most half of what was above chance is left with most bits."""
    return Check(column, stays, share_kept, where, "num_bits", by, last, border=HALF)


def _half_kept(column: str) -> Check:
    return Check(column, exceeds, share_kept, _ENDS | _USUAL, "num_bits", (), last, HALF, least=0.0)


def _varied(predicate: Any, setting: str, take: Any, against: Any, **more: Any) -> Check:
    """The accuracy over one setting, the others being as usual."""
    where = {name: value for name, value in _USUAL.items() if name != setting}
    where |= _SOME | more.pop("where", {})
    if "where" in against:
        against = against | {"where": where | against["where"]}
    return Check("accuracy", predicate, where=where, over=setting, take=take, against=against,
                 pooled=_SOME, **more)  # fmt: skip


randbit = Claims(
    {
        "without bits the digit is read as well as published": [
            Check("online", stays, distance_to_published, {"num_bits": 0}, "temperature",
                  border=AGREE)
        ],
        "bits suppress it": [
            Check("online", falls, over="num_bits", by=("temperature",), pooled={}),
            _half_lost("online", "temperature"),
            _trained_away("linear", "untrained"),
        ],
        "a lower temperature helps": [
            Check("online", falls, None, _MIDDLE, "temperature", ("num_bits",), pooled={})
        ],
        "with bits, too, it is read as well as published": [
            Check("online", stays, distance_to_published, _BITS | _CLEAR, by=("cell",),
                  border=AGREE)
        ],
    }
)  # fmt: skip
randbit_fashion = Claims(
    {
        "bits suppress the class": [
            Check("online", falls, over="num_bits"),
            _half_lost("online"),
            _trained_away("knn", "untrained_knn"),
        ]
    }
)

_suffers = _half_lost("accuracy", where=_ENDS | _USUAL)
_others = {"loss": lambda names: [name for name in names if name != _USUAL["loss"]]}
_usual_loss = {"where": {"loss": _USUAL["loss"]}, "take": first}
_wider = ("width_multiplier", last, {"where": {"width_multiplier": 1}, "take": first})
randbit_factors = Claims(
    {
        "most bits suppress the class under every loss, batch size and width": [
            _half_lost("accuracy", *_USUAL),
            _trained_away("accuracy", "untrained"),
        ],
        "other losses do not help": [
            provided(_suffers, contrary(_varied(exceeds, "loss", max, _usual_loss, where=_others)))
        ],
        "larger batches, with as many images in fewer steps, help slightly": [
            _varied(improves, "batch_size", last, {"take": first}, border=SLIGHTLY)
        ],
        "wider encoders do not help": [  # unless they read more before training too
            provided(_suffers, contrary(
                _varied(exceeds, *_wider),
                _varied(may_exceed, *_wider, derived=gain_over_untrained),
            ))
        ],
        "a supervised encoder and an autoencoder suffer much less": [
            _suffers, _half_kept("supervised"), _half_kept("autoencoder")
        ],
    }
)  # fmt: skip


def _photographs(predicate: Any, column: str, **more: Any) -> Check:
    return Check(column, predicate, over="num_unique_digits", **more)


_less = _photographs(falls, "simclr_class")
overlay = Claims(
    {
        "the more different digits, the less SimCLR learns of the photograph": [_less],
        "and the more of the digit": [
            _photographs(rises, "simclr_digit"),
            _photographs(exceeds, "simclr_digit", take=last, against={"column": "untrained_digit"},
                         least=0.0),
        ],
        "a supervised encoder's accuracy for the photograph does not change, as SimCLR's does": [
            provided(_less, _photographs(stays, "supervised_class", take=spread, border=AGREE))
        ],
    },
    notes=[_photographs(falls, "autoencoder_class")],
)  # fmt: skip


def _with_variants(rows: Rows) -> Rows:
    return [{**row, "variant": row["cell"].rsplit("-", 2)[0].replace("-", " ")} for row in rows]


# Reported without being judged: of many settings one shows anything by chance.
overlay_causes = Claims(
    notes=[_photographs(falls, f"simclr_{what}", by=("variant",)) for what in ("class", "digit")],
    prepare=_with_variants,
)


def _with_rivals(rows: Rows) -> Rows:
    """With the digit and its rival, whichever is the smaller one, and with the larger one."""
    side, pairs = digit_and_rival(rows)
    pairs = [{**row, "larger": "digit" if row["rival"] < side else "rival"} for row in pairs]
    return [*pairs, *(row for row in rows if "digit_sizes" not in row)]


_PAIRS = {"larger": ("digit", "rival")}
multi_digit = Claims(
    {
        "the larger its rival, the less is learnt of a digit, and less than half of the share of "
        "what a supervised encoder reads above chance is left": [
            Check("simclr_digit", exceeds, over="rival", take=first,
                  against={"column": "untrained_digit"}),
            Check("simclr_digit", falls, gain_over_untrained, over="rival"),
            Check("simclr_digit", falls, over="rival"),
            Check("simclr_digit", halves, share_of_supervised, over="rival", take=last,
                  against={"take": first}),
        ],
        "the larger of the two is learnt": [
            Check(f"simclr_{who}", exceeds, None, {"larger": who}, "rival",
                  against={"column": f"untrained_{who}"}, pooled=_PAIRS)
            for who in ("digit", "rival")
        ],
    },
    notes=[
        Check(f"{who}_presence", over="num_digits")
        for who in ("simclr", "untrained", "supervised", "chance")
    ],
    prepare=_with_rivals,
)  # fmt: skip


def _blocks(*encoders: str) -> tuple[str, ...]:
    return tuple(f"{encoder}_{block}" for encoder in encoders for block in (1, 2, 3))


def _best_block_margin(rows: Rows) -> float:
    (row,) = rows
    return margin(row, column=max(set(_blocks("trained")) & set(row), key=row.__getitem__))


local_features = Claims(
    {
        f"{images}: the best block of the trained encoder tells which digit lies at a location, "
        "better than any field of pixels and any block before training": [
            Check(_blocks("trained"), exceeds, None, {"dataset": dataset}, take=max,
                  against={"column": _blocks("untrained", "pixels")}, least=_best_block_margin)
        ]
        for images, dataset in (("four digits", "multi_digit"), ("digits over images", "overlay"))
    }
)  # fmt: skip


def _learns(cell: str, equal: str = "equal-0-bits") -> list[Check]:
    return [
        Check("accuracy", exceeds, None, {"cell": cell}, against=against,
              pooled={"cell": (cell, equal)})
        for against in ({"where": {"cell": equal}}, {"column": "untrained"})
    ]  # fmt: skip


views = Claims(
    {
        "mixup alone teaches something of the digit": _learns("mixup-0-bits"),
        "dropout alone teaches something of the digit": _learns("dropout-0-bits"),
    },
    notes=[Check(column, where=_MOST, by=("cell",)) for column in ("accuracy", "untrained")],
)


def _plain(column: str, predicate: Any, **more: Any) -> Check:
    return Check(column, predicate, None, {"loss": "nt_xent"}, "temperature", **more)


_simple = {"where": {"loss": "simple"}, "over": "", "take": None}
temperature = Claims(
    {
        "the higher the temperature, the less uniform (a higher value) and the more tolerant": [
            _plain("uniformity", rises), _plain("tolerance", rises)
        ],
        "accuracy is best in between": [
            _plain("accuracy", improves, take=lambda values: max(values[1:-1]),
                   against={"take": lambda values: max(values[0], values[-1])})
        ],
        "a loss of hard negatives stays uniform, varying by less than half as much": [
            Check("uniformity", halves, None, {"loss": "hard_contrastive"}, "temperature",
                  take=spread, against={"where": {"loss": "nt_xent"}})
        ],
        "one that treats all negatives alike is neither uniform nor as accurate": [
            Check("uniformity", exceeds, None, {"loss": "simple"}, least=0.0,
                  against={"where": {"loss": "nt_xent"}, "over": "temperature", "take": max}),
            _plain("accuracy", exceeds, take=min, against=_simple),
        ],
    },
    notes=[Check(name, where={"loss": "simple"}) for name in ("tolerance", "tolerance_published")],
)  # fmt: skip


def _corrected(loss: str, setting: str) -> list[Check]:
    return [Check("accuracy", improves, None, {"loss": loss}, setting, (),
                  lambda values: max(values[1:]), {"take": first}, pooled={})]  # fmt: skip


_nt_xent = {"where": {"loss": "debiased", "tau_plus": 0}}
_weighted = {"loss": "align_uniform", "alignment_weight": 3, "t": 3}
grids = Claims(
    {
        "correcting for negatives of the same class helps": _corrected("debiased", "tau_plus"),
        "weighing hard negatives helps": _corrected("hard_negative", "beta"),
        "align_uniform with weight 3 and t = 3 is better than NT-Xent": [
            Check("accuracy", improves, None, _weighted, against=_nt_xent, pooled={})
        ],
    },
    notes=[Check("accuracy", where={"loss": "align_uniform"}, by=("cell",))],
)
