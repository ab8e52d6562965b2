"""Names that nobody should have: control characters, terminal escapes, bidi overrides, formulas, 10,000 characters.

Through the whole command line: the value travels as it is (in canonical form), as plain text and once; what is printed
holds nothing that could steer a terminal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from syncd.sandbox.wire import Fault
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk, same
from tests.end_to_end.hooks import running, wait_for
from tests.end_to_end.rig import REPOSITORY, Ran

NAMES: Final = {
    "colour": "\x1b[31mRed\x1b[0m alert",
    "clear": "\x1b[2J\x1b[HGone",
    "title": "\x1b]0;owned\x07 Roof",
    "link": "\x1b]8;;http://evil.example/\x1b\\Click\x1b]8;;\x1b\\",
    "c1": "\x9b31m eight bits \x9d0;x\x9c",
    "bell": "ding\x07\x08\x08\x7fdong",
    "null": "half\x00way",
    "return": "Paid\rUnpaid",
    "lines": "first\nsecond\r\nthird\tfourth\x0bfifth\u2028sixth\u2029seventh",
    "bidi": "\u202egnp.exe\u202c invoice \u2066x\u2069",
    "zero width": "Ac\u200bme\ufeff \u2060Inc\u00ad",
    "arabic": "شركة \u200fالبناء\u200e (2)",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇫🇷 1️⃣",
    "tags": "flag \U000e0067\U000e007f private \ue000 none \uffff",
    "formula": '=HYPERLINK("http://x","y")',
    "plus": "+1",
    "minus": "-1",
    "at": "@SUM(A1)",
    "command": "=cmd|'/C calc'!A0",
    "quotes": "'); DROP TABLE links;-- \" \\ {fld} %s ${x} {{y}}",
    "markup": "[red]x[/red] <b>y</b> & | `z`",
    "zalgo": "Z" + "\u0327\u0301\u0334" * 60,
    "long": "Roof " * 2_000 + "end",
    "long word": "x" * 10_000,
}


def canonical(name: str) -> str:
    """What equality is decided in (SPEC §1), written anew: NFC, white space collapsed and trimmed."""
    return " ".join(unicodedata.normalize("NFC", name).split())


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A deal for each name. Output goes where a terminal's would: click hides colours from what is none. Retries do not
    wait, and HighLevel's limit is opened wide, since the sandbox has none here."""
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    monkeypatch.setattr("syncd.http.FIRST_BACKOFF_SECONDS", 0.0)
    monkeypatch.setattr("syncd.crm.highlevel.SPURIOUS_SCOPE_SECONDS", 0.0)
    monkeypatch.setattr("syncd.crm.highlevel.BUCKET_COUNT", 100_000)
    with Desk(tmp_path, deals=len(NAMES)) as made:
        for deal in made.deals():
            made.place([deal["id"]], "Sales", "New Lead")
            made.highlevel.person_edit(deal["id"], status="open", monetaryValue=100, assignedTo=None)
        made.write_config(policy="[pair.guard]\nmax_changes = 1000\n")  # all names change at once here
        made.later()
        yield made


def harmless(ran: Ran) -> Ran:
    """Fails where output holds a character that is not to be seen, but for the ends of lines and tabs."""
    for stream in (ran.out, ran.err):
        raw = {one for one in stream if not one.isprintable() and one not in "\n\t"}
        assert not raw, (raw, stream[:2000])
        assert all(len(line) < 6_000 for line in stream.split("\n")) or stream.startswith("{"), max(stream.split("\n"))
    assert "Traceback" not in ran.err
    assert "defect" not in ran.err
    return ran


def look_at_everything(rig: Desk, deal_ids: list[str]) -> None:
    """Every command that prints names, for people and for programs."""
    commands = [("plan",), ("status",), ("history",), ("doctor",), ("status", "--json"), ("history", "--json")]
    commands += [("plan", "--json"), ("doctor", "--json"), ("history", "Roof"), ("why", "o")]
    for command in [*commands, *(("why", id) for id in deal_ids), ("why", deal_ids[0], "--json")]:
        ran = harmless(rig.run(*command))
        assert ran.code in (0, 2, 3), (command, ran)
        assert ran.out or ran.err


def test_names_travel_from_highlevel_as_they_are(rig: Desk) -> None:
    """As a new row, and as an edit of one: plain text in one write, and nothing more at rest."""
    ids = [str(deal["id"]) for deal in rig.deals()]
    given = dict(zip(ids, NAMES.values(), strict=True))
    for id, name in given.items():
        rig.highlevel.person_edit(id, name=name)
    harmless(rig.run("plan"))
    harmless(rig.run("--reconcile"))
    for id, name in given.items():
        assert canonical(rig.row(id)["Name"]) == canonical(name)
        assert rig.highlevel.deal(id)["name"] == name
    rig.rests()
    turned = dict(zip(ids, reversed(NAMES.values()), strict=True))
    for id, name in turned.items():
        rig.highlevel.person_edit(id, name=name, source=name)
        rig.highlevel.person_edit_contact(rig.highlevel.deal(id)["contactId"], companyName=f"Co {name}")
    rig.later()
    look_at_everything(rig, ids[:2])
    rig.forget_log()
    harmless(rig.run("--reconcile"))
    same("rows written once", len(rig.table_writes()), len(ids))
    same("deals written", (rig.crm_writes(), rig.fired()), ([], []))
    for id, name in turned.items():
        assert canonical(rig.row(id)["Name"]) == canonical(name)
        assert canonical(rig.row(id)["Source"]) == canonical(name)
    assert rig.sandbox.differences() == []
    look_at_everything(rig, ids)
    rig.rests()


def test_names_travel_from_the_table_as_they_are(rig: Desk) -> None:
    """What a person types into a cell is what the deal is called, in one write that fires one workflow."""
    ids = rig.fill()
    given = dict(zip(ids, NAMES.values(), strict=True))
    for id, name in given.items():
        rig.type(id, Name=name)
    look_at_everything(rig, ids[:2])
    rig.forget_log()
    harmless(rig.run("--reconcile"))
    same("fired", sorted(rig.fired()), sorted((id, "name") for id in ids))
    same("deals written once", len(rig.crm_writes()), len(ids))
    for id, name in given.items():
        assert rig.highlevel.deal(id)["name"] == canonical(name)
        assert rig.row(id)["Name"] == name  # the cell stays as it was typed
    look_at_everything(rig, ids)
    rig.rests()


def test_a_conflict_between_such_names_is_decided_and_told(rig: Desk) -> None:
    """Both sides typed; history and why tell both values without a control character."""
    ids = rig.fill()
    for id, name, other in zip(ids, NAMES.values(), reversed(NAMES.values()), strict=True):
        rig.type(id, Name=f"row {name}")
        rig.later(5)
        rig.highlevel.person_edit(id, name=f"deal {other}")
    rig.later()
    look_at_everything(rig, ids[:2])
    rig.forget_log()
    ran = harmless(rig.run("--reconcile", "--json"))
    assert (ran.code, ran.json["conflicts"]) == (0, len(ids))
    for id, other in zip(ids, reversed(NAMES.values()), strict=True):
        assert canonical(rig.row(id)["Name"]) == canonical(f"deal {other}")
    look_at_everything(rig, ids[:2])
    written = rig.run("history", "--json").json["writes"]
    told = {change["new"] for write in written for change in write["changes"] if change["field"] == "name"}
    assert {canonical(f"deal {other}") for other in NAMES.values()} <= told  # as programs read it, nothing is lost
    rig.rests()


SHORT: Final = [name for name in NAMES.values() if len(name) < 400]


def test_stages_pipelines_and_owners_with_such_names(rig: Desk) -> None:
    """Rows get the names as options and texts; the choices that a message lists are harmless, and at rest."""
    ids = rig.fill()
    stages = [stage for pipeline in rig.highlevel.pipelines for stage in pipeline["stages"]]
    for number, (stage, name) in enumerate(zip(stages, SHORT, strict=False)):
        rig.highlevel.rename_stage(stage["id"], f"{number} {name}")
    for pipeline, name in zip(rig.highlevel.pipelines, reversed(SHORT), strict=False):
        rig.highlevel.rename_pipeline(pipeline["id"], f"P {name}")
    for number, (user, name) in enumerate(zip(rig.highlevel.users, SHORT, strict=False)):
        rig.highlevel.rename_user(user["id"], f"U{number} {name}")
        rig.highlevel.person_edit(ids[number], assignedTo=user["id"])
    for id, stage in zip(ids, stages, strict=False):
        rig.highlevel.person_edit(id, pipelineStageId=stage["id"])
    rig.later()
    look_at_everything(rig, ids[:1])
    harmless(rig.run("--reconcile"))
    assert rig.sandbox.differences() == []
    rig.rests()
    rig.type(ids[0], Stage="\x1b[31mnone such\x07", Owner="\u202enobody")
    harmless(rig.run("--reconcile"))
    message = rig.row(ids[0])["Sync"]
    assert "none such" in message
    assert message.isprintable()
    look_at_everything(rig, ids[:1])
    rig.rests(3)


def test_keys_and_columns_with_such_names(rig: Desk) -> None:
    """Whatever stands in a key cell is told, not obeyed; a column that was renamed so is named harmlessly."""
    ids = rig.fill()
    for name in NAMES.values():
        rig.airtable.person_add(TABLE, {"Name": name, "GHL ID": name})
    for twin in ("\x1b[2Jtwin\x07", "\x1b[2Jtwin\x07"):
        rig.airtable.person_add(TABLE, {"Name": twin, "GHL ID": twin})
    harmless(rig.run("plan"))
    before = rig.airtable.rows(TABLE)
    rig.forget_log()
    assert harmless(rig.run("--reconcile")).code == 3
    same("deals written, cells written", (rig.crm_writes(), rig.table_writes()), ([], []))
    for id, row in rig.airtable.rows(TABLE).items():
        assert {**row, "Sync": None} == {**before[id], "Sync": None}
        assert row.get("Sync", "").isprintable()
    look_at_everything(rig, ids[:1])
    rig.rests(3)
    rig.airtable.rename_field(TABLE, "Value", "Worth \x1b]8;;http://evil.example/\x07 \u202e")
    for command in (("--reconcile",), ("plan",), ("doctor",)):
        ran = harmless(rig.run(*command))
        assert ran.code == 2
        assert "Worth" in ran.out + ran.err


def test_what_servers_say_is_printed_harmlessly(rig: Desk) -> None:
    """Refusals, faults and redirects whose words are terminal escapes: in errors, in status and in the history."""
    first, second, *_ = ids = rig.fill()
    evil = "Nope \x1b]8;;http://evil.example/\x07 \x1b[2J\u202e \x9b31m" + "y" * 10_000
    crm, table = rig.sandbox.crm_http, rig.sandbox.table_http
    rig.type(first, Value=7)
    rig.highlevel.person_edit(second, monetaryValue=8)
    rig.later()
    refusal = {"error": {"type": "INVALID_REQUEST_UNKNOWN", "message": evil}}
    crm.faults.append(Fault(method="PUT", status=422, body={"message": [evil], "statusCode": 422}, times=1))
    table.faults.append(Fault(method="PATCH", status=422, body=refusal, times=1))
    assert harmless(rig.run("--reconcile")).code == 3
    look_at_everything(rig, ids[:2])
    for status, body, headers in (
        (500, evil.encode(), {"Content-Type": "text/html"}),
        (401, {"message": evil}, {}),
        (403, {"message": evil}, {}),
        (404, {"message": f"Cannot GET /{evil}"}, {}),
        (302, b"", {"Location": "http://evil.example/?a=b " + "z" * 5_000}),
        (200, evil.encode(), {}),
    ):
        for http in (crm, table):
            http.faults.append(Fault(status=status, body=body, headers=dict(headers), times=-1))
            for command in (("--reconcile",), ("plan",), ("doctor",), ("why", first)):
                ran = harmless(rig.run(*command))
                assert ran.code in (1, 2), (status, command, ran)
                assert len(ran.err) < 3_000
            http.faults.clear()
    harmless(rig.run("status"))


def test_the_daemons_log_holds_no_control_character(rig: Desk) -> None:
    """A row for a person in each pass, so that names are logged; the process prints nothing that steers a terminal."""
    ids = rig.fill()
    for id, name in zip(ids, NAMES.values(), strict=True):
        rig.highlevel.person_edit(id, name=name)
        rig.type(id, Stage=f"Stage {name}"[:300])
    with running(rig, "--verbose", SYNCD_INTERVAL="1h") as process:
        wait_for(lambda: rig.run("status", "--json").json["needs_person"] >= len(ids), "the daemon's pass")
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert "for a person" in err
    harmless(Ran(process.returncode, out, err))
    assert process.returncode == 0


def test_a_terminal_that_lacks_the_characters_is_no_failure(rig: Desk) -> None:
    """A Latin-1 terminal shows emoji as their numbers; JSON is still JSON."""
    ids = rig.fill()
    for id, name in zip(ids, NAMES.values(), strict=True):
        rig.highlevel.person_edit(id, name=name)
    rig.later()
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "latin-1"}
    ran = subprocess.run(
        [sys.executable, "-m", "syncd", "plan"], cwd=rig.folder, env={**rig.environment, **variables},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"\\U0001f44d" in ran.stdout
    found: dict[str, Any] = json.loads(rig.run("plan", "--json").out)
    new = {change["new"] for update in found["update"] for change in update["changes"]}
    assert {canonical(name) for name in NAMES.values()} <= new
