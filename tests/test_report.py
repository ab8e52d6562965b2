"""What people read of plans, passes, the status and the history, told over whole passes of in-memory sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.carry import Tally
from syncd.guards import GuardKind, Member, made_set
from syncd.judge import Ground
from syncd.look import Look, about_rows, look
from syncd.model import Side
from syncd.opened import open_pair
from syncd.plan import ITS_MAKING, Finding, NewRow, Plan, Trouble
from syncd.reconcile import PassResult
from syncd.report import (
    history_lines,
    pass_line,
    pass_lines,
    plan_lines,
    plan_summary,
    shortened,
    status_json,
    status_lines,
    waiting_words,
)
from syncd.sides import Refused, SideDown, Stage
from syncd.store import PassRecord
from syncd.values import choices
from tests.memory import ARCHIVE, SALES, SERVICE, VOCABULARY, World

A, B, C, D = "dealAAA1", "dealBBB2", "dealCCC3", "dealDDD4"
COLUMNS = {"status": "Status", "id": "GHL ID", "sync": "Sync"}
LABELS = {Side.CRM: "HighLevel", Side.TABLE: "Airtable"}


@pytest.fixture
def filled(tmp_path: Path) -> World:
    """Four deals with their rows, agreed on."""
    return World(tmp_path).filled(A, B, C, D)


def seen(world: World) -> Look:
    """What `syncd plan` looks at."""
    return look(world.pair, open_pair(world.pair, keep=False))


def planned(world: World) -> list[str]:
    """What `syncd plan` prints."""
    found = seen(world)
    return plan_lines(
        "test", found.view.ground, found.plan, found.held, rows=about_rows(found.view, found.plan)
    )  # fmt: skip


def status(world: World) -> dict[str, Any]:
    """What `syncd status --json` prints."""
    store = world.store
    return status_json(
        "test", store.last_passes(), store.last_success(), store.count_links(), len(store.open_writes()),
        world.clock.now, held=False,
    )  # fmt: skip


def waits(found: Mapping[str, Any] | PassResult) -> list[str]:
    """What waits without a person."""
    if isinstance(found, PassResult):
        return [f.told() for f in found.findings if f.trouble is Trouble.NOT_TOLD]
    return list(found["waits"])


# --- what a side does not tell ---------------------------------------------------------------------------------------


def test_a_blank_name_in_the_crm_waits_and_says_so(filled: World) -> None:
    """No write, no person, exit 0; counted in status and named in the plan; over when there is a name again."""
    filled.crm.put(A, name=None)
    for _ in range(2):
        result = filled.run()
        assert (result.code, filled.writes()) == (0, (0, 0, 0))
        assert waits(result) == [f"“Deal {A}”: “Name” waits: it is blank in HighLevel."]
    found = status(filled)
    assert (found["waiting"], found["needs_person"], found["in_sync"]) == (1, 0, 3)
    assert waits(found) == waits(result)
    assert any("it is blank in HighLevel" in line for line in status_lines(found))
    lines = planned(filled)
    assert any(f"“Deal {A}”: “Name” waits: it is blank" in line for line in lines)
    assert lines[-1] == "  Nothing to write; 1 thing waits."
    filled.crm.put(A, name="Named again")
    filled.run()
    found = status(filled)
    assert (found["waiting"], found["in_sync"], waits(found)) == (0, 4, [])
    assert filled.row(A).cells["name"] == "Named again"


def test_a_stage_that_is_not_listed_waits_and_says_so(filled: World) -> None:
    filled.crm.put(B, stage=["p1", "s9"])
    result = filled.run()
    assert (result.code, filled.writes()) == (0, (0, 0, 0))
    assert waits(result) == [f"“Deal {B}”: “Stage” waits: HighLevel does not list “p1:s9”."]
    assert (status(filled)["waiting"], status(filled)["in_sync"]) == (1, 3)
    listed = replace(SALES, stages=(*SALES.stages, Stage("s9", "Late")))
    filled.crm.vocabulary = replace(VOCABULARY, pipelines=(listed, SERVICE, ARCHIVE))
    result = filled.run()
    assert (waits(result), filled.row(B).cells["stage"]) == ([], "Late")


def test_a_deal_that_never_had_a_name_is_left_in_peace(tmp_path: Path) -> None:
    """Its row is made without one; that cell is not "filled" with nothing when another cell is edited (SPEC §6, P3)."""
    world = World(tmp_path)
    world.deal(A, name=None)
    world.clock.advance(10)
    assert world.run().code == 0
    world.clear_logs()
    world.edit_row(A, value=5)
    world.run()
    assert world.writes() == (1, 0, 1)
    world.crm.put(A, name="A name at last")
    world.run()
    assert world.row(A).cells["name"] == "A name at last"


def test_an_old_answer_is_no_value_that_was_not_told(filled: World) -> None:
    """Search lags behind a write of ours, and all names are looked at anew: that waits by itself."""
    filled.crm.frozen_at = filled.clock.now
    filled.edit_row(C, value=5)
    filled.run()
    stages = tuple(replace(stage, name="Seen") if stage.id == "s2" else stage for stage in SALES.stages)
    filled.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, stages=stages), SERVICE, ARCHIVE))
    reads = len(filled.crm.reads)
    assert waits(filled.run(1.0)) == []
    assert len(filled.crm.reads) == reads, "the old answer is what this is about"


# --- status ----------------------------------------------------------------------------------------------------------


def test_a_failed_pass_leaves_what_the_last_one_found(filled: World) -> None:
    """The error is told beside it, and its exit code counts; the calls are those of the failed pass."""
    filled.edit_row(A, status="strange")
    filled.crm.put(B, name=None)
    assert filled.run().code == 3
    before = status(filled)
    assert (before["code"], before["needs_person"], before["waiting"], before["in_sync"]) == (3, 1, 1, 2)
    filled.crm.faults.down_on = frozenset({"sweep"})
    assert filled.run().code == 1
    after = status(filled)
    kept = ("links", "needs_person", "waiting", "in_sync", "sentences", "waits", "findings", "rows_without_id")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert (after["code"], after["last_error"]) == (1, "HighLevel does not answer.")
    assert after["calls_last_pass"] != before["calls_last_pass"]
    lines = "\n".join(status_lines(after))
    assert "last error: HighLevel does not answer." in lines
    assert "1 for a person" in lines
    assert "what the last completed pass found" in lines


def test_a_pass_that_was_stopped_is_no_error_for_the_exit_code() -> None:
    """SIGTERM in its midst: what the pass before found stands, and its exit code."""
    done = PassRecord(1, 0.0, 5.0, {"code": 3, "needs_person": ["x"], "for_person": 1, "in_sync": 3, "calls": {}}, "")
    stopped = PassRecord(2, 6.0, 7.0, {"code": 0, "calls": {}}, "stopped before its end")
    found = status_json("p", [stopped, done], done, 4, 0, 10.0, held=False)
    assert (found["code"], found["needs_person"], found["in_sync"]) == (3, 1, 3)


def test_only_what_is_linked_can_be_out_of_step(filled: World) -> None:
    """A row whose deal could not be made is no link that waits; a deal whose write was refused is, once."""
    filled.crm.faults.refuse = lambda verb, _id, changes: (
        Refused("email must be an email")
        if verb == "contact"
        else Refused("Too large.")
        if "value" in changes
        else None
    )
    filled.table.put("lead", None, name="New", email="someone@x.example")
    filled.edit_row(A, value=5, status="strange")
    for _ in range(2):
        assert filled.run().code == 3
        found = status(filled)
        assert (found["links"], found["in_sync"], found["needs_person"]) == (4, 3, 2)


def test_what_was_nobodys_own_refusal_does_not_count_its_first_deal(filled: World) -> None:
    filled.crm.faults.refuse = lambda _v, _id, changes: Refused("No.") if "value" in changes else None
    filled.edit_row(A, value=5)
    filled.edit_row(B, value=6)
    result = filled.run()
    assert (result.tally.suspended, result.tally.refused, status(filled)["in_sync"]) == (["No."], {}, 4)


def test_records_are_counted_and_sentences_are_not(filled: World) -> None:
    """Two wrong cells of one deal are one deal for a person; each sentence names its deal."""
    filled.edit_row(A, status="strange", owner="Nobody")
    filled.edit_row(B, status="odd")
    result = filled.run()
    found = status(filled)
    assert (found["needs_person"], found["waiting"], found["in_sync"], found["links"]) == (2, 0, 2, 4)
    assert len(found["sentences"]) == 3
    assert sum(sentence.startswith(f"“Deal {A}”: ") for sentence in found["sentences"]) == 2
    assert result.as_json()["needs_person"] == found["sentences"]
    assert any(f"“Deal {B}”: Status “odd” does not exist" in line for line in status_lines(found))


def test_a_row_without_a_link_takes_nothing_from_what_is_in_sync(filled: World) -> None:
    filled.table.put("typed", "noSuchDeal1234", name="Typed")
    filled.run()
    found = status(filled)
    assert (found["needs_person"], found["in_sync"], found["links"]) == (1, 4, 4)
    assert "“Typed”" in found["sentences"][0]


def test_twofold_rows_are_one_deal(filled: World) -> None:
    filled.table.put("copy", A, name="Copy")
    filled.run()
    found = status(filled)
    assert (found["needs_person"], found["in_sync"], len(found["sentences"])) == (1, 3, 2)


def test_a_side_that_is_down_gives_no_reasons_for_a_person(filled: World) -> None:
    """`needs_person` stands in the JSON of a pass only where there is something to say."""
    assert "needs_person" not in filled.run().as_json()
    filled.table.faults.down_on = frozenset({"sweep"})
    shown = filled.run().as_json()
    assert ("needs_person" in shown, shown["error"]) == (False, str(SideDown("Airtable does not answer.")))


# --- plan ------------------------------------------------------------------------------------------------------------


def test_the_plan_says_how_many_things_wait(filled: World) -> None:
    assert planned(filled)[-1] == "  Nothing to write: both sides agree."
    filled.edit_row(A, status="strange", owner="Nobody")
    filled.run()
    filled.crm.put(B, name=None)
    lines = planned(filled)
    assert lines[-1] == "  Nothing to write; 2 things wait for a person, 1 more waits."
    filled.edit_row(C, value=7)
    assert planned(filled)[-1] == (
        "  Plan: 0 rows to make, 0 rows and 1 deal to change; 2 things wait for a person, 1 more waits."
    )
    assert plan_summary(Plan()) == "Nothing to write: both sides agree."


def test_a_row_and_the_deal_that_may_be_its_own_are_told_once() -> None:
    """Both wait for one answer. Others with the same name and sentence are others."""
    making = [Finding(Trouble.UNSETTLED, deal, row, "Roof", ITS_MAKING, False) for deal, row in (("d", ""), ("", "r"))]
    typing = [Finding(Trouble.TYPING, deal, "r", "Roof", "It was edited.", False) for deal in (A, B)]
    person = Finding(Trouble.LACKING, "", "r", "Roof", "It lacks something.", True)
    findings = [*making, *typing, person]
    told = [f"“Roof”: {ITS_MAKING}", "“Roof”: It was edited.", "“Roof”: It was edited."]
    assert PassResult("p", findings=findings).as_report()["waits"] == told
    plan = Plan(findings=findings)
    assert waiting_words(plan) == "1 thing waits for a person, 3 more wait"
    lines = plan_lines("p", Ground((), (), {}), plan)
    assert [line.strip("· ") for line in lines if line.startswith("  ·")] == [person.told(), *told]


def test_the_plan_names_the_row_of_a_sync_cell(filled: World) -> None:
    """By the deal's name where it is linked, else by the row's own."""
    filled.edit_row(A, status="strange")
    filled.table.put("typed", "noSuchDeal1234", name="Typed")
    lines = [line for line in planned(filled) if "Sync cell" in line]
    row = filled.table.row_of(A)
    assert sorted(line.partition(": ")[0] for line in lines) == [
        f"  ! Sync cell of “Deal {A}” (row {row})",
        "  ! Sync cell of “Typed” (row typed)",
    ]


def test_a_first_fill_is_shortened_only_where_it_is_asked_for(filled: World) -> None:
    """Never for a single row."""
    ground = seen(filled).view.ground

    def rows(number: int, shown: int | None) -> Sequence[str]:
        new = [NewRow(f"deal{at}", f"Deal {at}", {}, False, None, "new") for at in range(number)]
        lines = plan_lines("test", ground, Plan(new_rows=new), new_rows=shown)
        return [line for line in lines if "+ row" in line or "more" in line]

    assert len(rows(250, None)) == 250
    assert len(rows(250, 20)) == 21
    assert rows(250, 20)[-1] == "  … and 230 more: syncd plan --verbose"
    assert len(rows(21, 20)) == 21
    assert rows(21, 20)[-1].startswith("  + row for “Deal 20”")


def test_a_list_never_hides_a_single_name() -> None:
    names = [f"name {at}" for at in range(14)]
    assert choices(names[:13]).endswith("name 11, name 12")
    assert choices(names).endswith("name 11, and 2 more")
    assert shortened(["a", "b", "c"], 2) == ["a", "b", "c"]
    assert shortened(["  a", "  b", "  c", "  d"], 2) == ["  a", "  b", "  … and 2 more: syncd status --json"]


def test_long_names_are_clipped() -> None:
    finding = Finding(Trouble.WRONG_KEY, "d", "r", "x" * 500, "It is wrong.", True)
    (line,) = (line for line in pass_lines(PassResult("p", findings=[finding])) if "wrong" in line)
    assert len(line) < 100


# --- history ---------------------------------------------------------------------------------------------------------


def test_sync_cells_stand_in_a_deals_history(filled: World) -> None:
    """By its id, its name and its row's id; a row without a link by what it says itself."""
    filled.edit_row(A, status="strange")
    filled.table.put("typed", "noSuchDeal1234", name="Typed")
    filled.run()
    row = filled.table.row_of(A)
    for asked in (A, f"Deal {A}", row):
        told = [write for write in filled.store.history(deal=asked) if write.action == "message"]
        assert [(write.deal, write.row, write.title) for write in told] == [(A, row, f"Deal {A}")], asked
    (loose,) = (write for write in filled.store.history(deal="typed") if write.action == "message")
    assert (loose.deal, loose.title) == ("noSuchDeal1234", "Typed")
    lines = history_lines(filled.store.history(deal=A), LABELS, COLUMNS, A)
    assert any(line.strip().startswith("Sync: (blank) -> Status “strange” does not exist") for line in lines)


def test_the_history_of_nothing_says_so() -> None:
    assert history_lines([], LABELS, COLUMNS) == ["Nothing was written yet."]
    assert history_lines([], LABELS, COLUMNS, "zzzz") == ["Nothing of “zzzz” was written."]


def test_the_history_calls_columns_as_the_plan_does(filled: World) -> None:
    filled.edit_row(A, status="won")
    filled.table.put(filled.table.row_of(B), "")
    filled.run()
    lines = history_lines(filled.store.history(), LABELS, {**COLUMNS, "status": "State of play"})
    assert any(line.startswith("      State of play: open -> won") for line in lines)
    assert any(line.startswith(f"      GHL ID: (blank) -> {B}") for line in lines)
    bare = history_lines(filled.store.history(deal=A), LABELS, {})
    assert any(line.startswith("      Status: open -> won") for line in bare)


def test_the_history_of_a_new_name_does_not_show_it_as_the_old_one(filled: World) -> None:
    (sales, *others) = filled.crm.vocabulary.pipelines
    stages = tuple(replace(stage, name=f"{stage.name} 2") for stage in sales.stages)
    filled.crm.vocabulary = replace(filled.crm.vocabulary, pipelines=(replace(sales, stages=stages), *others))
    filled.run()
    told = history_lines(filled.store.history(deal=A), LABELS, COLUMNS)
    lines = [line.strip() for line in told if "is now called" in line]
    assert lines, told
    assert all(line.startswith("Stage: -> ") for line in lines), lines


def test_the_line_of_a_pass_counts_what_is_held() -> None:
    """Writes that wait for a person are not "nothing to write"."""
    members = [Member(f"deal{number}", "Alpha", "open", "won") for number in range(25)]
    held = made_set(GuardKind.CHANGES, Side.TABLE, "status", members)
    assert pass_line(PassResult("p", held=[held])).startswith("p: nothing written, 25 writes held (")
    assert pass_line(PassResult("p")).startswith("p: nothing to write (")
    tally = Tally()
    tally.updated[Side.CRM] = 2
    assert pass_line(PassResult("p", tally=tally, held=[held])).startswith("p: 2 deals changed, 25 writes held (")
