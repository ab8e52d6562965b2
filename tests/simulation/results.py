"""Totals over all soak runs (`make soak`), for the README's section “How we know”."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).with_name("results.json")


def add(seeds: int, events: int, marks: Mapping[str, int]) -> None:
    """Adds a run without a failure to the totals."""
    known: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    total = Counter(known.get("marks", {})) + Counter(marks)
    found = {
        "seeds": known.get("seeds", 0) + seeds,
        "events": known.get("events", 0) + events,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "marks": dict(sorted(total.items())),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
