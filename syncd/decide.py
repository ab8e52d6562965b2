"""The decision of SPEC §2: pure, total, one screen.

Two rules hold this file together. Everything that decides who wins stands here. And nothing here knows which side is
the CRM: `x` is one side, `y` the other, and swapping them mirrors the outcome.

Values decide what changed. The stamps are looked at in one place only, the last arm, where both sides changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from syncd.model import ABSENT, UNKNOWN, Observed, Stamp


class Kind(Enum):
    """The rows of SPEC §2's table, and one for a conflict that nobody could date yet."""

    HOLD = "hold"  # something is not known: write nothing
    AGREE = "agree"  # both hold the same: it becomes the shadow, nothing is written
    TO_Y = "x changed"  # y still holds the shadow: x is carried to y
    TO_X = "y changed"  # x still holds the shadow: y is carried to x
    X_WINS = "conflict, x wins"
    Y_WINS = "conflict, y wins"
    UNDATED = "conflict, undated"  # the stamps are not at hand: ask, then decide again


class Order(Enum):
    """Which of two edits came later."""

    X_LATER = 1
    Y_LATER = -1
    TIE = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the last arm needs: `tie_wins_x` is the configured side; edits closer than `tie_seconds` are a tie."""

    tie_wins_x: bool
    tie_seconds: float


def order(x: Stamp, y: Stamp, tie_seconds: float) -> Order:
    """Which edit came later for certain; a tie where the stamps are too close or too vague to say (SPEC §2)."""
    if x.low - y.high > tie_seconds:
        return Order.X_LATER
    if y.low - x.high > tie_seconds:
        return Order.Y_LATER
    return Order.TIE


def decide(o: Observed, x: Observed, y: Observed, x_edited: Stamp | None, y_edited: Stamp | None, rules: Rules) -> Kind:
    """What to do with one field, given the shadow `o` (ABSENT: none yet) and both observations. Never raises."""
    if x is UNKNOWN or y is UNKNOWN:
        return Kind.HOLD
    if x == y:
        return Kind.AGREE
    # Both are known, and they differ.
    if y == o:
        return Kind.TO_Y
    if x == o:
        return Kind.TO_X
    # Both differ from the shadow and from each other. A changed value beats a deletion: only values can be lost.
    if y is ABSENT:
        return Kind.X_WINS
    if x is ABSENT:
        return Kind.Y_WINS
    # Two people gave two values. Only here does time matter.
    if x_edited is None or y_edited is None:
        return Kind.UNDATED
    later = order(x_edited, y_edited, rules.tie_seconds)
    if later is Order.TIE:
        return Kind.X_WINS if rules.tie_wins_x else Kind.Y_WINS
    return Kind.X_WINS if later is Order.X_LATER else Kind.Y_WINS
