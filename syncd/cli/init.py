"""`syncd init`: makes a new workbook, or lays out a Google sheet, and writes a configuration to go with it.

Nothing that exists is overwritten, and nothing is written into HighLevel. The drop-downs hold the location's own
stages, pipelines and users.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from syncd.cli.common import NoMatch, options, say, shared_options

if TYPE_CHECKING:
    from syncd.settings import PairSettings
    from syncd.sides import Vocabulary

HIGHLEVEL: Final = "https://services.leadconnectorhq.com"


@click.command()
@click.option("--table", "kind", type=click.Choice(["workbook", "google"]), required=True, help="What to lay out.")
@click.option("--name", default="default", show_default=True, help="What the pair is called.")
@click.option("--location", help="HighLevel's location id (else $GHL_LOCATION_ID, else you are asked).")
@click.option("--path", default="deals.xlsx", show_default=True, help="The workbook to make.")
@click.option("--spreadsheet", help="The Google spreadsheet's id, or the whole address that the browser shows.")
@click.option("--sheet", default="Deals", show_default=True, help="The sheet of the Google spreadsheet.")
@click.option("--credentials", help="Where the service account's key stands: file:PATH or env:NAME.")
@shared_options
@click.pass_context
def init(
    context: click.Context,
    kind: str,
    name: str,
    location: str | None,
    path: str,
    spreadsheet: str | None,
    sheet: str,
    credentials: str | None,
) -> None:
    """Makes a workbook or lays out a Google sheet, with drop-downs, and writes a configuration to go with it.

    The token of HighLevel is read from $GHL_TOKEN, now and later; it is not written into the file.
    """
    file = options(context).config or Path(os.environ.get("SYNCD_CONFIG") or "config/syncd.toml")
    if file.exists():
        raise NoMatch(f"{file} exists already, and is left as it is. Name another file with --config.")
    if kind == "workbook" and Path(path).suffix.casefold() != ".xlsx":
        raise click.UsageError("A new workbook is an .xlsx file. (A CSV file needs nothing but its first line.)")
    ghl = {
        "location_id": _given(location or os.environ.get("GHL_LOCATION_ID"), "--location", "HighLevel's location id"),
        "token": "env:GHL_TOKEN",
        "base_url": os.environ.get("GHL_BASE_URL", HIGHLEVEL),
    }
    table = {"type": kind, "path": path}
    if kind == "google":
        table = {
            "type": kind,
            "spreadsheet_id": _given(spreadsheet, "--spreadsheet", "The spreadsheet's id or address"),
            "sheet": sheet,
            "credentials": _given(credentials, "--credentials", "The service account's key (file:PATH)"),
        }
        if os.environ.get("GOOGLE_BASE_URL"):
            table["base_url"] = os.environ["GOOGLE_BASE_URL"]
    text = _configuration(name, ghl, table)
    pair, vocabulary = _checked(text)
    made = _workbook(Path(path), vocabulary) if kind == "workbook" else _google(pair, vocabulary)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as out:  # never over one that came meanwhile
        out.write(text)
    given = "" if file == Path("config/syncd.toml") else f" --config {file}"
    say(
        [
            *made,
            f"Wrote {file}.",
            f"Next: `syncd{given} doctor`; then `syncd{given} plan` shows the first pass, `syncd{given} --reconcile` "
            "makes it.",
        ]
    )


def _given(value: str | None, option: str, what: str) -> str:
    """A value that was given, or is asked for where somebody sits at a terminal."""
    if value and value.strip():
        return value.strip()
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} is missing; give it with {option}.")
    return str(click.prompt(what)).strip()


def _configuration(name: str, ghl: Mapping[str, str], table: Mapping[str, str]) -> str:
    """The file's text; JSON's texts are TOML's."""
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in ghl.items()}
    lines = ["# Written by `syncd init`. All keys: README, section Configuration.", "", "[[pair]]"]
    lines += [f"name = {json.dumps(name, ensure_ascii=False)}", "", "[pair.ghl]"]
    lines += [f"{key} = {value}" for key, value in quoted.items() if (key, ghl[key]) != ("base_url", HIGHLEVEL)]
    lines += ["", "[pair.table]"]
    lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _checked(text: str) -> tuple[PairSettings, Vocabulary]:
    """The pair as the configuration will read, and the names of its location. Raises `ConfigError`, `Misconfigured`,
    `SideDown`."""
    from syncd.pairs import Connection
    from syncd.settings import load_settings

    with tempfile.TemporaryDirectory(prefix="syncd-init-") as folder:
        file = Path(folder) / "syncd.toml"
        file.write_text(text, encoding="utf-8")
        settings = load_settings(file, {**os.environ, "SYNCD_STATE_DIR": folder})
        pair = settings.pair[0]
        if pair.table.type == "google":
            pair.table.secret()  # a missing key is said before anything is asked
        with Connection(settings, pair, threading.Event()) as connection:
            return pair, connection.crm().schema()


def _choices(vocabulary: Vocabulary) -> dict[str, list[str]]:
    """What the drop-downs hold, by column."""
    from syncd.fields import STATUSES

    synced = [one for one in vocabulary.pipelines if one.synced]
    stages = dict.fromkeys(" ".join(stage.name.split()) for one in synced for stage in one.stages)
    owners = dict.fromkeys(user.name for user in vocabulary.users if not user.deleted and user.name)
    return {
        "Pipeline": [" ".join(one.name.split()) for one in synced],
        "Stage": list(stages),
        "Status": list(STATUSES),
        "Owner": sorted(owners),
    }


def _workbook(path: Path, vocabulary: Vocabulary) -> list[str]:
    from syncd.fields import ALL_COLUMNS
    from syncd.tables.new_workbook import make_workbook

    make_workbook(path, ALL_COLUMNS, _choices(vocabulary))
    return [f"Made {path}, with drop-downs for stages, pipelines, statuses and owners."]


def _google(pair: PairSettings, vocabulary: Vocabulary) -> list[str]:
    from syncd.fields import ALL_COLUMNS, KEY_COLUMN
    from syncd.pairs import open_grid
    from syncd.settings import AirtableSettings
    from syncd.sides import SideDown
    from syncd.tables.google_sheets import GoogleGrid
    from syncd.tables.grid import GridLost
    from syncd.tables.new_google import NewColumn, lay_out

    assert not isinstance(pair.table, AirtableSettings)
    choices = _choices(vocabulary)
    kinds = {KEY_COLUMN: "key", "Value": "number"}
    columns = [NewColumn(one, kinds.get(one, "text"), tuple(choices.get(one, ()))) for one in ALL_COLUMNS]
    grid = open_grid(pair.table, KEY_COLUMN, stop=threading.Event(), on_sent=lambda _: None)
    assert isinstance(grid, GoogleGrid)
    try:
        return lay_out(grid, columns)
    except GridLost as lost:
        raise SideDown(f"{lost} Run `syncd init` again: what was made already is left as it is.") from lost
    finally:
        grid.close()
