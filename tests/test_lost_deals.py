"""Deals whose making had no answer (SPEC §3.5): which one is ours, how long search has had, what is made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from syncd import carry_deals
from syncd.carry_deals import settle_new_deals
from syncd.model import Raw, Record, Side
from syncd.sides import Column, Lost, MadeDeal, Person, Refused
from tests.memory import COLUMNS, FIELD_NAMES, World, field_of
from tests.test_carry_parts import work_of

A, B = "dealAAA1", "dealBBB2"
NEW = "dealNew1"
READ_LAG, TIE = 60.0, 2.0  # seconds; the defaults
OF_CONTACT = ("contact", "email", "phone", "company")
LEAD: Mapping[str, Raw] = {"name": "Roof", "email": "jo@x.example", "pipeline": "Sales"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One deal with its row, agreed on, and a new row."""
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, *OF_CONTACT)])
    world.table.columns = {**COLUMNS, **{name: Column(f"fld{name}", name.title(), "text") for name in OF_CONTACT}}
    world.filled(A)
    world.table.put("lead", None, **LEAD, value=3)
    return world


def lost(world: World, when: str = "after") -> None:
    """The row's deal is asked for; its answer is lost "after" or "before" it was made, and search is far behind."""
    world.crm.lag = 10_000.0
    world.crm.faults.lost = ["", when]
    assert world.run().unsettled == 1


# --- when it is made again -------------------------------------------------------------------------------------------


def test_search_has_had_its_time_when_it_is_asked_not_when_it_answers(world: World) -> None:
    """What it shows is older than its answer: a deal shown 58 s late is not there at 50 s, however slow the answer."""
    world.crm.lag = 58.0
    world.crm.faults.lost = ["", "after"]
    world.run()
    search = world.crm.made_of

    def slow(contact: str) -> list[MadeDeal]:
        found = search(contact)
        world.clock.advance(15.0)
        return found

    world.crm.made_of = slow  # type: ignore[method-assign]
    world.run(50.0)
    assert world.crm.creates() == [NEW]
    assert (world.run().code, world.table.rows["lead"].key) == (0, NEW)


@pytest.mark.parametrize(("seconds", "again"), [(READ_LAG, True), (READ_LAG - 0.001, False)])
def test_one_read_lag_is_enough(world: World, seconds: float, again: bool) -> None:
    lost(world, "before")
    [write] = world.store.open_writes()
    world.clock.now = float(json.loads(write.before)["at"]) + seconds
    still_open = settle_new_deals(work_of(world), READ_LAG)
    assert [one.id for one in still_open] == ([] if again else [write.id])


# --- which deal is ours ----------------------------------------------------------------------------------------------


def asked_at(world: World) -> float:
    """When the deal was asked for, by HighLevel's clock."""
    [write] = world.store.open_writes()
    return float(json.loads(write.before)["asked"])


def somebodys(world: World, deal: str, created: float) -> None:
    """A deal of the same contact, pipeline and name, which came to be at this second of HighLevel's clock."""
    world.crm.person_makes(deal, "contact1", name="Roof", stage=["p1", "s1"], status="open")
    [version] = world.crm.deals[deal]
    world.crm.deals[deal] = [replace(version, stamp=created)]


@pytest.mark.parametrize(("early", "ours"), [(0.0, True), (TIE, True), (TIE + 0.001, False), (5 * TIE, False)])
def test_a_deal_made_before_it_was_asked_for_by_more_than_clocks_differ_is_not_ours(
    world: World, early: float, ours: bool
) -> None:
    lost(world, "before")
    somebodys(world, B, asked_at(world) - early)
    world.crm.lag = 0.0
    result = world.run(10.0)
    assert (world.table.rows["lead"].key, result.unsettled) == ((B, 0) if ours else (None, 1))


def test_a_deal_that_does_not_say_when_it_was_made_is_ours(world: World) -> None:
    """Contact, pipeline and name are the same, and it has no row: to make another would be the greater harm."""
    lost(world)
    world.crm.lag = 0.0
    search, get = world.crm.made_of, world.crm.made_deal
    world.crm.made_of = lambda contact: [replace(one, created=None) for one in search(contact)]  # type: ignore[method-assign]

    def undated(id: str) -> MadeDeal | None:
        found = get(id)
        return replace(found, created=None) if found is not None else None

    world.crm.made_deal = undated  # type: ignore[method-assign]
    assert world.run(10.0).unsettled == 0
    assert (world.crm.creates(), world.table.rows["lead"].key) == ([NEW], NEW)


@pytest.mark.parametrize("later", [0.0, 0.5, 3.0])
def test_of_several_the_first_that_was_made_is_ours(world: World, later: float) -> None:
    """A person made another one like it right after ours. Of two made at once one is taken, always the same."""
    lost(world)
    created = world.crm.deals[NEW][0].stamp
    for other in ("dealZZZ9", B):
        somebodys(world, other, created + later)
    world.crm.lag = 0.0
    world.run(10.0)
    assert world.table.rows["lead"].key == (NEW if later else B)
    assert world.crm.creates() == [NEW]


def test_another_contacts_deal_is_not_ours_whatever_a_search_by_contact_shows(world: World) -> None:
    """A server may not heed the filter."""
    lost(world, "before")
    world.crm.contacts["contact2"] = Person("Other", "o@x.example")
    world.crm.person_makes(B, "contact2", name="Roof", stage=["p1", "s1"], status="open")
    world.crm.lag = 0.0
    search = world.crm.made_of
    world.crm.made_of = lambda contact: search("contact2")  # type: ignore[method-assign]
    assert world.run(10.0).unsettled == 1
    assert world.table.rows["lead"].key is None


def test_an_intent_of_an_older_version_is_dated_by_highlevels_clock_all_the_same(world: World) -> None:
    lost(world, "before")
    [write] = world.store.open_writes()
    old = replace(write, before=json.dumps({"contact": "contact1", "at": write.at}))
    work = work_of(world)
    work.ground = replace(work.ground, offsets={Side.CRM: 100.0})
    for created, ours in ((write.at - 100.0 - TIE, True), (write.at - 100.0 - TIE - 0.1, False)):
        made = MadeDeal(Record(B, (), title="Roof"), "p1", "contact1", created)
        assert carry_deals._ours(work, old, "contact1", made) is ours


@pytest.mark.parametrize(("offset", "waited"), [(0.0, 60.0), (TIE, 60.0), (3.0, 57.0), (-TIE, 60.0), (-3.0, 63.0)])
def test_only_a_clock_that_was_set_changes_how_long_search_has_had(world: World, offset: float, waited: float) -> None:
    """Offsets are measured by whole seconds: a little more or less is no other time."""
    world.crm.clock_offset = offset
    assert carry_deals._waited(work_of(world), {"at": 100.0, "offset": 0.0}, 160.0) == waited


# --- what is adopted -------------------------------------------------------------------------------------------------


def test_what_is_adopted_is_the_deal_as_it_is_now_not_as_search_shows_it(world: World) -> None:
    lost(world)
    world.clock.advance(30.0)
    world.crm.put(NEW, status="won")
    made = world.crm.deals[NEW][0]
    world.crm.lag = world.clock.now + 5.0 - made.at  # search shows the making, and not the edit
    world.run(5.0)
    link = world.store.link(NEW)
    assert link is not None
    assert link.seen == world.crm.deals[NEW][-1].stamp
    assert world.table.rows["lead"].cells["status"] == "won", "it is carried in the pass that found the deal"


def test_a_lost_deal_that_a_person_deleted_is_not_made_again(world: World) -> None:
    """Search still shows it, so it was made; a read by its id says that it is gone (SPEC §5: the row says so)."""
    lost(world)
    world.crm.lag = 10.0
    world.clock.advance(10.0)
    world.crm.drop(NEW)
    world.run(5.0)
    link = world.store.link(NEW)
    assert link is not None
    assert link.row == "lead"
    for _ in range(2):
        world.run()
    assert world.crm.creates() == [NEW]
    assert world.table.rows["lead"].message == "Deleted in HighLevel"


# --- a deal that stands in the way -----------------------------------------------------------------------------------


def test_an_older_deal_that_stands_in_the_way_is_not_the_one_that_was_lost(world: World) -> None:
    """The first request never arrived; the second is refused because of a deal that the contact had all along."""
    world.crm.contacts["contact1"] = Person("Jo", "jo@x.example")
    somebodys(world, B, world.clock.now - 1000.0)
    world.crm.hidden.add(B)  # search is behind, else it would be a possible match
    world.crm.allow_duplicates = False
    world.crm.faults.lost = ["before"]
    assert world.run().unsettled == 1
    result = world.run(READ_LAG + 1)
    assert (result.error, result.unsettled, result.tally.refusals) == ("", 0, [f"“Roof”: There is one already: {B}."])
    world.run(1.0)
    row = world.table.rows["lead"]
    assert (row.key, row.message) == (None, f"There is one already: {B}.")
    assert (world.crm.creates(), world.store.link(B)) == ([], None)


def test_of_two_lost_makings_the_later_one_is_what_the_deal_in_the_way_holds(world: World) -> None:
    """What the row held at the first one nobody has agreed on: it is no conflict."""
    lost(world, "before")
    world.table.put("lead", None, value=4)
    world.crm.faults.lost = ["after"]
    assert world.run(READ_LAG + 1).unsettled == 1
    assert world.crm.creates() == [NEW]
    world.table.put("lead", None, value=5)
    world.crm.allow_duplicates = False
    results = [world.run(READ_LAG + 1) for _ in range(3)]
    assert [one.tally.conflicts for one in results] == [0, 0, 0]
    assert world.table.rows["lead"].key == NEW
    assert (world.crm.now(NEW) or {})["value"] == 5


# --- the key ---------------------------------------------------------------------------------------------------------


def test_a_conflict_is_not_decided_by_the_write_that_plants_the_key(world: World) -> None:
    """HighLevel refuses owners from everyone, and an automation gives the deal another one than the row says. Which of
    them holds is for the next plan, which asks for the edit times and passes the guards."""
    owner = FIELD_NAMES.index("owner")
    world.crm.clockless = True
    world.table.put("lead", None, owner="Ann")
    world.edit_row(A, owner="Bob")  # refused first, which tells that owners are refused
    world.crm.faults.refuse = lambda verb, _id, changes: (
        Refused("No owners.", frozenset({owner}), everyone=True) if verb != "contact" and "owner" in changes else None
    )

    def automation(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "create", "after"):
            world.crm.put(NEW, owner="u2")

    world.hooks.append(automation)
    result = world.run()
    assert (world.table.rows["lead"].key, world.table.rows["lead"].cells["owner"]) == (NEW, "Ann")
    assert result.tally.conflicts == 0
    world.hooks.clear()
    result = world.run()
    assert (result.tally.conflicts, world.table.rows["lead"].cells["owner"]) == (1, "Bob")


@pytest.mark.parametrize(("name", "typed", "cleared"), [("owner", "Ann", None), ("value", 3, 0)])
def test_a_value_cleared_in_a_lost_deal_before_it_is_found_is_a_later_edit(
    world: World, name: str, typed: Raw, cleared: Raw
) -> None:
    world.table.rows["lead"].cells[name] = typed
    lost(world)
    world.clock.advance(30.0)
    world.crm.put(NEW, **{name: cleared})
    fired = [one for one in world.crm.triggers if one[0] == NEW]
    world.crm.lag = 0.0
    for _ in range(3):
        world.run(70.0)
    assert (world.crm.now(NEW) or {})[name] == cleared
    assert world.table.rows["lead"].cells[name] in (None, 0)
    assert [one for one in world.crm.triggers if one[0] == NEW] == fired


def test_a_row_edited_while_its_contact_is_looked_for_is_made_as_it_is_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = world.crm.contact_for

    def slowly(person: Person) -> str | Refused | Lost:
        found = find(person)
        world.clock.advance(30.0)
        world.table.put("lead", None, **{**LEAD, "name": "Other"})
        return found

    monkeypatch.setattr(world.crm, "contact_for", slowly)
    world.run()
    assert world.crm.creates() == []
    monkeypatch.undo()
    world.run(70.0)
    assert (world.crm.now(NEW) or {})["name"] == "Other"


# --- whose the newest stamp of a new deal is -------------------------------------------------------------------------


def test_an_edit_in_the_very_second_of_the_making_is_a_persons(world: World) -> None:
    """Another edit in the row, ten seconds before it, is the earlier one for certain, and no tie."""
    world.pair.tie_side = Side.TABLE

    def edits(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "create", "before"):
            world.table.put("lead", None, value=9)
            world.clock.advance(10.0)
        if (who, verb, phase) == ("crm", "create", "after"):
            world.clock.advance(0.3)
            world.crm.put(NEW, value=5)

    world.hooks.append(edits)
    lost(world)
    world.hooks.clear()
    world.crm.lag = 0.0
    for _ in range(3):
        world.run()
    assert ((world.crm.now(NEW) or {})["value"], world.table.rows["lead"].cells["value"]) == (5, 5)


def test_an_edit_of_what_the_row_left_open_is_a_persons(world: World) -> None:
    """All that was written is there as it was written; the deal was touched since all the same."""
    world.pair.tie_side = Side.TABLE
    lost(world)
    world.table.put("lead", None, owner="Bob")
    world.clock.advance(30.0)
    world.crm.put(NEW, owner="u1")
    world.crm.lag = 0.0
    for _ in range(3):
        world.run()
    assert ((world.crm.now(NEW) or {})["owner"], world.table.rows["lead"].cells["owner"]) == ("u1", "Ann")
