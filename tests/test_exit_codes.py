"""Which exit code counts (CONTRACT "Exit codes"), and the limits and policies of the configuration on their way to the
engine."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from syncd.cli.common import worst
from syncd.model import Side
from syncd.policy import BlankCell, DealDeleted, Limits, OneWay, Policy, RowDeleted
from syncd.reconcile import PassResult
from syncd.settings import GuardSettings, PolicySettings
from tests.memory import World

ORDER = "2130"  # from the worst on, as CONTRACT has it


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_the_worst_of_several_pairs_counts(pairs: int) -> None:
    for codes in product((0, 1, 2, 3), repeat=pairs):
        expected = next(int(code) for code in ORDER if int(code) in codes)
        assert worst(list(codes)) == expected, codes


def test_no_pair_at_all_is_no_failure() -> None:
    assert worst([]) == 0


def test_a_pair_that_is_down_is_worse_than_one_in_which_something_is_held(tmp_path: Path) -> None:
    down, waits = World(tmp_path / "down"), World(tmp_path / "waits")
    for world in (down, waits):
        world.filled("dealAAA1", "dealBBB2")
    down.crm.faults.down_on = frozenset({"sweep"})
    waits.choose(limits=Limits(max_changes=0, max_share=0.0)).edit_row("dealAAA1", value=5)
    codes = [down.run().code, waits.run().code]
    assert codes == [1, 3]
    assert worst(codes) == worst(codes[::-1]) == 1


def test_every_limit_of_the_configuration_is_that_limit_of_the_guards() -> None:
    given = {
        "max_changes": 11, "max_share": 0.12, "max_crm_changes": 13, "max_deletions": 14, "max_deletion_share": 0.15,
    }  # fmt: skip
    assert GuardSettings(**given).limits() == Limits(**given)  # type: ignore[arg-type]
    assert GuardSettings().limits() == Limits()


def test_every_policy_of_the_configuration_is_that_policy_of_the_engine() -> None:
    given = {
        "deal_deleted": DealDeleted.DELETE_ROW, "row_deleted": RowDeleted.IGNORE,
        "blank_cell": BlankCell.NEVER_ERASE, "one_way": OneWay.WRITE_BACK,
    }  # fmt: skip
    assert PolicySettings(**given).policy() == Policy(**given)  # type: ignore[arg-type]
    assert PolicySettings().policy() == Policy()


@pytest.mark.parametrize("columns", [{"computed_columns": ("Value",)}, {"gone_columns": ("Owner",)}])
def test_a_column_that_cannot_be_synced_needs_a_person(columns: dict[str, tuple[str, ...]]) -> None:
    result = PassResult("acme", calls=dict.fromkeys(Side, 0), **columns)  # type: ignore[arg-type]
    assert (result.code, len(result.for_person())) == (3, 1)
    assert PassResult("acme").code == 0
