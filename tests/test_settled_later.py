"""Writes whose answer was lost and that are settled after names changed or a person typed (SPEC §§3.3, 3.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.model import Side
from syncd.sides import Column, Pipeline, Refused, Stage, User, Vocabulary
from tests.memory import COLUMNS, FIELD_NAMES, NO_LIMITS, SALES, SERVICE, VOCABULARY, Crash, World, field_of

A, B = "dealAAA1", "dealBBB2"
SWAPPED = replace(SALES, stages=(Stage("s1", "Qualified"), Stage("s2", "New"), *SALES.stages[2:]))
RENAMED = replace(SALES, stages=(Stage("s1", "Begun"), *SALES.stages[1:]))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One deal with its row, agreed on; nothing is in the logs."""
    return World(tmp_path).filled(A)


def killed_after(world: World, who: str, verb: str) -> None:
    """A pass that dies after such a call took effect and before anything of it was noted."""

    def hook(a_who: str, a_verb: str, a_phase: str, _what: object) -> None:
        if (a_who, a_verb, a_phase) == (who, verb, "after"):
            raise Crash

    world.hooks.append(hook)
    with pytest.raises(Crash):
        world.run()
    world.hooks.remove(hook)
    world.restart()
    assert len(world.store.open_writes()) == 1


def names_are(world: World, *pipelines: Pipeline, users: tuple[User, ...] = VOCABULARY.users) -> None:
    """From now on HighLevel calls its stages and users like that."""
    world.crm.vocabulary = Vocabulary((*pipelines, SERVICE), users)


def rests(world: World) -> None:
    """Some passes; then nothing is open and one more pass writes nothing."""
    for _ in range(4):
        assert world.run().error == ""
    before = world.writes()
    assert world.run().code == 0
    assert world.writes() == before
    assert world.store.open_writes() == []


@pytest.mark.parametrize("age", [0.0, 60.0])
@pytest.mark.parametrize(("pipeline", "shown"), [(SWAPPED, "Qualified"), (RENAMED, "Begun")])
def test_a_row_made_before_stages_got_other_names_takes_the_new_one(
    world: World, pipeline: Pipeline, shown: str, age: float
) -> None:
    """However old the deal is: the row's cell is no later edit."""
    world.deal(B)
    world.clock.advance(age)
    killed_after(world, "table", "create")
    names_are(world, pipeline)
    rests(world)
    assert [write.side for write in world.crm.log] == []
    assert world.row(B).cells["stage"] == shown
    world.agree(A, B)


@pytest.mark.parametrize(("pipeline", "shown"), [(SWAPPED, "Qualified"), (RENAMED, "Begun")])
def test_a_cell_written_before_stages_got_other_names_takes_the_new_one(
    world: World, pipeline: Pipeline, shown: str
) -> None:
    world.crm.put(A, stage=["p1", "s3"])
    world.run()
    world.clear_logs()
    world.crm.put(A, stage=["p1", "s1"])
    killed_after(world, "table", "write")
    names_are(world, pipeline)
    rests(world)
    assert [write.side for write in world.crm.log] == []
    assert world.row(A).cells["stage"] == shown
    world.agree(A)


def test_a_deal_written_before_a_user_got_another_name_gives_the_row_the_new_one(world: World) -> None:
    world.edit_row(A, owner="Bob")
    killed_after(world, "crm", "write")
    names_are(world, SALES, users=(User("u1", "Ann"), User("u2", "Robert", "bob@example.com")))
    rests(world)
    assert world.row(A).cells["owner"] == "Robert"
    assert len(world.crm.log) == 1
    world.agree(A)


def test_a_deal_made_before_a_user_got_another_name_gives_the_row_the_new_one(tmp_path: Path) -> None:
    world = with_leads(tmp_path)
    world.table.put("lead", None, name="Roof", email="jo@x.example", pipeline="Sales", owner="Ann")
    killed_after(world, "crm", "create")
    names_are(world, SALES, users=(User("u1", "Anna"), *VOCABULARY.users[1:]))
    world.crm.lag = 90.0  # it is not found before every other row was looked at
    world.run(30.0)
    assert len(world.store.open_writes()) == 1
    world.crm.lag = 0.0
    rests(world)
    assert world.table.rows["lead"].cells["owner"] == "Anna"
    assert len(world.crm.creates()) == 1


# --- taken and thrown away (H20) -------------------------------------------------------------------------------------


def test_what_arrived_beside_a_field_that_was_thrown_away_is_acknowledged(world: World) -> None:
    """Else it would look like an edit as soon as two stages swap their names, and move the deal."""
    world.table.faults.ignores.add("status")
    world.crm.put(A, stage=["p1", "s2"], status="won")
    result = world.run(10)
    assert (result.tally.updated[Side.TABLE], len(result.tally.refusals)) == (1, 1)
    link = world.store.link(A)
    assert link is not None
    assert (link.agreed()["stage"].value, link.agreed()["status"].value) == ("p1:s2", "open")
    names_are(world, SWAPPED)
    world.run(10)
    assert world.row(A).cells["stage"] == "New"
    world.table.faults.ignores.clear()
    rests(world)
    assert world.crm.log == []
    assert world.row(A).cells["stage"] == "New"
    world.agree(A)


def test_what_arrived_in_a_deal_beside_a_field_that_was_thrown_away_is_acknowledged(world: World) -> None:
    world.crm.faults.ignores.add("value")
    world.edit_row(A, name="Roof", value=5)
    world.run(10)
    link = world.store.link(A)
    assert link is not None
    assert (link.agreed()["name"].value, link.agreed()["value"].value) == ("Roof", "100")
    assert world.crm.deals[A][-1].stamp in link.own, "it dates no person's edit"
    for _ in range(3):
        world.run(1)
    assert len(world.crm.log) == 1, "what was thrown away is tried again after a pause"
    world.crm.faults.ignores.clear()
    rests(world)
    assert [dict(write.changes) for write in world.crm.log][1:] == [{"value": (100, 5)}]
    world.agree(A)


def test_a_new_name_that_was_thrown_away_is_no_edit(world: World) -> None:
    world.table.faults.ignores.add("stage")
    names_are(world, SWAPPED)
    for _ in range(3):
        world.run()
    assert world.crm.log == []
    assert "kept its stage" in world.row(A).message
    world.table.faults.ignores.clear()
    rests(world)
    assert world.crm.log == []
    assert world.row(A).cells["stage"] == "Qualified"
    world.agree(A)


def test_what_a_new_row_was_made_without_is_not_cleared_in_the_deal(world: World) -> None:
    world.table.faults.ignores |= {"owner", "source", "stage"}
    world.deal(B, value=0)
    world.run()
    assert world.row(B).cells.get("owner") is None
    world.table.faults.ignores.clear()
    rests(world)
    assert world.crm.log == []
    assert (world.row(B).cells["owner"], world.row(B).cells["source"], world.row(B).cells["stage"]) == (
        "Ann",
        "web",
        "New",
    )
    world.agree(B)


def test_what_a_new_deal_was_made_without_is_not_cleared_in_the_row(tmp_path: Path) -> None:
    world = with_leads(tmp_path)
    world.crm.faults.ignores |= {"owner", "value"}
    world.table.put("lead", None, name="Roof", email="jo@x.example", pipeline="Sales", owner="Bob", value=7)
    world.clock.advance(30.0)
    world.run()
    [deal] = world.crm.creates()
    assert (world.crm.now(deal) or {}).get("owner") is None
    world.crm.faults.ignores.clear()
    rests(world)
    assert ((world.crm.now(deal) or {})["owner"], (world.crm.now(deal) or {})["value"]) == ("u2", 7)
    assert (world.table.rows["lead"].cells["owner"], world.table.rows["lead"].cells["value"]) == ("Bob", 7)
    world.agree(deal)


def with_leads(folder: Path) -> World:
    """One deal with its row, and a column for the address, so that rows become deals."""
    world = World(folder, [field_of(name) for name in (*FIELD_NAMES, "email")])
    world.table.columns = {**COLUMNS, "email": Column("fldEmail", "Email", "text")}
    return world.filled(A)


# --- another spelling ------------------------------------------------------------------------------------------------


def made_unheard(world: World, tidy: Callable[[str], str] = str) -> None:
    """The row of a deal called Roof is made, and nobody hears of it."""
    world.table.faults.tidy = lambda name, raw: tidy(str(raw)) if name == "name" else raw
    world.deal(B, name="Roof")
    killed_after(world, "table", "create")


def test_another_spelling_that_a_person_typed_into_a_new_row_is_an_edit(world: World) -> None:
    made_unheard(world)
    world.clock.advance(30.0)
    world.edit_row(B, name="ROOF")
    rests(world)
    assert (world.crm.now(B) or {})["name"] == "ROOF"
    world.agree(B)


def test_the_form_into_which_a_server_put_a_new_row_is_no_edit(world: World) -> None:
    made_unheard(world, str.upper)
    rests(world)
    assert (world.crm.now(B) or {})["name"] == "Roof"
    assert [write.side for write in world.crm.log] == []
    link = world.store.link(B)
    assert link is not None
    assert link.agreed()["name"].value == "Roof"


def test_another_spelling_waits_while_the_table_does_not_tell_when_it_was_typed(world: World) -> None:
    made_unheard(world)
    world.clock.advance(30.0)
    world.edit_row(B, name="ROOF")
    world.table.clockless = True
    assert world.run().unsettled == 1
    assert (world.crm.now(B) or {})["name"] == "Roof"
    world.table.clockless = False
    rests(world)
    assert (world.crm.now(B) or {})["name"] == "ROOF"


def test_a_row_that_waits_takes_a_new_name_when_all_the_others_have_it(world: World) -> None:
    made_unheard(world, str.upper)
    world.table.clockless = True
    names_are(world, RENAMED)
    for _ in range(3):
        assert world.run().unsettled == 1
    assert [world.row(deal).cells["stage"] for deal in (A, B)] == ["Begun", "New"]
    world.table.clockless = False
    rests(world)
    assert world.row(B).cells["stage"] == "Begun"
    assert [write.side for write in world.crm.log] == []


def test_what_stood_in_a_row_before_is_no_servers_form(world: World) -> None:
    world.table.put("mine", None, name="Draft", status="open", value=100)
    world.deal(B, name="Roof", value=100.25)
    world.clock.advance(30.0)
    world.table.faults.lost = ["before"]
    world.hooks.append(hook := key_comes(world))
    world.run()
    world.hooks.remove(hook)
    rests(world)
    link = world.store.link(B)
    assert link is not None
    assert link.row == "mine"
    world.agree(B)


def key_comes(world: World) -> Callable[[str, str, str, object], None]:
    """A person types the deal's id into a row of their own, once its making was sent."""

    def hook(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == (Side.TABLE.value, "create", "before"):
            world.table.put("mine", B)

    return hook


@pytest.mark.parametrize("also", [{}, {"value": 5}])
def test_a_lost_write_of_two_fields_makes_nobodys_later_edit_ours(tmp_path: Path, also: dict[str, int]) -> None:
    """One of them arrived, the other was edited since by a person: the newer stamp is theirs, and wins."""
    world = World(tmp_path).filled(A, B).choose(limits=NO_LIMITS)
    world.edit_row(A, status="won", **also)
    world.crm.faults.lost = ["after"]

    def edited(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "write", "after"):
            world.hooks.remove(edited)
            world.clock.advance(2)
            world.edit_row(A, status="abandoned")
            world.clock.advance(30)
            world.crm.put(A, status="lost")

    world.hooks.append(edited)
    for _ in range(3):
        world.run()
    held = world.crm.now(A)
    assert held is not None
    assert (held["status"], world.row(A).cells["status"]) == ("lost", "lost")


def test_a_deal_that_comes_back_does_not_hide_that_another_row_waits_for_its_new_name(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A, B).choose(limits=NO_LIMITS)
    world.crm.put(B, stage=["p3", "a1"])
    world.run()
    names_are(world, RENAMED)
    row = world.table.row_of(A)
    world.table.faults.refuse = lambda _verb, id, changes: (
        Refused("Locked.") if id == row and "stage" in changes else None
    )
    world.run(10)
    world.crm.put(B, stage=["p1", "s2"])
    world.run(10)
    world.table.faults.refuse = lambda _verb, _id, _changes: None
    for _ in range(3):
        world.run(3600)
    assert world.row(A).cells["stage"] == "Begun"


@pytest.mark.parametrize("trouble", ["thrown away", "refused", "killed"])
def test_a_deal_that_comes_back_gets_its_new_name_though_the_first_try_fails(tmp_path: Path, trouble: str) -> None:
    """Every other row had its new name long before; nothing else would ask to look at this one again."""
    world = World(tmp_path).filled(A, B).choose(limits=NO_LIMITS)
    world.crm.put(B, stage=["p3", "a1"])
    world.run()
    names_are(world, VOCABULARY.pipelines[0], users=(replace(VOCABULARY.users[0], name="Anna"), *VOCABULARY.users[1:]))
    for _ in range(3):
        world.run()
    assert [world.row(deal).cells["owner"] for deal in (A, B)] == ["Anna", "Ann"]
    world.crm.put(B, stage=["p1", "s1"])
    if trouble == "thrown away":
        world.table.faults.ignores.add("owner")
    elif trouble == "refused":
        world.table.faults.refuse = lambda _verb, _id, changes: Refused("Locked.") if "owner" in changes else None
    if trouble == "killed":
        killed(world, "table", "write", "before")
    else:
        world.run()
        assert world.row(B).cells["owner"] == "Ann"
    world.table.faults.ignores.clear()
    world.table.faults.refuse = lambda _verb, _id, _changes: None
    world.run(3600)
    assert world.row(B).cells["owner"] == "Anna"
    rests(world)
    world.agree(A, B)


def test_a_frozen_field_gets_its_new_name_once_it_is_resumed(tmp_path: Path) -> None:
    """Every other row had it long before."""
    world = World(tmp_path).filled(A, B).choose(limits=NO_LIMITS)
    world.store.put_frozen({(A, "owner"): "It is set back."}, world.clock())
    names_are(world, VOCABULARY.pipelines[0], users=(replace(VOCABULARY.users[0], name="Anna"), *VOCABULARY.users[1:]))
    for _ in range(3):
        world.run()
    assert [world.row(deal).cells["owner"] for deal in (A, B)] == ["Ann", "Anna"]
    assert world.store.resume(A, world.clock()) == 1
    rests(world)
    assert world.row(A).cells["owner"] == "Anna"


def killed(world: World, who: str, verb: str, phase: str) -> None:
    """A pass that dies at such a call."""

    def hook(a_who: str, a_verb: str, a_phase: str, _what: object) -> None:
        if (a_who, a_verb, a_phase) == (who, verb, phase):
            raise Crash

    world.hooks.append(hook)
    with pytest.raises(Crash):
        world.run()
    world.hooks.remove(hook)
    world.restart()


def test_a_pipeline_that_was_cleared_before_its_row_was_found_is_filled_again(world: World) -> None:
    """SPEC §5: a blank stage is, and Pipeline is a part of it. The Stage cell alone means what was written."""
    world.deal(B)
    killed_after(world, "table", "create")
    world.table.put(world.table.row_of(B), None, pipeline=None)
    rests(world)
    assert world.row(B).cells["pipeline"] == "Sales"
    world.agree(A, B)
