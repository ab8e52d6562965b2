"""The tables that a pair can have: Airtable, a workbook or CSV file, a Google sheet."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncd.config_files import ConfigError
from syncd.meters import scope_of
from syncd.model import Side
from syncd.pairs import Connection, open_grid
from syncd.settings import GoogleSettings, Settings, WorkbookSettings, load_settings
from syncd.store import Store

GHL = '[pair.ghl]\nlocation_id = "loc1"\ntoken = "env:GHL_TOKEN"\n'


def load(tmp_path: Path, *tables: str, defaults: str = "") -> Settings:
    """A configuration with one pair for each table."""
    pairs = [f'[[pair]]\nname = "p{n}"\n{GHL}[pair.table]\n{table}\n' for n, table in enumerate(tables)]
    file = tmp_path / "syncd.toml"
    file.write_text("\n".join([defaults, *pairs]), "utf-8")
    return load_settings(file, {"GOOGLE_KEY": '{"type": "service_account",\n "x": "é"}', "EMPTY": " "})


def test_a_workbook(tmp_path: Path) -> None:
    pair = load(tmp_path, 'type = "workbook"\npath = "deals.xlsx"\nsheet = "Deals"').pair[0]
    assert isinstance(pair.table, WorkbookSettings)
    assert (pair.table.label, pair.table.is_csv, pair.table.file) == ("the workbook", False, Path("deals.xlsx"))
    assert pair.table.secret() == ""
    assert scope_of(pair, Side.TABLE) == f"file:{Path.cwd() / 'deals.xlsx'}"


def test_a_csv_file(tmp_path: Path) -> None:
    pair = load(tmp_path, 'type = "workbook"\npath = "~/Deals.CSV"').pair[0]
    assert isinstance(pair.table, WorkbookSettings)
    assert (pair.table.label, pair.table.is_csv) == ("the CSV file", True)
    assert pair.table.file == Path.home() / "Deals.CSV"


def test_a_google_sheet_by_its_address(tmp_path: Path) -> None:
    address = "https://docs.google.com/spreadsheets/d/1AbC-x_9/edit#gid=0"
    table = f'type = "google"\nspreadsheet_id = "{address}"\nsheet = "Deals"\ncredentials = "env:GOOGLE_KEY"'
    pair = load(tmp_path, table).pair[0]
    assert isinstance(pair.table, GoogleSettings)
    assert (pair.table.spreadsheet_id, pair.table.label) == ("1AbC-x_9", "Google Sheets")
    assert '"service_account"' in pair.table.secret()
    assert "service_account" not in repr(pair)


def test_an_empty_key_of_google_is_told(tmp_path: Path) -> None:
    table = 'type = "google"\nspreadsheet_id = "1AbC"\nsheet = "Deals"\ncredentials = "env:EMPTY"'
    pair = load(tmp_path, table).pair[0]
    with pytest.raises(
        ConfigError, match="The Google service account's key is missing: the environment variable EMPTY"
    ):
        pair.table.secret()


def test_defaults_of_another_type_of_table_do_not_count(tmp_path: Path) -> None:
    defaults = '[defaults.table]\ntype = "airtable"\nbase_id = "app1"\ntoken = "env:AIRTABLE_TOKEN"\nplan = "team"'
    settings = load(tmp_path, 'table = "Deals"', 'type = "workbook"\npath = "deals.xlsx"', defaults=defaults)
    assert [pair.table.type for pair in settings.pair] == ["airtable", "workbook"]
    assert settings.pair[0].airtable.plan == "team"
    with pytest.raises(ConfigError, match=r'unknown key "pth" in \[defaults.table\]; did you mean "path"'):
        load(tmp_path, 'table = "Deals"', defaults=defaults + '\npth = "x"')


def test_two_sheets_of_one_workbook_are_two_tables(tmp_path: Path) -> None:
    one, other, nameless = (
        f'type = "workbook"\npath = "deals.xlsx"{sheet}' for sheet in ('\nsheet = "One"', '\nsheet = "Two"', "")
    )
    assert len(load(tmp_path, one, other).pair) == 2
    with pytest.raises(ConfigError, match="use the same table"):
        load(tmp_path, one, one)
    for tables in ((one, nameless), (nameless, one)):  # the first sheet with the key column may be "One"
        with pytest.raises(ConfigError, match=r'names no sheet, so both may use the same table; give each its "sheet"'):
            load(tmp_path, *tables)
    assert len(load(tmp_path, one.replace("deals", "others"), nameless).pair) == 2


def test_a_link_to_a_workbook_is_that_workbook(tmp_path: Path) -> None:
    (tmp_path / "link.xlsx").symlink_to(tmp_path / "deals.xlsx")
    tables = [f'type = "workbook"\npath = "{tmp_path / name}"' for name in ("deals.xlsx", "link.xlsx")]
    with pytest.raises(ConfigError, match="use the same table"):
        load(tmp_path, *tables)


def test_each_pass_has_its_own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The side stays open between passes; what it remembers is kept by the thread that runs."""
    from tests.grids import MemoryGrid
    from tests.memory import Clock

    settings = load(tmp_path, 'type = "workbook"\npath = "deals.xlsx"\nedited_column = "Last edited"')
    monkeypatch.setattr("syncd.pairs.open_grid", lambda *_given, **_named: MemoryGrid(Clock()))
    with Connection(settings, settings.pair[0], threading.Event()) as connection:
        first, second = Store(tmp_path, "p0"), Store(tmp_path, "p0")
        side = connection.table(first)
        assert connection.table(second) is side
        assert side.memory.store is second  # type: ignore[union-attr]
        first.close()
        second.close()


@pytest.mark.parametrize("table", ["workbook", "csv", "google"])
def test_what_reads_a_sheet_is_imported_when_it_is_needed(table: str, tmp_path: Path) -> None:
    found = {
        "workbook": WorkbookSettings(type="workbook", path="deals.xlsx"),
        "csv": WorkbookSettings(type="workbook", path="deals.csv"),
    }.get(table)
    if found is None:
        pytest.importorskip("syncd.tables.google_sheets")
        return
    pytest.importorskip("syncd.tables.csv_file")
    pytest.importorskip("syncd.tables.workbook")
    grid = open_grid(found, "GHL ID")
    assert grid.label == ("the CSV file" if table == "csv" else "the workbook")
    grid.close()
