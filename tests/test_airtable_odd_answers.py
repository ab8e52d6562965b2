"""Airtable's odd answers in the middle of something: what was shown before, or done before, counts for what it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncd.at_rest import Sieve
from syncd.model import Side
from syncd.sandbox.wire import Answer, Request
from syncd.sides import Later, Question, Written
from tests.stored import links_of
from tests.test_airtable_side import NAMES, NOW, VALUE, World, after, too_many, until, value


@pytest.fixture
def world() -> Iterator[World]:
    """A base with a table of the default columns."""
    world = World().deals()
    yield world
    world.close()


def test_a_row_deleted_between_two_listings_rests_in_neither(world: World) -> None:
    """The first listing lost its place after it had shown the row; only the one that came to its end counts."""
    rows = [world.add(**{"GHL ID": f"d{number}", "Name": f"Deal {number}"}) for number in range(150)]
    side = world.ready()
    known = links_of(side.sweep(), NAMES)
    handle, pages = world.base.handle, [0]

    def losing(request: Request) -> Answer:
        pages[0] += 1
        if pages[0] == 2:
            world.base.person_delete("Deals", rows[0])
            return Answer(422, {"error": {"type": "LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "message": "start over"}})
        return handle(request)

    world.base.handle = losing  # type: ignore[method-assign]
    sieve = Sieve(Side.TABLE, known, NAMES, {})
    assert list(side.sweep(sieve)) == []
    assert pages == [4]
    assert sieve.found == known.keys() - {"d0"}


def test_what_was_written_stands_and_the_rest_is_later_when_there_are_too_many_requests(world: World) -> None:
    """Nothing happened to the rows that were not sent, so nothing has to be looked up for them."""
    ids = [world.add(Name=str(number)) for number in range(4)]
    side = world.ready()
    world.refuse(422, "INVALID_REQUEST_UNKNOWN", "Invalid request", method="PATCH")
    world.fault(method="PATCH", status=429, body=too_many("RATE_LIMIT_REACHED", "error"), skip=1)
    results = side.write([value(id, 1) for id in ids])
    assert [type(one) for one in results] == [Written, Written, Later, Later]
    assert ["Value" in world.base.row("Deals", id) for id in ids] == [True, True, False, False]


def test_a_young_row_that_cannot_be_read_is_not_dated(world: World) -> None:
    """Whether its cell was filled when it was made, nobody can tell now."""
    id = world.add(Name="A", Value=1)
    side = world.ready()
    list(side.sweep())
    question = Question(id, VALUE, NOW - 50)
    assert side.edited([question]) == {question: after(question.instant)}
    world.fault(status=404, body={"error": {"type": "ODD"}}, path=id, times=-1)
    assert side.edited([question]) == {}


def without_record_id(world: World) -> None:
    """In each formula RECORD_ID() errs, which leaves out every row."""
    handle = world.base.handle

    def silent(request: Request) -> Answer:
        formula = request.first("filterByFormula") or str((request.json() or {}).get("filterByFormula"))
        return Answer(200, {"records": []}) if "RECORD_ID" in formula else handle(request)

    world.base.handle = silent  # type: ignore[method-assign]


def test_no_row_at_all_is_no_answer_where_rows_cannot_be_named(world: World) -> None:
    edited, untouched = world.add(Value=1), world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", edited, {"Value": 2})
    without_record_id(world)
    side = world.ready()
    list(side.sweep())
    world.wire.log.clear()
    questions = [Question(id, VALUE, NOW + 50) for id in (edited, untouched)]
    told = {questions[0]: after(NOW + 50), questions[1]: until(NOW + 50)}
    assert side.edited(questions) == told
    assert len(world.wire.log) == 3  # by rows, whether rows can be named at all, and of the whole table
    assert side.edited(questions) == told
    assert len(world.wire.log) == 3 + 1, "it is not tried again"


def test_no_row_at_all_is_an_answer_once_a_row_was_found_by_its_name(world: World) -> None:
    id = world.add(Value=1)
    side = world.ready()
    list(side.sweep())
    world.wire.log.clear()
    question = Question(id, VALUE, NOW + 50)
    for calls in (2, 3):
        assert side.edited([question]) == {question: until(question.instant)}
        assert len(world.wire.log) == calls


def test_rows_that_are_found_one_by_one_alone_prove_that_they_cannot_be_named(world: World) -> None:
    edited, untouched = world.add(Value=1), world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", edited, {"Value": 2})
    without_record_id(world)
    side = world.ready()
    assert side.read([edited, untouched]).keys() == {edited, untouched}
    world.wire.log.clear()
    questions = [Question(id, VALUE, NOW + 50) for id in (edited, untouched)]
    assert side.edited(questions) == {questions[0]: after(NOW + 50), questions[1]: until(NOW + 50)}
    assert len(world.wire.log) == 1, "the whole table is asked about at once"


def test_a_row_that_is_found_by_its_name_proves_it_by_itself(world: World) -> None:
    id = world.add(Value=1)
    world.clock.now = NOW + 100
    world.base.person_edit("Deals", id, {"Value": 2})
    side = world.ready()
    list(side.sweep())
    world.wire.log.clear()
    question = Question(id, VALUE, NOW + 50)
    assert side.edited([question]) == {question: after(question.instant)}
    assert len(world.wire.log) == 1
