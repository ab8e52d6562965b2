"""What fuzzing found, one by one and in plain sight; each broke a pass, or made it believe what nobody said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from syncd.crm import side as crm_side
from syncd.crm.highlevel import Unexpected, parse_opportunity
from syncd.http import BrokenText, NotJson, Reply
from syncd.model import Side
from syncd.sides import Lost, SideDown
from syncd.tables import airtable
from syncd.values import Problem, money
from tests.hostile.bench import TABLE, Bench, Exchange, Passes
from tests.hostile.mangle import DEEP, Sent, encoded


def changing(change: Callable[[Any], Any], path: str = "") -> Callable[[Exchange], Sent | None]:
    """Changes the JSON of each answer whose path holds `path`."""

    def spoil(exchange: Exchange) -> Sent | None:
        if path not in exchange.path:
            return None
        return replace(exchange.answer, content=encoded(change(json.loads(exchange.answer.content))))

    return spoil


def agreed(bench: Bench) -> Passes:
    """A bench whose rows were made; the logs are empty."""
    passes = Passes(bench)
    assert passes.run().error == ""
    assert passes.run().code == 0
    bench.forget()
    return passes


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["1e9999999", "-1e9999999", "1e99999999999999999999", "9" * 20, 10**4000, "1e15"])
def test_a_number_beyond_all_numbers_is_a_problem_of_its_cell(typed: Any) -> None:
    """Not of the pass: decimals overflow even in abs()."""
    assert isinstance(money(typed, 2), Problem)
    assert (money("0e9999", 2), money("1e-9999999", 2), money("999999999999999", 2)) == ("0", "0", "999999999999999")


def test_a_number_beyond_all_numbers_in_a_text_column_waits_for_its_person() -> None:
    """Other rows go on."""
    with Bench(deals=2) as bench:
        bench.airtable.delete_field(TABLE, "Value")
        bench.airtable.add_field(TABLE, "Value", "singleLineText")
        passes = agreed(bench)
        (first, first_row), (second, second_row) = bench.rows().items()
        bench.airtable.person_edit(TABLE, first_row["row"], {"Value": "1e9999999"})
        bench.airtable.person_edit(TABLE, second_row["row"], {"Value": "12"})
        before = bench.deals()[first]["monetaryValue"]
        result = passes.run()
        assert (result.error, result.code) == ("", 3)
        assert (bench.deals()[first]["monetaryValue"], bench.deals()[second]["monetaryValue"]) == (before, 12)


def test_half_an_emoji_is_no_text() -> None:
    """Where a server cut a text by its length. A whole one, written in two halves, is; keys go with their values."""
    found = Reply(
        200, {}, rb'{"a": "x\ud83d", "b": ["\ude00"], "c": "\ud83d\ude00", "\ud83d": 1, "d": {"e": "\\ud83d"}}'
    ).json()
    assert isinstance(found["a"], BrokenText)
    assert isinstance(found["b"][0], BrokenText)
    assert (found["c"], found["d"], set(found)) == ("😀", {"e": "\\ud83d"}, {"a", "b", "c", "d"})
    assert isinstance(Reply(200, {}, rb'"\ud83d"').json(), BrokenText)
    deal = parse_opportunity(Reply(200, {}, rb'{"id": "d1", "name": "x\ud83d", "source": "fine"}').json())
    assert (deal.name, deal.source, deal.odd) == (None, "fine", frozenset({"name"}))


@pytest.mark.parametrize("crm", [True, False], ids=["HighLevel", "Airtable"])
def test_a_record_with_half_an_emoji_waits_and_the_others_go_on(crm: bool) -> None:
    """It is neither blank nor written anywhere; once it is whole, it travels."""
    with Bench(deals=2) as bench:
        passes = agreed(bench)
        broken, fine = sorted(bench.deals())
        rows = {key: row["row"] for key, row in bench.rows().items()}
        before = bench.highlevel.deal(broken)["name"], bench.rows()[broken]["Name"]
        wire = bench.crm_wire if crm else bench.table_wire
        if crm:
            bench.highlevel.person_edit(broken, name="Roof MARK")
            bench.highlevel.person_edit(fine, name="Fine")
        else:
            bench.airtable.person_edit(TABLE, rows[broken], {"Name": "Roof MARK"})
            bench.airtable.person_edit(TABLE, rows[fine], {"Name": "Fine"})
        wire.spoil = lambda exchange: replace(
            exchange.answer, content=exchange.answer.content.replace(b"Roof MARK", rb"Roof \ud83d")
        )
        for _ in range(2):
            assert passes.run().error == ""
        held = bench.highlevel.deal(broken)["name"], bench.rows()[broken]["Name"]
        assert held == (("Roof MARK", before[1]) if crm else (before[0], "Roof MARK"))
        assert bench.highlevel.deal(fine)["name"] == bench.rows()[fine]["Name"] == "Fine"
        bench.forget()
        passes.run()
        assert bench.highlevel.deal(broken)["name"] == bench.rows()[broken]["Name"] == "Roof MARK"
        passes.close()


def test_an_instant_of_no_year_is_no_time() -> None:
    """Stamps only move forward: one of the year 9999 would make all later ones look old, in every pass."""
    for time in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", 10**400, -5, 1e300, 253_402_300_799_000):
        deal = parse_opportunity({"id": "d1", "updatedAt": time})
        assert (deal.updated_at, deal.odd) == (None, frozenset({"updatedAt"})), time
    assert parse_opportunity({"id": "d1", "updatedAt": 1_790_000_000_000}).updated_at == 1_790_000_000.0


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"[" * DEEP, b'{"a":' * DEEP, b"9" * 5000, b"NaN", b'{"a": Infinity}', '{"a": "é"}'.encode("latin-1"),
     '{"a": 1}'.encode("utf-16"), b'{"a": "\xed\xa0\xbd"}', b"", b"\x00"],
)  # fmt: skip
def test_what_is_no_json_in_utf8_is_none(content: bytes) -> None:
    """RFC 8259 knows no other encoding, no NaN, and nobody needs a hundred thousand brackets."""
    with pytest.raises(NotJson):
        Reply(200, {}, content).json()


def test_bytes_that_are_no_utf8_are_not_mended_into_a_value() -> None:
    """requests would put U+FFFD in their place, which would travel to the deal as an edit of a person."""
    with Bench(deals=1) as bench:
        passes = agreed(bench)
        name = bench.rows()[min(bench.deals())]["Name"]
        bench.table_wire.spoil = lambda exchange: replace(
            exchange.answer, content=exchange.answer.content.replace(name.encode(), name[:-1].encode() + b"\xff")
        )
        assert "not what its API promises" in passes.run().error
        assert bench.highlevel.triggers == []


def test_a_stage_without_a_name_ends_the_pass_and_renames_no_row() -> None:
    """Else its id would become its name, an option of the table and the text of every row."""
    for bad in (None, 7, {"en": "New"}):
        with Bench(deals=2) as bench:
            passes = agreed(bench)

            def change(body: Any, bad: Any = bad) -> Any:
                for stage in body["pipelines"][0]["stages"]:
                    stage["name"] = bad
                return body

            bench.crm_wire.spoil = changing(change, "/pipelines")
            assert "without a name" in passes.run().error
            assert bench.airtable.writes == []


def test_what_a_list_holds_twice_is_one() -> None:
    """A user, a pipeline, a stage: two of one name would be told apart by their address, or could not be chosen."""
    with Bench(deals=2) as bench:
        owner, stage = bench.highlevel.users[0]["id"], bench.highlevel.stage_id("Sales", "New Lead")
        for id in bench.deals():
            bench.highlevel.person_edit(id, assignedTo=owner, pipelineStageId=stage)
        passes = agreed(bench)

        def change(body: Any) -> Any:
            for pipeline in body.get("pipelines", []):
                pipeline["stages"] *= 2
            return {key: value * 2 if isinstance(value, list) else value for key, value in body.items()}

        for path in ("/users/", "/pipelines"):
            bench.crm_wire.spoil = changing(change, path)
            assert passes.run().code == 0
        assert bench.airtable.writes == []
        bench.airtable.person_edit(TABLE, min(row["row"] for row in bench.rows().values()), {"Stage": "Proposal Sent"})
        assert passes.run().code == 0
        passes.close()


def test_a_deal_of_another_location_gets_no_row() -> None:
    """A search that mixes locations up: its deals are not ours, whatever is linked to them stays."""
    with Bench(deals=3) as bench:
        passes = Passes(bench)
        alien = min(bench.deals())

        def change(body: Any) -> Any:
            for deal in body["opportunities"]:
                deal["locationId"] = "another" if deal["id"] == alien else deal["locationId"]
            return body

        bench.crm_wire.spoil = changing(change, "/search")
        assert passes.run().tally.created[Side.TABLE] == 2
        assert alien not in bench.rows()
        bench.forget()
        assert passes.run().tally.created[Side.TABLE] == 1


def test_a_column_of_an_odd_type_or_precision_is_not_synced_as_something_else() -> None:
    """A type that is a list, options without a name or an id, a negative precision (which would round to hundreds)."""
    with Bench(deals=1) as bench:

        def change(body: Any) -> Any:
            for column in body["tables"][0]["fields"]:
                if column["name"] == "Source":
                    column["type"] = ["singleLineText"]
                if column["name"] == "Value":
                    column["options"]["precision"] = -3
                if column["name"] == "Status":
                    column["options"]["choices"] += [{"id": "selX"}, {"name": "loose"}, {}, 7, {"id": [1], "name": "n"}]
            return body

        bench.table_wire.spoil = changing(change)
        schema = bench.table.schema()
        assert "source" not in schema.columns
        assert schema.columns["value"].precision is None
        options = schema.columns["status"].options
        assert (options["loose"], options["n"], "selX" in options) == ("loose", "n", False)


def test_made_rows_whose_ids_are_no_texts_are_still_found() -> None:
    """`createdRecords` may hold anything: the rows stand beside it."""
    with Bench(deals=2) as bench:
        bench.table_wire.spoil = changing(
            lambda body: {**body, "createdRecords": [{}, [], None]} if "records" in body else body
        )
        passes = Passes(bench)
        assert passes.run().tally.created[Side.TABLE] == 2
        assert len(bench.rows()) == 2


@pytest.mark.parametrize("body", [{}, {"deleted": True}, {"id": "recX", "deleted": True}, {"deleted": "yes"}, []])
def test_a_row_counts_as_deleted_where_the_answer_says_so(body: Any) -> None:
    """And nowhere else: then it is looked for."""
    with Bench(deals=1) as bench:
        row = bench.airtable.person_add(TABLE, {"Name": "Old"})
        bench.table.schema()
        bench.table_wire.spoil = lambda exchange: Sent(200, encoded(body))
        assert isinstance(bench.table.delete(row), Lost)


@pytest.mark.parametrize("body", [{}, {"succeded": False}, {"succeded": "true"}, {"id": "x"}, []])
def test_a_deal_counts_as_deleted_where_the_answer_says_so(body: Any) -> None:
    """Likewise; 200 alone is what every captive portal says."""
    with Bench(deals=1) as bench:
        bench.crm_wire.spoil = lambda exchange: Sent(200, encoded(body))
        assert isinstance(bench.crm.delete(min(bench.deals())), Lost)


# --- listings without end --------------------------------------------------------------------------------------------


def test_a_search_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ever new deals on ever new pages: the sweep says so instead of filling the memory."""
    monkeypatch.setattr(crm_side, "PAGES_AT_MOST", 20)
    numbers = count(1)

    def page(exchange: Exchange) -> Sent:
        rows = [{"id": f"d{next(numbers)}", "sort": [number, f"c{number}"]} for number in range(3)]
        at = next(numbers)
        return Sent(
            200, encoded({"opportunities": rows, "meta": {"startAfter": at, "startAfterId": f"x{at}", "nextPage": 2}})
        )

    with Bench(deals=1) as bench:
        bench.crm_wire.spoil = page
        with pytest.raises(SideDown, match="does not come to an end"):
            list(bench.crm.sweep())
        assert len(bench.crm_wire.log) <= 21


def test_a_listing_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise for rows."""
    monkeypatch.setattr(airtable, "PAGES_AT_MOST", 20)
    numbers = count(1)
    with Bench(deals=1) as bench:
        bench.table.schema()
        row = {"id": "rec1", "createdTime": "2026-01-01T00:00:00.000Z", "fields": {}}
        bench.table_wire.spoil = lambda exchange: Sent(200, encoded({"records": [row], "offset": f"o{next(numbers)}"}))
        with pytest.raises(SideDown, match="does not come to an end"):
            list(bench.table.sweep())


def test_users_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise for users."""
    monkeypatch.setattr("syncd.crm.highlevel.USERS_AT_MOST", 500)
    numbers = count(1)

    def users(exchange: Exchange) -> Sent:
        if exchange.path == "/users/":
            return Sent(404, encoded({"message": "Cannot GET /users/"}))
        return Sent(200, encoded({"users": [{"id": f"u{next(numbers)}", "name": "U"} for _ in range(100)]}))

    with Bench(deals=1) as bench:
        bench.crm_wire.spoil = users
        with pytest.raises(Unexpected, match="does not come to an end"):
            bench.crm.client.users()
