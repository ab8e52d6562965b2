"""The comparison counts what its heads say: each counter is moved by hand, and two programs run a small world."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Request
from syncd.sandbox.world import TABLE, Sandbox
from tests.benchmarks.alternatives import compare, install, report
from tests.benchmarks.alternatives.compare import ALTERNATIVES, Clock, Outcome, Size, Spent, World, compare_one
from tests.benchmarks.alternatives.ledger import Counts, Fate, Ledger
from tests.benchmarks.alternatives.schedule import Author, Plan, calm_edits, crm_faults, storm_edits, table_faults

SMALL = Size(deals=24, single=6, apart=2, conflicts=2, rounds=1, waves=2, before=6, amid=3, records=2)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Twelve deals, each with its row, as people would have typed them."""
    with Sandbox(deals=12, rate_per_second=None) as sandbox:
        yield sandbox


@pytest.fixture
def ledger(sandbox: Sandbox) -> Ledger:
    found = Ledger(sandbox, Clock())
    for deal in sandbox.highlevel.deals():
        cells: dict[str, Any] = {column: found.in_crm(deal["id"], column) for column in ("Name", "Stage", "Status")}
        cells |= {"Owner": found.in_crm(deal["id"], "Owner") or None, "Value": float(deal["monetaryValue"])}
        pipeline = next(one for one in sandbox.highlevel.pipelines if one["id"] == deal["pipelineId"])
        sandbox.airtable.person_add(TABLE, {**cells, "Pipeline": found.tidy(pipeline["name"]), "GHL ID": deal["id"]})
    assert sandbox.differences() == []
    return found


def put(sandbox: Sandbox, deal: str, **values: Any) -> None:
    """A program writes to HighLevel."""
    headers = {"authorization": f"Bearer {sandbox.highlevel.token}", "version": "2021-07-28"}
    body = json.dumps(values).encode()
    answer = sandbox.crm_http.handle(Request("PUT", f"/opportunities/{deal}", (), headers, body))
    assert answer.status == 200, answer.body


def patch(sandbox: Sandbox, deal: str, **cells: Any) -> None:
    """A program writes to Airtable."""
    headers = {"authorization": f"Bearer {sandbox.airtable.settings.token}"}
    body = json.dumps({"records": [{"id": sandbox.row_of(deal), "fields": cells}]}).encode()
    path = f"/v0/{sandbox.airtable.base_id}/{TABLE}"
    answer = sandbox.table_http.handle(Request("PATCH", path, (), headers, body))
    assert answer.status == 200, answer.body


def test_nothing_is_counted_where_nothing_happens(ledger: Ledger) -> None:
    ledger.forget()
    assert ledger.counts() == Counts()
    assert ledger.fate() == Fate()


def test_a_write_of_the_same_value_is_a_no_op_write_and_fires(sandbox: Sandbox, ledger: Ledger) -> None:
    deal = sandbox.highlevel.deals()[0]
    put(sandbox, deal["id"], name=deal["name"], monetaryValue=deal["monetaryValue"])
    put(sandbox, deal["id"], name=deal["name"], monetaryValue=deal["monetaryValue"] + 1)
    patch(sandbox, deal["id"], Name=deal["name"])
    patch(sandbox, deal["id"], Name=deal["name"], Value=deal["monetaryValue"] + 1)
    wanted = Counts(crm_writes=2, table_writes=2, fields_written=7, fields_equal=5, writes_equal=2, fired=4)
    assert ledger.counts() == wanted


def test_what_people_type_is_neither_a_write_nor_a_workflow_of_a_program(sandbox: Sandbox, ledger: Ledger) -> None:
    deal = sandbox.highlevel.deals()[0]["id"]
    ledger.forget()
    ledger.type("crm", deal, "Name", "typed")
    ledger.type("table", deal, "Value", "17")
    assert ledger.counts() == Counts()


def test_of_a_deal_that_both_write_only_the_program_s_fields_count(sandbox: Sandbox, ledger: Ledger) -> None:
    deal = sandbox.highlevel.deals()[0]["id"]
    ledger.forget()
    ledger.type("crm", deal, "Name", "typed")
    put(sandbox, deal, name="typed", monetaryValue=17)
    assert ledger.counts() == Counts(crm_writes=1, fields_written=2, fields_equal=1, fired=2)  # and nothing undone


def test_a_search_and_a_listing_are_reads_though_they_are_posted(sandbox: Sandbox, ledger: Ledger) -> None:
    for http, path in ((sandbox.crm_http, "/opportunities/search"), (sandbox.table_http, "/v0/app/Deals/listRecords")):
        http.handle(Request("POST", path))
        http.handle(Request("GET", path))
        http.handle(Request("POST", path.rpartition("/")[0]))
    counts = ledger.counts()
    assert (counts.crm_reads, counts.crm_writes, counts.table_reads, counts.table_writes) == (2, 1, 2, 1)
    assert (counts.calls, counts.writes) == (6, 2)


def test_an_edit_is_on_one_side_then_carried(sandbox: Sandbox, ledger: Ledger) -> None:
    deal = sandbox.highlevel.deals()[0]["id"]
    ledger.type("crm", deal, "Name", "typed")
    found = ledger.fate()
    assert (found.carried, len(found.one_side), len(found.lost)) == (0, 1, 0)
    patch(sandbox, deal, Name="typed")
    found = ledger.fate()
    assert (found.carried, len(found.one_side), len(found.lost)) == (1, 0, 0)
    assert ledger.counts().undone == 0


@pytest.mark.parametrize("side", ["crm", "table"])
def test_an_edit_that_a_program_writes_over_is_undone_and_lost(sandbox: Sandbox, ledger: Ledger, side: Any) -> None:
    deal = sandbox.highlevel.deals()[0]["id"]
    before = str(ledger.in_crm(deal, "Name"))
    ledger.type(side, deal, "Name", "typed")
    if side == "crm":
        put(sandbox, deal, name=before)
    else:
        patch(sandbox, deal, Name=before)
    assert ledger.counts().undone == 1
    assert len(ledger.fate().lost) == 1


def test_the_earlier_edit_of_a_conflict_may_go_the_later_may_not(sandbox: Sandbox, ledger: Ledger) -> None:
    deal = sandbox.highlevel.deals()[0]["id"]
    ledger.type("crm", deal, "Name", "earlier")
    ledger.type("table", deal, "Name", "later")
    put(sandbox, deal, name="later")
    assert (ledger.counts().undone, ledger.fate().carried) == (0, 1)
    put(sandbox, deal, name="earlier")
    patch(sandbox, deal, Name="earlier")
    assert ledger.counts().undone == 2  # on either side
    assert [edit.value for edit in ledger.fate().lost] == ["later"]


def test_records_made_twice_and_records_that_are_missing(sandbox: Sandbox, ledger: Ledger) -> None:
    deals = [deal["id"] for deal in sandbox.highlevel.deals()]
    sandbox.airtable.person_copy_row(TABLE, sandbox.row_of(deals[0]))
    assert (ledger.fate().duplicates, ledger.fate().missing) == (1, 0)
    sandbox.airtable.person_delete(TABLE, sandbox.row_of(deals[1]))
    assert (ledger.fate().duplicates, ledger.fate().missing) == (1, 1)
    sandbox.highlevel.person_delete(deals[2])
    assert (ledger.fate().duplicates, ledger.fate().missing) == (1, 2)


def test_a_new_row_must_become_one_deal(sandbox: Sandbox, ledger: Ledger) -> None:
    ledger.add_row("newcomer")
    assert (ledger.fate().duplicates, ledger.fate().missing) == (0, 1)
    deal = sandbox.highlevel.person_create(name="newcomer")
    assert ledger.fate().missing == 1  # the deal has no row yet
    sandbox.airtable.person_edit(TABLE, ledger.new_rows["newcomer"], {"GHL ID": deal})
    assert (ledger.fate().duplicates, ledger.fate().missing) == (0, 0)
    again = sandbox.highlevel.person_create(name="newcomer")
    sandbox.airtable.person_add(TABLE, {"Name": "newcomer", "GHL ID": again})
    assert (ledger.fate().duplicates, ledger.fate().missing) == (1, 0)


def test_the_edits_are_half_on_either_side_and_the_same_for_the_same_seed(ledger: Ledger) -> None:
    calm = calm_edits(Author(ledger, 1), 6, 2, 4)
    plans = [*calm.first, *calm.later]
    assert len(plans) == 18
    assert sum(plan.side == "crm" for plan in plans) == 9
    assert (calm.deals, calm.from_crm, calm.to_crm) == (12, 9, 7)  # two conflicts are won by HighLevel
    assert calm == calm_edits(Author(ledger, 1), 6, 2, 4)
    assert storm_edits(Author(ledger, 1), 2, 6, 3) == storm_edits(Author(ledger, 1), 2, 6, 3)
    assert [str(fault) for fault in crm_faults(1)] == [str(fault) for fault in crm_faults(1)]
    assert [str(fault) for fault in table_faults(1)] != [str(fault) for fault in table_faults(2)]


def test_an_edit_changes_what_stands_there(ledger: Ledger) -> None:
    author = Author(ledger, 1)
    for deal in author.deals(12):
        for column in ("Name", "Stage", "Status", "Value", "Owner"):
            before = ledger.in_crm(deal, column)
            author.carry_out([Plan("crm", deal, column)])
            assert ledger.in_crm(deal, column) == ledger.edits[-1].value != before


def alternative(name: str) -> compare.Alternative:
    return next(one for one in ALTERNATIVES if one.name == name)


def test_syncd_writes_nothing_without_need_and_loses_nothing(tmp_path: Path) -> None:
    found = compare_one(alternative("syncd"), SMALL, tmp_path)
    assert (found.missing, found.agreed, found.storm_agreed) == ("", True, True)
    for counts in (found.calm, found.storm):
        assert (counts.fields_equal, counts.writes_equal) == (0, 0)
        assert counts.fields_written > 0
    assert found.calm.fired == found.calm_due > 0
    assert found.storm_due[0] <= found.storm.fired <= found.storm_due[1]
    assert (found.calm.undone, found.calm_fate.lost, found.calm_fate.one_side) == (0, [], [])
    # What is typed into a deal between its read and its write nobody can save (LIMITS).
    assert found.storm.undone == len(found.storm_fate.lost) == found.storm_fate.in_window
    assert (found.storm_fate.one_side, found.storm_fate.duplicates, found.storm_fate.missing) == ([], 0, 0)
    assert found.idle.writes == 0
    assert found.struck >= 5
    assert found.peak > 20 * 10**6


def test_the_script_agrees_but_fires_needlessly_and_loses_edits(tmp_path: Path) -> None:
    found = compare_one(alternative("script"), SMALL, tmp_path)
    assert (found.missing, found.agreed) == ("", True)
    assert found.idle.writes == 0
    assert found.calm.fields_equal > 0
    assert found.calm.fired == 5 * found.calm.crm_writes > found.calm_due
    assert len(found.calm_fate.lost) == SMALL.apart  # whole records: one of two edits of a deal goes
    assert found.storm_fate.lost
    assert found.storm.undone >= len(found.storm_fate.lost)
    assert found.struck >= 5


def test_a_program_that_writes_over_edits_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(alternative("syncd"), SMALL, tmp_path)
    try:
        found = Outcome("vandal")
        world.fill(found)
        vandal = Author(world.ledger, 5)

        def undo(*_: object) -> Spent:
            for edit in world.ledger.last_words():
                put(world.sandbox, edit.deal, name="vandal")
                patch(world.sandbox, edit.deal, Name="vandal")
            return Spent(0.0, 0.0)

        vandal.carry_out([Plan("crm", deal, "Name") for deal in vandal.deals(3)])
        monkeypatch.setattr(world, "run_pass", undo)
        assert world.run_until_agreed() == (1, Spent(0.0, 0.0), True)  # both sides hold the same
        assert len(world.ledger.fate().lost) == world.ledger.counts().undone == 3
    finally:
        world.close()


def test_what_cannot_be_installed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "installed", lambda _package: "there is no registry")
    found = compare_one(alternative("item_synchronizer"), SMALL, tmp_path)
    assert found.missing == "not installed: there is no registry"
    text = report.section([found])
    assert "item_synchronizer: not installed: there is no registry." in text


def test_the_section_is_replaced_and_the_rest_of_the_file_stays(tmp_path: Path) -> None:
    path, found = tmp_path / "results.md", Outcome("syncd", deals_changed=10, agreed=True)
    path.write_text("# Before\n\ntext\n", encoding="utf-8")
    first = report.write_section([found], path)
    path.write_text(path.read_text(encoding="utf-8") + "\nafter\n", encoding="utf-8")
    report.write_section([found], path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# Before\n\ntext\n\n<!-- alternatives -->\n")
    assert text.endswith("\nafter\n")
    assert text.count(report.BEGIN) == text.count(report.END) == 1
    assert first in text
