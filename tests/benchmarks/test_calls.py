"""How many requests a first fill and an idle pass cost, exactly. Times are measured by `make bench`, never here."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path

import pytest

from syncd.sandbox.world import Sandbox
from tests.benchmarks.scene import Calls, Scene, opened, sorted_calls
from tests.benchmarks.server import unlimited_sandbox

DEALS = 230  # three pages, and two deals that share their place at the first page's end


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with unlimited_sandbox(DEALS) as sandbox:
        yield sandbox


@pytest.fixture
def scene(sandbox: Sandbox, tmp_path: Path) -> Iterator[Scene]:
    with opened(sandbox.environment(), tmp_path) as scene:
        yield scene


def calls_of(sandbox: Sandbox, scene: Scene) -> Calls:
    """What one pass asks the servers, which must be what it says it asked."""
    crm, table = sandbox.crm_http.log, sandbox.table_http.log
    crm.clear()
    table.clear()
    result = scene.run()
    assert {side.value: count for side, count in result.calls.items()} == {"crm": len(crm), "table": len(table)}
    return sorted_calls([(one.method, one.path) for one in crm], [(one.method, one.path) for one in table])


def test_a_first_fill_costs_one_write_for_ten_rows(sandbox: Sandbox, scene: Scene) -> None:
    # HighLevel: pipelines, users, three pages. Airtable: the schema, an empty page, 23 writes of ten rows.
    assert calls_of(sandbox, scene) == Calls(crm_reads=5, crm_writes=0, table_reads=2, table_writes=23)
    assert sandbox.differences() == []


def test_an_idle_pass_costs_its_pages_and_the_names(sandbox: Sandbox, scene: Scene) -> None:
    scene.run()
    for _ in range(3):  # the third is as cheap as the first
        assert calls_of(sandbox, scene) == Calls(crm_reads=5, crm_writes=0, table_reads=4, table_writes=0)


@pytest.mark.parametrize("deals", [100, 200, 1_000])
def test_a_sweep_costs_at_most_four_calls_more_than_its_pages(deals: int, tmp_path: Path) -> None:
    with unlimited_sandbox(deals) as sandbox, opened(sandbox.environment(), tmp_path) as scene:
        for _ in range(2):
            before = scene.pair.crm.calls
            scene.pair.crm.schema()
            assert len(list(scene.pair.crm.sweep())) == deals
            assert scene.pair.crm.calls - before <= ceil(deals / 100) + 4
