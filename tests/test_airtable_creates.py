"""Making rows, several calls at once (`create_each`): what is under way when, and what comes of each call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from syncd.sides import Lost, NewRecord, SideDown, WriteResult, Written
from syncd.tables.airtable import CREATES_AT_ONCE
from tests.test_airtable_side import NAME, STAGE, World

BATCHES = CREATES_AT_ONCE + 2


@pytest.fixture
def world() -> Iterator[World]:
    """A base with a table of the default columns."""
    world = World().deals()
    yield world
    world.close()


class Later(Future[Any]):
    """Runs when it is waited for."""

    def __init__(self, log: list[str], name: str, run: Callable[[], Any]) -> None:
        super().__init__()
        self._log, self._name, self._run = log, name, run

    def result(self, timeout: float | None = None) -> Any:
        self._log.append(f"end {self._name}")
        return self._run()


class Recorder(Executor):
    """Logs what is begun and what is waited for, in one thread."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.begun = 0

    def submit(self, call: Callable[..., Any], /, *given: Any, **named: Any) -> Future[Any]:
        self.begun += 1
        self.log.append(f"begin {self.begun}")
        return Later(self.log, str(self.begun), lambda: call(*given, **named))


def batches(log: list[str], cells: Sequence[dict[int, Any]], size: int = 2) -> Iterator[list[NewRecord]]:
    """One batch for each of `cells`; logs when it is taken."""
    for number, values in enumerate(cells, 1):
        log.append(f"take {number}")
        yield [NewRecord(f"deal{number}x{place}", values) for place in range(size)]


def named(count: int) -> list[dict[int, Any]]:
    return [{NAME: f"Name {number}"} for number in range(count)]


def keys(outcome: list[WriteResult] | SideDown) -> list[str]:
    """The keys of rows that were made."""
    assert isinstance(outcome, list), outcome
    return [one.record.partner or "" if isinstance(one, Written) else "lost" for one in outcome]


def test_a_batch_is_taken_only_when_there_is_room_for_its_call(world: World) -> None:
    recorder = Recorder()
    side = world.ready(threads=lambda _count: recorder)
    outcomes = list(side.create_each(batches(recorder.log, named(BATCHES))))
    assert recorder.log == [
        "take 1", "begin 1", "end 1",
        "take 2", "begin 2", "take 3", "begin 3", "take 4", "begin 4", "take 5", "begin 5", "end 2",
        "take 6", "begin 6", "end 3", "end 4", "end 5", "end 6",
    ]  # fmt: skip
    assert [keys(one) for one in outcomes] == [[f"deal{n}x0", f"deal{n}x1"] for n in range(1, BATCHES + 1)]


def test_a_call_that_makes_a_new_option_goes_alone(world: World) -> None:
    """Two at once might each make it; once it is there, it is known."""
    recorder = Recorder()
    side = world.ready(threads=lambda _count: recorder)
    cells = named(5)
    cells[2] = cells[3] = {NAME: "New", STAGE: ["Sales", "A stage that nobody has"]}
    outcomes = list(side.create_each(batches(recorder.log, cells)))
    assert recorder.log == [
        "take 1", "begin 1", "end 1", "take 2", "begin 2", "take 3", "end 2", "begin 3", "end 3",
        "take 4", "begin 4", "take 5", "begin 5", "end 4", "end 5",
    ]  # fmt: skip
    assert sum(name == "A stage that nobody has" for name in world.choices("Stage")) == 1
    assert [len(keys(one)) for one in outcomes] == [2] * 5


def test_nothing_is_taken_after_a_call_for_which_the_side_is_down(world: World) -> None:
    """What was under way has its own outcomes. Where the first one fails, nothing is."""
    recorder = Recorder()
    side = world.ready(threads=lambda _count: recorder)
    world.refuse(401, "AUTHENTICATION_REQUIRED", method="PATCH", skip=1)
    outcomes = list(side.create_each(batches(recorder.log, named(BATCHES + 4))))
    assert recorder.log[-4:] == ["end 2", "end 3", "end 4", "end 5"]
    assert isinstance(outcomes[1], SideDown)
    assert [keys(one)[0] for one in outcomes if one is not outcomes[1]] == ["deal1x0", "deal3x0", "deal4x0", "deal5x0"]


def test_a_lost_answer_is_the_loss_of_its_own_rows(world: World) -> None:
    side = world.ready()
    world.fault(status=502, method="PATCH", skip=1)
    outcomes = list(side.create_each(batches([], named(BATCHES), 10)))
    lost = [outcome for outcome in outcomes if isinstance(outcome, list) and isinstance(outcome[0], Lost)]
    assert len(lost) == 1
    assert [len(one) for one in lost] == [10]
    assert sum(len(keys(one)) for one in outcomes) == BATCHES * 10


def test_in_real_threads_each_row_is_made_once_and_told_in_order(world: World) -> None:
    side = world.ready()
    outcomes = list(side.create_each(batches([], named(BATCHES), 10)))
    told = [key for outcome in outcomes for key in keys(outcome)]
    assert told == [f"deal{number}x{place}" for number in range(1, BATCHES + 1) for place in range(10)]
    assert sorted(row["GHL ID"] for row in world.base.rows("Deals").values()) == sorted(told)
    assert len(world.calls("PATCH")) == BATCHES
