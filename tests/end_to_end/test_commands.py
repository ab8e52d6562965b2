"""The commands that look, their options, exit codes and output: they write nothing and never show a token."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncd.sandbox.airtable_model import ALL_SCOPES
from syncd.sandbox.wire import Fault
from syncd.sandbox.world import TABLE
from tests.end_to_end.desk import Desk

COMMANDS = ("plan", "why", "status", "history", "doctor", "init", "sandbox", "demo")
ESCAPES = "\x1b[31mRed\x1b[0m \x07bell \x1b]0;title\x07"
CRM_TOKEN = "pit-3f1c9a52-7d0e-4c6b-9b1f-secretsecret"
TABLE_TOKEN = "patAbCdEfGhIjKlMn.0123456789abcdefsecret"


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A sandbox with a history and with edits that wait. Shared: the tests of it write nothing."""
    with Desk(tmp_path_factory.mktemp("waiting"), deals=10) as rig:
        for deal in rig.deals():
            rig.place([deal["id"]], "Sales", "New Lead")
            rig.highlevel.person_edit(deal["id"], status="open", monetaryValue=100, assignedTo=None)
        first, second, third, red, *_ = rig.fill()
        rig.highlevel.person_edit(first, name="100%_sure roof")
        rig.highlevel.person_edit(second, name="100 percent sure")
        rig.type(third, Status="won")
        rig.highlevel.person_edit(red, name=ESCAPES)
        rig.reconcile()
        rig.type(first, Value=250)
        rig.highlevel.person_edit(first, status="lost")
        rig.type(third, Stage=f"Strange {ESCAPES}")
        rig.highlevel.person_create(name="Brand new", contact={"firstName": "New"})
        yield rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Desk]:
    """A small sandbox, not filled."""
    with Desk(tmp_path, deals=5) as made:
        yield made


def folder_content(folder: Path) -> dict[str, str]:
    """A digest of every file, without SQLite's shared memory and an empty log, which any reader leaves."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".db-shm")
    files = (path for path in files if path.suffix != ".db-wal" or path.stat().st_size)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def raw_escapes(text: str) -> bool:
    """Whether anything in a text could steer a terminal."""
    return any(not character.isprintable() and character != "\n" for character in text)


# --- plan, why, status, history --------------------------------------------------------------------------------------


def test_plan_says_what_a_pass_would_do_and_does_nothing(waiting: Desk) -> None:
    """Per record: field, old -> new, direction, why. No request that writes, no trigger, the state stays as it is."""
    first, _, third, *_ = [deal["id"] for deal in waiting.deals()]
    waiting.forget_log()
    before = folder_content(waiting.folder)
    shown, plain = waiting.run("plan", "--json"), waiting.run("plan")
    assert (waiting.crm_writes(), waiting.table_calls(), waiting.fired()) == ([], [], [])
    assert folder_content(waiting.folder) == before
    assert (shown.code, plain.code) == (3, 3)
    plan = shown.json
    updates = {(one["side"], one["deal"]): one for one in plan["update"]}
    assert updates.keys() == {("crm", first), ("table", first)}
    value, status = updates["crm", first]["changes"][0], updates["table", first]["changes"][0]
    assert (value["field"], value["old"], value["new"]) == ("value", "100", "250")
    assert (status["field"], status["old"], status["new"]) == ("status", "open", "lost")
    assert (updates["crm", first]["direction"], updates["table", first]["direction"]) == (
        "table -> crm",
        "crm -> table",
    )
    assert value["why"]
    assert status["why"]
    assert [one["name"] for one in plan["create"]] == ["Brand new"]
    assert list(plan["messages"]) == [waiting.sandbox.row_of(third)]
    for part in (
        "Brand new",
        "Value: 100 -> 250",
        "Status: open -> lost",
        "1 row to make",
        "1 row and 1 deal to change",
    ):
        assert part in plain.out


def test_plan_before_the_first_pass_leaves_no_trace(rig: Desk) -> None:
    """Nothing is created in the state folder, not even the folder; the plan names every row to be made."""
    shown = rig.run("plan", "--json")
    assert (shown.code, len(shown.json["create"])) == (0, 5)
    assert not (rig.folder / "state").exists()
    assert rig.run("status").code == 0
    assert rig.run("history").code == 0
    assert not (rig.folder / "state").exists()
    assert (rig.crm_writes(), rig.table_calls()) == ([], [])


def test_why_explains_every_field(waiting: Desk) -> None:
    """Both sides, the shadow and the rule, by id and by part of the name; what is ambiguous or unknown is usage."""
    first = waiting.deals()[0]["id"]
    waiting.forget_log()
    found = waiting.run("why", first, "--json").json
    fields = {one["field"]: one for one in found["fields"]}
    value, status = fields["value"], fields["status"]
    assert (value["crm"], value["table"], value["shadow"], value["writes"]) == ("100", "250", "100", "crm")
    assert (status["crm"], status["table"], status["shadow"], status["writes"]) == ("lost", "open", "open", "table")
    assert fields["name"]["writes"] is None
    assert {one["field"] for one in found["fields"]} >= {"name", "stage", "status", "value", "owner", "email"}
    by_name = waiting.run("why", "%_SURE")
    assert by_name.code == 0
    assert first in by_name.out
    several, nobody = waiting.run("why", "sure"), waiting.run("why", "no such deal")
    assert (several.code, nobody.code) == (2, 2)
    assert "100 percent sure" in several.err
    assert "no such deal" in nobody.err
    assert (waiting.crm_writes(), waiting.table_calls()) == ([], [])


def test_status_counts_and_dates(waiting: Desk) -> None:
    """For people and for programs; it asks neither service anything."""
    waiting.forget_log()
    found, plain = waiting.run("status", "--json"), waiting.run("status")
    assert (found.code, plain.code) == (0, 0)
    wanted = {"pair", "last_success", "age_seconds", "links", "in_sync", "waiting", "needs_person", "rows_without_id"}
    assert found.json.keys() >= wanted | {"calls_last_pass"}
    assert (found.json["links"], found.json["in_sync"], found.json["needs_person"]) == (10, 10, 0)
    assert "10 links" in plain.out
    assert "No daemon" in plain.out
    assert not waiting.sandbox.crm_http.log
    assert not waiting.sandbox.table_http.log


def test_history_finds_by_id_and_by_part_of_the_name(waiting: Desk) -> None:
    """% and _ in a name are letters like any other; every line has old, new, side and reason."""
    first, second, third, *_ = [deal["id"] for deal in waiting.deals()]

    def deals(*arguments: str) -> list[str]:
        return [write["deal"] for write in waiting.run("history", "--json", *arguments).json["writes"]]

    assert set(deals(first)) == {first}
    assert len(deals(first)) == 2  # the row made, then the new name
    assert set(deals("100%_sure")) == {first}
    assert set(deals("0%_s")) == {first}
    assert set(deals("100_percent")) == set()
    assert set(deals("100 PERCENT")) == {second}
    assert deals("%%%") == []
    (made, won) = sorted(waiting.run("history", third, "--json").json["writes"], key=lambda write: write["at"])
    assert (made["action"], made["side"]) == ("create", "table")
    assert (won["side"], won["direction"]) == ("crm", "table -> crm")
    (change,) = won["changes"]
    assert (change["field"], change["old"], change["new"]) == ("status", "open", "won")
    assert change["why"]
    plain = waiting.run("history", third).out
    assert "Status: open -> won" in plain
    assert len(deals("--limit", "3")) == 3


def test_nothing_that_steers_a_terminal_is_printed(waiting: Desk) -> None:
    """A deal's name and a typed stage with escape sequences are shown with them made harmless."""
    red = waiting.deals()[3]["id"]
    for arguments in (("plan",), ("why", red), ("why", "Red"), ("history",), ("status",), ("why", "e")):
        ran = waiting.run(*arguments)
        assert not raw_escapes(ran.out + ran.err), arguments
    assert "Red" in waiting.run("history", red).out


def test_a_pass_prints_no_escapes_either(rig: Desk) -> None:
    """Neither in its report nor in the messages that it leaves for people in the table."""
    deal_id, *_ = rig.fill()
    rig.highlevel.person_edit(deal_id, name=ESCAPES)
    rig.type(deal_id, Stage=f"Odd {ESCAPES}")
    ran = rig.run("--reconcile")
    assert ran.code == 3
    assert not raw_escapes(ran.out + ran.err)
    assert not raw_escapes(rig.row(deal_id)["Sync"])
    assert not raw_escapes(rig.run("status").out)


# --- doctor ----------------------------------------------------------------------------------------------------------


def mends(rig: Desk, **environment: str) -> tuple[int, str]:
    """The exit code of doctor and what it says has to be mended."""
    ran = rig.run("doctor", **environment)
    assert "Traceback" not in ran.out + ran.err
    return ran.code, "\n".join(line for line in ran.out.splitlines() if "MEND" in line)


def test_doctor_finds_nothing_where_all_is_well(rig: Desk) -> None:
    """Exit 0, a line a check; no deal and no row is written and no workflow fires."""
    rig.fill()
    before = folder_content(rig.folder)
    ran = rig.run("doctor")
    assert (ran.code, "MEND" in ran.out) == (0, False)
    for part in ("configuration", "HighLevel", "search", "table", "clocks", "state folder"):
        assert part in ran.out
    found = rig.run("doctor", "--json")
    assert found.code == 0
    assert (rig.crm_writes(), rig.airtable.writes, rig.table_calls()) == ([], [], [])
    assert folder_content(rig.folder) == before
    assert rig.sandbox.differences() == []


def test_doctor_names_the_mend_of_each_ailment(rig: Desk) -> None:
    """Tokens, scopes, location, base, table, columns: each by itself, with the exit code of its kind."""
    code, said = mends(rig, GHL_TOKEN="pit-wrong")
    assert (code, "Private Integrations" in said) == (1, True)
    code, said = mends(rig, AIRTABLE_TOKEN="patWrong")
    assert (code, "airtable.com/create/tokens" in said) == (1, True)
    code, said = mends(rig, GHL_LOCATION_ID="someOtherLocation")
    assert (code, "location_id" in said) == (2, True)
    code, said = mends(rig, AIRTABLE_BASE_ID="appOther000000000")
    assert (code, "appOther000000000" in said) == (2, True)
    code, said = mends(rig, AIRTABLE_TABLE="Dealz")
    assert (code, "Dealz" in said, TABLE in said) == (2, True, True)
    rig.highlevel.scopes = rig.highlevel.scopes - {"users.readonly"}
    code, said = mends(rig)
    assert (code, "users.readonly" in said) == (2, True)
    assert (rig.crm_writes(), rig.table_calls()) == ([], [])


def test_doctor_looks_at_columns_and_scopes_of_the_table(rig: Desk) -> None:
    """A computed column, one that holds no numbers, a missing one, and a token without the schema's scope."""
    rig.airtable.rename_field(TABLE, "Owner", "Old owner")
    rig.airtable.add_field(TABLE, "Owner", "formula", {"formula": "1"})
    code, said = mends(rig)
    assert (code, "“Owner” is computed" in said) == (3, True)
    rig.airtable.delete_field(TABLE, "Status")
    code, said = mends(rig)
    assert (code, "“Status”" in said) == (2, True)
    rig.airtable.settings.scopes = ALL_SCOPES - {"schema.bases:read"}
    code, said = mends(rig)
    assert code in (1, 2)
    assert "schema.bases:read" in said


# --- the line itself -------------------------------------------------------------------------------------------------


def test_options_stand_before_or_after_the_command(waiting: Desk) -> None:
    """--config, --pair, --quiet and --verbose alike, and --json after."""
    waiting.write_config()
    path = waiting.folder / "config" / "syncd.toml"
    moved = path.rename(waiting.folder / "other.toml")
    try:
        lines = (("--config", str(moved), "--pair", "default", "status"), ("status", "--config", str(moved)))
        outputs = [waiting.run(*line, "--json").json["links"] for line in lines]
        assert outputs == [10, 10]
        for line in (("--pair", "acme", "status"), ("status", "--pair", "acme")):
            ran = waiting.run(*line, SYNCD_CONFIG=str(moved))
            assert ran.code == 2
            assert "acme" in ran.err
            assert "default" in ran.err
        for line in (("--config", "none.toml", "status"), ("plan", "--config", "none.toml")):
            ran = waiting.run(*line)
            assert (ran.code, "none.toml" in ran.err) == (2, True)
        quiet = waiting.run("--quiet", "status", "--verbose")
        assert quiet.code == 0
    finally:
        moved.unlink()


def test_usage_errors_are_2_and_sentences(waiting: Desk) -> None:
    """Unknown commands and options, a missing argument, --json alone."""
    lines = (
        ("frobnicate",),
        ("--nonsense",),
        ("why",),
        ("--json",),
        ("--reconcile", "status"),
        ("history", "--limit", "x"),
    )
    for line in lines:
        ran = waiting.run(*line)
        assert ran.code == 2, line
        assert ran.err.strip()
        assert "Traceback" not in ran.err
    assert "frobnicate" in waiting.run("frobnicate").err


def test_every_command_has_help(tmp_path: Path) -> None:
    """Exit 0, without any configuration, and all shared options are named."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "syncd", *line, "--help"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            stdout=subprocess.PIPE,
            text=True,
        )
        for line in ((), *((command,) for command in COMMANDS))
    ]
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        for option in ("--config", "--pair", "--quiet", "--verbose"):
            assert option in out
    assert list(tmp_path.iterdir()) == []


def test_version_answers_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    """CONTRACT asks for less than 0.2 s; what would take longer is not even loaded."""
    program = (
        "import sys; sys.argv = ['syncd', '--version']\n"
        "import syncd.__main__\n"
        "syncd.__main__.main()\n"
        "heavy = {'httpx', 'pydantic', 'pyairtable', 'sqlite_utils', 'click', 'apscheduler', 'requests'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    out = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True)
    version, heavy = out.stdout.splitlines()
    assert version.startswith("syncd ")
    assert heavy == "[]"


def test_reconcile_json_has_exactly_the_keys_of_the_contract(rig: Desk) -> None:
    """One object a pair; `error` only where the pass failed, and then all the rest as well."""
    keys = {"pair", "created", "updated", "deleted", "conflicts", "held", "failed", "calls", "seconds"}
    printed = rig.reconcile()
    assert printed.keys() == keys
    assert (printed["pair"], printed["created"]) == ("default", {"crm": 0, "table": 5})
    for key in ("created", "updated", "deleted", "calls"):
        assert printed[key].keys() == {"crm", "table"}
    assert printed["seconds"] >= 0
    rig.sandbox.crm_http.faults.append(
        Fault(path="/opportunities/search", status=401, body={"message": "no"}, times=-1)
    )
    failed = rig.reconcile(expect=1)
    assert failed.keys() == keys | {"error"}
    assert failed["error"]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_no_token_is_ever_shown(rig: Desk) -> None:
    """Not even where a server, or a proxy, sends it back in its error; nor is it kept in the state folder."""
    rig.highlevel.token, rig.airtable.settings.token = CRM_TOKEN, TABLE_TOKEN
    rig.environment |= {"GHL_TOKEN": CRM_TOKEN, "AIRTABLE_TOKEN": TABLE_TOKEN}
    deal_id, *_ = rig.fill()

    def fails(*line: str, **environment: str) -> None:
        ran = rig.run(*line, **environment)
        assert ran.code in (1, 2), line
        for token in (CRM_TOKEN, TABLE_TOKEN):
            assert token not in ran.out + ran.err, line

    echo: dict[str, Any] = {"message": f"Bearer {CRM_TOKEN} is not known", "error": f"token {TABLE_TOKEN}?"}
    html = f"<html>Authorization: Bearer {TABLE_TOKEN} / {CRM_TOKEN}</html>".encode()
    crm, table = rig.sandbox.crm_http, rig.sandbox.table_http
    crm.faults.append(Fault(status=401, body=echo, times=-1))
    for line in (("--reconcile", "--verbose", "--json"), ("plan", "--verbose"), ("why", deal_id), ("doctor",)):
        fails(*line)
    crm.faults.clear()
    table.faults.append(Fault(status=401, body=echo, times=-1))
    for line in (("--reconcile", "--verbose"), ("doctor", "--json")):
        fails(*line)
    table.faults.clear()
    for http in (crm, table):
        http.faults.append(Fault(status=403, body=html, times=-1))
        fails("--reconcile")
        http.faults.clear()
    fails("status", SYNCD_INTERVAL=CRM_TOKEN)
    fails("--reconcile", GHL_BASE_URL=f"http://user:{CRM_TOKEN}@127.0.0.1:1")
    fails("--reconcile", GHL_LOCATION_ID=f"{CRM_TOKEN} x")
    for path in rig.folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert CRM_TOKEN.encode() not in content
        assert TABLE_TOKEN.encode() not in content


def test_a_token_in_the_configuration_is_refused_without_being_shown(rig: Desk) -> None:
    """A literal secret is an error that says how it is done, and does not repeat it."""
    rig.write_config()
    path = rig.folder / "config" / "syncd.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("env:GHL_TOKEN", CRM_TOKEN), encoding="utf-8")
    ran = rig.run("--reconcile")
    assert ran.code == 2
    assert "env:" in ran.err
    assert CRM_TOKEN not in ran.out + ran.err
