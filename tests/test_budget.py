"""syncd/budget.py: how often passes may come. Properties, and whole months of passes with random loads."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from syncd.budget import LONGEST_SECONDS, Meter, Pace, Span, full_every, interval, pace, paced, slowed_by, usual

DAY_SECONDS = 86_400.0


def at(text: str) -> float:
    """Seconds since 1970 of a UTC time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


JUNE = at("2026-06-01T00:00:00")  # a month of 30 days
MOMENTS = st.integers(round(at("2024-01-01") * 1000), round(at("2028-12-31") * 1000)).map(lambda ms: ms / 1000)
METERS = st.builds(
    Meter,
    st.just("s"),
    st.sampled_from(Span),
    st.integers(0, 250_000),
    st.none() | st.integers(1, 250_000),
    st.booleans(),
)
CALLS = st.integers(0, 2_000)
WANTED = st.floats(0.1, 100_000)


# --- periods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "now", "key", "end"),
    [
        (Span.DAY, "2026-11-21T00:00:00", "2026-11-21", "2026-11-22"),
        (Span.DAY, "2026-12-31T23:59:59.999", "2026-12-31", "2027-01-01"),
        (Span.DAY, "2024-02-28T12:00:00", "2024-02-28", "2024-02-29"),
        (Span.MONTH, "2026-11-01T00:00:00", "2026-11", "2026-12-01"),
        (Span.MONTH, "2026-12-31T23:59:59.999", "2026-12", "2027-01-01"),
        (Span.MONTH, "2026-01-31T00:00:00", "2026-01", "2026-02-01"),
        (Span.MONTH, "2024-02-29T10:00:00", "2024-02", "2024-03-01"),
        (Span.MONTH, "2025-02-01T10:00:00", "2025-02", "2025-03-01"),
    ],
)
def test_periods_are_those_of_the_calendar_in_utc(span: Span, now: str, key: str, end: str) -> None:
    assert span.key(at(now)) == key
    assert span.end(at(now)) == at(end)


@given(st.sampled_from(Span), MOMENTS)
def test_a_period_ends_where_the_next_begins(span: Span, now: float) -> None:
    end = span.end(now)
    assert now < end <= now + (1 if span is Span.DAY else 31) * DAY_SECONDS
    assert span.key(end - 0.001) == span.key(now) < span.key(end)


# --- the interval: properties ----------------------------------------------------------------------------------------


@given(METERS, METERS, WANTED, MOMENTS, CALLS)
def test_never_shorter_than_wanted_nor_for_a_day_longer_than_an_hour_unless_used_up(
    one: Meter, other: Meter, wanted: float, now: float, calls: int
) -> None:
    found = interval(wanted, [one, other], now, {"s": calls})
    assert found >= wanted
    meters = [m for m in (one, other) if m.spent(calls) and not (m.told and m.span is Span.DAY)]
    ends = [meter.span.end(now) - now for meter in meters]
    months = [m.shortest(now, calls) for m in (one, other) if m.span is Span.MONTH]
    assert found <= max([wanted, LONGEST_SECONDS, *ends, *months])
    assert all(one <= Span.MONTH.end(now) - now for one in months), "a pass still comes in this month, or right after"
    assert all(found >= end for end in ends), "a pass would come in the period that is used up"
    by = slowed_by(wanted, [one, other], now, {"s": calls})
    assert (by is None) == (found == wanted)
    assert by is None or by.shortest(now, calls) == found


@given(METERS, MOMENTS, CALLS, st.integers(0, 1_000))
def test_more_used_or_dearer_passes_never_shorten_it(meter: Meter, now: float, calls: int, more: int) -> None:
    found = meter.shortest(now, calls)
    assert replace(meter, used=meter.used + more).shortest(now, calls) >= found
    assert meter.shortest(now, calls + more) >= found
    if meter.limit is not None:
        assert replace(meter, limit=meter.limit + more).shortest(now, calls) <= found
    assert replace(meter, limit=None).shortest(now, calls) == 0


@given(METERS, MOMENTS, CALLS, st.floats(0, 31 * DAY_SECONDS))
def test_later_in_the_period_it_is_never_longer(meter: Meter, now: float, calls: int, later: float) -> None:
    assume(now + later < meter.span.end(now))
    assert meter.shortest(now + later, calls) <= meter.shortest(now, calls)


@given(st.integers(1, 100_000), st.floats(1, 3_000), st.floats(0, 30 * DAY_SECONDS - 1), st.integers(1, 100))
def test_it_is_what_was_wanted_just_as_long_as_the_budget_holds_that_many_passes(
    limit: int, wanted: float, gone: float, calls: int
) -> None:
    """By counting passes, without the formula: at the wanted pace to the end of the month."""
    meter, rest = Meter("s", Span.MONTH, 0, limit), 30 * DAY_SECONDS - gone
    needed = calls * rest / wanted
    assume(abs(needed - meter.left) > 1 and not meter.spent(calls))
    assert (interval(wanted, [meter], JUNE + gone, {"s": calls}) == wanted) == (needed < meter.left)


def test_team_free_and_no_plan_in_numbers() -> None:
    """Team with 51 calls a pass: 95,000 of them in 30 days. Free with 4: 950 of them, a pass every three hours."""
    team, free, none = (Meter("s", Span.MONTH, 0, limit) for limit in (100_000, 1_000, None))
    assert interval(60, [team], JUNE, {"s": 51}) == pytest.approx(51 * 30 * DAY_SECONDS / 95_000)
    assert interval(60, [team], JUNE, {"s": 2}) == 60
    assert interval(60, [free], JUNE, {"s": 4}) == pytest.approx(4 * 30 * DAY_SECONDS / 950)
    assert interval(60, [none], JUNE, {"s": 4_000}) == 60
    assert team.runs_out(JUNE, 51, interval(60, [team], JUNE, {"s": 51})) is None
    assert free.projected(JUNE, 4, LONGEST_SECONDS) == 4 * 24 * 30
    assert free.runs_out(JUNE, 4, LONGEST_SECONDS) == JUNE + 950 / 4 * 3600
    assert none.projected(JUNE, 4, 60.0) == 4 * 30 * 24 * 60
    assert none.runs_out(JUNE, 4, 60.0) is None
    assert team.projected(JUNE, 0, 60.0) is None, "what a pass costs is not known yet"
    assert replace(free, used=950).projected(JUNE, 4, LONGEST_SECONDS) == 950


def test_a_day_is_far_from_its_limit_until_half_of_it_is_used() -> None:
    day = Meter("s", Span.DAY, 99_999, 200_000)
    assert interval(0.1, [day], JUNE, {"s": 50}) == 0.1
    assert interval(0.1, [replace(day, used=100_000)], JUNE, {"s": 50}) == pytest.approx(50 * DAY_SECONDS / 90_000)


def test_what_a_pass_costs_is_the_median_and_unknown_at_first() -> None:
    assert [usual(calls) for calls in ([], [700], [700, 4], [700, 4, 5], [4, 9, 700, 5])] == [0, 0, 4, 5, 5]


# --- whole months ----------------------------------------------------------------------------------------------------


@dataclass
class Month:
    """The daemon's passes over some periods, as the daemon schedules them."""

    random: Random
    span: Span
    limit: int
    pairs: int
    usual_cost: int
    noise: float  # how often a pass costs something else
    wanted: float
    used: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    gaps: list[float] = field(default_factory=list)

    def cost(self) -> int:
        """What one pass costs: mostly the same, sometimes anything up to half the reserve."""
        if self.random.random() < self.noise:
            self.events["dear"] += 1
            return self.random.randint(0, max(1, int(self.limit * 0.05 / 2 / self.pairs)))
        return self.usual_cost

    def run(self, begin: float, end: float) -> None:
        """Passes of all pairs, which share one scope, from `begin` to `end`."""
        due = {pair: begin + self.random.random() for pair in range(self.pairs)}
        costs: dict[int, list[int]] = {pair: [] for pair in due}
        while True:
            pair, now = min(due.items(), key=lambda one: one[1])
            if now >= end:
                return
            cost = self.cost()
            self.used[self.span.key(now)] += cost
            costs[pair] = [cost, *costs[pair]][:5]
            calls = sum(usual(some) for some in costs.values())
            meter = Meter("s", self.span, self.used[self.span.key(now)], self.limit)
            gap = interval(self.wanted, [meter], now, {"s": calls})
            self.events["spent" if meter.spent(calls) else "slowed" if gap > self.wanted else "as wanted"] += 1
            self.gaps.append(gap)
            due[pair] = now + gap


def months() -> list[Month]:
    """A few hundred months, from plentiful to hopeless."""
    made = []
    for seed in range(240):
        random = Random(seed)
        span = random.choice(list(Span))
        limit = random.choice([1_000, 2_000, 10_000, 20_000])
        usual_cost = random.choice([2, 4, 11, 40])
        wanted = random.choice([300.0, 1_800.0, 7_200.0]) / (24 if span is Span.DAY else 1)
        pairs, noise = random.choice([1, 1, 2, 3]), random.choice([0.0, 0.05, 0.3])
        made.append(Month(random, span, limit, pairs, usual_cost, noise, wanted))
    return made


def test_no_budget_is_ever_exceeded_whatever_passes_cost() -> None:
    """Two periods each; passes may cost far more than usual, and pairs share the budget."""
    events: Counter[str] = Counter()
    for month in months():
        length = DAY_SECONDS if month.span is Span.DAY else 30 * DAY_SECONDS
        month.run(JUNE + month.random.random() * length / 2, JUNE + 2 * length)
        assert set(month.used) >= {month.span.key(JUNE), month.span.key(JUNE + length)}, "the next period has passes"
        assert max(month.used.values()) <= month.limit, month
        events += month.events
    assert min(events[kind] for kind in ("dear", "spent", "slowed", "as wanted")) > 100, events


def test_a_budget_that_is_too_small_for_the_wanted_interval_is_nearly_used_and_lasts() -> None:
    """Team, 51 calls a pass, every minute wanted: passes come to the end of the month, and leave little but the
    reserve."""
    month = Month(Random(1), Span.MONTH, 100_000, 1, 51, 0.0, 60.0)
    month.run(JUNE, JUNE + 30 * DAY_SECONDS)
    assert 94_000 < month.used["2026-06"] <= 95_000
    assert max(month.gaps[:-1]) < 1_500, "evenly, to the end"


def test_a_first_pass_that_fills_the_table_does_not_slow_the_next_ones_for_long() -> None:
    """700 calls, then 4 a pass: the second pass comes when it is wanted."""
    used, costs, gaps = 0, list[int](), []
    for cost in (700, 4, 4, 4):
        used, costs = used + cost, [cost, *costs]
        gaps.append(interval(60, [Meter("s", Span.MONTH, used, 100_000)], JUNE, {"s": usual(costs)}))
    assert gaps[0] == 60
    assert max(gaps[1:]) < 120


def test_a_server_whose_day_begins_at_another_hour_is_asked_again_within_an_hour() -> None:
    """HighLevel's day may not begin at midnight UTC. It says what is left; where nothing is, a pass an hour finds the
    new day, and no more calls than that are refused."""
    for hour in (0.5, 8.0, 17.25):
        used, refused, now, last_reset, late = 0, 0, JUNE, -math.inf, []
        while now < JUNE + 3 * DAY_SECONDS:
            reset = math.floor((now - JUNE - hour * 3600) / DAY_SECONDS)
            if reset > last_reset:
                used, last_reset = 0, reset
                late.append((now - JUNE - hour * 3600) - reset * DAY_SECONDS)
            if used + 400 > 10_000:
                refused += 1
                used = 10_000
            else:
                used += 400
            meter = Meter("s", Span.DAY, used, 10_000, told=True)
            now += interval(60, [meter], now, {"s": 400})
        assert len(late) >= 3
        assert max(late[1:]) <= LONGEST_SECONDS
        assert refused <= 3 * 24


@pytest.mark.parametrize("limit", [1_000, 100_000])
def test_a_month_lasts_with_full_passes_in_it(limit: int) -> None:
    """201 calls a full pass, each six hours wanted, and one call each minute."""
    now, used, last_full, fulls = JUNE, 0, -1e9, 0
    end = Span.MONTH.end(JUNE)
    while now < end:
        meter = Meter("s", Span.MONTH, used, limit)
        every = full_every(6 * 3_600.0, [meter], now, {"s": 200.0})
        aside = {"s": 200.0 * (end - now) / every}
        if now - last_full >= every and meter.left >= 201:
            used, last_full, fulls = used + 201, now, fulls + 1
        elif meter.left >= 1:
            used += 1
        now += max(60.0, interval(60.0, [Meter("s", Span.MONTH, used, limit)], now, {"s": 1.0}, aside))
    assert used <= limit
    assert used >= 0.85 * limit or limit > 60_000
    assert fulls >= 2
    assert fulls > 110 or limit == 1_000


# --- more often while people edit, more seldom at night ---


@pytest.mark.parametrize(
    ("since_edit", "hour", "expected"),
    [
        (0.0, 12, Pace.ACTIVE),
        (1800.0, 3, Pace.ACTIVE),
        (1801.0, 12, Pace.STEADY),
        (-1.0, 12, Pace.STEADY),
        (None, 21, Pace.STEADY),
        (None, 22, Pace.NIGHT),
        (7200.0, 5, Pace.NIGHT),
        (None, 6, Pace.STEADY),
    ],
)
def test_the_pace_follows_people(since_edit: float | None, hour: int, expected: Pace) -> None:
    assert pace(since_edit, hour) is expected


@pytest.mark.parametrize(
    ("even", "of", "expected"),
    [
        (600.0, Pace.STEADY, 600.0),
        (600.0, Pace.ACTIVE, 200.0),
        (90.0, Pace.ACTIVE, 60.0),
        (600.0, Pace.NIGHT, 1800.0),
        (60.0, Pace.NIGHT, 60.0),
        (60.0, Pace.ACTIVE, 60.0),
    ],
)
def test_only_a_stretched_interval_is_paced_and_never_below_the_wanted_one(
    even: float, of: Pace, expected: float
) -> None:
    assert paced(even, 60.0, of) == expected


def test_a_month_of_active_days_and_quiet_nights_lasts() -> None:
    """A daemon of two calls a pass, ten active hours a day: what is spent early comes later, and the month holds."""
    begin = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    now, used, seen = begin, 0, Counter[Pace]()
    meter = Meter("base", Span.MONTH, 0, 1_000)
    while now < meter.span.end(begin) - 1:
        meter = Meter("base", Span.MONTH, used, 1_000)
        if meter.spent(2):
            break
        used += 2
        hour = datetime.fromtimestamp(now, UTC).hour
        of = pace(0.0 if 8 <= hour < 18 else None, hour)
        seen[of] += 1
        now += paced(interval(60.0, [meter], now, {"base": 2}), 60.0, of)
    assert now >= meter.span.end(begin) - 86_400, "it lasts to the last day"
    assert used > 900, "and is used"
    assert min(seen[of] for of in Pace) > 20
    assert seen[Pace.ACTIVE] > 3 * seen[Pace.NIGHT]
