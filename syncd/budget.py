"""How often a pass may come so that an API's budget of calls lasts: pure arithmetic, the time is passed in.

A budget is a number of calls in a period: HighLevel's a location and UTC day (reference/ghl.md §5), Airtable's a
calendar month, by plan (reference/airtable.md §1). What is left of it, less a reserve, is spread evenly over what is
left of the period. The reserve is for passes that cost more than usual, and for commands that people start.

Because what is left is counted anew after each pass, a wrong guess of what a pass costs mends itself: passes that cost
more than usual leave less, so the next ones come later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from statistics import median_low
from typing import Final

RESERVE_SHARE: Final = 0.05  # of the limit; the daemon leaves it alone
LONGEST_SECONDS: Final = (
    3600.0  # for a day's sake a pass comes at least so often; a month must last, however long it takes
)
DAILY_CALLS: Final = 200_000  # HighLevel's, where its headers do not say otherwise (ghl.md §5)
MONTHLY_CALLS: Final = {"free": 1_000, "team": 100_000}  # Airtable's plans; the others have no limit (airtable.md §1)
FEWEST_PASSES: Final = 2  # before so many, what a pass costs is unknown: the first one fills the table


class Span(Enum):
    """The period of a budget, in UTC. When HighLevel's day begins is not documented; UTC is a guess (ghl.md §5)."""

    DAY = "day"
    MONTH = "month"

    def key(self, now: float) -> str:
        """The name of the period that holds `now` (seconds since 1970): "2026-11-21", "2026-11". Later ones sort
        after earlier ones."""
        return f"{datetime.fromtimestamp(now, UTC):{'%Y-%m-%d' if self is Span.DAY else '%Y-%m'}}"

    def end(self, now: float) -> float:
        """When the next period begins."""
        day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        step = timedelta(days=1) if self is Span.DAY else timedelta(days=32 - day.day)
        after = day + step
        return (after if self is Span.DAY else after.replace(day=1)).timestamp()

    @property
    def far_share(self) -> float:
        """The share of the limit up to which nothing is slowed down. A day is soon over, and few pairs use half of it;
        a month must be spread from its first day on."""
        return 0.5 if self is Span.DAY else 0.0


@dataclass(frozen=True, slots=True)
class Meter:
    """The calls of one scope (a location, a base) in the period that runs.

    `used` is what is known: our own calls, or everybody's where the server tells (`told`). `limit` None is no limit.
    """

    scope: str
    span: Span
    used: int
    limit: int | None = None
    told: bool = False

    @property
    def left(self) -> float:
        """Calls that the daemon may still make in this period: without the reserve. Negative where that is touched."""
        return math.inf if self.limit is None else self.limit - math.ceil(self.limit * RESERVE_SHARE) - self.used

    def spent(self, calls: float) -> bool:
        """Whether what is left does not hold one more pass of `calls`."""
        return self.left < max(calls, 1)

    def shortest(self, now: float, calls: float, aside: float = 0.0) -> float:
        """The shortest interval in seconds that this budget allows, at `calls` a pass; 0 where it allows any. `aside`
        are the calls that full passes will take beside.

        Where it is used up, that is the rest of the period, so that the next pass comes in the next one. Where it was
        the server that said so, a pass an hour still asks: when HighLevel's day begins is not known.
        """
        if self.limit is None:
            return 0.0
        rest = self.span.end(now) - now
        if self.spent(calls):
            return min(rest, LONGEST_SECONDS) if self.told and self.span is Span.DAY else rest
        if self.used < self.limit * self.span.far_share:
            return 0.0
        even = calls * rest / max(self.left - aside, 1.0)
        return min(even, LONGEST_SECONDS) if self.span is Span.DAY else even

    def projected(self, now: float, calls: float, interval: float) -> int | None:
        """The calls of the whole period if passes of `calls` go on at this interval; None where that is unknown."""
        if self.spent(calls):
            return self.used
        return round(self.used + calls * (self.span.end(now) - now) / interval) if calls > 0 else None

    def runs_out(self, now: float, calls: float, interval: float) -> float | None:
        """When the daemon's part is used up if passes go on like this; None where it lasts to the period's end."""
        if self.limit is None or self.spent(calls):
            return None if self.limit is None else now
        at = now + self.left * interval / calls if calls > 0 else math.inf
        # The last pass that fits ends a hair before the period does: rounding must not make that a warning.
        return at if at < self.span.end(now) - interval else None


NOTHING: Final[Mapping[str, float]] = {}


def interval(
    wanted: float, meters: Sequence[Meter], now: float, calls_per_pass: Mapping[str, float],
    aside: Mapping[str, float] = NOTHING,
) -> float:  # fmt: skip
    """Seconds from the beginning of one pass to that of the next: `wanted`, or more where a budget would not last.

    `calls_per_pass` is by scope what a pass of every pair costs that shares it, since all of them wait as long; `aside`
    what their full passes take beside until the period ends.
    """
    return max([wanted, *(_ask(meter, now, calls_per_pass, aside) for meter in meters)])


def _ask(meter: Meter, now: float, calls_per_pass: Mapping[str, float], aside: Mapping[str, float]) -> float:
    return meter.shortest(now, calls_per_pass.get(meter.scope, 0), aside.get(meter.scope, 0.0))


def slowed_by(
    wanted: float, meters: Sequence[Meter], now: float, calls_per_pass: Mapping[str, float],
    aside: Mapping[str, float] = NOTHING,
) -> Meter | None:  # fmt: skip
    """The meter that asks for the longest interval; None where none asks for more than `wanted`."""
    asks = [(_ask(meter, now, calls_per_pass, aside), meter) for meter in meters]
    longest, meter = max(asks, key=lambda ask: ask[0], default=(0.0, None))
    return meter if longest > wanted else None


class Pace(Enum):
    """How a stretched interval is shared out over a day."""

    STEADY = "steady"
    ACTIVE = "while people edit"  # somebody edited lately: passes come more often
    NIGHT = "at night"  # nobody did, and it is night: more seldom


ACTIVE_SECONDS: Final = 1800.0  # an edit that was carried so lately means that people are at work
ACTIVE_TIMES: Final = 3.0  # so many times as often then, and
NIGHT_TIMES: Final = (
    3.0  # so many times as seldom at night: eight such hours save what pays for nearly three active ones
)
NIGHT_HOURS: Final = frozenset({22, 23, 0, 1, 2, 3, 4, 5})  # of the local time


def pace(since_edit: float | None, hour: int) -> Pace:
    """The pace `since_edit` seconds after the last edit that was carried (None: none is known), at that local hour."""
    if since_edit is not None and 0 <= since_edit <= ACTIVE_SECONDS:
        return Pace.ACTIVE
    return Pace.NIGHT if hour in NIGHT_HOURS else Pace.STEADY


def paced(even: float, wanted: float, pace: Pace) -> float:
    """The interval at this pace, of the one that would spend a budget evenly. Never shorter than `wanted`, and one that
    no budget has stretched stays as it is."""
    if even <= wanted:
        return even
    if pace is Pace.ACTIVE:
        return max(wanted, even / ACTIVE_TIMES)
    return even * NIGHT_TIMES if pace is Pace.NIGHT else even


def full_every(wanted: float, meters: Sequence[Meter], now: float, extra: Mapping[str, float]) -> float:
    """Seconds between two full passes: `wanted`, or more, so that these take at most half of what is left. `extra` is
    by scope what a full pass of every pair costs more than another one."""
    longest = wanted
    for meter in meters:
        calls, rest = extra.get(meter.scope, 0.0), meter.span.end(now) - now
        if meter.limit is None or not calls or meter.used < meter.limit * meter.span.far_share:
            continue
        longest = max(longest, min(rest, 2 * calls * rest / meter.left) if meter.left > 0 else rest)
    return longest


def usual(calls: Sequence[int]) -> int:
    """What a pass costs, from those of the last passes: their median, since one that filled the table says little of
    the next. 0 (unknown) before there were `FEWEST_PASSES`."""
    return median_low(calls) if len(calls) >= FEWEST_PASSES else 0
