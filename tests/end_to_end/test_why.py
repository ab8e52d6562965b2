"""`syncd why`, and how commands name deals: what stands on both sides, wrong keys, and texts that fit many or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled sandbox in which every deal is open, worth 100, a New Lead in Sales, and called "Roof" and a number."""
    with Desk(tmp_path, deals=14) as made:
        for number, deal in enumerate(made.deals()):
            made.place([deal["id"]], "Sales", "New Lead")
            made.highlevel.person_edit(deal["id"], name=f"Roof {number}", status="open", monetaryValue=100)
        made.later()
        made.fill()
        yield made


def block(out: str, column: str) -> list[str]:
    """The lines of one column."""
    lines = out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"  {column}: "))
    end = next((n for n in range(at + 1, len(lines)) if not lines[n].startswith("      ")), len(lines))
    return [line.strip() for line in lines[at:end]]


def test_the_rules_stand_in_words(rig: Desk) -> None:
    """With the sides' names; never "x" or "y"."""
    deal, *_ = (one["id"] for one in rig.deals())
    rig.type(deal, Value=250)
    rig.highlevel.person_edit(deal, status="lost")
    rig.type(deal, Name="By the row")
    rig.later(30)
    rig.highlevel.person_edit(deal, name="By the deal")
    ran = rig.run("why", deal)
    assert ran.code == 0
    assert block(ran.out, "Value")[0] == "Value: only Airtable changed"
    assert block(ran.out, "Status")[0] == "Status: only HighLevel changed"
    assert block(ran.out, "Stage")[0] == "Stage: both hold the same"
    assert block(ran.out, "Name")[0] == "Name: conflict, HighLevel wins"
    rig.type(deal, Stage=None)
    assert block(rig.run("why", deal).out, "Stage")[0] == "Stage: blank, so it is filled"


def test_what_cannot_be_read_is_shown_as_it_stands(rig: Desk) -> None:
    """A status that does not exist, an owner who does not, a name that HighLevel has not; a blank is called blank."""
    deal, *_ = (one["id"] for one in rig.deals())
    rig.type(deal, Status="half done", Owner="Nobody \x1b[31mat all", Stage="No such stage")
    rig.highlevel.person_edit(deal, name="")
    out = rig.run("why", deal).out
    assert block(out, "Status")[0] == "Status: waits"
    assert "Airtable: half done" in block(out, "Status")[1]
    assert "Airtable: Nobody ·[31mat all" in block(out, "Owner")[1]
    assert "Airtable: Sales / No such stage" in block(out, "Stage")[1]
    assert "HighLevel: Sales / New Lead" in block(out, "Stage")[1]
    assert "HighLevel: (blank)" in block(out, "Name")[1]
    assert "it is blank in HighLevel" in block(out, "Name")[-1]
    assert "?" not in out
    rig.type(deal, Status="x" * 500)
    assert max(map(len, rig.run("why", deal).out.splitlines())) < 250


def test_a_row_with_another_key_needs_a_person(rig: Desk) -> None:
    deal, *_ = (one["id"] for one in rig.deals())
    row = rig.sandbox.row_of(deal)
    rig.type(deal, **{"GHL ID": "another5678", "Value": 3})
    ran = rig.run("why", deal)
    assert ran.code == 3
    assert f"GHL ID now says “another5678”. Nothing is written until it says {deal} again." in ran.out
    shown = rig.run("why", row, "--json")
    assert (shown.code, "another5678" in shown.json["note"]) == (3, True)
    assert {field["writes"] for field in shown.json["fields"]} == {None}


def test_twofold_rows_need_a_person(rig: Desk) -> None:
    deal, other, *_ = (one["id"] for one in rig.deals())
    first = rig.sandbox.row_of(deal)
    copy = rig.airtable.person_copy_row(TABLE, first)
    ran = rig.run("why", deal)
    assert ran.code == 3
    assert f"2 rows have this GHL ID ({', '.join(sorted((first, copy)))})." in ran.out
    assert rig.run("why", other).code == 0
    assert "GHL ID" not in rig.run("why", other).out


def test_a_key_that_moved_to_another_row_is_told(rig: Desk) -> None:
    """The link follows with the next pass: nobody is needed."""
    deal, *_ = (one["id"] for one in rig.deals())
    rig.type(deal, **{"GHL ID": None})
    new = rig.airtable.person_add(TABLE, {"Name": "Elsewhere", "GHL ID": deal})
    ran = rig.run("why", deal)
    assert (ran.code, f"The row {new} has this GHL ID now" in ran.out) == (0, True)


def test_a_text_that_fits_many_lists_ten_of_them(rig: Desk) -> None:
    """One a line, long names clipped, and no usage block: how the command is used is not the trouble."""
    rig.highlevel.person_edit(rig.deals()[3]["id"], name="Roof " + "x" * 300)
    rig.reconcile()
    ran = rig.run("why", "roof")
    lines = ran.err.splitlines()
    assert (ran.code, ran.out) == (2, "")
    assert "14 deals of default match “roof”" in lines[0]
    assert len(lines) == 1 + 10 + 1
    assert lines[-1].strip() == "… and 4 more: give more of the name."
    assert "Usage" not in ran.err
    assert max(map(len, lines)) < 120


def test_nothing_that_fits_says_what_was_looked_for(rig: Desk) -> None:
    """No usage block; an empty name is a usage error, everywhere."""
    ran = rig.run("why", "zzzz")
    assert (ran.code, "Usage" in ran.err) == (2, False)
    assert "as of the last pass, the name “zzzz”" in ran.err
    ran = rig.run("resume", "zzzz")
    assert (ran.code, "Usage" in ran.err, "zzzz" in ran.err) == (2, False, True)
    for command in ("why", "history", "resume"):
        for text in ("", "  "):
            ran = rig.run(command, text)
            assert (ran.code, "DEAL is empty" in ran.err) == (2, True), command


def test_history_says_what_it_looked_for(rig: Desk) -> None:
    """A row's id finds its deal, Sync cells too; what has no history is named; a limit is at least 1."""
    deal, *_ = (one["id"] for one in rig.deals())
    assert "Nothing of “zzzz” was written." in rig.run("history", "zzzz").out
    for limit in ("0", "-3"):
        ran = rig.run("history", "--limit", limit)
        assert (ran.code, "--limit" in ran.err) == (2, True)
    rig.type(deal, Status="odd", **{"GHL ID": None})
    rig.reconcile(expect=3)
    by_row = rig.run("history", rig.sandbox.row_of(deal)).out
    assert by_row == rig.run("history", deal).out
    assert "Sync cell: “Roof 0”" in by_row
    assert "      Sync: (blank) -> Status “odd” does not exist" in by_row
    assert f"      GHL ID: (blank) -> {deal}" in by_row


def test_reconcile_says_why_a_person_is_needed(rig: Desk) -> None:
    """In the JSON of exit 3, with the deal's name; not where nobody is needed."""
    deal, *_ = (one["id"] for one in rig.deals())
    assert "needs_person" not in rig.reconcile()
    rig.type(deal, Status="odd")
    (sentence,) = rig.reconcile(expect=3)["needs_person"]
    assert sentence.startswith("“Roof 0”: Status “odd” does not exist.")
    assert sentence in rig.run("status").out
    assert rig.run("plan").out.splitlines()[-1] == "  Nothing to write; 1 thing waits for a person."
