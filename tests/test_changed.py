"""Asking for what changed: HighLevel's search on `date_updated` and Airtable's modified times, against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from syncd.crm.side import CHANGED_AT_MOST, DAY_SECONDS, HOUR_SECONDS
from syncd.sides import SideDown
from tests.hostile.bench import TABLE, Bench, Exchange
from tests.hostile.mangle import Sent

POST = ("POST", "/opportunities/search")


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Five deals, long at rest; nothing was asked yet."""
    with Bench(deals=5) as bench:
        bench.clock.sleep(400 * 86_400.0)
        bench.crm.schema()
        bench.table.schema()
        bench.crm_wire.log.clear()
        bench.table_wire.log.clear()
        yield bench


def asked(bench: Bench) -> list[Exchange]:
    """The searches that were sent."""
    return [one for one in bench.crm_wire.log if (one.method, one.path) == POST]


def changed(bench: Bench, seconds: float) -> list[str] | None:
    """The ids of the deals that changed within the last seconds."""
    found = bench.crm.changed(bench.clock.now - seconds)
    return None if found is None else sorted(record.id for record in found)


def answering(bench: Bench, status: int, body: bytes) -> None:
    """Every search is answered like that."""

    def spoil(exchange: Exchange) -> Sent | None:
        return Sent(status, body, {"content-type": "application/json"}) if exchange.path == POST[1] else None

    bench.crm_wire.spoil = spoil


def altering(bench: Bench, change: Callable[[dict[str, Any]], None]) -> None:
    """Every search that is answered is answered otherwise."""

    def spoil(exchange: Exchange) -> Sent | None:
        if exchange.path != POST[1] or exchange.answer.status >= 300:
            return None
        body = json.loads(exchange.answer.content)
        change(body)
        return Sent(exchange.answer.status, json.dumps(body).encode(), exchange.answer.headers)

    bench.crm_wire.spoil = spoil


def counting(total: int) -> Callable[[dict[str, Any]], None]:
    """Says that so many deals were found."""

    def change(body: dict[str, Any]) -> None:
        body["meta" if "meta" in body else "total"] = {**body["meta"], "total": total} if "meta" in body else total

    return change


# --- HighLevel -------------------------------------------------------------------------------------------------------


def test_deals_that_were_edited_since_are_told_and_no_others(bench: Bench) -> None:
    first, second, *_ = sorted(bench.deals())
    bench.highlevel.person_edit(first, name="Edited")
    bench.clock.sleep(100.0)
    bench.highlevel.person_edit(second, status="won")
    bench.clock.sleep(100.0)
    assert changed(bench, 150.0) == [second]
    assert changed(bench, 250.0) == [first, second]
    assert changed(bench, 50.0) == []
    assert len(asked(bench)) == 1 + 3, "an impossible time is asked for once, then one call a question"
    whole = {record.id: record for record in bench.crm.changed(bench.clock.now - 250.0) or []}
    assert whole[first] == bench.crm.read([first])[first]


def test_a_deal_of_a_pipeline_that_is_not_synced_is_told_as_such(bench: Bench) -> None:
    side = type(bench.crm)(bench.crm.client, bench.crm._fields, [bench.highlevel.pipelines[0]["name"]])
    side.schema()
    deal = min(bench.deals())
    stage = bench.highlevel.pipelines[1]["stages"][0]["id"]
    bench.highlevel.person_edit(deal, pipelineId=bench.highlevel.pipelines[1]["id"], pipelineStageId=stage)
    found = side.changed(bench.clock.now - 60.0)
    assert found is not None
    assert [(one.id, one.outside) for one in found] == [(deal, bench.highlevel.pipelines[1]["id"])]


def test_many_pages_are_walked_to_the_end() -> None:
    with Bench(deals=230) as bench:
        for deal in bench.deals():
            bench.highlevel.person_edit(deal, name="Edited")
            bench.clock.sleep(0.5)
        assert changed(bench, 1_000.0) == sorted(bench.deals())
        assert len(asked(bench)) == 1 + 3


def test_a_filter_that_is_not_heeded_is_not_used_and_tried_again_after_an_hour(bench: Bench) -> None:
    """Some servers take a filter and answer with everything."""
    altering(bench, counting(5))
    assert [changed(bench, 60.0) for _ in range(3)] == [None] * 3
    assert len(asked(bench)) == 1
    bench.crm_wire.spoil = lambda _exchange: None
    bench.clock.sleep(HOUR_SECONDS)
    assert changed(bench, 60.0) == []
    bench.clock.sleep(DAY_SECONDS - 1)
    before = len(asked(bench))
    assert changed(bench, 60.0) == []
    assert len(asked(bench)) == before + 1
    bench.clock.sleep(1)
    assert changed(bench, 60.0) == []
    assert len(asked(bench)) == before + 3, "a day later it is tried anew"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, b'{"statusCode":422,"message":["filters should not exist"]}'),
        (404, b"Cannot POST /opportunities/search"),
        (403, b'{"message":"The token does not have access to this location."}'),
        (200, b"[]"),
    ],
)
def test_a_search_that_is_refused_leaves_it_to_the_walk(bench: Bench, status: int, body: bytes) -> None:
    answering(bench, status, body)
    assert changed(bench, 60.0) is None


def test_answers_that_show_older_deals_or_not_all_of_them_are_not_believed(bench: Bench) -> None:
    deal = min(bench.deals())
    bench.highlevel.person_edit(deal, name="Edited")
    assert changed(bench, 60.0) == [deal]

    def older(body: dict[str, Any]) -> None:
        for one in body["opportunities"]:
            one["updatedAt"] = "2020-01-01T00:00:00.000Z"

    altering(bench, older)
    assert changed(bench, 60.0) is None
    altering(bench, counting(2))
    assert changed(bench, 60.0) is None
    altering(bench, counting(CHANGED_AT_MOST + 1))
    assert changed(bench, 60.0) is None, "a sweep is hardly dearer"


def test_a_server_that_is_down_ends_the_pass(bench: Bench) -> None:
    assert changed(bench, 60.0) == []
    answering(bench, 503, b"{}")
    with pytest.raises(SideDown):
        bench.crm.changed(bench.clock.now)


# --- Airtable --------------------------------------------------------------------------------------------------------


def rows_changed(bench: Bench, seconds: float) -> list[str] | None:
    found = bench.table.changed(bench.clock.now - seconds)
    return None if found is None else sorted(str(record.title) for record in found)


def test_rows_that_were_made_edited_or_got_another_key_are_told_in_one_call(bench: Bench) -> None:
    named: dict[str, str] = {}
    for name in ("old", "edited", "keyed", "noted", "said"):
        named[name] = bench.airtable.person_add(TABLE, {"Name": name, "Value": 1})
    bench.clock.sleep(500.0)
    bench.airtable.person_edit(TABLE, named["edited"], {"Value": 2})
    bench.airtable.person_edit(TABLE, named["keyed"], {"GHL ID": "someDeal"})
    bench.airtable.person_edit(TABLE, named["said"], {"Sync": "Our own message"})
    bench.airtable.person_add(TABLE, {"Name": "new"})
    bench.airtable.person_add(TABLE, {})
    bench.clock.sleep(10.0)
    assert rows_changed(bench, 100.0) == ["", "edited", "keyed", "new"]
    assert len(bench.table_wire.log) == 1
    bench.clock.sleep(1_000.0)
    assert rows_changed(bench, 100.0) == []


def test_a_computed_column_has_no_edits_and_does_not_spoil_the_question() -> None:
    with Bench(deals=1) as bench:
        bench.airtable.rename_field(TABLE, "Source", "Former")
        bench.airtable.add_field(TABLE, "Source", "formula", {"formula": "1+1"})
        row = bench.airtable.person_add(TABLE, {"Name": "one"})
        bench.table.schema()
        bench.clock.sleep(500.0)
        bench.airtable.person_edit(TABLE, row, {"Value": 2})
        assert rows_changed(bench, 60.0) == ["one"]


def test_a_formula_that_is_refused_leaves_it_to_the_sweep(bench: Bench) -> None:
    body: dict[str, Any] = {"error": {"type": "INVALID_FILTER_BY_FORMULA", "message": "The formula is invalid"}}

    bench.table_wire.spoil = lambda exchange: (
        Sent(422, json.dumps(body).encode(), {"content-type": "application/json"})
        if "filterByFormula" in str(exchange.query) + exchange.body.decode() else None
    )  # fmt: skip
    assert rows_changed(bench, 60.0) is None
    assert rows_changed(bench, 60.0) is None
    assert len(bench.table_wire.log) == 2, "both forms are tried once a look at the columns"


def test_a_server_without_if_is_asked_plainly(bench: Bench) -> None:
    row = bench.airtable.person_add(TABLE, {"Name": "one", "Value": 1})
    bench.clock.sleep(500.0)
    bench.airtable.person_edit(TABLE, row, {"Value": 2})
    body = {"error": {"type": "INVALID_FILTER_BY_FORMULA", "message": "Unknown function IF"}}
    bench.table_wire.spoil = lambda exchange: (
        Sent(422, json.dumps(body).encode(), {"content-type": "application/json"})
        if "IF(" in str(exchange.query) + exchange.body.decode() else None
    )  # fmt: skip
    assert rows_changed(bench, 60.0) == ["one"]
    assert rows_changed(bench, 60.0) == ["one"]
    assert len(bench.table_wire.log) == 3
