"""Every rule that is switched off makes a property fall: the simulation sees what it is there to see."""

from __future__ import annotations

import pytest

from tests.simulation import ablate
from tests.simulation.ablate import first_fall, known_seeds, named
from tests.simulation.ablations import ABLATIONS, Ablation
from tests.simulation.knobs import Knobs
from tests.simulation.run import Outcome

LOOKED_ON = 400  # seeds to look at where the engine has changed since `make ablation` found the seed


def test_there_are_no_two_of_one_name_and_every_one_was_run() -> None:
    names = [ablation.name for ablation in ABLATIONS]
    assert len(set(names)) == len(names) >= 40
    assert set(known_seeds()) == set(names), "run `make ablation`"


@pytest.mark.parametrize("name", [ablation.name for ablation in ABLATIONS])
def test_without_this_rule_a_property_falls(name: str) -> None:
    seed = known_seeds().get(name, -1)
    if seed < 0:
        assert named(name).covered, "nothing falls, and nobody says why"
        return
    if first_fall(name, 1, seed).broken:
        return
    found = first_fall(name, LOOKED_ON)
    assert found.broken, f"{named(name).rule}: nothing falls without it any more; run `make ablation`"


def test_only_a_property_that_holds_with_the_rule_falls_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        rule = True

    def simulated(seed: int, _knobs: Knobs) -> Outcome:
        broken = {0: "" if Engine.rule else "error", 1: "P4", 2: "" if Engine.rule else "P2"}
        return Outcome(seed, Knobs(), broken[seed], "the story")

    made_up = Ablation("made up", "a rule", lambda: [(Engine, "rule", False)])
    monkeypatch.setattr(ablate, "simulate", simulated)
    monkeypatch.setattr(ablate, "named", lambda _name: made_up)
    assert (first_fall("made up", 3).broken, first_fall("made up", 3).seed) == ("P2", 2)
    assert first_fall("made up", 2).broken == ""
