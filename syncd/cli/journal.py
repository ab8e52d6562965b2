"""What the daemon logs of its passes. What stands as it stood is not said again: a log is read for what is new."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from syncd.reconcile import PassResult
from syncd.report import NOTHING_TO_WRITE, SHOWN_PROBLEMS, counted, pass_line, printable, shortened

log = logging.getLogger("syncd")
STILL_SECONDS: Final = 3600.0  # how often an error that goes on is said again


@dataclass(slots=True)
class _Said:
    """What was said of a pair last. `error` is "" where its last pass was completed."""

    error: str = ""
    error_at: float = 0.0
    standing: frozenset[str] = frozenset()


class Journal:
    """Logs passes. Where the very first pass of every pair finds its configuration wrong, nothing is to be expected of
    going on: then `is_hopeless` is set and `hopeless` called."""

    def __init__(
        self,
        pairs: Collection[str],
        hopeless: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._said = {pair: _Said() for pair in pairs}
        self._untried = set(pairs)
        self._hopeless, self._clock = hopeless, clock
        self._first_are_wrong = True
        self.is_hopeless = False
        self._lock = threading.Lock()  # pairs run in threads of their own

    def passed(self, result: PassResult) -> None:
        """Logs one pass."""
        with self._lock:
            said = self._said[result.pair]
            if result.error:
                self._failed(said, result)
            elif not result.stopped:
                self._completed(said, result)
            self._first(result)

    def _failed(self, said: _Said, result: PassResult) -> None:
        line, now = printable(pass_line(result)), self._clock()
        if said.error != result.error:
            log.error("%s", line)
        elif now - said.error_at >= STILL_SECONDS:
            log.error("still: %s", line)
        else:
            log.debug("%s", line)
            return
        said.error, said.error_at = result.error, now

    def _completed(self, said: _Said, result: PassResult) -> None:
        line = printable(pass_line(result))
        if said.error:
            log.info("%s (after an error, passes are completed again)", line)
            said.error = ""
        else:
            log.log(logging.DEBUG if NOTHING_TO_WRITE in line else logging.INFO, "%s", line)
        for note in result.notes:
            log.warning("%s: %s", result.pair, printable(note))
        standing = frozenset(f"for a person: {printable(sentence)}" for sentence in result.for_person())
        if result.undone:
            standing |= {f"{counted(result.undone, 'write')} did not arrive; the next pass decides anew"}
        if result.unsettled:
            standing |= {f"{counted(result.unsettled, 'write')} without an answer yet; the next pass looks them up"}
        for line in shortened(sorted(standing - said.standing), SHOWN_PROBLEMS):
            log.warning("%s: %s", result.pair, line)
        for line in shortened(sorted(said.standing - standing), SHOWN_PROBLEMS):
            log.info("%s: no longer %s", result.pair, line)
        said.standing = standing

    def _first(self, result: PassResult) -> None:
        """Counts the very first pass of each pair."""
        if result.pair not in self._untried:
            return
        self._untried.discard(result.pair)
        self._first_are_wrong = self._first_are_wrong and result.misconfigured
        if self._first_are_wrong and not self._untried:
            self.is_hopeless = True
            self._hopeless()
