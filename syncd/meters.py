"""The calls of pairs: counted as they are sent, kept in the store, and weighed against the budgets (`budget.py`)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from syncd.budget import (
    DAILY_CALLS,
    MONTHLY_CALLS,
    Meter,
    Pace,
    Span,
    full_every,
    interval,
    pace,
    paced,
    slowed_by,
    usual,
)
from syncd.model import Side
from syncd.settings import PairSettings, Settings
from syncd.store import FILE_NAME, Store, StoreFailed

log = logging.getLogger("syncd")
KEEP_EVERY: Final = 100  # calls; a crash in the middle of a pass forgets fewer
LATEST_PASSES: Final = 20  # among which the last edit is looked for
MATERIAL: Final = 1.25  # an interval that grew or shrank by less than this is not worth a line in the log


A_FILE: Final = "file:"


def scope_of(pair: PairSettings, side: Side) -> str:
    """Whose budget the calls to this side use up. Pairs of one location, or of one base, share it."""
    return f"highlevel:{pair.ghl.location_id}" if side is Side.CRM else pair.table.scope


SPANS: Final = {Side.CRM: Span.DAY, Side.TABLE: Span.MONTH}


class Ledger:
    """Counts the requests of one pair to one side, for any thread; `sent` is `Http`'s hook.

    `told` reads the server's own (limit, calls left) from an answer's headers. While `keeping`, the count goes to the
    store each `KEEP_EVERY` calls and at the end of a pass. What only looks (`syncd plan`) writes and keeps nothing.
    """

    def __init__(
        self,
        folder: Path,
        pair: PairSettings,
        side: Side,
        told: Callable[[Mapping[str, str]], tuple[int, int] | None] = lambda _headers: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keeping = False
        self._folder, self._pair = folder, pair.name
        self._scope, self._span = scope_of(pair, side), SPANS[side]
        self._read, self._clock = told, clock
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}  # by period: a call belongs to the one in which it was sent
        self._told: dict[str, tuple[int, int]] = {}

    def sent(self, headers: Mapping[str, str]) -> None:
        """A request went out; these are its answer's headers."""
        period, told = self._span.key(self._clock()), self._read(headers)
        with self._lock:
            self._counts[period] = self._counts.get(period, 0) + 1
            if told is not None:
                self._told[period] = told
            due = self.keeping and sum(self._counts.values()) % KEEP_EVERY == 0
        if due:
            self.keep()

    def keep(self, store: Store | None = None) -> None:
        """Adds what was counted to the store; without one, to the folder's through a connection of this thread's own.

        Does not raise: what could not be kept stays counted and goes with the next. A store that fails stops the pass
        where it must, not here.
        """
        with self._lock:
            if not self._counts:
                return
            try:
                if store is not None:
                    self._add(store)
                else:
                    with closing(Store(self._folder, self._pair)) as own:
                        self._add(own)
            except StoreFailed as error:
                log.debug("%s: calls could not be counted yet: %s", self._pair, error)

    def _add(self, store: Store) -> None:
        for period in sorted(self._counts):
            store.add_calls(self._scope, period, self._counts[period], self._told.get(period))
            del self._counts[period]  # at once: a failure at the next one must not count this one twice
            self._told.pop(period, None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the budgets of a pair stand at one moment. By scope: what a pass of all its pairs costs, and how many these
    are. `seconds` is the interval that spends them evenly, `slowed_by` the meter that made it longer than `wanted`,
    `pace` how it is shared out over the day."""

    meters: Mapping[Side, Meter]
    calls: Mapping[str, int]
    pairs: Mapping[str, int]
    now: float
    wanted: float
    seconds: float
    slowed_by: Meter | None
    full_every: float
    pace: Pace = Pace.STEADY

    @property
    def every(self) -> float:
        """Seconds from the beginning of one pass to that of the next, at the pace of now."""
        return self.seconds if self.spent else paced(self.seconds, self.wanted, self.pace)

    @property
    def spent(self) -> bool:
        """Whether a budget holds no further pass in this period."""
        return self.slowed_by is not None and self.slowed_by.spent(self.calls[self.slowed_by.scope])


def standing(store: Store, pairs: Sequence[PairSettings], pair: PairSettings, wanted: float, now: float) -> Standing:
    """The budgets of `pair`, which shares them with those of `pairs` that have its location or base. Raises
    `StoreFailed`."""
    meters: dict[Side, Meter] = {}
    calls, shared, extra = {}, {}, {}
    for side, span in SPANS.items():
        scope = scope_of(pair, side)
        if scope.startswith(A_FILE):
            continue  # it counts no calls
        sharing = [one for one in pairs if scope_of(one, side) == scope]
        calls[scope] = sum(usual([cost.get(side.value, 0) for cost in store.pass_calls(one.name)]) for one in sharing)
        fulls = sum(max(store.full_calls(one.name).get(side.value, 0), 0) for one in sharing)
        extra[scope] = max(fulls - calls[scope], 0)
        shared[scope] = len(sharing)
        count = store.calls(scope, span.key(now))
        if count.limit is not None and count.left is not None:
            meters[side] = Meter(scope, span, count.limit - count.left, count.limit, told=True)
        else:
            meters[side] = Meter(scope, span, count.used, DAILY_CALLS if side is Side.CRM else monthly_limit(sharing))
    every = list(meters.values())
    full = full_every(pair.full_every, every, now, extra)
    aside = {one.scope: extra[one.scope] * (one.span.end(now) - now) / full for one in every}
    seconds = interval(wanted, every, now, calls, aside)
    slow = slowed_by(wanted, every, now, calls, aside)
    now_pace = Pace.STEADY
    if slow is not None:
        edited = [one.started for one in store.last_passes(LATEST_PASSES) if _carried(one.report)]
        since = now - max(edited) if edited else None
        now_pace = pace(since, datetime.fromtimestamp(now).astimezone().hour)
        if now_pace is Pace.NIGHT and slow.span is Span.DAY:
            now_pace = Pace.STEADY  # a day is over before its night has saved anything
    return Standing(meters, calls, shared, now, wanted, seconds, slow, full, now_pace)


def _carried(report: Mapping[str, Any]) -> bool:
    """Whether a pass has carried somebody's edit."""
    return any(sum((report.get(what) or {}).values()) for what in ("created", "updated", "deleted"))


def monthly_limit(sharing: Sequence[PairSettings]) -> int | None:
    """The calls a month of a base by its pairs' `plan`: a plan that one pair names holds for all of them, the smallest
    counts."""
    limits = [MONTHLY_CALLS[one.table.plan] for one in sharing if one.table.plan in MONTHLY_CALLS]
    return min(limits, default=None)


class Pacer:
    """When the next pass of each pair may begin. `tell` hears of a pair whose interval changes materially."""

    def __init__(
        self,
        settings: Settings,
        pairs: Sequence[PairSettings],
        tell: Callable[[str, Standing], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._settings = Path(settings.state_dir), settings
        self._pairs = {pair.name: pair for pair in pairs}
        self._tell, self._clock = tell, clock
        self._said: dict[str, tuple[float, bool]] = {}

    def due(self, name: str) -> float:
        """Seconds since 1970 before which no pass of this pair shall begin; 0 where no budget asks for a wait."""
        if not (self._folder / FILE_NAME).exists():
            return 0.0
        now, pair = self._clock(), self._pairs[name]
        try:
            with closing(Store(self._folder, name, read_only=True)) as store:
                found = standing(store, list(self._pairs.values()), pair, self._settings.interval_of(pair), now)
                last = store.last_passes(1)
        except StoreFailed as error:
            log.debug("%s: the budgets could not be read: %s", name, error)
            return 0.0
        self._say(name, found)
        if found.slowed_by is None:
            return 0.0
        if found.spent and not found.slowed_by.told:
            return found.slowed_by.span.end(now)
        # A clock that was set back meanwhile must not make the wait longer.
        return min(last[0].started if last else now - found.every, now) + found.every

    def _say(self, name: str, found: Standing) -> None:
        before, spent = self._said.get(name, (found.wanted, False))
        ratio = max(found.seconds, before) / min(found.seconds, before)
        if found.spent != spent or (not spent and ratio >= MATERIAL):
            self._said[name] = (found.seconds, found.spent)
            self._tell(name, found)
