"""SPEC §2's decision, every case of it, against a table drawn by hand."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import pytest

from syncd.decide import Kind, Order, Rules, decide, order
from syncd.model import ABSENT, UNKNOWN, Observed, Stamp

OBSERVED: tuple[Observed, ...] = (ABSENT, None, "0", "1", UNKNOWN)
SHADOWS = OBSERVED[:-1]
TIE_SECONDS = 2.0

# One grid a shadow; rows are x, columns y, both in the order absent, empty, "0", "1", unknown.
#   .  hold      =  agree, write nothing     >  x is carried to y      <  y is carried to x
#   X  x wins whatever the clocks say (a value beats a deletion)    Y  y wins likewise     ?  the later edit wins
TABLE: dict[Observed, tuple[str, ...]] = {
    ABSENT: (
        "= < < < .",
        "> = ? ? .",
        "> ? = ? .",
        "> ? ? = .",
        ". . . . .",
    ),
    None: (
        "= > Y Y .",
        "< = < < .",
        "X > = ? .",
        "X > ? = .",
        ". . . . .",
    ),
    "0": (
        "= Y > Y .",
        "X = > ? .",
        "< < = < .",
        "X ? > = .",
        ". . . . .",
    ),
    "1": (
        "= Y Y > .",
        "X = ? > .",
        "X ? = > .",
        "< < < = .",
        ". . . . .",
    ),
}
SYMBOLS = {
    ".": Kind.HOLD,
    "=": Kind.AGREE,
    ">": Kind.TO_Y,
    "<": Kind.TO_X,
    "X": Kind.X_WINS,
    "Y": Kind.Y_WINS,
}
CLOCKS: dict[str, tuple[Stamp | None, Stamp | None]] = {
    "x later": (Stamp(100, 100), Stamp(50, 50)),
    "y later": (Stamp(50, 50), Stamp(100, 100)),
    "tie": (Stamp(100, 100), Stamp(101, 101)),
    "undated": (None, Stamp(100, 100)),
}
CASES = list(product(SHADOWS, OBSERVED, OBSERVED, CLOCKS, (True, False)))
MIRROR = {
    Kind.TO_X: Kind.TO_Y,
    Kind.TO_Y: Kind.TO_X,
    Kind.X_WINS: Kind.Y_WINS,
    Kind.Y_WINS: Kind.X_WINS,
}


def outcome(o: Observed, x: Observed, y: Observed, clock: str, tie_wins_x: bool) -> Kind:
    """The decision under one of the four clock orders."""
    x_edited, y_edited = CLOCKS[clock]
    return decide(o, x, y, x_edited, y_edited, Rules(tie_wins_x, TIE_SECONDS))


def expected(o: Observed, x: Observed, y: Observed, clock: str, tie_wins_x: bool) -> Kind:
    """The table's answer; a question mark is answered by the clocks."""
    symbol = TABLE[o][OBSERVED.index(x)].split()[OBSERVED.index(y)]
    if symbol != "?":
        return SYMBOLS[symbol]
    tie = Kind.X_WINS if tie_wins_x else Kind.Y_WINS
    return {"x later": Kind.X_WINS, "y later": Kind.Y_WINS, "tie": tie, "undated": Kind.UNDATED}[clock]


def applied(kind: Kind, o: Observed, x: Observed, y: Observed) -> tuple[Observed, Observed, Observed]:
    """(shadow, x, y) after the outcome was carried out."""
    if kind in (Kind.TO_Y, Kind.X_WINS):
        return x, x, x
    if kind in (Kind.TO_X, Kind.Y_WINS):
        return y, y, y
    return (x, x, y) if kind is Kind.AGREE else (o, x, y)


@pytest.mark.parametrize("o", SHADOWS)
def test_every_case_is_as_in_the_table_drawn_by_hand(o: Observed) -> None:
    for case in CASES:
        if case[0] is o or (case[0] == o and o is not ABSENT):
            assert outcome(*case) is expected(*case), case


def test_each_outcome_occurs_as_often_as_counted_by_hand() -> None:
    counted = Counter(outcome(*case) for case in CASES)
    assert len(CASES) == 800
    assert counted == {
        Kind.HOLD: 288,
        Kind.AGREE: 128,
        Kind.TO_Y: 96,
        Kind.TO_X: 96,
        Kind.X_WINS: 84,
        Kind.Y_WINS: 84,
        Kind.UNDATED: 24,
    }


def test_swapping_the_sides_mirrors_the_outcome() -> None:
    for o, x, y, clock, tie_wins_x in CASES:
        x_edited, y_edited = CLOCKS[clock]
        mirrored = decide(o, y, x, y_edited, x_edited, Rules(not tie_wins_x, TIE_SECONDS))
        kind = outcome(o, x, y, clock, tie_wins_x)
        assert mirrored is MIRROR.get(kind, kind), (o, x, y, clock)


def test_after_one_step_both_sides_rest() -> None:
    for case in CASES:
        kind = outcome(*case)
        o, x, y = applied(kind, *case[:3])
        if kind in (Kind.HOLD, Kind.UNDATED):
            assert (o, x, y) == case[:3]
        else:
            assert x == y == o
            assert outcome(o, x, y, *case[3:]) is Kind.AGREE


def test_an_unknown_observation_never_writes() -> None:
    for o, x, y, clock, tie_wins_x in CASES:
        assert outcome(o, UNKNOWN, y, clock, tie_wins_x) is Kind.HOLD
        assert outcome(o, x, UNKNOWN, clock, tie_wins_x) is Kind.HOLD


def test_clocks_decide_nothing_but_two_new_values() -> None:
    for o, x, y in product(SHADOWS, OBSERVED, OBSERVED):
        kinds = {outcome(o, x, y, clock, tie) for clock in CLOCKS for tie in (True, False)}
        two_values = len({o, x, y}) == 3 and ABSENT not in (x, y) and UNKNOWN not in (x, y)
        assert (len(kinds) > 1) == two_values, (o, x, y)


def test_either_missing_stamp_leaves_a_conflict_undated() -> None:
    stamp, rules = Stamp(1, 1), Rules(True, TIE_SECONDS)
    for x_edited, y_edited in ((None, stamp), (stamp, None), (None, None)):
        assert decide("0", "1", None, x_edited, y_edited, rules) is Kind.UNDATED


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [
        (Stamp(102.001, 102.001), Stamp(100, 100), Order.X_LATER),
        (Stamp(102, 102), Stamp(100, 100), Order.TIE),  # exactly the bound is not later for certain
        (Stamp(100, 100), Stamp(102.001, 102.001), Order.Y_LATER),
        (Stamp(100, 100), Stamp(102, 102), Order.TIE),
        (Stamp(100, 100), Stamp(102.002, math.inf), Order.Y_LATER),
        (Stamp(100, 100), Stamp(-math.inf, 97), Order.X_LATER),
        (Stamp(100, 100), Stamp(-math.inf, 101), Order.TIE),
        (Stamp(90, 200), Stamp(150, 160), Order.TIE),  # too vague to say
        (Stamp(-math.inf, math.inf), Stamp(-math.inf, math.inf), Order.TIE),
        (Stamp(-math.inf, 5), Stamp(-math.inf, 9), Order.TIE),
    ],
)
def test_an_edit_is_later_only_for_certain(x: Stamp, y: Stamp, wanted: Order) -> None:
    assert order(x, y, TIE_SECONDS) is wanted
