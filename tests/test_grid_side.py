"""The whole engine over a sheet (issue 5): rows by their key, whatever people do to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncd.fields import Field
from syncd.model import Raw, Side
from syncd.plan import Trouble
from syncd.policy import DealDeleted, Policy, RowDeleted
from tests.grids import HEADER, GridWorld
from tests.memory import FIELD_NAMES, NO_LIMITS, field_of

LEAD_HEADER = (*HEADER[:7], "Email", *HEADER[7:])
LEAD_FIELDS: tuple[Field, ...] = tuple(field_of(name) for name in (*FIELD_NAMES, "email"))
LEAD: dict[str, Raw] = {"name": "New roof", "email": "a@example.com", "pipeline": "Sales"}


@pytest.fixture(params=["file", "server"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> GridWorld:
    return GridWorld(tmp_path, partial=request.param == "server")


@pytest.fixture(params=["file", "server"])
def leads(request: pytest.FixtureRequest, tmp_path: Path) -> GridWorld:
    return GridWorld(tmp_path, LEAD_FIELDS, partial=request.param == "server", header=LEAD_HEADER)


def troubles(world: GridWorld) -> list[Trouble]:
    """What the next pass finds."""
    return [finding.trouble for finding in world.run().findings]


# --- edits -----------------------------------------------------------------------------------------------------------


def test_the_first_pass_fills_the_sheet_and_the_second_rests(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3")
    assert [row[8] for row in world.grid.rows] == ["d1", "d2", "d3"]
    world.agree("d1", "d2", "d3")
    world.run()
    assert world.writes() == (0, 0, 0)


def test_edits_travel_both_ways(world: GridWorld) -> None:
    world.filled("d1", "d2")
    world.edit_row("d1", stage="Qualified", value=250.5)
    world.crm.put("d2", status="won", name="New name")
    result = world.run()
    assert (result.error, result.code) == ("", 0)
    assert len(world.crm.log) == 1
    assert world.grid.log == [("d2", {"Name": "New name", "Status": "won"})]
    world.agree("d1", "d2")
    world.run()
    assert world.writes() == (1, 1, 2)


def test_other_columns_are_left_alone_and_a_moved_one_is_found_by_its_name(world: GridWorld) -> None:
    world.filled("d1")
    world.edit_row("d1", Notes="call back")
    world.grid.add_column("Colour")
    world.grid.header[world.grid.header.index("Status")] = " STATUS "
    world.crm.put("d1", status="lost")
    world.run()
    assert world.grid.rows[0][world.grid.header.index(" STATUS ")] == "lost"
    assert world.grid.cell("d1", "Notes") == "call back"


def test_a_sort_moves_nothing(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3", "d4")
    world.grid.sort("Name", backwards=True)
    world.grid.drop(1)
    world.grid.add(0)
    world.crm.put("d1", value=7)
    result = world.run()
    assert (result.error, result.tally.created[Side.TABLE]) == ("", 1)  # the deleted row comes back
    world.agree("d1", "d2", "d3", "d4")
    assert (len(world.crm.log), len(world.grid.log)) == (0, 2)


def test_a_sort_between_any_two_steps_writes_no_cell_of_another_row(world: GridWorld) -> None:
    """Between the last read and the write a server's sheet may be sorted (LIMITS); everywhere else it is seen."""
    world.filled("d1", "d2", "d3")

    def story() -> None:
        world.crm.put("d1", name="Z", value=1)
        world.crm.put("d2", name="Y", value=2)
        world.edit_row("d3", status="won")

    story()
    world.run()
    steps = len(world.steps)
    sorts: list[int] = []
    assert steps > 10
    for at in range(steps):
        world.clock.advance(7200)  # what is set to and fro within an hour is frozen
        for deal, value in (("d1", 100), ("d2", 100)):
            world.crm.put(deal, name=f"Deal {deal} {at}", value=value)
        world.crm.put("d3", status="open")
        for _ in range(3):
            world.run()
        world.agree("d1", "d2", "d3")
        story()
        seen: list[tuple[str, str]] = []

        def sort(who: str, verb: str, phase: str, what: object, at: int = at, seen: list[Any] = seen) -> None:
            seen.append((verb, phase) if who == "table" or not seen else seen[-1])
            window = world.grid.partial and seen[-1] in (("refresh", "after"), ("write", "before"))
            if len(seen) == at and not window:
                sorts.append(at)
                world.grid.sort("Name", backwards=bool(at % 2))

        world.hooks = [sort]
        world.run()
        world.hooks = []
        for _ in range(2):
            world.run()
        world.agree("d1", "d2", "d3")
        assert world.grid.cell("d1", "name") == "Z", at
        assert world.grid.cell("d3", "status") == "won", at
    assert len(sorts) > steps / 2


def test_a_file_that_was_saved_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    world = GridWorld(tmp_path)
    world.filled("d1", "d2")
    world.crm.put("d1", name="From HighLevel")

    def save(who: str, verb: str, phase: str, what: object) -> None:
        if (verb, phase) == ("write", "before") and who == "table":
            world.hooks = []
            world.edit_row("d2", value=55)

    world.hooks = [save]
    result = world.run()
    assert (result.code, result.unsettled, result.tally.waiting) == (0, 0, 1)
    assert world.grid.cell("d1", "name") == "Deal d1"
    world.run()
    assert (world.grid.cell("d1", "name"), world.grid.cell("d2", "value")) == ("From HighLevel", 55)
    world.agree("d1", "d2")


def test_an_edit_between_the_read_and_the_write_of_a_slow_pass_is_seen(tmp_path: Path) -> None:
    """What was read long ago is read again directly before the write."""
    world = GridWorld(tmp_path, partial=True)
    world.filled("d1")
    world.crm.put("d1", name="From HighLevel")

    def slow(who: str, verb: str, phase: str, what: object) -> None:
        if who == "table" and (verb, phase) == ("refresh", "after"):
            world.hooks = []
            world.clock.advance(30)
            world.edit_row("d1", name="Typed")

    world.hooks = [slow]
    assert world.run().tally.waiting == 1
    assert world.grid.cell("d1", "name") == "Typed"


def test_a_server_that_is_late_to_tell_of_changes(tmp_path: Path) -> None:
    """A sweep may be old; nothing is written on its word, and no row is taken for gone."""
    world = GridWorld(tmp_path, partial=True)
    world.choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL), limits=NO_LIMITS).filled("d1", "d2", "d3")
    gone = list(world.grid.rows[0])
    world.grid.drop(0)
    list(world.table.sweep())
    world.grid.rows.append(gone)
    world.grid.touched()
    world.grid.late = True
    world.crm.put("d2", name="From HighLevel")
    world.run()
    assert world.crm.now("d1") is not None
    assert world.grid.cell("d2", "name") == "From HighLevel"
    world.edit_row("d3", name="Typed")
    world.run()
    assert (world.crm.now("d3") or {})["name"] == "Deal d3"
    world.grid.late = False
    world.run()
    world.agree("d1", "d2", "d3")


def test_rows_that_moved_under_a_write_get_back_what_they_held(tmp_path: Path) -> None:
    """A server's sheet names rows by their numbers: the answer to the write shows that others were hit."""
    world = GridWorld(tmp_path, partial=True)
    world.filled("d1", "d2", "d3")
    world.crm.put("d1", name="From HighLevel", value=1)

    def sort(who: str, verb: str, phase: str, what: object) -> None:
        if who == "table" and (verb, phase) == ("write", "before"):
            world.hooks = []
            world.grid.sort("Name", backwards=True)

    world.hooks = [sort]
    world.run()
    assert world.grid.cell("d3", "name") == "Deal d3"
    assert world.grid.cell("d3", "value") == 100
    world.run()
    assert world.grid.cell("d1", "name") == "From HighLevel"
    assert world.crm.log == []
    world.agree("d1", "d2", "d3")


def test_a_cell_that_takes_no_value_stops_no_other_row(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3")
    world.grid.unwritable["d2", "Name"] = "The workbook cannot take this: it is too long."
    for deal in ("d1", "d2", "d3"):
        world.crm.put(deal, name="N" * 40 + deal)
    result = world.run()
    assert (result.code, len(result.tally.refusals)) == (3, 1)
    assert world.grid.cell("d1", "name") == "N" * 40 + "d1"
    assert world.grid.cell("d2", "name") == "Deal d2"
    assert world.grid.cell("d3", "name") == "N" * 40 + "d3"


def test_formulas_that_show_only_when_a_row_is_read_by_itself(tmp_path: Path) -> None:
    """Reading a server's whole sheet shows values alone: its formula is noticed before anything is carried."""
    world = GridWorld(tmp_path, partial=True)
    world.filled("d1", "d2", "d3")
    world.grid.hides_formulas = True
    world.grid.formulas.add((0, world.grid.column("value")))
    world.grid.type(0, value=999)
    world.run()
    assert world.crm.log == []
    world.restart()
    world.run()
    assert "“Value” is a formula in this row" in str(world.grid.cell("d1", "sync"))
    assert world.crm.log == []
    world.grid.formulas.clear()
    world.grid.type(0, value=8)
    world.run()
    world.run()
    assert (world.crm.now("d1") or {})["value"] == 8


# --- keys ------------------------------------------------------------------------------------------------------------


def test_two_rows_with_one_id_are_left_alone_and_told(world: GridWorld) -> None:
    world.filled("d1", "d2")
    world.grid.copy(0)
    world.grid.type(2, name="The copy")
    world.crm.put("d1", value=3)
    assert troubles(world) == [Trouble.TWOFOLD, Trouble.TWOFOLD]
    assert [bool(row[9]) for row in world.grid.rows] == [True, False, True]
    assert [row[4] for row in world.grid.rows] == [100, 100, 100]
    world.run()
    assert [bool(row[9]) for row in world.grid.rows] == [True, False, True]
    world.grid.drop(2)
    world.run()
    world.run()
    assert [row[9] for row in world.grid.rows] == [None, None]
    assert world.grid.cell("d1", "value") == 3


def test_a_copy_that_appears_before_the_write_is_no_target(world: GridWorld) -> None:
    world.filled("d1")
    world.crm.put("d1", value=3)

    def copy(who: str, verb: str, phase: str, what: object) -> None:
        if who == "crm" and (verb, phase) == ("read", "after"):
            world.hooks = []
            world.grid.copy(0)

    world.hooks = [copy]
    world.run()
    assert [row[4] for row in world.grid.rows] == [100, 100]


def test_a_key_that_another_row_carries_by_now_is_not_put_back(world: GridWorld) -> None:
    """Somebody typed it there between the plan and the write: two rows of one deal are a person's to tell apart."""
    world.filled("d1", "d2")
    world.grid.type(world.grid.place("d2"), id=None)
    world.grid.add(None, Name="Typed")

    def typing(who: str, verb: str, phase: str, what: object) -> None:
        if (who, verb, phase) == ("table", "refresh", "before"):
            world.hooks = []
            world.grid.type(2, id="d2")

    world.hooks = [typing]
    world.run()
    assert [row[8] for row in world.grid.rows].count("d2") == 1


@pytest.mark.parametrize("also", ["", "sort", "edit", "restart"])
def test_a_cleared_key_comes_back_to_its_row(world: GridWorld, also: str) -> None:
    world.filled("d1", "d2", "d3")
    world.edit_row("d2", Notes="mine")
    at = world.grid.place("d2")
    world.grid.type(at, id=None)
    if also == "edit":
        world.grid.type(at, value=77)
    if also == "sort":
        world.grid.sort("Name", backwards=True)
    if also == "restart":
        world.restart()
    result = world.run()
    assert (result.code, result.tally.created) == (0, {Side.CRM: 0, Side.TABLE: 0})
    assert len(world.grid.rows) == 3
    assert world.grid.cell("d2", "Notes") == "mine"
    world.agree("d1", "d2", "d3")
    link = world.store.link("d2")
    assert link is not None
    assert link.row == "d2"
    world.clear_logs()
    world.run()
    assert world.writes() == (0, 0, 0)


def test_every_key_cleared_at_once_is_no_empty_table(world: GridWorld) -> None:
    deals = [f"d{n}" for n in range(12)]
    world.filled(*deals)
    for at in range(12):
        world.grid.type(at, id=None)
    result = world.run()
    assert (result.code, len(world.grid.rows), result.held) == (0, 12, [])
    world.agree(*deals)


def test_a_cleared_key_of_rows_that_are_alike_is_asked_about(world: GridWorld) -> None:
    world.deal("d1", name="Roof")
    world.deal("d2", name="Roof")
    world.run()
    world.run()
    for at in (0, 1):
        world.grid.type(at, id=None)
    result = world.run()
    assert (result.code, len(world.grid.rows)) == (3, 2)
    assert all("may be the row of “Roof”" in str(row[9]) for row in world.grid.rows)
    assert world.crm.creates() == []
    world.grid.type(0, id="d1")
    world.run()
    world.run()
    assert {row[8] for row in world.grid.rows} == {"d1", "d2"}
    assert [row[9] for row in world.grid.rows] == [None, None]


def test_a_cleared_key_is_never_a_deletion(world: GridWorld) -> None:
    world.choose(policy=Policy(row_deleted=RowDeleted.DELETE_DEAL), limits=NO_LIMITS).filled("d1", "d2")
    world.grid.type(0, id=None)
    world.run()
    assert world.grid.rows[0][8] == "d1"
    world.grid.drop(0)
    world.run()
    assert world.crm.now("d1") is None
    assert world.crm.now("d2") is not None


def test_a_row_with_a_cleared_key_and_another_name_waits_for_a_person(leads: GridWorld) -> None:
    world = leads
    world.filled("d1", "d2")
    world.crm.put("d1", email="a@example.com")
    world.run()
    world.run()
    world.grid.type(0, id=None, name="Another name")
    result = world.run()
    assert (result.code, len(world.grid.rows), result.matches) == (3, 2, 1)
    assert "its GHL ID is d1" in str(world.grid.rows[0][10])
    assert world.crm.creates() == []
    digest = next(record.digest for record in world.store.held())
    world.store.answer_held(digest, "approved")
    world.run()
    world.run()
    assert world.grid.cell("d1", "name") == "Another name"
    world.agree("d1", "d2")


def test_a_key_that_was_typed_over_is_told_and_nothing_is_made(world: GridWorld) -> None:
    world.filled("d1", "d2")
    world.grid.type(0, id="nonsense")
    result = world.run()
    assert (result.code, len(world.grid.rows)) == (3, 2)
    assert "belongs to “Deal d1”; its id is d1" in str(world.grid.rows[0][9])
    assert "HighLevel has no deal" not in str(world.grid.rows[0][9])
    world.grid.type(0, id="d1")
    world.run()
    assert world.grid.rows[0][9] is None
    world.agree("d1", "d2")


def test_a_key_that_became_another_deals_is_told(world: GridWorld) -> None:
    world.filled("d1", "d2")
    world.grid.type(0, id="d2")
    result = world.run()
    assert (result.code, len(world.grid.rows)) == (3, 2)
    assert all("2 rows have this GHL ID" in str(row[9]) for row in world.grid.rows)


def test_a_person_gives_a_row_its_key(world: GridWorld) -> None:
    world.filled("d1")
    world.store.forget(["d1"])
    world.edit_row("d1", value=5)
    world.run()
    world.agree("d1")
    assert len(world.grid.rows) == 1


def test_numbers_as_keys_are_keys(tmp_path: Path) -> None:
    world = GridWorld(tmp_path)
    world.filled("123456")
    world.grid.type(0, id=123456.0)
    world.crm.put("123456", value=5)
    assert world.run().code == 0
    assert (len(world.grid.rows), world.grid.rows[0][4]) == (1, 5)


# --- new rows and deals ----------------------------------------------------------------------------------------------


def test_a_row_becomes_a_deal_and_gets_its_key(leads: GridWorld) -> None:
    leads.filled("d1")
    leads.grid.add(0, **LEAD)
    result = leads.run()
    assert (result.code, result.tally.created[Side.CRM]) == (0, 1)
    assert leads.grid.rows[0][9] == "dealNew1"
    leads.run()
    leads.agree("d1", "dealNew1")
    leads.clear_logs()
    leads.run()
    assert leads.writes() == (0, 0, 0)


@pytest.mark.parametrize("meanwhile", ["nothing", "sort", "edit", "insert"])
def test_any_step_of_making_a_deal_may_be_the_last_one(tmp_path: Path, meanwhile: str) -> None:
    """P7: killed at any step; people go on with the sheet; one deal and one row for each."""
    steps = 1
    crashes = 0
    at = 0
    while at < steps:
        at += 1
        world = GridWorld(tmp_path / str(at), LEAD_FIELDS, partial=bool(at % 2), header=LEAD_HEADER)
        world.filled("d1")
        world.grid.add(None, **LEAD)
        world.grid.add(0, **{**LEAD, "name": "Second", "email": "b@example.com"})
        world.crash_at = at
        killed = False
        try:
            world.run()
        except BaseException as crash:
            if type(crash).__name__ != "Crash":
                raise
            killed = True
        crashes += killed
        steps = at + 1 if killed else at
        world.crash_at = None
        world.restart()
        if meanwhile == "sort":
            world.grid.sort("Name", backwards=True)
        if meanwhile == "insert":
            world.grid.add(0, name="Somebody else", Notes="no address yet")
        if meanwhile == "edit":
            place = next(n for n, row in enumerate(world.grid.rows) if row[0] == "New roof")
            world.grid.type(place, name="New roof and gutter", value=12)
        for _ in range(4):
            world.run()
        assert len(world.crm.creates()) == 2, at
        assert len(world.grid.rows) == 3 + (meanwhile == "insert"), at
        keys = [str(row[9]) for row in world.grid.rows if row[9]]
        assert sorted(keys) == sorted(world.crm.deals), at
        world.agree(*keys)
        world.close()
    assert crashes > 20


def test_a_lost_answer_to_a_new_deal_makes_no_second_one(leads: GridWorld) -> None:
    leads.filled("d1")
    leads.grid.add(0, **LEAD)
    leads.crm.faults.lost = ["", "after"]
    leads.run()
    leads.grid.sort("Name", backwards=True)
    leads.run()
    leads.run()
    assert len(leads.crm.creates()) == 1
    assert [row[9] for row in leads.grid.rows].count("dealNew1") == 1


@pytest.mark.parametrize("loss", ["before", "after"])
def test_a_lost_answer_to_new_rows_makes_no_second_ones(world: GridWorld, loss: str) -> None:
    world.deal("d1")
    world.deal("d2")
    world.grid.lost = [loss]
    world.run()
    world.run()
    assert sorted(str(row[8]) for row in world.grid.rows) == ["d1", "d2"]
    world.agree("d1", "d2")


@pytest.mark.parametrize("loss", ["before", "after"])
def test_a_lost_answer_to_a_write_is_settled_by_reading(world: GridWorld, loss: str) -> None:
    world.filled("d1")
    world.crm.put("d1", value=3)
    world.grid.lost = [loss]
    world.run()
    world.run()
    world.agree("d1")
    assert len(world.grid.log) == 1


def test_any_step_of_a_pass_may_be_the_last_one(tmp_path: Path) -> None:
    steps, at = 1, 0
    expected = None
    while at <= steps:
        world = GridWorld(tmp_path / str(at), partial=bool(at % 2))
        world.filled("d1", "d2")
        world.edit_row("d1", stage="Qualified")
        world.crm.put("d2", name="New name")
        world.deal("d3")
        world.crash_at = at or None
        try:
            world.run()
            steps = len(world.steps) if at == 0 else steps
        except BaseException as crash:
            if type(crash).__name__ != "Crash":
                raise
        world.crash_at = None
        world.restart()
        world.run()
        world.run()
        world.agree("d1", "d2", "d3")
        expected = expected or world.state()
        assert world.state() == expected, at
        assert len(world.crm.triggers) == 1
        world.close()
        at += 1
    assert steps > 20


def test_a_row_that_lacks_something_is_told_and_blank_rows_are_not(leads: GridWorld) -> None:
    leads.filled("d1")
    leads.grid.add(None, Notes="only a note")
    leads.grid.add(None, name="Roof")
    result = leads.run()
    assert result.code == 3
    assert [bool(row[10]) for row in leads.grid.rows] == [False, False, True]
    leads.grid.sort("Name", backwards=True)
    leads.run()
    assert [bool(row[10]) for row in leads.grid.rows] == [True, False, False]
    place = next(n for n, row in enumerate(leads.grid.rows) if row[0] == "Roof")
    leads.grid.type(place, email="c@example.com", pipeline="Sales")
    leads.run()
    leads.run()
    assert leads.grid.rows[place][10] is None


# --- a sheet that cannot be written ----------------------------------------------------------------------------------


def test_a_busy_sheet_is_read_and_waits(leads: GridWorld) -> None:
    leads.filled("d1", "d2", "d4")
    leads.grid.busy = "The workbook is open in Excel."
    leads.edit_row("d1", value=5)
    leads.crm.put("d2", value=6)
    leads.crm.put("d4", value=6)
    leads.grid.add(0, **LEAD)
    leads.deal("d3")
    result = leads.run()
    assert (result.error, result.code, result.unsettled) == ("", 0, 0)
    assert result.as_report()["waits"] == ["The workbook is open in Excel."]
    assert (leads.crm.now("d1") or {})["value"] == 5
    assert leads.crm.creates() == []  # a deal whose key cannot be planted is not made
    assert leads.store.open_writes() == []
    before = len(leads.store.history(limit=1000))
    leads.crm.reads.clear()
    assert leads.run().code == 0
    assert len(leads.store.history(limit=1000)) == before  # what was not sent is no history
    assert leads.crm.reads == ["d2"]  # one row is tried before the others are read
    leads.clock.advance(5 * 3600)
    result = leads.run()
    assert result.code == 3
    assert any("open in Excel. It has been so for 5 hours." in one for one in result.for_person())
    leads.grid.busy = ""
    assert leads.run().code == 0
    leads.run()
    leads.agree("d1", "d2", "d3", "dealNew1")
    leads.grid.busy = "The workbook is open in Excel."
    assert leads.run().code == 0  # nothing is to be written


def test_at_most_one_deal_is_without_its_key_in_a_busy_sheet(leads: GridWorld) -> None:
    leads.filled("d1")
    leads.grid.busy = "The workbook is open in Excel."
    for number in range(4):
        leads.grid.add(0, **{**LEAD, "name": f"Lead {number}", "email": f"{number}@example.com"})
    for _ in range(3):
        assert leads.run().code == 0
    assert len(leads.crm.creates()) == 1
    leads.grid.sort("Name")
    leads.grid.busy = ""
    for _ in range(3):
        leads.run()
    assert len(leads.crm.creates()) == 4
    assert len(leads.grid.rows) == 5
    assert all(row[9] for row in leads.grid.rows)


def test_a_sheet_that_is_down_is_an_error(world: GridWorld) -> None:
    world.filled("d1")
    world.grid.down = True
    world.grid.touched()
    assert world.run().code == 1


# --- formulas and columns --------------------------------------------------------------------------------------------


def test_a_formula_in_one_cell_is_left_alone_and_told_once(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3")
    world.grid.formulas.add((0, world.grid.column("value")))
    world.grid.type(0, value=999)
    world.crm.put("d1", value=5, name="Other")
    result = world.run()
    assert (result.code, world.grid.cell("d1", "value"), world.grid.cell("d1", "name")) == (0, 999, "Other")
    assert (world.crm.now("d1") or {})["value"] == 5
    assert "“Value” is a formula in this row" in str(world.grid.cell("d1", "sync"))
    world.clear_logs()
    world.run()
    assert world.writes() == (0, 0, 0)
    world.grid.formulas.clear()
    world.grid.type(0, value=8)
    world.run()
    assert (world.crm.now("d1") or {})["value"] in (5, 8)
    assert world.grid.cell("d1", "sync") is None


def test_a_column_of_formulas_is_computed(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3")
    for at in (0, 1):
        world.grid.formulas.add((at, world.grid.column("value")))
    world.grid.touched()
    result = world.run()
    assert (result.code, result.computed_columns) == (3, ("Value",))


@pytest.mark.parametrize("name", ["Stage", "Status", "GHL ID"])
def test_a_required_column_that_is_gone_stops_the_pass(world: GridWorld, name: str) -> None:
    world.filled("d1")
    world.grid.header[world.grid.header.index(name)] = "Something else"
    world.grid.touched()
    result = world.run()
    assert result.code == 2
    assert f"has no column “{name}” in its first row" in result.error


def test_an_optional_column_that_is_gone_is_named(world: GridWorld) -> None:
    world.filled("d1")
    world.grid.header[world.grid.header.index("Owner")] = "Other"
    world.grid.touched()
    result = world.run()
    assert (result.code, result.gone_columns) == (3, ("Owner",))
    assert world.crm.log == []


def test_two_columns_of_one_name_are_refused(world: GridWorld) -> None:
    world.filled("d1")
    world.grid.add_column("stage")
    result = world.run()
    assert (result.code, "2 columns called “Stage”" in result.error) == (2, True)


# --- passes that look at changes alone -------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> GridWorld:
    """More than one call of the CRM's search: then the daemon asks for what changed."""
    world = GridWorld(tmp_path, partial=True)
    world.incremental = True
    world.restart()
    world.choose(limits=NO_LIMITS)
    for number in range(120):
        world.deal(f"d{number}", name=f"Deal {number}")
    for _ in range(3):
        world.run()
    world.clear_logs()
    return world


def test_an_edit_travels_in_a_pass_that_looks_at_changes(large: GridWorld) -> None:
    large.edit_row("d7", value=5)
    large.grid.sort("Name", backwards=True)
    result = large.run()
    assert (result.full, result.code, len(large.crm.log)) == (False, 0, 1)
    large.clock.advance(600)
    result = large.run()
    assert (result.full, large.writes()) == (False, (1, 0, 1))


def test_a_row_that_is_gone_or_lost_its_key_is_looked_for_among_all(large: GridWorld) -> None:
    large.grid.type(large.grid.place("d7"), id=None)
    result = large.run()
    assert (result.full, result.code) == (True, 0)
    assert large.grid.cell("d7", "name") == "Deal 7"
    large.clock.advance(600)
    assert large.run().full is False
    large.grid.drop(large.grid.place("d8"))
    result = large.run()
    assert (result.full, large.grid.cell("d8", "name")) == (True, "Deal 8")


def test_accidents_are_seen_by_a_pass_that_looks_at_changes(large: GridWorld) -> None:
    rows = large.grid.rows
    rows[0][:7], rows[1][:7], rows[2][:7] = rows[1][:7], rows[2][:7], rows[0][:7]
    large.grid.touched()
    result = large.run()
    assert (result.code, len(result.held), large.crm.log) == (3, 1, [])


# --- deletions that wait ---------------------------------------------------------------------------------------------


def test_a_row_to_be_deleted_in_a_busy_sheet_waits(world: GridWorld) -> None:
    world.choose(policy=Policy(deal_deleted=DealDeleted.DELETE_ROW), limits=NO_LIMITS).filled("d1", "d2", "d3")
    world.crm.drop("d1")
    world.grid.busy = "It is open."
    result = world.run()
    assert (result.code, result.unsettled, result.tally.waiting, len(world.grid.rows)) == (0, 0, 1, 3)
    world.grid.busy = ""
    world.grid.sort("Name", backwards=True)
    result = world.run()
    assert (result.code, [row[8] for row in world.grid.rows]) == (0, ["d3", "d2"])


def test_a_row_that_was_edited_right_before_its_deletion_stays(world: GridWorld) -> None:
    world.choose(policy=Policy(deal_deleted=DealDeleted.DELETE_ROW), limits=NO_LIMITS).filled("d1", "d2", "d3")
    world.crm.drop("d1")

    def edit(who: str, verb: str, phase: str, what: object) -> None:
        opened = any("deletion" in one.changes[0].kind for one in world.store.open_writes() if one.changes)
        if who == "store" and phase == "after" and opened:
            world.hooks = []
            world.edit_row("d1", name="Typed")

    world.hooks = [edit]
    world.run()
    assert world.hooks == []
    assert len(world.grid.rows) == 3


def test_a_fresh_row_with_a_known_id_is_told_what_the_former_one_was(world: GridWorld) -> None:
    """Of two rows that follow each other under one id nothing tells them apart but what their Sync cells show."""
    world.filled("d1", "d2", "d3")
    world.grid.type(0, status="strange")
    world.run()
    key = str(world.grid.rows[0][world.grid.column("id")])
    said = world.grid.cell(key, "sync")
    assert "strange" in str(said)
    row = list(world.grid.rows[0])
    row[world.grid.column("sync")] = None
    world.grid.drop(0)
    world.grid.rows.append(row)
    world.grid.touched()
    world.run()
    assert world.grid.cell(key, "sync") == said


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_names_open_files_and_formulas(world: GridWorld, tmp_path: Path) -> None:
    from syncd.cli import doctor
    from syncd.settings import WorkbookSettings

    world.filled("d1", "d2", "d3")
    world.grid.formulas |= {(0, 4), (1, 5), (0, 5)}
    world.grid.touched()
    world.table.schema()

    class Here:
        table = WorkbookSettings(type="workbook", path=str(tmp_path / "deals.xlsx"))

        def __init__(self, side: object) -> None:
            self.side = side

    def lines() -> list[str]:
        connection: Any = Here(world.table)
        connection.table = lambda _store: world.table
        checks = doctor.sheet_checks(Here, connection, world.store)  # type: ignore[arg-type]
        return [f"{check.mark} {check.sentence} {check.code}" for check in checks]

    assert lines()[0].startswith("MEND syncd's user may not write"), "there is no such file"
    assert lines()[0].endswith(" 3")
    (tmp_path / "deals.xlsx").touch()
    (tmp_path / "~$deals.xlsx").write_bytes(b"\x03Ann")
    assert lines()[0].startswith("note deals.xlsx is open in Excel (Ann)")
    (tmp_path / "~$deals.xlsx").unlink()
    found = lines()
    assert found[0] == "ok   it can be written, and nobody has it open. 0"
    assert any(one.startswith("note 1 cell holds a formula in “Value”") for one in found)


def test_a_servers_column_of_formulas_is_known_once_its_rows_were_read(tmp_path: Path) -> None:
    world = GridWorld(tmp_path, partial=True)
    world.filled("d1", "d2", "d3")
    world.grid.hides_formulas = True
    world.grid.formulas |= {(0, 4), (1, 4)}
    world.grid.type(0, value=5)
    world.grid.type(1, value=6)
    assert world.run().computed_columns == ()
    result = world.run()
    assert (result.computed_columns, world.crm.log) == (("Value",), [])


def test_a_formula_as_key_is_told_and_never_overwritten(world: GridWorld) -> None:
    world.filled("d1", "d2", "d3")
    key, sync = world.grid.column("id"), world.grid.column("sync")
    world.grid.rows[0][key] = None
    world.grid.formulas.add((0, key))
    world.grid.touched()
    for _ in range(3):
        result = world.run()
    assert result.code == 3
    assert "GHL ID of this row holds a formula" in str(world.grid.rows[0][sync])
    assert world.grid.rows[0][key] is None
