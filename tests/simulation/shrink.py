"""The shortest story: of a failing seed's events, as few as still make the same property fall (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.run import Outcome, simulate
from tests.simulation.schedule import Event


def shrink(outcome: Outcome, run: Callable[[Sequence[Event]], Outcome] | None = None) -> Outcome:
    """The outcome of the shortest history found in which the same property falls."""
    seed, knobs = outcome.seed, outcome.knobs

    def replay(events: Sequence[Event]) -> Outcome:
        done = simulate(seed, knobs, events)
        done.events = list(events)
        return done

    again = run or replay
    best = again(outcome.events)
    if not _same(best, outcome):
        return outcome  # it cannot be replayed from its events alone; the seed itself still tells it
    size = max(1, len(best.events) // 2)
    while best.events:
        shorter = _without_a_part(best, size, again)
        if shorter is not None:
            best = shorter
            size = max(1, min(size, len(best.events) // 2))
        elif size == 1:
            break
        else:
            size //= 2
    return best


def _without_a_part(best: Outcome, size: int, run: Callable[[Sequence[Event]], Outcome]) -> Outcome | None:
    """The same failure without `size` events in a row, the last ones first; None where all are needed."""
    for start in range(len(best.events) - size, -size, -size):
        kept = [*best.events[: max(0, start)], *best.events[max(0, start) + size :]]
        if len(kept) == len(best.events):
            continue
        found = run(kept)
        if _same(found, best):
            found.events = list(kept)
            return found
    return None


def _same(one: Outcome, other: Outcome) -> bool:
    """Whether the same check of the same property fell."""
    return (one.broken, one.check) == (other.broken, other.check)
