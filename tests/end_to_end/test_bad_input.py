"""Wrong tokens, names, columns and keys, and answers that are none: a sentence with the mend, and nothing written."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.wire import Answer, Fault, Faulty, Request, Service
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk
from tests.end_to_end.rig import Ran

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
AS_HTML = {"Content-Type": "text/html"}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox in which every deal is open, worth 100, and a New Lead in Sales."""
    with Desk(tmp_path, deals=8) as made:
        for deal in made.deals():
            made.place([deal["id"]], "Sales", "New Lead")
            made.highlevel.person_edit(deal["id"], status="open", monetaryValue=100)
        made.later()
        yield made


def failed(rig: Desk, code: int, *parts: str, **environment: str) -> Ran:
    """A pass that ends with this code and a sentence that holds `parts`, without a traceback and without any write."""
    rig.forget_log()
    ran = rig.run("--reconcile", "--json", **environment)
    assert ran.code == code, ran.out + ran.err
    for part in parts:
        assert part in ran.err
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err
    assert (rig.crm_writes(), rig.table_calls(), rig.fired()) == ([], [], [])
    return ran


# --- what the configuration names ------------------------------------------------------------------------------------


def test_a_refused_token_is_named_with_its_mend(rig: Desk) -> None:
    """Exit 1 for either side: it may have been revoked a moment ago. The pass is printed all the same."""
    ran = failed(rig, 1, "HighLevel refuses the token", "Private Integrations", GHL_TOKEN="pit-wrong")
    assert "HighLevel refuses the token" in ran.json["error"]
    ran = failed(rig, 1, "Airtable refused the token", "airtable.com/create/tokens", AIRTABLE_TOKEN="patWrong")
    assert ran.json["created"] == {"crm": 0, "table": 0}
    rig.fill()
    rig.type(rig.deals()[0]["id"], Value=1)
    failed(rig, 1, "HighLevel refuses the token", GHL_TOKEN="pit-wrong")
    failed(rig, 1, "Airtable refused the token", AIRTABLE_TOKEN="patWrong")
    assert rig.run("status", AIRTABLE_TOKEN="patWrong").code == 1  # what the last pass ended with


def test_a_missing_scope_to_write_is_named_and_holds_the_edits(rig: Desk) -> None:
    """Refused for every deal alike: one try a pass and no deal is blamed; granted again, the edits travel."""
    deals = rig.fill()[:3]
    for deal_id in deals:
        rig.type(deal_id, Value=12)
    scopes = rig.highlevel.scopes
    rig.highlevel.scopes = scopes - {"opportunities.write"}
    rig.forget_log()
    ran = rig.run("--reconcile")
    assert ran.code in (1, 3)
    assert "opportunities.write" in ran.out + ran.err
    assert (len(rig.crm_writes()), rig.fired(), rig.airtable.writes) == (1, [], [])
    rig.highlevel.scopes = scopes
    rig.expect(fired=[(deal_id, "monetaryValue") for deal_id in deals])


def test_what_does_not_exist_is_named(rig: Desk) -> None:
    """Base, table, location and pipeline: exit 2, the wrong name and what there is instead."""
    failed(rig, 2, "appNoSuchBase0000", AIRTABLE_BASE_ID="appNoSuchBase0000")
    failed(rig, 2, "“Dealz”", TABLE, AIRTABLE_TABLE="Dealz")
    failed(rig, 2, "location_id", GHL_LOCATION_ID="noSuchLocation00000")
    failed(rig, 2, "Salez", "Onboarding", GHL_PIPELINES="Salez")


def test_all_missing_variables_are_named_at_once(rig: Desk) -> None:
    """Without a file and without variables; with some of them; with an empty one."""
    names = ("GHL_TOKEN", "GHL_LOCATION_ID", "AIRTABLE_TOKEN", "AIRTABLE_BASE_ID", "AIRTABLE_TABLE")
    whole = dict(rig.environment)
    rig.environment = {"SYNCD_STATE_DIR": whole["SYNCD_STATE_DIR"]}
    failed(rig, 2, *names)
    rig.environment = whole | {"AIRTABLE_TABLE": " "}
    ran = failed(rig, 2, "AIRTABLE_TABLE")
    assert "GHL_TOKEN" not in ran.err
    rig.environment = whole
    rig.write_config()
    del rig.environment["GHL_TOKEN"]
    failed(rig, 2, "GHL_TOKEN", "not set")


def test_wrong_keys_get_a_suggestion(rig: Desk) -> None:
    """At every level, all of them at once; a value of a wrong kind, no TOML at all, a variable of another name."""
    rig.write_config(pair='skw = "1s"', policy='tye = "crm"', fields='[[pair.field]]\ncrm = "valeu"\n')
    path = rig.folder / "config" / "syncd.toml"
    path.write_text('intervall = "5m"\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    failed(rig, 2, '"interval"', '"skew"', '"tie"', '"value"', "syncd.toml")
    rig.write_config(policy='tie = "both"')
    failed(rig, 2, "tie", "crm", "table")
    path.write_text("this is no TOML", encoding="utf-8")
    failed(rig, 2, "syncd.toml", "TOML")
    path.unlink()
    failed(rig, 2, "SYNCD_INTERVALL", "SYNCD_INTERVAL", SYNCD_INTERVALL="5s")
    ran = rig.run("--reconcile", SYNCD_STATE_DIR=__file__)
    assert ran.code in (1, 2)
    assert ran.err.strip()
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["Stage", "Status", "GHL ID"])
def test_a_required_column_must_be_there(rig: Desk, column: str) -> None:
    """Exit 2 before the first pass; renamed after one, the message names the column's new name."""
    rig.fill()
    rig.airtable.rename_field(TABLE, column, "Called otherwise")
    failed(rig, 2, f"“{column}”", "“Called otherwise”")
    rig.airtable.delete_field(TABLE, "Called otherwise")
    failed(rig, 2, f"“{column}”", "lacks")


def test_optional_columns_may_be_lacking_from_the_start(rig: Desk) -> None:
    """Only GHL ID, Stage and Status: rows are made and edits travel, exit 0."""
    for column in ("Name", "Pipeline", "Value", "Owner", "Contact", "Email", "Phone", "Company", "Source", "Sync"):
        rig.airtable.delete_field(TABLE, column)
    rig.reconcile()
    rig.rests()
    first, second, *_ = (deal["id"] for deal in rig.deals())
    rig.type(first, Status="won", Stage="🔥 Hot")
    rig.highlevel.person_edit(second, status="lost", name="No column for it")
    rig.expect(fired=[(first, "status"), (first, "stage")], cells=[(second, "Status")], rest=False)


def test_an_optional_column_that_goes_is_suspended_and_named(rig: Desk) -> None:
    """Exit 3 and the column's name; never read as emptied; the other fields go on. Made again under the same name, its
    blank cells are filled: they are no edits."""
    first, second, *_ = rig.fill()
    owner = rig.highlevel.users[0]
    rig.highlevel.person_edit(first, assignedTo=owner["id"])
    rig.expect(cells=[(first, "Owner")], rest=False)
    rig.airtable.delete_field(TABLE, "Value")
    rig.airtable.delete_field(TABLE, "Owner")
    rig.type(first, Status="won")
    rig.highlevel.person_edit(second, monetaryValue=9, name="Goes on")
    rig.expect(fired=[(first, "status")], cells=[(second, "Name")], code=3)
    said = " ".join(rig.run("status", "--json").json["sentences"])
    assert "“Value”" in said
    assert "“Owner”" in said
    assert rig.read(first, "assignedTo") == owner["id"]
    rig.airtable.add_field(TABLE, "Value", "number", {"precision": 2})
    rig.airtable.add_field(TABLE, "Owner", "singleLineText")
    rig.forget_log()
    rig.reconcile()
    assert (rig.crm_writes(), rig.fired()) == ([], [])
    assert (rig.read(first, "assignedTo"), rig.read(second, "monetaryValue")) == (owner["id"], 9)
    assert rig.row(first).get("Owner") == owner["name"]
    rig.rests()


def test_a_column_that_was_made_anew_between_two_passes_is_not_emptied(rig: Desk) -> None:
    """Another column of the same name, all blank: its cells were not cleared by anybody."""
    deal_id, *_ = rig.fill()
    rig.highlevel.person_edit(deal_id, assignedTo=rig.highlevel.users[0]["id"])
    rig.expect(cells=[(deal_id, "Owner")], rest=False)
    for column, kind, options in (("Value", "number", {"precision": 2}), ("Owner", "singleLineText", None)):
        rig.airtable.delete_field(TABLE, column)
        rig.airtable.add_field(TABLE, column, kind, options)
    rig.forget_log()
    rig.reconcile(expect=None)
    assert (rig.crm_writes(), rig.fired()) == ([], [])
    assert (rig.read(deal_id, "monetaryValue"), rig.row(deal_id).get("Owner")) == (100, rig.highlevel.users[0]["name"])


def test_a_renamed_optional_column_is_named(rig: Desk) -> None:
    """Exit 2 with the new name; nothing is taken for cleared; with the new name in the configuration all goes on."""
    deal_id, *_ = rig.fill()
    rig.airtable.rename_field(TABLE, "Value", "Worth")
    rig.type(deal_id, Name="Waits")
    failed(rig, 2, "“Value”", "“Worth”")
    rig.write_config(fields='[[pair.field]]\ncrm = "value"\ncolumn = "Worth"\n')
    rig.expect(fired=[(deal_id, "name")])
    rig.write_config(fields='[[pair.field]]\ncrm = "value"\ncolumn = "Price"\n')
    failed(rig, 2, "“Price”")


def test_a_computed_column_is_left_alone_and_named(rig: Desk) -> None:
    """The other columns are filled; exit 3, pass after pass, and no write is made. A computed key is exit 2."""
    rig.airtable.rename_field(TABLE, "Value", "Old value")
    rig.airtable.add_field(TABLE, "Value", "formula", {"formula": "1+1"})
    rig.forget_log()
    rig.reconcile(expect=3)
    assert len(rig.table_writes()) == len(rig.deals())
    assert (rig.crm_writes(), rig.fired()) == ([], [])
    first = rig.deals()[0]["id"]
    assert (rig.row(first)["Status"], rig.read(first, "monetaryValue")) == ("open", 100)
    assert "“Value”" in rig.run("status").out
    planned, listed = rig.run("plan"), rig.run("plan", "--json")
    assert (planned.code, "“Value” is computed" in planned.out) == (3, True)
    assert (listed.code, len(listed.json["columns"])) == (3, 1)
    rig.forget_log()
    rig.reconcile(expect=3)
    assert (rig.crm_writes(), rig.fired(), rig.airtable.writes) == ([], [], [])
    rig.airtable.rename_field(TABLE, "GHL ID", "Old key")
    rig.airtable.add_field(TABLE, "GHL ID", "formula", {"formula": "{Old key}"})
    failed(rig, 2, "computed")


# --- a second process ------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_works(rig: Desk) -> None:
    """Exit 1 with the holder's process; plan, status and history work meanwhile. SIGTERM ends the daemon with 0."""
    rig.fill()
    rig.forget_log()
    daemon = rig.start(SYNCD_INTERVAL="1h")
    try:
        for _ in range(400):
            if "process" in rig.run("status").out:
                break
            time.sleep(0.05)
        for line in (("--reconcile",), ()):
            ran = rig.run(*line)
            assert ran.code == 1
            assert str(daemon.pid) in ran.err
            assert "daemon" in ran.err
        for command in ("plan", "status", "history"):
            assert rig.run(command).code == 0
        assert str(daemon.pid) in rig.run("status").out
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert (rig.crm_writes(), rig.table_calls()) == ([], [])
    rig.rests()


# --- answers that are none -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Mangler:
    """Stands before a service and changes the answers to requests of one method whose path ends so."""

    service: Service
    method: str
    path: str
    change: Callable[[Any], Any]

    def handle(self, request: Request) -> Answer:
        """The service's answer, changed where it is meant."""
        answer = self.service.handle(request)
        if request.method != self.method or not request.path.endswith(self.path) or answer.status != 200:
            return answer
        body = self.change(json.loads(answer.encoded()))
        return replace(answer, body=body, headers={**answer.headers, **(AS_HTML if isinstance(body, bytes) else {})})


def mangled(http: Faulty, method: str, path: str, change: Callable[[Any], Any]) -> Callable[[], None]:
    """Puts a `Mangler` in place; returns what takes it away."""
    service = http.service
    http.service = Mangler(service, method, path, change)

    def undo() -> None:
        http.service = service

    return undo


def without(key: str) -> Callable[[Any], Any]:
    """Takes a key out of an answer."""
    return lambda body: {name: value for name, value in body.items() if name != key}


def with_value(key: str, value: Any) -> Callable[[Any], Any]:
    """Sets a key of an answer."""
    return lambda body: {**body, key: value}


def test_an_answer_that_is_none_fails_the_pass_and_writes_nothing(rig: Desk) -> None:
    """No JSON, HTML with 200, lists that are missing or null, records without an id, on either side: exit 1, a
    sentence, no traceback; edits wait and travel when the answers are back."""
    from_row, from_deal, *_ = rig.fill()
    rig.type(from_row, Value=1)
    rig.highlevel.person_edit(from_deal, monetaryValue=2)
    crm, table = rig.sandbox.crm_http, rig.sandbox.table_http
    rows = f"/{rig.sandbox.table_id}"
    cases: list[tuple[Faulty, str, Callable[[Any], Any]]] = [
        (crm, "/opportunities/search", lambda _body: b"not json"),
        (crm, "/opportunities/search", without("opportunities")),
        (crm, "/opportunities/search", with_value("opportunities", [{"name": "No id"}, None, 7])),
        (crm, "/opportunities/pipelines", lambda _body: HTML),
        (crm, "/opportunities/pipelines", with_value("pipelines", [{"id": "x", "stages": None}])),
        (table, "/tables", lambda _body: HTML),
        (table, "/tables", with_value("tables", None)),
        (table, rows, lambda _body: b"[1, 2"),
        (table, rows, with_value("records", None)),
        (table, rows, with_value("records", [{"fields": {}}, None])),
    ]
    for http, path, change in cases:
        undo = mangled(http, "GET", path, change)
        ran = failed(rig, 1)
        assert ran.err.strip(), path
        assert ran.json["error"], path
        undo()
    rig.expect(fired=[(from_row, "monetaryValue")], cells=[(from_deal, "Value")])


def test_a_user_who_is_not_listed_keeps_his_name_in_the_rows(rig: Desk) -> None:
    """He left the location, or the list came back empty: no Owner cell is overwritten with an id, and no deal's owner
    is touched; a deal that gets an unlisted owner waits for the list. With the list back, all is as before."""
    owned, other, brought, *_ = (deal["id"] for deal in rig.deals())
    dana, marco, *_ = rig.highlevel.users
    for deal_id in (owned, other):
        rig.highlevel.person_edit(deal_id, assignedTo=dana["id"])
    rig.highlevel.person_edit(brought, assignedTo=None)
    rig.fill()
    undo = mangled(rig.sandbox.crm_http, "GET", "/users/", with_value("users", [marco]))
    rig.type(other, Value=11)
    rig.expect(fired=[(other, "monetaryValue")])
    rig.highlevel.person_edit(brought, assignedTo=dana["id"])
    rig.forget_log()
    rig.reconcile()  # it may tell the row's reader, no more
    assert (rig.crm_writes(), rig.table_writes()) == ([], [])
    rig.rests()
    assert (rig.row(owned)["Owner"], rig.row(brought).get("Owner")) == (dana["name"], None)
    undo()
    undo = mangled(rig.sandbox.crm_http, "GET", "/users/", with_value("users", []))
    rig.rests()
    undo()
    rig.forget_log()
    rig.reconcile()
    assert (rig.crm_writes(), rig.cells()) == ([], [(brought, "Owner")])
    assert (rig.row(brought)["Owner"], rig.row(brought).get("Sync")) == (dana["name"], None)
    rig.rests()


def odd_deal(deal: dict[str, Any]) -> dict[str, Any]:
    """A deal with nulls and wrong types where values belong."""
    odd: dict[str, Any] = {"name": None, "status": 5, "pipelineStageId": None, "monetaryValue": {"amount": 1}}
    odd |= {
        "assignedTo": 7,
        "source": ["x"],
        "contact": None,
        "lastStatusChangeAt": "yesterday",
        "lastStageChangeAt": None,
    }
    return {**deal, **odd}


def test_odd_values_in_a_deal_hold_its_fields_and_no_others(rig: Desk) -> None:
    """What cannot be read is unknown, not empty: neither its row nor the deal is written, other deals go on."""
    odd, fine, *_ = rig.fill()
    rig.type(odd, Value=3, Status="won")
    rig.type(fine, Value=4)
    before = rig.row(odd)

    def change(body: dict[str, Any]) -> dict[str, Any]:
        if "opportunity" in body:
            deal = body["opportunity"]
            return {**body, "opportunity": odd_deal(deal) if deal["id"] == odd else deal}
        deals = [odd_deal(deal) if deal["id"] == odd else deal for deal in body["opportunities"]]
        return {**body, "opportunities": deals}

    undo = [mangled(rig.sandbox.crm_http, "GET", path, change) for path in ("/opportunities/search", f"/{odd}")]
    rig.forget_log()
    ran = rig.run("--reconcile")
    assert ran.code in (0, 1, 3)
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err
    assert (rig.fired(), rig.table_writes()) == ([(fine, "monetaryValue")], [])
    assert {**rig.row(odd), "Sync": None} == {**before, "Sync": None}
    for one in reversed(undo):
        one()
    rig.reconcile(expect=None)
    assert sorted(rig.fired()) == sorted([(fine, "monetaryValue"), (odd, "monetaryValue"), (odd, "status")])
    assert rig.read(odd, "status") == "won"
    assert rig.sandbox.differences() == []
    rig.rests()


def test_odd_cells_hold_their_fields_and_no_others(rig: Desk) -> None:
    """Objects and lists where texts and numbers belong, a row without cells at all: nothing is taken for cleared."""
    odd, bare, fine, *_ = rig.fill()
    rows = {rig.sandbox.row_of(odd): "odd", rig.sandbox.row_of(bare): "bare"}
    rig.highlevel.person_edit(odd, monetaryValue=5, status="won")
    rig.highlevel.person_edit(fine, monetaryValue=6)

    def change(body: dict[str, Any]) -> dict[str, Any]:
        columns = {column.name: column.id for column in rig.airtable.table(TABLE).fields.values()}
        for record in body.get("records", [body]):
            if rows.get(record.get("id")) == "odd":
                cells = {"Name": ["a"], "Stage": {"name": "Won"}, "Status": True, "Value": {"error": "#ERROR!"}}
                record["fields"] |= {columns[name]: value for name, value in cells.items()}
            elif rows.get(record.get("id")) == "bare":
                record["fields"] = None
        return body

    undo = mangled(rig.sandbox.table_http, "GET", f"/{rig.sandbox.table_id}", change)
    rig.forget_log()
    ran = rig.run("--reconcile")
    assert ran.code in (0, 1, 3)
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err
    assert (rig.crm_writes(), rig.fired()) == ([], [])
    assert {deal for deal, _ in rig.cells()} <= {fine}
    undo()
    rig.reconcile(expect=None)
    assert (rig.crm_writes(), rig.fired()) == ([], [])
    assert rig.sandbox.differences() == []
    rig.rests()


def test_html_instead_of_an_answer_to_a_write_is_settled_by_reading(rig: Desk) -> None:
    """A proxy's page after the write took effect, or instead of it, with 200 or 502: each value is written once, each
    workflow fires once, and reads are asked again."""
    taken, lost, row_taken, shown, *_ = rig.fill()
    rig.type(taken, Value=7)
    rig.type(lost, Value=8)
    rig.type(shown, Value=9)
    rig.highlevel.person_edit(row_taken, monetaryValue=10)
    crm, table = rig.sandbox.crm_http, rig.sandbox.table_http
    page: dict[str, Any] = {"body": HTML, "headers": AS_HTML}
    crm.faults += [
        Fault(method="GET", path="/opportunities/pipelines", status=502, **page),
        Fault(method="PUT", path=taken, status=502, when="after", **page),
        Fault(method="PUT", path=lost, status=502, **page),
        Fault(method="PUT", path=shown, status=200, when="after", **page),
    ]
    table.faults += [
        Fault(method="GET", path="/tables", status=502, **page),
        Fault(method="PATCH", status=502, when="after", **page),
    ]
    rig.forget_log()
    for _ in range(2):
        ran = rig.run("--reconcile")
        assert ran.code in (0, 1)
        assert "Traceback" not in ran.err
    assert sorted(rig.fired()) == sorted((deal_id, "monetaryValue") for deal_id in (taken, lost, shown))
    assert len(rig.crm_writes()) == 4  # that of `lost` twice: the first never arrived
    assert rig.cells() == [(row_taken, "Value")]
    assert rig.sandbox.differences() == []
    rig.rests()
