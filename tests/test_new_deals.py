"""Rows that become deals (SPEC §§3.5, 5): once each, whatever is lost, killed, late, edited or deleted meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from syncd import look as looking
from syncd.carry import FIRST_PAUSE_SECONDS, SOURCE_AGE_SECONDS
from syncd.carry_deals import FOUND, NOT_ASKED, NOT_FOUND
from syncd.look import look
from syncd.model import Direction, Raw, Side
from syncd.opened import open_pair
from syncd.plan import Trouble, make_plan
from syncd.reconcile import PassResult
from syncd.sides import Column, Person, Refused
from tests.memory import COLUMNS, FIELD_NAMES, VOCABULARY, Crash, World, field_of

A, B = "dealAAA1", "dealBBB2"
NEW = "dealNew1"
OF_CONTACT = ("contact", "email", "phone", "company")
LEAD: Mapping[str, Raw] = {"name": "Roof", "email": "jo@x.example", "pipeline": "Sales"}


def world_in(folder: Path, *deals: str) -> World:
    """A world whose table has the contact's columns."""
    world = World(folder, [field_of(name) for name in (*FIELD_NAMES, *OF_CONTACT)])
    world.table.columns = {**COLUMNS, **{name: Column(f"fld{name}", name.title(), "text") for name in OF_CONTACT}}
    return world.filled(*deals)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One deal with its row, agreed on; nothing is in the logs."""
    return world_in(tmp_path, A)


def lead(world: World, row: str = "lead", /, **cells: Raw) -> None:
    """A person types a new row."""
    world.table.put(row, None, **{**LEAD, **cells})


def made(world: World) -> list[str]:
    """The deals that were made, in order."""
    return world.crm.creates()


def only(world: World, row: str = "lead") -> str:
    """Asserts that this row's deal is the only one made: one contact, one deal, one row, its key, a link, rest."""
    assert [len(world.crm.contacts), len(made(world)), len(world.crm.deals)] == [1, 1, 2]
    assert len(world.table.rows) == 2
    deal = made(world)[0]
    assert world.table.rows[row].key == deal
    assert world.crm.triggers.count((deal, "created")) == 1
    assert world.store.open_writes() == []
    assert world.store.count_links() == 2
    world.agree(deal)
    return deal


def until_rest(world: World, seconds: float = 60.0) -> None:
    """Passes until nothing moves."""
    for _ in range(6):
        assert world.run(seconds).error == ""
    before = world.writes()
    assert world.run(seconds).code == 0
    assert world.writes() == before


def when(world: World, who: str, verb: str, phase: str, act: Callable[[], None]) -> None:
    """Does `act` once, at the first such step."""

    def hook(a_who: str, a_verb: str, a_phase: str, _what: object) -> None:
        if (a_who, a_verb, a_phase) == (who, verb, phase):
            world.hooks.remove(hook)
            act()

    world.hooks.append(hook)


def troubles(result: PassResult) -> list[Trouble]:
    """What waits."""
    return sorted(finding.trouble for finding in result.findings)


def said(world: World, row: str = "lead") -> str:
    """The row's Sync cell."""
    return world.table.rows[row].message


# --- what becomes a deal ---------------------------------------------------------------------------------------------


def test_a_row_with_name_and_email_becomes_a_deal_in_one_pass(world: World) -> None:
    lead(world, owner="bob", value="1,200.50", source="Fair", contact="Jo Park", company="Acme", phone="+1 (555) 777")
    result = world.run()
    assert (result.error, result.code, result.links, result.rows_without_id) == ("", 0, 2, 0)
    assert result.tally.created == {Side.CRM: 1, Side.TABLE: 0}
    assert world.crm.contacts == {"contact1": Person("Jo Park", "jo@x.example", "+1555777", "Acme")}
    assert world.crm.log[0].changes == {
        "name": (None, "Roof"), "stage": (None, ["p1", "s1"]), "status": (None, "open"), "value": (None, 1200.5),
        "owner": (None, "u2"),
    }  # fmt: skip
    row = world.table.rows["lead"]
    assert (row.key, row.cells["stage"], row.cells["status"], row.cells["phone"]) == (NEW, "New", "open", "+1555777")
    assert [write.verb for write in world.table.log] == ["update"], "the key and what was blank, in one write"
    assert world.crm.triggers == [(NEW, "created")]
    assert world.run().code == 0
    assert row.cells["source"] == "Fair", "HighLevel owns the column; what was typed stays"
    assert "Source" in said(world)
    assert [write.side for write in world.store.history() if write.action == "create" and write.deal == NEW] == ["crm"]
    before = world.writes()
    world.run()
    assert world.writes() == before


def test_what_was_typed_stays_in_stage_status_and_value(world: World) -> None:
    lead(world, pipeline="service", stage="DONE", status="Won", value=7)
    world.run()
    assert world.crm.now(NEW)["stage"] == ["p2", "t2"]  # type: ignore[index]
    assert (world.crm.now(NEW)["status"], world.crm.now(NEW)["value"]) == ("won", 7)  # type: ignore[index]
    cells = world.table.rows["lead"].cells
    assert (cells["pipeline"], cells["stage"], cells["status"]) == ("service", "DONE", "Won")
    until_rest(world)
    only(world)


def test_edits_of_a_new_deal_travel_both_ways(world: World) -> None:
    lead(world)
    world.run()
    world.table.put("lead", None, value=9)
    world.crm.put(NEW, status="won", owner="u1")
    world.run()
    assert world.crm.now(NEW)["value"] == 9  # type: ignore[index]
    assert (world.table.rows["lead"].cells["status"], world.table.rows["lead"].cells["owner"]) == ("won", "Ann")
    only(world)


def test_a_contact_that_is_there_is_used_and_not_changed(world: World) -> None:
    known = Person("Jo Park", "JO@x.example", "+1555123", "Acme")
    world.crm.contacts["c9"] = known
    lead(world, contact="Somebody else", phone="+1999888")
    world.run()
    assert world.crm.contacts == {"c9": known}
    assert world.crm.contact_of[NEW] == "c9"
    world.run()
    cells = world.table.rows["lead"].cells
    assert (cells["contact"], cells["phone"], cells["company"]) == ("Somebody else", "+1999888", "Acme")
    assert cells["email"] == "JO@x.example", "the same address in HighLevel's form"
    assert "“Contact” and holds “Jo Park”" in said(world)
    before = world.writes()
    world.run()
    assert world.writes() == before


def test_two_rows_of_one_contact_are_two_deals(world: World) -> None:
    lead(world, "one")
    lead(world, "two")
    result = world.run()
    assert result.tally.created[Side.CRM] == 2
    assert len(world.crm.contacts) == 1
    keys = {world.table.rows[row].key for row in ("one", "two")}
    assert keys == set(made(world)) == {"dealNew1", "dealNew2"}
    until_rest(world)
    assert len(made(world)) == 2


def test_twelve_rows_are_twelve_deals_and_their_keys_two_writes(world: World) -> None:
    for n in range(12):
        lead(world, f"row{n:02}", name=f"Roof {n}", email=f"p{n}@x.example")
    calls = world.table.calls
    assert world.run().tally.created[Side.CRM] == 12
    assert world.table.calls - calls == 2 + 1 + 2 + 2, "schema and sweep; the rows; (read and write) of keys twice"
    assert [world.table.rows[f"row{n:02}"].key for n in range(12)] == made(world)


def test_search_that_lags_longer_than_passes_brings_no_second_row(world: World) -> None:
    world.crm.lag = 300.0
    lead(world)
    for _ in range(8):
        assert world.run(40).error == ""
        assert len(world.table.rows) == 2
    world.table.put("lead", None, value=5)
    world.run()
    assert world.crm.now(NEW)["value"] == 5  # type: ignore[index]
    only(world)


# --- what does not become a deal -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"name": ""}, "To become a deal, this row needs “Name”."),
        ({"email": " "}, "To become a deal, this row needs “Email” or “Phone”."),
        ({"name": None, "email": None}, "To become a deal, this row needs “Name”, and “Email” or “Phone”."),
        ({"email": "jo at x"}, "“jo at x” is no e-mail address."),
        ({"email": None, "phone": "555 1234"}, "“555 1234” is no international number."),
        ({"pipeline": ""}, "Choose “Pipeline”: Sales, Service."),
        ({"pipeline": "Nope"}, "Pipeline “Nope” does not exist. Choose one of: Sales, Service."),
        ({"pipeline": "archive"}, "Pipeline “Archive” is not synced. Choose one of: Sales, Service."),
        ({"stage": "Nope"}, "Stage “Nope” is not in pipeline “Sales”."),
        ({"status": "Nope"}, "Status “Nope” does not exist."),
        ({"owner": "Nope"}, "Owner “Nope” is no single user"),
        ({"value": "12,50"}, "“12,50” is not a number"),
    ],
)
def test_a_row_that_lacks_something_says_so_until_it_is_there(
    world: World, cells: dict[str, Raw], sentence: str
) -> None:
    lead(world, **cells)
    for _ in range(2):
        result = world.run()
        assert (result.code, result.rows_without_id, troubles(result)) == (3, 1, [Trouble.LACKING])
        assert sentence in said(world)
        assert world.writes() == (0, 1, 0), "one message, once"
        assert world.crm.contacts == {}
    good: dict[str, Raw] = {**dict.fromkeys(("stage", "status", "owner", "value", "phone")), **LEAD}
    world.table.put("lead", None, **good)
    assert world.run().code == 0
    assert said(world) == ""
    until_rest(world)
    only(world)


def test_a_phone_alone_is_enough_and_a_national_one_beside_an_address_is_left_out(world: World) -> None:
    lead(world, "one", email=None, phone="+49 170-123/45")
    lead(world, "two", name="Other", phone="555 1234")
    assert world.run().tally.created[Side.CRM] == 2
    assert [(one.email, one.phone) for one in world.crm.contacts.values()] == [
        ("", "+4917012345"),
        ("jo@x.example", ""),
    ]
    world.run()
    assert world.table.rows["two"].cells["phone"] == "555 1234"


def test_the_only_synced_pipeline_needs_no_naming(tmp_path: Path) -> None:
    world = World(tmp_path, [field_of(name) for name in (*FIELD_NAMES, "email")])
    columns = {name: column for name, column in COLUMNS.items() if name != "pipeline"}
    world.table.columns = {**columns, "email": Column("fldE", "Email", "text")}
    world.table.put("lead", None, name="Roof", email="jo@x.example")
    assert world.run().code == 3
    assert "has no column “Pipeline”" in said(world)
    service = replace(VOCABULARY.pipelines[1], synced=False)
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(VOCABULARY.pipelines[0], service))
    assert world.run().code == 0
    assert world.crm.now(NEW)["stage"] == ["p1", "s1"]  # type: ignore[index]


def test_a_table_without_email_and_phone_makes_no_deals(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    world.table.put("lead", None, name="Roof", pipeline="Sales")
    assert world.run().code == 3
    assert "the table has no such column" in said(world)


def test_blank_rows_are_ignored_and_with_the_policy_off_all_are_only_counted(world: World) -> None:
    world.table.put("blank", name="  ")
    assert world.run().rows_without_id == 0
    world.pair.new_deals = False
    lead(world)
    lead(world, "poor", email=None)
    result = world.run()
    assert (result.code, result.rows_without_id, result.findings) == (0, 2, [])
    assert world.writes() == (0, 0, 0)


def test_a_row_whose_key_was_cleared_makes_no_second_deal(world: World) -> None:
    """Not while its deal is there, when the key comes back, nor when the deal was deleted and the row stays."""
    lead(world)
    world.run()
    until_rest(world)
    world.table.put("lead", "")
    world.run()
    only(world)
    world.crm.drop(NEW)
    world.run()
    world.table.put("lead", "")
    for _ in range(2):
        assert world.run().rows_without_id == 0
    assert (made(world), said(world)) == ([NEW], "Deleted in HighLevel")


def test_a_column_that_goes_only_to_the_table_makes_nothing_in_the_deal(tmp_path: Path) -> None:
    fields = [field_of(name) for name in ("name", "stage", "status", "email")]
    world = World(tmp_path, [*fields, field_of("value", Direction.TO_TABLE), field_of("owner", Direction.TO_CRM)])
    world.table.columns = {**COLUMNS, "email": Column("fldE", "Email", "text")}
    world.table.put("lead", None, **{**LEAD, "value": 50, "owner": "Ann"})
    world.run()
    assert world.crm.log[0].changes.keys() == {"name", "stage", "status", "owner"}
    world.run()
    assert world.table.rows["lead"].cells["value"] == 50
    assert "Value" in said(world)


# --- somebody is faster ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [{"value": 7}, {"name": "Other roof"}, {"phone": "+1555000"}, {"email": "no@x.y"}])
def test_a_row_edited_since_the_plan_waits_for_the_next_pass(world: World, cells: dict[str, Raw]) -> None:
    lead(world)
    when(world, "table", "sweep", "after", lambda: world.table.put("lead", None, **cells))
    result = world.run()
    assert (result.tally.waiting, made(world), world.crm.contacts) == (1, [], {})
    until_rest(world)
    only(world)


@pytest.mark.parametrize("gone", [True, False])
def test_a_row_that_got_a_key_or_was_deleted_since_the_plan_is_left_alone(world: World, gone: bool) -> None:
    lead(world)
    since = (lambda: world.table.drop("lead")) if gone else (lambda: world.table.put("lead", "somekey1"))
    when(world, "table", "sweep", "after", since)
    assert world.run().tally.waiting == 1
    assert (made(world), world.crm.contacts) == ([], {})


def test_rows_are_read_again_when_making_deals_takes_long(world: World) -> None:
    for n in range(3):
        lead(world, f"row{n}", name=f"Roof {n}")
    world.crm.latency = SOURCE_AGE_SECONDS
    hook_at = [0]

    def late(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "create", "after"):
            hook_at[0] += 1
            if hook_at[0] == 1:
                world.table.put("row2", None, value=99)

    world.hooks.append(late)
    assert world.run().tally.waiting == 1
    assert len(made(world)) == 2
    world.hooks.clear()
    world.run()
    assert world.crm.now("dealNew3")["value"] == 99  # type: ignore[index]


@pytest.mark.parametrize(
    "moment", [("contact", "before"), ("contact", "after"), ("create", "before"), ("create", "after")]
)
def test_a_row_edited_while_its_deal_is_made_keeps_the_edit(world: World, moment: tuple[str, str]) -> None:
    lead(world, value=1)
    when(world, "crm", *moment, lambda: world.table.put("lead", None, value=2, name="Edited", status="lost"))
    world.run()
    until_rest(world)
    deal = only(world)
    assert world.crm.now(deal)["value"] == 2  # type: ignore[index]
    assert (world.crm.now(deal)["name"], world.crm.now(deal)["status"]) == ("Edited", "lost")  # type: ignore[index]


@pytest.mark.parametrize("moment", [("contact", "before"), ("create", "before"), ("create", "after")])
def test_a_row_deleted_while_its_deal_is_made_comes_back(world: World, moment: tuple[str, str]) -> None:
    lead(world)
    when(world, "crm", *moment, lambda: world.table.drop("lead"))
    world.run()
    until_rest(world)
    only(world, world.table.row_of(NEW))


def test_a_deal_edited_at_once_keeps_the_edit(world: World) -> None:
    lead(world, value=1)
    when(world, "crm", "create", "after", lambda: world.crm.put(NEW, value=5, status="won"))
    world.run()
    until_rest(world)
    only(world)
    assert (world.table.rows["lead"].cells["value"], world.table.rows["lead"].cells["status"]) == (5, "won")


def test_an_automation_that_gives_the_deal_an_owner_is_a_later_edit(world: World) -> None:
    lead(world)
    when(world, "crm", "create", "after", lambda: world.crm.put(NEW, owner="u2"))
    result = world.run()
    until_rest(world)
    assert world.table.rows["lead"].cells["owner"] == "Bob"
    assert result.tally.conflicts == 0
    only(world)


def test_the_stamp_of_our_own_making_dates_no_edit(world: World) -> None:
    """HighLevel gives the deal an owner as it is made, and a person had typed another: the ties' side decides."""
    world.pair.tie_side = Side.TABLE
    lead(world)

    def meanwhile() -> None:
        world.table.put("lead", None, owner="Bob")
        world.clock.advance(10)

    when(world, "crm", "create", "before", meanwhile)
    when(world, "crm", "create", "after", lambda: world.crm.put(NEW, owner="u1"))
    world.run()
    until_rest(world)
    only(world)
    assert world.crm.now(NEW)["owner"] == "u2"  # type: ignore[index]


def test_it_stops_between_two_deals_when_asked(world: World) -> None:
    lead(world, "one")
    lead(world, "two", name="Other", email="other@x.example")
    when(world, "crm", "create", "after", lambda: setattr(world, "stopping", True))
    assert world.run().stopped
    assert (len(made(world)), world.store.open_writes()) == (1, [])
    world.stopping = False
    until_rest(world)
    assert [world.table.rows[row].key for row in ("one", "two")] == made(world) == ["dealNew1", "dealNew2"]


# --- lost answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["before", "after"])
def test_a_lost_answer_about_the_contact(world: World, loss: str) -> None:
    lead(world)
    world.crm.faults.lost = [loss]
    result = world.run()
    assert (made(world), result.unsettled) == ([], 0)
    assert world.store.history()[0].note == NOT_ASKED
    until_rest(world)
    only(world)


def test_a_lost_answer_about_a_deal_that_was_made_is_adopted_at_once(world: World) -> None:
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    result = world.run()
    assert (result.code, result.tally.created[Side.CRM]) == (0, 1)
    until_rest(world)
    only(world)


def test_a_lost_answer_about_a_deal_that_was_not_made_waits_one_lag(world: World) -> None:
    lead(world)
    world.crm.faults.lost = ["", "before"]
    result = world.run()
    assert (result.code, result.unsettled) == (1, 1)
    result = world.run(40)
    assert (result.unsettled, made(world), troubles(result)) == (1, [], [Trouble.UNSETTLED])
    assert result.rows_without_id == 1
    result = world.run(40)
    assert (result.code, len(made(world))) == (0, 1)
    assert [write.note for write in world.store.lost_deals("lead", NOT_FOUND)] == [NOT_FOUND]
    until_rest(world)
    only(world)


def test_search_has_its_time_from_the_loss_on_not_from_the_intent(world: World) -> None:
    """The request itself took longer than a read lag, as with a server that says again and again to come later."""
    world.crm.lag = 50.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    when(world, "crm", "create", "before", lambda: world.clock.advance(100))
    assert world.run().unsettled == 1
    until_rest(world)
    only(world)


@pytest.mark.parametrize("seconds", [-3600.0, -10.0, 10.0, 3600.0])
def test_a_lost_deal_is_found_though_our_own_clock_was_set_since(world: World, seconds: float) -> None:
    """Set back, the deal would look older than the intent; put forward, search would seem to have had its time."""
    world.crm.lag = 50.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    assert world.run().unsettled == 1
    clock_is_set(world, seconds)
    assert world.run(10).unsettled == 1
    until_rest(world)
    only(world)
    assert [write.note for write in world.store.history() if write.deal == NEW and write.side is Side.CRM] == [FOUND]


def test_a_deal_of_before_is_not_adopted_though_our_own_clock_was_set_since(world: World) -> None:
    world.crm.contacts["c1"] = Person("Jo", "jo@x.example")
    world.crm.person_makes("dealP1", "c1", name="Roof", stage=["p1", "s1"], status="open")
    world.crm.hidden.add("dealP1")  # else it would be a match
    world.clock.advance(5)
    lead(world)
    world.crm.faults.lost = ["before"]
    assert world.run().unsettled == 1
    world.crm.hidden.clear()
    clock_is_set(world, 100.0)
    assert world.run(10).unsettled == 1
    assert world.table.rows["lead"].key is None


def test_an_intent_of_an_older_version_is_settled_by_our_own_clock(world: World) -> None:
    world.crm.lag = 50.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    assert world.run().unsettled == 1
    [write] = world.store.open_writes()
    kept = json.loads(write.before)
    del kept["asked"], kept["offset"]
    with world.store.tx():
        world.store.put_before(write.id, json.dumps(kept))
    until_rest(world)
    only(world)


def clock_is_set(world: World, seconds: float) -> None:
    """Our own clock is set by so much; the servers' clocks go on."""
    world.clock.now += seconds
    for versions in world.crm.deals.values():  # the index is as late as it was
        versions[:] = [replace(version, at=version.at + seconds) for version in versions]
    world.crm.clock_offset += seconds
    world.table.clock_offset += seconds


def test_a_lost_deal_that_search_shows_late_gets_no_second_row(world: World) -> None:
    """Search lags less than one read lag, and shows the deal to the sweep before it shows it by contact."""
    world.crm.lag = 50.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    assert world.run().unsettled == 1
    held = []

    def shown(who: str, verb: str, phase: str, _what: object) -> None:
        if (who, verb, phase) == ("crm", "sweep", "before"):
            held.append(world.crm.lag)
            world.crm.lag = 0.0
        elif (who, verb, phase) == ("crm", "sweep", "after"):
            world.crm.lag = 50.0

    world.hooks.append(shown)
    result = world.run(20)
    assert held
    assert troubles(result) == [Trouble.UNSETTLED] * 2, "the row waits, and so does the deal"
    assert (len(world.table.rows), result.unsettled) == (2, 1)
    world.hooks.clear()
    until_rest(world, 31)
    only(world)


def test_what_is_adopted_keeps_edits_of_both_sides(world: World) -> None:
    world.crm.lag = 30.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    world.run()
    world.table.put("lead", None, value=4)
    world.crm.put(NEW, status="won")
    until_rest(world)
    only(world)
    held = world.crm.now(NEW)
    assert held is not None
    assert (held["value"], held["status"]) == (4, "won")
    assert world.table.rows["lead"].cells["status"] == "won"


@pytest.mark.parametrize(
    ("edit", "row"),
    [({"value": 12}, {"value": 12, "name": "Roof"}), ({"name": "ROOF"}, {"value": 12.5, "name": "ROOF"})],
)
def test_what_was_edited_in_a_deal_before_it_is_found_is_no_form_of_the_servers(
    world: World, edit: dict[str, Raw], row: dict[str, Raw]
) -> None:
    """Fewer decimals or other case would be taken for it, as they are in a deal that nobody has touched."""
    world.crm.lag = 30.0
    lead(world, value=12.5)
    world.crm.faults.lost = ["", "after"]
    assert world.run().unsettled == 1
    world.clock.advance(5.0)
    world.crm.put(NEW, **edit)
    until_rest(world)
    only(world)
    cells = world.table.rows["lead"].cells
    assert {name: cells[name] for name in row} == row


def test_the_form_into_which_a_server_put_a_new_deal_is_no_edit(world: World) -> None:
    world.crm.faults.tidy = lambda name, raw: str(raw).upper() if name == "name" else raw
    lead(world)
    world.crm.faults.lost = ["", "after"]
    world.run()
    until_rest(world)
    only_made = world.crm.now(NEW)
    assert only_made is not None
    assert (only_made["name"], world.table.rows["lead"].cells["name"]) == ("ROOF", "Roof")


def test_a_deal_of_before_or_of_another_row_is_not_adopted(world: World) -> None:
    """The same contact, pipeline and name, made long before, linked; and one that was made since, by another name."""
    lead(world, "old")
    world.run()
    lead(world)
    world.crm.faults.lost = ["before"]  # the contact is there, so this is the deal's
    world.run()
    assert len(world.store.open_writes()) == 1
    world.crm.person_makes("dealP1", "contact1", name="Roof top", stage=["p1", "s1"], status="open")
    world.crm.person_makes("dealP2", "contact1", name="Roof", stage=["p2", "t1"], status="open")
    world.crm.contacts["c2"] = Person("Other", "o@x.example")
    world.crm.person_makes("dealP3", "c2", name="Roof", stage=["p1", "s1"], status="open")
    assert world.run(10).unsettled == 1
    assert world.table.rows["lead"].key is None


def test_the_deal_of_a_twin_made_a_moment_before_is_not_adopted(world: World) -> None:
    lead(world, "one")
    lead(world, "two")
    world.crm.faults.lost = ["", "", "before"]
    assert world.run().unsettled == 1
    assert (world.table.rows["one"].key, world.table.rows["two"].key) == (NEW, None)
    until_rest(world)
    assert [world.table.rows[row].key for row in ("one", "two")] == made(world) == [NEW, "dealNew2"]


def test_an_unlinked_deal_of_long_before_is_not_adopted(world: World) -> None:
    world.crm.contacts["c1"] = Person("Jo", "jo@x.example")
    world.crm.person_makes("dealP1", "c1", name="Roof", stage=["p1", "s1"], status="open")
    world.crm.hidden.add("dealP1")  # else it would be a match
    lead(world)
    world.crm.faults.lost = ["before"]
    world.run()
    world.crm.hidden.clear()
    result = world.run(10)
    assert (result.unsettled, world.table.rows["lead"].key) == (1, None)
    assert len(world.table.rows) == 2, "no row for it either, until it is known"


def test_a_twin_waits_until_it_is_known_what_became_of_the_first(world: World) -> None:
    lead(world, "one", value=1)
    lead(world, "two", value=2)
    world.crm.lag = 30.0
    world.crm.faults.lost = ["", "after"]
    result = world.run()
    assert (len(made(world)), result.tally.waiting, result.unsettled) == (1, 1, 1)
    result = world.run(10)
    assert len(made(world)) == 1
    until_rest(world)
    values = [(world.crm.now(world.table.rows[row].key or "") or {})["value"] for row in ("one", "two")]
    assert (values, len(made(world)), len(world.crm.contacts)) == ([1, 2], 2, 1)


def test_a_lost_answer_about_the_key_heals(world: World) -> None:
    for loss in ("before", "after"):
        row = f"row {loss}"
        lead(world, row, name=row, email=f"{loss}@x.example")
        world.table.faults.lost = [loss]
        world.run()
        until_rest(world)
        assert world.table.rows[row].key in made(world)
    assert (len(made(world)), len(world.table.rows)) == (2, 3)


def test_a_side_that_goes_down_at_any_call_makes_none_twice(tmp_path: Path) -> None:
    ends = {Side.CRM: 0, Side.TABLE: 0}
    for side in Side:
        for nth in range(1, 30):
            world = world_in(tmp_path / f"{side}{nth}", A)
            lead(world)
            failing = world.crm if side is Side.CRM else world.table
            failing.faults.down_from = failing.calls + nth
            result = world.run()
            failing.faults.down_from = None
            if not result.error:
                break
            ends[side] += 1
            assert world.store.open_writes() == [], "what was never sent is known not to have happened"
            until_rest(world)
            only(world)
            world.close()
    assert min(ends.values()) >= 4


# --- crashes ---------------------------------------------------------------------------------------------------------

Story = Callable[[World], None]


def simple(world: World) -> None:
    """One row, a contact to be made."""
    lead(world, value=3)


def lagging(world: World) -> None:
    """Search is behind by less than a read lag."""
    world.crm.lag = 45.0
    lead(world, value=3)


def no_second(world: World) -> None:
    """The location allows one deal a contact and pipeline, and search lags longer than a read lag."""
    world.crm.lag = 200.0
    world.crm.allow_duplicates = False
    lead(world, value=3)


def answers_lost(world: World) -> None:
    """Every answer that can be lost is: the contact's, then the deal's, then the key's."""
    lead(world, value=3)
    world.crm.faults.lost = ["after", "after"]
    world.table.faults.lost = ["after"]


@pytest.mark.parametrize("story", [simple, lagging, no_second, answers_lost])
def test_killed_at_any_step_there_is_one_deal_one_contact_and_one_row(
    tmp_path: Path, story: Story, record_property: Callable[[str, object], None]
) -> None:
    kills = made_before = 0
    for step in range(1, 200):
        world = world_in(tmp_path / str(step), A)
        story(world)
        world.steps.clear()
        world.crash_at = step
        try:
            world.run()
        except Crash:
            kills += 1
            made_before += bool(made(world))
            world.restart()
        else:
            break
        finally:
            world.crash_at = None
        until_rest(world, 45)
        deal = only(world)
        assert world.crm.now(deal)["value"] == 3, step  # type: ignore[index]
        world.close()
    else:
        pytest.fail("a pass has no end")
    assert kills >= 18
    record_property("kills at a step", kills)
    assert made_before >= (5 if story is not answers_lost else 0)


@pytest.mark.parametrize("story", [simple, lagging, answers_lost])
def test_killed_twice_there_is_one_deal_one_contact_and_one_row(
    tmp_path: Path, story: Story, record_property: Callable[[str, object], None]
) -> None:
    kills = 0
    for first in range(13, 40, 5):
        for second in range(3, 40, 7):
            world = world_in(tmp_path / f"{first}-{second}", A)
            story(world)
            for step in (first, second):
                world.steps.clear()
                world.crash_at = step
                try:
                    world.run(30)
                except Crash:
                    kills += 1
                    world.restart()
                finally:
                    world.crash_at = None
            until_rest(world, 45)
            only(world)
            world.close()
    assert kills >= 20
    record_property("pairs of kills", kills // 2)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_the_deal_in_the_way_is_named_and_not_adopted(world: World) -> None:
    world.crm.allow_duplicates = False
    lead(world, "one")
    world.run()
    lead(world, "two")
    result = world.run()
    told = "This contact has the deal “Roof” already, and that has a row of its own."
    mend = "Delete this row, or allow several deals per contact."
    assert (result.code, result.tally.refusals) == (3, [f"“Roof”: {told} {mend}"])
    result = world.run(FIRST_PAUSE_SECONDS / 4)
    assert (result.code, troubles(result)) == (3, [Trouble.QUARANTINED])
    assert said(world, "two") == f"{told} {mend}"
    assert (len(made(world)), world.table.rows["two"].key) == (1, None)
    creates = world.steps.count(("crm", "create", "before"))
    world.run(1)
    assert world.steps.count(("crm", "create", "before")) == creates, "it rests"
    world.run(FIRST_PAUSE_SECONDS + 1)
    assert world.steps.count(("crm", "create", "before")) == creates + 1
    assert [one.tries for one in world.store.refused()] == [2], "and rests longer"
    world.table.put("two", None, pipeline="Service")
    assert world.run(1).tally.created[Side.CRM] == 1, "an edit is a reason to try at once"
    until_rest(world)
    assert said(world, "two") == ""


@pytest.mark.parametrize("value", [3, 4])
def test_a_lost_deal_that_stands_in_its_own_way_is_adopted(world: World, value: int) -> None:
    """Search lags longer than a read lag: the second try is refused because of the first, which was ours."""
    world.crm.allow_duplicates = False
    world.crm.lag = 500.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    world.run()
    world.table.put("lead", None, value=value)
    assert world.run(61).code == 0
    assert world.table.rows["lead"].key == NEW
    world.crm.lag = 0.0
    until_rest(world)
    only(world)
    assert world.crm.now(NEW)["value"] == value  # type: ignore[index]
    assert world.table.rows["lead"].cells["stage"] == "New", "what was blank is filled"


def test_a_lost_deal_that_stands_in_its_own_way_is_known_though_our_own_clock_was_set(world: World) -> None:
    world.crm.allow_duplicates = False
    world.crm.lag = 500.0
    lead(world, value=3)
    world.crm.faults.lost = ["", "after"]
    world.run()
    clock_is_set(world, -10.0)
    assert world.run(61).code == 0
    assert world.table.rows["lead"].key == NEW


def test_refusals_of_persons_are_each_rows_own(world: World) -> None:
    for n in range(3):
        lead(world, f"row{n}", name=f"Roof {n}", email=f"{'bad' if n < 2 else 'good'}{n}@x.example")
    world.crm.faults.refuse = lambda verb, email, _c: (
        Refused("email must be an email") if verb == "contact" and "bad" in email else None
    )
    result = world.run()
    assert (result.code, len(result.tally.refusals), result.tally.suspended) == (3, 2, [])
    assert result.tally.created[Side.CRM] == 1
    assert said(world, "row0") == "email must be an email", "in the same pass"
    world.crm.faults.refuse = lambda _v, _i, _c: None
    world.table.put("row0", None, email="mended@x.example")
    assert world.run(1).tally.created[Side.CRM] == 1
    assert world.run(FIRST_PAUSE_SECONDS).tally.created[Side.CRM] == 1
    until_rest(world)


def test_another_refusal_of_a_new_row_takes_the_place_of_the_one_before_in_its_pass(world: World) -> None:
    lead(world)
    for sentence in ("No such area.", "No such street."):
        refused = Refused(sentence)
        world.crm.faults.refuse = lambda verb, _i, _c, r=refused: r if verb == "contact" else None  # type: ignore[misc]
        world.run(1e5)
        assert said(world) == sentence


def test_two_rows_with_one_mistake_do_not_stop_the_others(world: World) -> None:
    for n in range(4):
        lead(world, f"row{n}", name=f"{'Long' if n < 2 else 'Good'} {n}", email=f"p{n}@x.example")
    world.crm.faults.refuse = lambda verb, _i, changes: (
        Refused("name is too long", frozenset({0})) if verb == "create" and "Long" in str(changes["name"]) else None
    )
    result = world.run()
    assert (result.tally.created[Side.CRM], len(result.tally.refusals), result.tally.suspended) == (2, 2, [])


def test_a_second_refusal_alike_that_names_nothing_is_no_rows_fault(world: World) -> None:
    for n in range(4):
        lead(world, f"row{n}", name=f"Roof {n}", email=f"p{n}@x.example")
    world.crm.faults.refuse = lambda verb, _i, _c: Refused("The plan is used up.") if verb == "create" else None
    result = world.run()
    assert (result.tally.refusals, result.tally.suspended) == ([], ["The plan is used up."])
    assert (world.steps.count(("crm", "create", "before")), result.tally.waiting) == (2, 2)
    assert world.store.refused() == []
    world.crm.faults.refuse = lambda _v, _i, _c: None
    assert world.run().tally.created[Side.CRM] == 4


def test_a_missing_right_suspends_making_deals_and_is_tried_once_a_pass(world: World) -> None:
    for n in range(3):
        lead(world, f"row{n}", name=f"Roof {n}", email=f"p{n}@x.example")
    world.edit_row(A, value=8)
    world.crm.faults.refuse = lambda verb, _i, _c: Refused("No scope.", everyone=True) if verb == "contact" else None
    for _ in range(2):
        world.steps.clear()
        result = world.run()
        assert (result.code, result.tally.suspended, result.tally.refusals) == (3, ["No scope."], [])
        assert world.steps.count(("crm", "contact", "before")) == 1
    assert world.crm.now(A)["value"] == 8, "everything else goes on"  # type: ignore[index]
    assert world.store.refused() == []
    world.crm.faults.refuse = lambda _v, _i, _c: None
    assert world.run().tally.created[Side.CRM] == 3


def test_a_field_that_everyone_is_refused_is_left_out(world: World) -> None:
    lead(world, owner="Ann", value=5)
    at = FIELD_NAMES.index("owner")
    world.crm.faults.refuse = lambda verb, _i, changes: (
        Refused("No owners.", frozenset({at}), everyone=True) if "owner" in changes and verb != "contact" else None
    )
    world.run()
    assert made(world) == []
    world.edit_row(A, owner="Bob")  # refused first in the next pass, which tells that owners are refused
    world.run()
    assert "owner" not in world.crm.log[-1].changes
    world.crm.faults.refuse = lambda _v, _i, _c: None
    until_rest(world)
    assert world.crm.now(NEW)["owner"] == "u1"  # type: ignore[index]
    only(world)


def test_without_its_name_no_deal_is_made(world: World) -> None:
    lead(world)
    world.edit_row(A, name="Other")
    world.crm.faults.refuse = lambda verb, _i, changes: (
        Refused("No names.", frozenset({0}), everyone=True) if verb == "write" and "name" in changes else None
    )
    result = world.run()
    assert (made(world), world.crm.contacts, result.tally.waiting) == ([], {}, 1)
    world.crm.faults.refuse = lambda _v, _i, _c: None
    until_rest(world)
    only(world)


# --- rows and deals that may be the same -----------------------------------------------------------------------------


def matched(world: World) -> None:
    """A deal without a row and a row without an id, of one name."""
    world.deal(B, name="Roof", value=70)
    lead(world, name=" roof ", value=80)


def test_a_match_leaves_both_alone_and_is_counted(world: World) -> None:
    matched(world)
    for _ in range(2):
        result = world.run()
        assert (result.code, result.matches, result.rows_without_id, troubles(result)) == (3, 1, 1, [Trouble.MATCH])
        assert "1 row may be deals" in result.findings[0].sentence
        assert world.writes() == (0, 0, 0)
    plan = look(world.pair, open_pair(world.pair, keep=False)).plan
    assert [(one.row, one.deal, one.by, one.alone) for one in plan.matches] == [("lead", B, ("name",), True)]
    world.pair.new_deals = False
    assert world.run().matches == 1, "with the policy off, too: a second row for the deal would be as wrong"
    assert world.writes() == (0, 0, 0)


def test_matches_wait_while_all_else_goes_on(world: World) -> None:
    matched(world)
    lead(world, "other", name="Garage", email="g@x.example")
    world.deal("dealCCC3", name="Cellar")
    result = world.run()
    assert result.tally.created == {Side.CRM: 1, Side.TABLE: 1}
    assert world.table.rows["lead"].key is None


def decided(monkeypatch: pytest.MonkeyPatch, *, matched: set[tuple[str, str]], unmatched: set[tuple[str, str]]) -> None:
    """A person approved, and refused, these pairs."""
    sets = {"matched": frozenset(matched), "unmatched": frozenset(unmatched)}
    monkeypatch.setattr(looking, "make_plan", lambda view: make_plan(replace(view, **sets)))


def test_an_approved_match_is_linked_and_the_first_run_rule_decides(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.clock.advance(100)
    world.deal(B, name="Roof", value=70)
    world.clock.advance(100)
    lead(world, name=" roof ", value=80, stage="Qualified")
    decided(monkeypatch, matched={("lead", B)}, unmatched=set())
    world.run()
    assert world.table.rows["lead"].key == B
    until_rest(world)
    assert (made(world), len(world.table.rows), world.crm.contacts) == ([], 2, {})
    held = world.crm.now(B)
    assert held is not None
    assert (held["value"], held["stage"], held["name"]) == (80, ["p1", "s2"], "roof"), "the row was edited later"
    world.agree(B)


@pytest.mark.parametrize("step", range(8, 40, 3))
def test_an_approved_match_survives_a_crash(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_in(tmp_path, A)
    matched(world)
    decided(monkeypatch, matched={("lead", B)}, unmatched=set())
    world.steps.clear()
    world.crash_at = step
    try:
        world.run()
    except Crash:
        world.restart()
    world.crash_at = None
    until_rest(world)
    assert (world.table.rows["lead"].key, made(world), len(world.table.rows)) == (B, [], 2)
    world.agree(B)


def test_a_refused_match_makes_both(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    matched(world)
    decided(monkeypatch, matched=set(), unmatched={("lead", B)})
    result = world.run()
    assert (result.tally.created, result.matches) == ({Side.CRM: 1, Side.TABLE: 1}, 0)
    assert world.table.rows["lead"].key == NEW
    assert world.table.row_of(B) != "lead"
    until_rest(world)
    assert (len(world.table.rows), len(world.crm.deals)) == (3, 3)


def test_an_approval_of_an_ambiguous_match_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    matched(world)
    lead(world, "second", name="ROOF", email="other@x.example")
    decided(monkeypatch, matched={("lead", B)}, unmatched=set())
    result = world.run()
    assert (result.matches, result.code, world.writes()) == (2, 3, (0, 0, 0))
    decided(monkeypatch, matched={("lead", B)}, unmatched={("second", B)})
    assert world.run().code == 0
    until_rest(world)
    assert (world.table.rows["lead"].key, world.table.rows["second"].key) == (B, NEW)
