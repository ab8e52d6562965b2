"""`syncd init` and `syncd demo` with sheets as tables, as somebody meets them who has a token and nothing else."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.demo import Demo
from syncd.sandbox.world import SPREADSHEET
from syncd.tables.grid import Sheet
from syncd.tables.workbook import Workbook
from tests.end_to_end.rig import Rig

LOCATION = "GHL_LOCATION_ID"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A sandbox with Google; the environment has HighLevel's token alone."""
    with Rig(tmp_path, deals=6, with_google=True) as made:
        made.environment = {name: one for name, one in made.environment.items() if not name.startswith("AIRTABLE")}
        yield made


def sheet(rig: Rig, name: str = "deals.xlsx") -> Sheet:
    """The workbook as it is."""
    return Workbook(rig.folder / name, None, "GHL ID").load()


def test_a_workbook_is_made_with_a_configuration_and_syncs_at_once(rig: Rig) -> None:
    made = rig.run("init", "--table", "workbook")
    assert made.code == 0, made.err
    assert "Made deals.xlsx" in made.out
    assert "Wrote config/syncd.toml" in made.out
    assert rig.highlevel.token not in (rig.folder / "config" / "syncd.toml").read_text()
    fresh = sheet(rig)
    assert fresh.header[:3] == ("Name", "Pipeline", "Stage")
    of_column = {fresh.header[at]: items for at, items in fresh.choices.items()}
    assert set(of_column) == {"Pipeline", "Stage", "Status", "Owner"}
    assert of_column["Status"] == ("open", "won", "lost", "abandoned")
    assert rig.run("doctor").code == 0
    assert rig.reconcile()["created"] == {"crm": 0, "table": 6}
    assert rig.reconcile()["updated"] == {"crm": 0, "table": 0}
    assert len(sheet(rig).rows) == 6


def test_what_exists_is_never_overwritten(rig: Rig) -> None:
    (rig.folder / "deals.xlsx").write_bytes(b"somebody's own")
    refused = rig.run("init", "--table", "workbook")
    assert refused.code == 2
    assert "deals.xlsx" in refused.err
    assert (rig.folder / "deals.xlsx").read_bytes() == b"somebody's own"
    assert not (rig.folder / "config").exists(), "no configuration for what was not made"
    (rig.folder / "mine.toml").write_text("# mine")
    refused = rig.run("init", "--table", "workbook", "--path", "new.xlsx", "--config", "mine.toml")
    assert refused.code == 2
    assert "mine.toml exists already" in refused.err
    assert (rig.folder / "mine.toml").read_text() == "# mine"
    assert not (rig.folder / "new.xlsx").exists()


@pytest.mark.parametrize(
    ("without", "given", "said"),
    [
        ("GHL_TOKEN", (), "GHL_TOKEN is not set"),
        (LOCATION, (), "--location"),
        ("", ("--table", "google"), "--spreadsheet"),
        ("", ("--location", "nowhere"), "location"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_made(
    rig: Rig, without: str, given: tuple[str, ...], said: str
) -> None:
    rig.environment.pop(without, None)
    ran = rig.run("init", "--table", "workbook", *given)
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert "Traceback" not in ran.err
    assert not [one for one in rig.folder.iterdir() if one.suffix in (".xlsx", ".toml") or one.name == "config"]


def test_a_google_sheet_is_laid_out_and_syncs_at_once(rig: Rig) -> None:
    with urllib.request.urlopen(f"{rig.sandbox.google_url}/_sandbox/credentials", timeout=10) as answer:
        (rig.folder / "key.json").write_bytes(answer.read())
    rig.environment["GOOGLE_BASE_URL"] = rig.sandbox.google_url
    given = ("--spreadsheet", SPREADSHEET, "--sheet", "Pipeline", "--credentials", "file:key.json")
    made = rig.run("init", "--table", "google", *given)
    assert made.code == 0, made.err
    assert "The sheet “Pipeline” was made." in made.out
    assert rig.reconcile()["created"] == {"crm": 0, "table": 6}
    assert rig.reconcile()["updated"] == {"crm": 0, "table": 0}


def test_the_demo_plays_with_a_workbook(tmp_path: Path) -> None:
    said: list[str] = []
    show = Demo(seed=3, deals=8, seconds=9.0, tell=said.append, workbook=tmp_path / "demo.xlsx")
    assert show.run() == 0
    assert show.score.carried == show.score.made > 0
    assert any("in the workbook" in line for line in said)
    assert "difference at the end: 0" in said


def test_the_demo_leaves_a_workbook_alone_that_is_there(rig: Rig) -> None:
    (rig.folder / "syncd-demo.xlsx").write_bytes(b"of the last demo")
    ran = rig.run("demo", "--table", "workbook", "--seconds", "1")
    assert (ran.code, "name another with --path" in ran.err) == (2, True)
    assert (rig.folder / "syncd-demo.xlsx").read_bytes() == b"of the last demo"
