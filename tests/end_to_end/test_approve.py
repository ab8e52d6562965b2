"""Guards over HTTP and through the command line: what is held, approved, frozen and resumed (SPEC §4, CONTRACT)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.guards import GuardKind, HeldSet, Member, made_set
from syncd.model import Side
from syncd.sandbox.world import TABLE
from syncd.store import RefusedWrite, Store
from tests.end_to_end.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Thirty deals and their rows, in agreement."""
    with Desk(tmp_path, deals=30) as made:
        for deal in made.deals():
            made.highlevel.person_edit(deal["id"], status="open", monetaryValue=100)
        made.fill()
        yield made


def ids(desk: Desk) -> list[str]:
    """All deals."""
    return sorted(str(deal["id"]) for deal in desk.deals())


def digest(desk: Desk) -> str:
    """The name of the one plan that waits."""
    (held,) = desk.run("approve", "--json").json["held"]
    return str(held["plan"])


def test_a_pasted_column_waits_for_a_person(desk: Desk) -> None:
    deals = ids(desk)
    for deal in deals[:25]:
        desk.type(deal, Status="lost")
    desk.type(deals[26], Value=777)
    shown = desk.run("plan")
    assert shown.code == 3
    assert shown.out.count("[held: ") == 25
    printed = desk.reconcile(expect=3)
    assert (printed["held"], printed["updated"]) == (25, {"crm": 1, "table": 0})
    assert desk.fired() == [(deals[26], "monetaryValue")]
    name = digest(desk)
    for command in ("status", "plan"):
        assert f"syncd approve {name}" in desk.run(command).out

    refused = desk.run("approve", name, typed="n\n")
    assert (refused.code, "25 of 30 records" in refused.out) == (3, True)
    assert "open -> lost" in refused.out
    assert desk.run("approve", typed="").code == 3, "nobody answers: nothing is approved"
    blank = desk.run("approve", "", "--yes")
    assert (blank.code, "PLAN is empty" in blank.err) == (2, True)
    assert desk.reconcile(expect=3)["held"] == 25

    assert desk.run("approve", name[:6], typed="y\n").code == 0
    desk.forget_log()
    printed = desk.reconcile()
    assert (printed["held"], printed["updated"]) == (0, {"crm": 25, "table": 0})
    assert sorted(desk.fired()) == [(deal, "status") for deal in deals[:25]]
    desk.rests()
    assert desk.run("approve").out == "Nothing waits for approval.\n"
    assert desk.run("approve", name).code == 2


def test_a_plan_that_has_changed_is_shown_again(desk: Desk) -> None:
    deals = ids(desk)
    for deal in deals[:25]:
        desk.type(deal, Status="lost")
    desk.reconcile(expect=3)
    before = digest(desk)
    desk.type(deals[27], Status="lost")
    desk.reconcile(expect=3)
    again = desk.run("approve", before, "--yes")
    assert again.code == 3
    assert "it has changed since" in again.err
    assert digest(desk) in again.out
    desk.reconcile(expect=3)
    assert desk.fired() == []
    assert desk.run("approve", "--yes").code == 0
    assert desk.reconcile()["updated"]["crm"] == 26


def test_the_beginning_of_several_names_approves_none_of_them(tmp_path: Path) -> None:
    first: dict[str, HeldSet] = {}
    for number in range(17):  # of 17 names two begin alike
        one = made_set(GuardKind.CHANGES, Side.CRM, "value", [Member(f"deal{number}", "1", "2")])
        if (other := first.setdefault(one.digest[0], one)) != one:
            break
    with Desk(tmp_path) as desk:
        desk.write_config()
        store = Store(tmp_path / "state", "default")
        store.keep_held([one, other], [], 0.0)
        store.close()
        ran = desk.run("approve", one.digest[0], "--yes")
        assert ran.code == 2
        assert one.digest in ran.err
        assert other.digest in ran.err
        assert len(desk.run("approve", "--json").json["held"]) == 2
        assert desk.run("approve", one.digest, "--yes").code == 0


def test_an_emptied_table_is_not_filled_and_not_looked_up(desk: Desk) -> None:
    kept = desk.airtable.rows(TABLE)
    for row in list(kept)[:20]:
        desk.airtable.person_delete(TABLE, row)
    desk.forget_log()
    desk.reconcile(expect=3)
    assert (desk.fired(), desk.table_calls(), desk.gets()) == ([], [], [])
    assert not [line for line in desk.sandbox.table_http.log if "/rec" in line.path]
    assert "20 of 30 known rows" in desk.run("status").out
    assert desk.run("approve", typed="y\n").code == 0
    assert desk.reconcile()["created"] == {"crm": 0, "table": 20}
    assert desk.sandbox.differences() == []
    desk.rests()


def test_a_frozen_deal_is_resumed_by_a_person(desk: Desk) -> None:
    deal = ids(desk)[0]
    for _ in range(6):
        desk.type(deal, Status="won")
        desk.later(30)
        desk.reconcile(expect=None)
        desk.highlevel.person_edit(deal, status="open")
        desk.later(30)
        desk.reconcile(expect=None)
    assert desk.reconcile(expect=3)["held"] == 0
    assert len(desk.fired()) == 3
    assert f"syncd resume {deal}" in desk.run("status").out
    assert "back and forth" in str(desk.row(deal)["Sync"])
    desk.type(deal, Value=5)
    desk.reconcile(expect=3)
    assert desk.fired()[-1] == (deal, "monetaryValue")
    ran = desk.run("resume", deal)
    assert (ran.code, "goes on" in ran.out) == (0, True)
    desk.reconcile()
    assert desk.sandbox.differences() == []
    assert not desk.row(deal).get("Sync")
    again = desk.run("resume", deal)
    assert (again.code, "frozen or refused" in again.out) == (0, True)
    assert desk.run("resume", "nobody").code == 2


def test_a_row_whose_deal_was_refused_is_resumed_by_its_name(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        desk.write_config()
        store = Store(tmp_path / "state", "default")
        for row, side in (("recRow", Side.CRM), ("dealWithoutRow", Side.TABLE)):
            store.put_refused(RefusedWrite(row, side, "No.", "", f"Roof of {row}", 1, 0.0, 9e9))
        ran = desk.run("resume", "roof")
        assert (ran.code, "recRow" in ran.err, "dealWithoutRow" in ran.err) == (2, True, True), "which of them?"
        ran = desk.run("resume", "roof of recrow")
        assert (ran.code, "Roof of recRow" in ran.out) == (0, True)
        assert [one.deal for one in store.refused()] == ["dealWithoutRow"]
        assert desk.run("resume", "dealWithoutRow").code == 0
        assert store.refused() == []
        store.close()


def test_a_table_made_anew_under_the_same_name_waits(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=8) as desk:
        desk.fill()
        former = desk.airtable.table(TABLE)
        tables = desk.airtable.tables
        del tables[former.id]
        former.id = "tblAnotherOne0000"
        tables[former.id] = former
        for row in desk.airtable.rows(TABLE):
            desk.airtable.person_edit(TABLE, row, {"Value": 5})
        desk.reconcile(expect=3)
        assert (desk.fired(), desk.table_calls()) == ([], [])
        assert "another table in Airtable" in desk.run("status").out
        assert desk.run("plan").code == 3
        assert desk.run("approve", "--yes").code == 0
        desk.reconcile()
        assert desk.sandbox.differences() == []
        desk.rests()


def test_a_state_folder_from_yesterday_does_not_undo_today(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=8) as desk:
        deals = desk.fill()
        database = tmp_path / "state" / "syncd.db"
        backup = database.read_bytes()
        desk.type(deals[0], Value=5)
        desk.reconcile()
        desk.later()
        desk.highlevel.person_edit(deals[1], status="won")
        desk.reconcile()
        desk.forget_log()
        for path in (tmp_path / "state").glob("syncd.db*"):
            path.unlink()
        database.write_bytes(backup)
        ran = desk.run("--reconcile")
        assert (ran.code, "links were made anew" in ran.out) == (0, True)
        assert (desk.fired(), desk.table_calls()) == ([], [])
        assert desk.sandbox.differences() == []


def test_deletions_travel_where_the_configuration_says_so(tmp_path: Path) -> None:
    with Desk(tmp_path, deals=8) as desk:
        desk.write_config(policy='deal_deleted = "delete_row"\nrow_deleted = "delete_deal"')
        first, second, *_ = desk.fill()
        desk.highlevel.person_delete(first)
        desk.airtable.person_delete(TABLE, desk.sandbox.row_of(second))
        printed = desk.reconcile()
        assert printed["deleted"] == {"crm": 1, "table": 1}
        assert len(desk.deals()) == len(desk.airtable.rows(TABLE)) == 6
        assert "deleted" in desk.run("history", second).out
        desk.rests()
