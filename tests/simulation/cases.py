"""Seeds that failed once, each with a sentence (cases.json). They are replayed by the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("cases.json")


@dataclass(frozen=True, slots=True)
class Case:
    """A seed, and what went wrong with it once."""

    seed: int
    sentence: str


def cases() -> list[Case]:
    """All kept seeds."""
    return [Case(**one) for one in json.loads(FILE.read_text())]
