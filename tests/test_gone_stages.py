"""A stage that HighLevel no longer lists while deals are in it is named, for as long as that is so (SPEC §4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.gone_stages import listed_stages, stages_held
from syncd.look import look
from syncd.model import Raw, Record
from syncd.opened import open_pair
from syncd.plan import Finding, Trouble
from syncd.reconcile import PassResult
from tests.memory import ARCHIVE, SALES, SERVICE, VOCABULARY, World

A, B, C = "dealAAA1", "dealBBB2", "dealCCC3"
ONE = (
    "HighLevel no longer lists the stage “Sales / New”; 1 deal is still in it, and its row keeps that name. "
    "Move it to another stage."
)
TWO = (
    "HighLevel no longer lists the stage “Sales / New”; 2 deals are still in it, and their rows keep that name. "
    "Move them to another stage."
)


def named(result: PassResult) -> list[str]:
    """What is said of stages."""
    return [one.sentence for one in result.findings if one.trouble is Trouble.STAGE_GONE]


def vanish(world: World, *stages: str) -> None:
    """HighLevel lists these stages of Sales no longer."""
    left = tuple(stage for stage in SALES.stages if stage.id not in stages)
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, stages=left), SERVICE, ARCHIVE))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two deals in the first stage, one in the second; nothing waits."""
    world = World(tmp_path).filled(A, B, C)
    world.crm.put(C, stage=["p1", "s2"])
    assert world.run().code == 0
    world.clear_logs()
    return world


@pytest.mark.parametrize("incremental", [False, True])
def test_it_is_named_in_every_pass_until_no_deal_is_in_it(world: World, incremental: bool) -> None:
    world.incremental = incremental
    world.restart()
    vanish(world, "s1")
    for _ in range(3):
        result = world.run(10)
        assert (named(result), result.code) == ([TWO], 3)
    assert world.writes() == (0, 0, 0)
    world.crm.put(A, stage=["p1", "s2"])
    world.run(400)
    assert named(world.run(400)) == [ONE]
    world.crm.put(B, stage=["p1", "s2"])
    world.run(400)
    assert (named(world.run(400)), world.run(10).code) == ([], 0)


def test_one_without_deals_is_nobodys_trouble(world: World) -> None:
    vanish(world, "s3")
    assert world.run().code == 0
    vanish(world, "s3", "s2")
    assert [one[:58] for one in named(world.run())] == ["HighLevel no longer lists the stage “Sales / Qualified”; 1"]


def test_one_that_is_listed_again_is_named_no_more(world: World) -> None:
    vanish(world, "s1")
    assert world.run().code == 3
    vanish(world)
    assert world.run().code == 0


def test_deals_elsewhere_do_not_count(world: World) -> None:
    """Those of other pipelines, and those that are gone."""
    world.crm.put(A, stage=["p3", "s1"])
    world.crm.drop(B)
    world.run()
    vanish(world, "s1")
    assert named(world.run()) == []


def test_a_preview_says_it_too_and_remembers_nothing(world: World) -> None:
    vanish(world, "s1")
    for _ in range(2):
        seen = look(world.pair, open_pair(world.pair, keep=False))
        assert Finding(Trouble.STAGE_GONE, "", "", "", TWO, True) in seen.plan.findings
    assert "s1" in world.store.fact("stages")


def test_a_name_is_clipped_and_the_newest_one_is_shown(world: World) -> None:
    stages = tuple(replace(one, name="New" * 50) if one.id == "s1" else one for one in SALES.stages)
    world.crm.vocabulary = replace(VOCABULARY, pipelines=(replace(SALES, stages=stages), SERVICE, ARCHIVE))
    world.run()
    vanish(world, "s1")
    (said,) = named(world.run())
    assert said.startswith("HighLevel no longer lists the stage “Sales / NewNew")
    assert len(said) < 250


def test_an_almost_empty_side_says_nothing_of_stages(tmp_path: Path) -> None:
    """How many deals are in it, the few that are shown do not tell; nor is it forgotten."""
    deals = [f"deal{number}" for number in range(8)]
    world = World(tmp_path).filled(*deals)
    vanish(world, "s1")
    world.crm.hidden.update(deals[:6])
    result = world.run()
    assert (named(result), [one.trouble for one in result.findings], result.code) == ([], [Trouble.HELD], 3)
    world.crm.hidden.clear()
    assert named(world.run()) == [TWO.replace("2 deals", "8 deals")]


def test_what_counts_as_listed_and_as_held(world: World) -> None:
    """Neither stages of other pipelines, nor deals of theirs, nor those that do not say in which stage they are."""
    assert "a1" not in listed_stages(VOCABULARY)
    assert listed_stages(VOCABULARY)["t1"] == "Service / New"
    ground = open_pair(world.pair, keep=False).ground
    stage = [one.name for one in ground.fields].index("stage")

    def deal(raw: Raw, **more: Any) -> Record:
        return Record("d", tuple(raw if at == stage else None for at in range(len(ground.fields))), **more)

    deals = [
        deal(["p1", "s1"]),
        deal(["p1", "s1"], outside="p3"),
        deal(["p1", "s1"], lacks=frozenset({stage})),
        deal(["p1", None]),
        deal(None),
    ]
    assert stages_held(ground, deals) == {"s1": 1}
