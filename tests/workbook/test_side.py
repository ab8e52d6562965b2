"""A workbook behind the side that the engine speaks with."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.model import Raw
from syncd.sides import NewRecord, Patch, Refused, Written
from syncd.tables.csv_file import CsvFile
from syncd.tables.grid import Grid
from syncd.tables.grid_side import GridSide
from syncd.tables.new_workbook import make_workbook
from syncd.tables.workbook import Workbook
from tests.hostile.bench import AT, FIELDS

HEADER = ["Name", "Pipeline", "Stage", "Status", "Value", "Owner", "GHL ID", "Sync"]
TOO_LONG = "x" * 40_000


@pytest.fixture(params=["xlsx", "csv"])
def grid(request: pytest.FixtureRequest, tmp_path: Path) -> Grid:
    """An empty table in a file."""
    path = tmp_path / f"deals.{request.param}"
    if request.param == "xlsx":
        make_workbook(path, HEADER, {})
        return Workbook(path, None, "GHL ID")
    path.write_text(",".join(HEADER) + "\n", encoding="latin-1")
    return CsvFile(path, "GHL ID")


def test_a_cell_that_cannot_be_written_stops_its_row_alone(grid: Grid) -> None:
    fields = [field for field in FIELDS if field.columns[-1] in HEADER]
    side = GridSide(grid, fields, "GHL ID", "Sync", frozenset(), None)
    side.schema()
    side.use(fields)
    at = [field.name for field in fields].index
    bad = TOO_LONG if isinstance(grid, Workbook) else float("nan")
    names = {"d1": "One", "d2": "Two", "d3": "Three"}
    worst = at("name") if isinstance(grid, Workbook) else at("value")
    values: dict[str, dict[int, Raw]] = {
        deal: {at("name"): name, at("status"): "open", at("value"): 1} for deal, name in names.items()
    }
    values["d2"][worst] = bad
    made = side.create([NewRecord(deal, one) for deal, one in values.items()])
    assert [type(one) for one in made] == [Written, Refused, Written]
    assert [record.partner for record in side.sweep()] == ["d1", "d3"]
    rows = [
        Patch("d1", {at("name"): "Uno"}),
        Patch("d3", {at("name") if isinstance(grid, Workbook) else at("value"): bad}),
    ]
    side.read(["d1", "d3"])
    assert [type(one) for one in side.write(rows)] == [Written, Refused]
    assert AT["name"] == at("name")
    assert [record.raw[at("name")] for record in side.sweep()] == ["Uno", "Three"]
