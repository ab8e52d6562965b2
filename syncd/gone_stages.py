"""Stages that HighLevel no longer lists though deals are in them (SPEC §4: what vanishes is named). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from syncd.judge import Ground
from syncd.model import Record
from syncd.plan import Finding, Trouble
from syncd.sides import Vocabulary
from syncd.values import StageCodec, clipped


def listed_stages(vocabulary: Vocabulary) -> dict[str, str]:
    """The stages of the synced pipelines: id -> "Pipeline / Stage"."""
    return {s.id: f"{p.name} / {s.name}" for p in vocabulary.pipelines if p.synced for s in p.stages}


def stages_held(ground: Ground, deals: Iterable[Record]) -> Counter[str]:
    """How many deals of the synced pipelines are in each stage, by its id."""
    found: Counter[str] = Counter()
    for index, codec in enumerate(ground.codecs):
        if isinstance(codec, StageCodec):
            raws = (deal.raw[index] for deal in deals if deal.outside is None and index not in deal.lacks)
            found.update(str(raw[1]) for raw in raws if isinstance(raw, list) and len(raw) == 2 and raw[1])
    return found


def still_held(known: Mapping[str, str], listed: Mapping[str, str], held: Mapping[str, int]) -> list[tuple[str, str]]:
    """(id, name) of the stages that were listed once, are not any more, and still have deals."""
    return sorted((id, name) for id, name in known.items() if id not in listed and held.get(id))


def finding(name: str, deals: int, crm: str) -> Finding:
    """What a person is told of such a stage."""
    shown = f"{crm} no longer lists the stage “{clipped(name)}”"
    mend = (
        "1 deal is still in it, and its row keeps that name. Move it to another stage."
        if deals == 1
        else f"{deals:,} deals are still in it, and their rows keep that name. Move them to another stage."
    )
    return Finding(Trouble.STAGE_GONE, "", "", "", f"{shown}; {mend}", True)
