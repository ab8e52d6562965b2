"""Rows that become deals, through the command line over HTTP: once each, for their contact, workflows fired once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Answer, Faulty, Request
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import LOST, intercept, running, wait_for

LEAD = {"Name": "New roof", "Email": "jo.new@mail.example", "Pipeline": "Sales"}
CONTACT, DEAL = "/contacts/", "/opportunities/"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A filled table of eight deals."""
    with Desk(tmp_path, deals=8) as rig:
        rig.later()
        rig.fill()
        rig.later()
        yield rig


def typed(rig: Desk, **cells: Any) -> str:
    """A person types a new row."""
    return rig.airtable.person_add(TABLE, {**LEAD, **cells})


def born(rig: Desk) -> list[str]:
    """The deals that syncd made, by the workflows that started for them."""
    return [one.deal_id for one in rig.highlevel.triggers if (one.kind, one.source) == ("OpportunityCreate", "api")]


def posts(rig: Desk, path: str) -> int:
    """How many requests to make a deal, or a contact, were sent."""
    return sum(line.method == "POST" and line.path == path for line in rig.sandbox.crm_http.log)


def only(rig: Desk, row: str) -> str:
    """Asserts that one deal and one contact were made, for this row, and that everything is at rest; returns its id."""
    (deal,) = born(rig)
    assert rig.airtable.row(TABLE, row)["GHL ID"] == deal
    assert rig.fired() == [(deal, "")], "its creation alone"
    assert len(rig.deals()) == len(rig.airtable.rows(TABLE)) == 9
    assert [one["email"] for one in rig.highlevel.contacts].count(LEAD["Email"]) == 1
    rig.rests()
    assert rig.sandbox.differences() == []
    assert rig.run("status", "--json").json["unsettled"] == 0
    return deal


def test_a_row_with_a_name_and_an_address_becomes_a_deal(rig: Desk) -> None:
    user = rig.highlevel.users[0]
    row = typed(
        rig, Contact="Jo New", Company="New Homes", Phone="+1 (555) 010-7788", Value=1200.5, Owner=user["name"],
        Stage="🔥 Hot", Status="won",
    )  # fmt: skip
    plan = rig.run("plan", "--json")
    assert plan.code == 0
    assert [(one["side"], one["row"]) for one in plan.json["create"]] == [("crm", row)]
    assert "deal for “New roof”" in rig.run("plan").out
    assert born(rig) == []
    printed = rig.reconcile()
    assert printed["created"] == {"crm": 1, "table": 0}
    assert (posts(rig, CONTACT), posts(rig, DEAL)) == (1, 1)
    (deal,) = born(rig)
    held = rig.highlevel.deal(deal)
    assert rig.stage(deal) == ("Sales", "🔥 Hot")
    assert (held["name"], held["status"], held["monetaryValue"]) == ("New roof", "won", 1200.5)
    assert held["assignedTo"] == user["id"]
    contact = held["contact"]
    assert (contact["name"], contact["companyName"], contact["phone"]) == ("Jo New", "New Homes", "+15550107788")
    rig.reconcile()
    assert rig.airtable.row(TABLE, row)["Phone"] == "+15550107788", "in HighLevel's form"
    only(rig, row)
    assert "deal made: “New roof”" in rig.run("history").out
    rig.type(deal, Value=7)
    rig.expect(fired=[(deal, "monetaryValue")])
    rig.highlevel.person_edit(deal, status="lost")
    rig.expect(cells=[(deal, "Status")])


def test_a_row_with_the_least_gets_the_first_stage_and_is_filled(rig: Desk) -> None:
    row = typed(rig)
    rig.reconcile()
    deal = only(rig, row)
    first = rig.highlevel.pipelines[0]["stages"][0]["name"]
    assert (rig.stage(deal)[1], rig.read(deal, "status")) == (first, "open")
    assert (rig.airtable.row(TABLE, row)["Stage"], rig.airtable.row(TABLE, row)["Status"]) == (first, "open")
    assert len(rig.table_writes()) == 0


def test_what_a_row_lacks_stands_in_its_sync_cell(rig: Desk) -> None:
    """Exit 3 and one message, until it is typed; a blank row is ignored."""
    row = typed(rig, Email=None)
    rig.airtable.person_add(TABLE)
    rig.expect(told=1, code=3)
    assert "needs “Email” or “Phone”" in rig.airtable.row(TABLE, row)["Sync"]
    assert rig.run("status", "--json").json["rows_without_id"] == 1
    rig.airtable.person_edit(TABLE, row, {"Email": LEAD["Email"], "Pipeline": None})
    rig.expect(told=1, code=3)
    assert "Choose “Pipeline”: Sales" in rig.airtable.row(TABLE, row)["Sync"]
    rig.airtable.person_edit(TABLE, row, {"Pipeline": "Sales"})
    rig.forget_log()
    rig.reconcile()
    assert len(born(rig)) == 1
    assert "Sync" not in rig.airtable.row(TABLE, row)
    rig.rests()


def test_a_known_contact_is_used_and_not_changed(rig: Desk) -> None:
    """By its address in another case; with its own name. The Sync cell says what HighLevel holds."""
    rig.highlevel.allow_duplicates = True
    known = next(one for one in rig.highlevel.contacts if one["email"])
    row = typed(rig, Email=known["email"].upper(), Contact="Another Name", Company="Another Company")
    rig.reconcile()
    assert posts(rig, CONTACT) == 0
    assert known in rig.highlevel.contacts, "not touched"
    (deal,) = born(rig)
    assert rig.read(deal, "contactId") == known["id"]
    rig.reconcile()
    shown = rig.airtable.row(TABLE, row)
    assert (shown["Contact"], shown["Email"]) == ("Another Name", known["email"])
    assert "HighLevel owns “Contact”" in shown["Sync"]
    rig.rests()


def test_a_number_alone_finds_the_contact(rig: Desk) -> None:
    rig.highlevel.allow_duplicates = True
    known = next(one for one in rig.highlevel.contacts if one["phone"])
    typed(rig, Email=None, Phone=f"{known['phone'][:2]} {known['phone'][2:]}")
    rig.reconcile()
    assert rig.read(born(rig)[0], "contactId") == known["id"]
    assert posts(rig, CONTACT) == 0


def test_the_deal_in_the_way_is_named(rig: Desk) -> None:
    """The location allows one deal per contact and pipeline, and that has its row: its id goes into no second one."""
    row = typed(rig)
    rig.reconcile()
    (first,) = born(rig)
    second = typed(rig, Name="Second roof")
    rig.forget_log()
    printed = rig.reconcile(expect=3)
    assert (printed["created"]["crm"], printed["failed"], born(rig)) == (0, 1, [])
    rig.reconcile(expect=3)
    told = rig.airtable.row(TABLE, second)["Sync"]
    assert "has the deal “New roof” already, and that has a row of its own. Delete this row" in told
    rig.rests(3)
    assert rig.airtable.row(TABLE, row)["GHL ID"] == first
    rig.highlevel.allow_duplicates = True
    rig.airtable.person_edit(TABLE, second, {"Value": 5})
    rig.reconcile()
    assert len(born(rig)) == 1
    assert "Sync" not in rig.airtable.row(TABLE, second)


def test_a_missing_scope_is_named_and_everything_else_goes_on(rig: Desk) -> None:
    rows = [typed(rig), typed(rig, Name="Second", Email="second@mail.example")]
    deal = str(rig.deals()[0]["id"])
    rig.type(deal, Value=4321)
    scopes = rig.highlevel.scopes
    rig.highlevel.scopes = scopes - {"contacts.write"}
    ran = rig.run("--reconcile")
    assert ran.code == 3
    assert "contacts.write" in ran.out + ran.err
    assert rig.fired() == [(deal, "monetaryValue")]
    assert posts(rig, CONTACT) == 1, "tried once a pass"
    rig.highlevel.scopes = scopes
    rig.reconcile()
    assert sorted(rig.airtable.row(TABLE, row)["GHL ID"] for row in rows) == sorted(born(rig))


def test_off_leaves_rows_alone(rig: Desk) -> None:
    rig.write_config(policy='new_row = "off"')
    typed(rig)
    rig.rests()
    assert rig.run("status", "--json").json["rows_without_id"] == 1


def test_rows_that_may_be_deals_wait_for_a_person(rig: Desk) -> None:
    """A deal and a row of one address: no row, no deal, exit 3, counted; a deal and a row of their own go on."""
    rig.highlevel.person_create(name="From a form", contact={"firstName": "Jo", "email": LEAD["Email"]})
    other = rig.highlevel.person_create(name="Of its own")
    typed(rig)
    printed = rig.reconcile(expect=3)
    assert printed["created"] == {"crm": 0, "table": 1}
    assert rig.airtable.find_rows(TABLE, "GHL ID", other)
    assert (posts(rig, CONTACT), posts(rig, DEAL)) == (0, 0)
    found = rig.run("status", "--json").json
    assert (found["matches"], found["rows_without_id"], found["needs_person"]) == (1, 1, 1)
    assert "1 row may be deals that have no row yet" in rig.run("status").out
    plan = rig.run("plan", "--json")
    assert (plan.code, plan.json["matches"][0]["by"]) == (3, ["email"])
    rig.rests(3)


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("path", [CONTACT, DEAL])
def test_a_lost_answer_makes_none_twice(rig: Desk, path: str, effect: bool) -> None:
    row = typed(rig)

    def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        if effect:
            pass_on(request)
        return LOST

    stands = intercept(rig.sandbox.crm_http, act, "POST", path)
    waits = path == DEAL and not effect  # whether it was made, only search can tell, when it has had its time
    for failed in (True, waits):  # of a contact's making nothing is known but that no deal was asked for
        failed = failed and not (path == DEAL and effect)
        assert rig.reconcile(expect=int(failed))["failed"] == failed
    assert stands.times == 0
    if waits:
        rig.write_config(pair='read_lag = "10ms"')
    for _ in range(3):
        rig.reconcile()
    only(rig, row)


def test_a_lost_answer_about_the_key_heals(rig: Desk) -> None:
    row = typed(rig)
    intercept(rig.sandbox.table_http, lambda request, pass_on: LOST, "PATCH", "/v0/", contains=row)
    rig.run("--reconcile")
    assert len(born(rig)) == 1
    for _ in range(2):
        rig.reconcile()
    only(rig, row)


def killed_at(rig: Desk, http: Faulty, method: str, path: str, *, effect: bool, contains: str = "") -> None:
    """A pass that is killed right before, or right after, a request takes effect."""
    victims: list[subprocess.Popen[str]] = []

    def act(request: Request, pass_on: Callable[[Request], Answer]) -> Answer:
        if effect:
            pass_on(request)
        wait_for(lambda: victims, "the process is known")
        victims[0].kill()
        victims[0].wait()
        return LOST

    stands = intercept(http, act, method, path, contains=contains)
    with running(rig, "--reconcile") as process:
        victims.append(process)
        wait_for(lambda: process.poll() is not None, "the pass is killed", seconds=60.0)
        assert process.returncode == -9
    assert stands.times == 0


@pytest.mark.parametrize("effect", [False, True])
def test_killed_at_the_contact_the_deal_and_the_key(rig: Desk, effect: bool) -> None:
    rig.write_config(pair='read_lag = "10ms"')
    row = typed(rig)
    crm, table = rig.sandbox.crm_http, rig.sandbox.table_http
    killed_at(rig, crm, "POST", CONTACT, effect=effect)
    killed_at(rig, crm, "POST", DEAL, effect=effect)
    killed_at(rig, table, "PATCH", "/v0/", effect=effect, contains=row)
    for _ in range(2):
        rig.reconcile()
    only(rig, row)


def test_search_that_lags_brings_no_second_row(rig: Desk) -> None:
    rig.highlevel.lag_seconds = 150.0
    row = typed(rig)
    for _ in range(5):
        rig.reconcile()
        rig.later(50)
        assert len(rig.airtable.rows(TABLE)) == 9
    only(rig, row)
