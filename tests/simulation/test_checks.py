"""Checks of the harness whose cases are rare: each sees what it is there to see, and no more."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from syncd.incremental import OPENED_SECONDS
from syncd.model import Agreed, Link, Side, packed_shadow
from syncd.sides import Vocabulary
from syncd.store import ChangeLine
from tests.memory import LoggedWrite
from tests.simulation.checks import Checks
from tests.simulation.ghost import ENGINE, PERSON, Broken, Effect, Held
from tests.simulation.knobs import Knobs
from tests.simulation.store import Intent
from tests.simulation.world import SimWorld

TYPED = Held("Old", "Old", PERSON, 100.0, 9)
LINE = ChangeLine("name", "Old", "New", "Old", "New", "edit", "changed in HighLevel")


def checks_of(world: SimWorld) -> Checks:
    """The checks of a world in which nothing has happened yet."""
    return Checks(world.ghost, Counter(), Side.CRM)


@pytest.fixture
def world() -> SimWorld:
    """A world without events."""
    return SimWorld(Knobs(), lambda _who, _verb, _phase, _what: None)


@pytest.mark.parametrize(("deal", "falls"), [("deal1", False), ("deal2", True)])
def test_the_old_value_typed_again_after_a_write_for_that_very_deal(world: SimWorld, deal: str, falls: bool) -> None:
    ghost = world.ghost
    ghost.shadow["deal2"], ghost.agreed_at["deal2", "name"] = {"name": "Old"}, 1
    ghost.effects[Side.TABLE, "row1", "name"] = Effect(5, 50.0, "Ours", deal)
    intent = Intent(1, Side.TABLE, "update", "deal2", "row1", (LINE,))
    if not falls:  # the write was for the deal that the row carried then
        checks_of(world).no_lost_update(Side.TABLE, "row1", intent, LINE, TYPED)
        return
    with pytest.raises(Broken, match="typed again after our write"):
        checks_of(world).no_lost_update(Side.TABLE, "row1", intent, LINE, TYPED)


@pytest.mark.parametrize(("copied", "put_back", "falls"), [(0.0, 0.0, True), (15.0, 65.0, False), (95.0, 99.0, True)])
def test_to_and_fro_counts_what_the_database_can_know(
    world: SimWorld, copied: float, put_back: float, falls: bool
) -> None:
    checks, start = checks_of(world), world.clock.now
    checks.to_and_fro["deal1", "name"] = [(start + 10.0 * n, "ab"[n % 2]) for n in range(1, 10)]
    if put_back:
        world.ghost.copied_at, world.ghost.restored_at = start + copied, start + put_back
    assert checks.set_to_and_fro("deal1", "name", "a", start + 100.0) is falls


def swapped(names: Vocabulary) -> Vocabulary:
    """The same stages, of which the first two of each pipeline have each other's names."""
    pipelines = []
    for pipeline in names.pipelines:
        called = [stage.name for stage in pipeline.stages]
        called[:2] = reversed(called[:2])
        stages = [replace(stage, name=name) for stage, name in zip(pipeline.stages, called, strict=True)]
        pipelines.append(replace(pipeline, stages=tuple(stages)))
    return replace(names, pipelines=tuple(pipelines))


@pytest.mark.parametrize(
    ("by", "old", "age", "read_anew", "falls"),
    [
        (PERSON, "p2:t1", 60.0, False, False),
        (ENGINE, "p2:t1", 60.0, False, True),
        (PERSON, "p2:t2", 60.0, False, True),
        (PERSON, "p2:t1", OPENED_SECONDS + 100.0, False, True),
        (PERSON, "p2:t1", 60.0, True, True),
    ],
)
def test_a_stage_typed_by_names_that_are_not_read_yet(
    world: SimWorld, by: str, old: str, age: float, read_anew: bool, falls: bool
) -> None:
    """“New” was the first stage's name when the engine read them, and is the second one's now."""
    ghost = world.ghost
    world.table.put("row1", None, pipeline="Service", stage="Done")  # as the write has left it
    ghost.vocabulary_read, ghost.vocabulary_read_at = world.crm.vocabulary, world.clock.now - age
    world.crm.vocabulary = swapped(world.crm.vocabulary)
    if read_anew:
        ghost.vocabulary_read = world.crm.vocabulary
    before = Held(["Service", "New"], "p2:t2", by, 100.0, 9)
    line = ChangeLine("stage", old, "p2:t2", "", "", "conflict", "")
    checks = checks_of(world)
    if not falls:
        checks.no_spurious_write(Side.TABLE, "row1", line, before)
        assert checks.marks["typed by names not read yet"] == 1
        return
    with pytest.raises(Broken, match="held that already"):
        checks.no_spurious_write(Side.TABLE, "row1", line, before)


@pytest.mark.parametrize(("until", "falls"), [(7, False), (6, True)])
def test_a_second_deal_while_the_search_leaves_out_the_first(world: SimWorld, until: int, falls: bool) -> None:
    checks, ghost = checks_of(world), world.ghost
    world.made("deal1")
    world.made("deal2")
    world.table.put("row1", None, name="Deal deal1")
    ghost.number = world.crm.trouble.number = 7
    ghost.changed(Side.TABLE, "row1", PERSON)
    ghost.look(Side.TABLE, ["row1"], by_id=True)
    ghost.new_deals["row1"] = ["deal1"]
    ours = ghost.held[Side.CRM]["deal1"].items()
    ghost.held[Side.CRM]["deal1"] = {name: replace(held, by=ENGINE) for name, held in ours}
    world.crm.trouble.hidden["deal1"] = until
    entry = LoggedWrite(Side.CRM, "create", "deal2", {})
    intent = Intent(1, Side.CRM, "create", "", "row1", ())
    if not falls:
        checks.deal_made(entry, intent)
        assert checks.marks["new deal left out longer than a read lag"] == 1
        return
    with pytest.raises(Broken, match="and deal2 as well"):
        checks.deal_made(entry, intent)


@pytest.mark.parametrize(("made_for", "raw", "falls"), [("deal2", "New", False), ("deal1", "New", True),
                                                        ("deal2", "Done", True)])  # fmt: skip
def test_a_row_given_to_another_deal_means_what_was_agreed_on_there(
    world: SimWorld, made_for: str, raw: str, falls: bool
) -> None:
    """Its cell was written for the first one, and a new name comes for the second one's stage."""
    checks, ghost = checks_of(world), world.ghost
    world.table.put("row1", "deal1", pipeline="Sales", stage=raw)
    agreed = {"stage": Agreed("p1:s1", ["p1", "s1"], ["Sales", "New"], "New")}
    world.store.put_links([Link("deal1", "row1", shadow=packed_shadow(agreed, ["stage"]))])
    ghost.made["row1"] = made_for
    line = ChangeLine("stage", "p1:s1", "p1:s1", "", "", "rename", "")
    intent = Intent(1, Side.TABLE, "update", "deal1", "row1", (line,))
    before = Held(["Sales", raw], "p2:t1", ENGINE, 100.0, 9)
    if not falls:
        checks.no_invention(Side.TABLE, intent, line, before)
        assert checks.marks["row given to another deal"] == 1
        return
    with pytest.raises(Broken, match="is no new name"):
        checks.no_invention(Side.TABLE, intent, line, before)


@pytest.mark.parametrize(("ours", "falls"), [("p2:t1", False), ("p2:t3", True)])
def test_a_choice_that_says_what_was_agreed_on_by_the_names_of_now(world: SimWorld, ours: str, falls: bool) -> None:
    """“Done” was the second stage when it was picked, and the first one has that name now."""
    checks, ghost = checks_of(world), world.ghost
    world.table.put("row1", "deal1", pipeline="Service", stage="Done")
    world.crm.vocabulary = swapped(world.crm.vocabulary)
    ghost.vocabulary_read = world.crm.vocabulary
    ghost.shadow["deal1"], ghost.agreed_at["deal1", "stage"] = {"stage": "p2:t1"}, 1
    ghost.effects[Side.TABLE, "row1", "stage"] = Effect(5, 50.0, ours, "deal1")
    line = ChangeLine("stage", "p2:t1", "p1:s1", "", "", "edit", "")
    intent = Intent(1, Side.TABLE, "update", "deal1", "row1", (line,))
    picked = Held(["Service", "Done"], "p2:t2", PERSON, 100.0, 9)
    if not falls:
        checks.no_lost_update(Side.TABLE, "row1", intent, line, picked)
        return
    with pytest.raises(Broken, match="typed again after our write"):
        checks.no_lost_update(Side.TABLE, "row1", intent, line, picked)
