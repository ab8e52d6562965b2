"""From a configuration to a pair: what it says arrives where passes use it, and what options meant when first met."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from syncd.model import Side
from syncd.opened import Pair, names_first_met, open_pair
from syncd.pairs import Connection
from syncd.policy import BlankCell, DealDeleted, Limits, OneWay, Policy, RowDeleted
from syncd.reconcile import PassResult
from syncd.settings import load_settings
from tests.memory import World

A, B = "dealAAA1", "dealBBB2"
PAIR = """
[[pair]]
name = "{name}"
{keys}
[pair.ghl]
location_id = "{name}"
token = "env:A_TOKEN"
[pair.table]
type = "airtable"
base_id = "appBase{name}"
table = "Deals"
token = "env:A_TOKEN"
"""


def passes(folder: Path, monkeypatch: pytest.MonkeyPatch, keys: str = "", *, patient: bool = False) -> list[Pair]:
    """The pairs with which two passes in a row of the first of two configured pairs were run."""
    seen: list[Pair] = []

    def run(pair: Pair) -> PassResult:
        seen.append(pair)
        return PassResult(pair.name)

    monkeypatch.setattr("syncd.pairs.run_pass", run)
    text = f'state_dir = "{folder}"\n' + PAIR.format(name="acme", keys=keys) + PAIR.format(name="beta", keys="")
    (folder / "syncd.toml").write_text(text, "utf-8")
    settings = load_settings(folder / "syncd.toml", {"A_TOKEN": "pit-12345678"})
    with Connection(settings, settings.pair[0], threading.Event()) as connection:
        for _ in range(2):
            assert connection.run_pass(lambda _what, _done, _all: None, patient=patient).error == ""
    return seen


def test_the_daemon_waits_for_those_who_type_and_remembers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = passes(tmp_path, monkeypatch, "quiet = 7", patient=True)
    assert (one.quiet_seconds, two.quiet_seconds) == (7.0, 7.0)
    assert one.memory is not None
    assert one.memory is two.memory


def test_a_pass_by_itself_waits_for_nobody_and_looks_at_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pair in passes(tmp_path, monkeypatch, "quiet = 7"):
        assert (pair.quiet_seconds, pair.memory) == (0.0, None)


def test_the_pair_is_as_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = 'skew = 10\nread_lag = 90\n[pair.policy]\ntie = "table"\nnew_row = "off"'
    pair = passes(tmp_path, monkeypatch, keys)[0]
    assert (pair.skew_seconds, pair.read_lag_seconds, pair.tie_side, pair.new_deals) == (10.0, 90.0, Side.TABLE, False)
    assert pair.siblings == {"acme", "beta"}, "two pairs on one table are an error only where both are configured"


def test_the_pair_has_the_configured_limits_and_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = (
        "[pair.guard]\nmax_changes = 7\nmax_share = 0.5\nmax_crm_changes = 9\nmax_deletions = 3\n"
        'max_deletion_share = 0.25\n[pair.policy]\ndeal_deleted = "delete_row"\nrow_deleted = "abandon_deal"\n'
        'blank_cell = "never_erase"\none_way = "write_back"'
    )
    pair = passes(tmp_path, monkeypatch, keys)[0]
    assert pair.limits == Limits(7, 0.5, 9, 3, 0.25)
    assert pair.policy == Policy(DealDeleted.DELETE_ROW, RowDeleted.ABANDON, BlankCell.NEVER_ERASE, OneWay.WRITE_BACK)


@pytest.mark.parametrize(("apart", "is_tie"), [(8.0, True), (12.0, False)])
@pytest.mark.parametrize("skew", [10.0, 1.0])
def test_edits_within_the_skew_bound_are_a_tie(tmp_path: Path, skew: float, apart: float, is_tie: bool) -> None:
    """The table was edited first, and wins ties."""
    world = World(tmp_path, tie_side=Side.TABLE).filled(A)
    world.pair.skew_seconds = skew
    world.edit_row(A, value=9)
    world.clock.advance(apart)
    world.crm.put(A, value=7)
    assert world.run().tally.conflicts == 1
    assert world.row(A).cells["value"] == (9 if is_tie and skew > apart else 7)
    world.agree(A)


def test_an_option_means_what_it_meant_when_it_was_first_met(tmp_path: Path) -> None:
    world = World(tmp_path).filled(A)
    world.table.make_select("status", "open", "won", "lost", "abandoned")
    open_pair(world.pair, keep=True)
    column = world.table.columns["status"]
    won = next(option for option, label in column.options.items() if label == "won")
    world.table.rename_option("status", "won", "Hooray")
    for keep in (True, False):
        names = names_first_met(world.pair, world.table.schema(), keep=keep)
        assert names["status"].met(won) == "won"
    assert world.store.fact("options")[column.id][won] == "won"
