"""`syncd sandbox` and `syncd demo` as somebody meets them who has their first lines only; and mistyped commands."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner

from syncd.cli import sandbox as command
from syncd.cli.main import run
from syncd.demo import Demo
from syncd.sandbox.world import SPREADSHEET, TABLE, Sandbox
from syncd.tables.google_sheets import open_google
from tests.end_to_end.desk import Desk
from tests.end_to_end.hooks import wait_for


def curl(line: str) -> tuple[int, Any]:
    """Does what a line with curl would do; (status, the JSON that was answered)."""
    words = shlex.split(line)
    assert words[0] == "curl"
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    (url,) = (word for word in words if word.startswith("http://127.0.0.1:"))
    return asked(method, url, body)


def asked(method: str, url: str, body: bytes | None = None) -> tuple[int, Any]:
    """One request, as somebody would make it by hand."""
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@contextmanager
def started(**options: Any) -> Iterator[tuple[Sandbox, list[str]]]:
    """A sandbox, and what `syncd sandbox` says of it."""
    with Sandbox(deals=6, **options) as world:
        yield world, command._how_to(world, 6)


# --- sandbox ---------------------------------------------------------------------------------------------------------


def test_every_example_of_the_first_lines_works() -> None:
    """In the order in which they stand, with a row's id from the listing put in; each does what its line says."""
    with started() as (world, lines):
        examples = [line.strip() for line in lines if line.strip().startswith("curl ")]
        assert len(examples) >= 12
        row = world.airtable.person_add(TABLE, {"Name": "By hand"})
        answers = {line: curl(line.replace("/ROW", f"/{row}")) for line in examples}
        assert {status for status, _ in answers.values()} <= {200, 201}, answers
        assert world.airtable.rows(TABLE) == {}
        kinds = [(trigger.kind, trigger.source) for trigger in world.highlevel.triggers]
        assert kinds == [
            ("OpportunityStatusUpdate", "person"), ("OpportunityCreate", "person"), ("OpportunityDelete", "person"),
        ]  # fmt: skip
        assert world.crm_http.faults == []
        (fault,) = world.table_http.faults
        assert (fault.method, fault.cut, fault.when) == ("PATCH", True, "after")
        text = "\n".join(lines)
        for part in (f"HighLevel with 6 deals: {world.crm_url}", f"Airtable, table “Deals”: {world.table_url}"):
            assert part in text
        for name, value in world.environment().items():
            assert f"  export {name}={value}" in lines


def test_every_example_for_the_google_sheet_works() -> None:
    with started(with_google=True) as (world, lines):
        examples = [line.strip() for line in lines if world.google_url in line and line.strip().startswith("curl ")]
        assert len(examples) == 7
        answers = {line: curl(line) for line in examples}
        assert {status for status, _ in answers.values()} == {200}, answers
        assert answers[examples[0]][1]["token_uri"] == f"{world.google_url}/token"
        (row,) = world.google.rows(SPREADSHEET, TABLE)
        assert (row["Name"], row["Value"], row["Status"]) == ("Brand new", 60, "won")
        grid = open_google(
            spreadsheet_id=SPREADSHEET,
            sheet=TABLE,
            credentials=json.dumps(answers[examples[0]][1]),
            base_url=world.google_url,
        )
        assert [cells[:1] for cells in grid.load().rows] == [("Brand new",)]
        grid.close()
    assert lines[-1] == "Ctrl-C ends it."


def test_what_is_asked_in_vain_is_answered_in_a_sentence() -> None:
    with started() as (world, _):
        crm, table = f"{world.crm_url}/_sandbox", f"{world.table_url}/_sandbox"
        deal = world.highlevel.deals()[0]["id"]
        row = world.airtable.person_add(TABLE, {"Name": "By hand"})
        cases = [
            ("GET", f"{crm}/deals/nope", None, "There is no deal nope."),
            ("PUT", f"{crm}/deals/nope", b'{"name":"x"}', "There is no deal nope."),
            ("DELETE", f"{crm}/deals/nope", None, "There is no deal nope."),
            ("PUT", f"{crm}/stages/nope", b'{"name":"x"}', "There is no stage nope."),
            ("PUT", f"{crm}/deals/{deal}", b'{"status":"woon"}', "No such status: woon."),
            ("PUT", f"{crm}/deals/{deal}", b'{"assignedTo":"nobody"}', "Nothing has the id nobody."),
            ("PUT", f"{crm}/deals/{deal}", b'{"colour":"red"}', "Cannot be edited: ['colour']."),
            ("PUT", f"{crm}/deals/{deal}", b"{status:won}", "The body is not JSON"),
            ("PATCH", f"{crm}/deals/{deal}", b"{}", "PATCH is not possible here."),
            ("GET", f"{crm}/records/Deals", None, "There is no /_sandbox/records/Deals at this address."),
            ("GET", f"{table}/deals", None, "There is no /_sandbox/deals at this address."),
            ("PATCH", f"{table}/records/Deals/recNope", b'{"fields":{"Value":1}}', "There is no row 'recNope'"),
            ("PATCH", f"{table}/records/Dealz/{row}", b'{"fields":{"Value":1}}', "There is no table 'Dealz'"),
            ("PATCH", f"{table}/records/Deals/{row}", b'{"fields":{"Worth":1}}', "There is no column 'Worth'"),
            ("PATCH", f"{table}/records/Deals/{row}", b'{"Value":1}', 'The body needs "fields".'),
            ("PATCH", f"{table}/records/Deals/{row}", None, "This needs a JSON object as its body."),
            ("POST", f"{crm}/faults", b'{"colour":"red"}', "A fault has no colour; it has body, contains, cut,"),
            ("POST", f"{crm}/faults", b'["red"]', 'A fault is an object such as {"method"'),
        ]
        for method, url, body, wanted in cases:
            status, answer = asked(method, url, body)
            assert 400 <= status < 500, url
            assert answer["error"].startswith(wanted), (url, answer)
            assert answer["error"].endswith(".")


@pytest.mark.parametrize(
    "option",
    [("--crm-port", "99999"), ("--table-port", "-1"), ("--lag", "-1"), ("--deals", "-1"), ("--crm-port", "http")],
)
def test_numbers_that_cannot_be_are_usage_errors(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sandbox", *option]) == 2
    assert option[0] in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--crm-port", "--table-port"])
def test_a_port_that_is_taken_is_named(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1; and nothing of a half-started sandbox stays behind."""
    with socket.socket() as taken, mock.patch.object(command, "_stop_on_signal", threading.Event):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before = threading.active_count()
        assert run(["sandbox", "--deals", "3", option, str(port)]) == 1
        assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use." in capsys.readouterr().err
        wait_for(lambda: threading.active_count() <= before, "the servers' threads end")


# --- demo ------------------------------------------------------------------------------------------------------------


def test_the_demos_hints_do_something_and_are_seen_to_travel() -> None:
    """Somebody copies both lines at once: the deal was open, and both edits arrive on the other side."""
    told: list[str] = []
    before: list[Any] = []

    def tell(line: str) -> None:
        told.append(line)
        if line.strip().startswith("curl "):
            before.append(asked("GET", next(word for word in line.split() if word.startswith("http")))[1])
            assert curl(line)[0] == 200

    assert Demo(seed=3, deals=8, seconds=9, tell=tell).run() == 0
    deal, row = before
    assert deal["deal"]["status"] == "open", "a hint that changes nothing shows nothing"
    assert row["fields"]["GHL ID"] == deal["deal"]["id"]
    for where, value in (("HighLevel", "status -> won"), ("Airtable", "Value -> 12345")):
        (said,) = (line for line in told if f"You in {where}" in line)
        assert value in said
        what = said.split(f"You in {where}")[1].strip()
        assert any("arrived after" in line and line.endswith(what) for line in told), what


# --- the line itself -------------------------------------------------------------------------------------------------


def test_mistyped_commands_get_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    for typed, meant in (("stauts", "status"), ("plann", "plan"), ("Doctor", "doctor"), ("aprove", "approve")):
        assert run([typed]) == 2
        assert f"Did you mean “{meant}”?" in capsys.readouterr().err
    assert run(["frobnicate"]) == 2
    said = capsys.readouterr().err
    assert "There is no command “frobnicate”. There are: plan, why" in said


def test_completion_of_a_half_typed_command_still_works() -> None:
    """The shell asks with words that are no commands yet."""
    from syncd.cli.main import syncd

    environment = {"_SYNCD_COMPLETE": "bash_complete", "COMP_WORDS": "syncd sta", "COMP_CWORD": "1"}
    assert "status" in CliRunner().invoke(syncd, prog_name="syncd", env=environment).output
    environment |= {"COMP_WORDS": "syncd frob --", "COMP_CWORD": "2"}
    assert CliRunner().invoke(syncd, prog_name="syncd", env=environment).exception is None


class Terminal(StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_first_fill_is_shortened_on_a_terminal(tmp_path: Path) -> None:
    """20 rows and how many more; all of them with --verbose, in a pipe, and in the JSON."""
    with Desk(tmp_path, deals=30) as rig:
        terminal = Terminal()
        with mock.patch("tests.end_to_end.rig.io.StringIO", return_value=terminal):
            rig.run("plan")
        out = terminal.getvalue()
        assert (out.count("+ row for"), "… and 10 more: syncd plan --verbose" in out) == (20, True)
        assert re.search(r"Plan: 30 rows to make", out)
        terminal = Terminal()
        with mock.patch("tests.end_to_end.rig.io.StringIO", return_value=terminal):
            rig.run("plan", "--verbose")
        assert terminal.getvalue().count("+ row for") == 30
        assert rig.run("plan").out.count("+ row for") == 30
        assert len(rig.run("plan", "--json").json["create"]) == 30
