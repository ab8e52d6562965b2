"""What the simulation has shown so far: totals over all soak runs, and the README section that is made of them.

`make soak` adds to results.json where no seed failed and no transition was missing, and then runs this, which writes
README.md's section “How we know” anew.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).with_name("results.json")
ABLATIONS: Final = Path(__file__).with_name("ablations.json")
README: Final = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- evidence -->", "<!-- end of evidence -->"
SHOWN: Final = {
    "edits and other acts of people": ("edit ", "add ", "delete ", "restore ", "copy row", "set key", "type row",
                                       "rename ", "new lead", "toggle", "touch deal", "change option"),
    "writes to HighLevel": ("write crm",),
    "writes to the table": ("write table",),
    "deals made of rows": ("deal made",),
    "conflicts decided": ("decided conflict, x wins", "decided conflict, y wins"),
    "held by a guard": ("held ",),
    "fields frozen": ("found frozen",),
    "records quarantined": ("found refused",),
    "kills": ("crash before", "crash after"),
    "lost answers": ("lost before ", "lost after "),
    "open writes settled": ("settled ",),
    "old databases put back": ("put copy back",),
}  # fmt: skip


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


def section() -> str:
    """The README's lines."""
    found = json.loads(RESULTS.read_text())
    marks: dict[str, int] = found["marks"]
    ablations: dict[str, int] = json.loads(ABLATIONS.read_text())
    fell = sum(seed >= 0 for seed in ablations.values())
    lines = [
        f"As of {found['date']}: **{found['seeds']:,} simulated worlds** without a broken property. What happened:",
        "",
        "| | times |",
        "| --- | ---: |",
    ]
    for title, starts in SHOWN.items():
        count = sum(times for name, times in marks.items() if name.startswith(starts))
        lines.append(f"| {title} | {count:,} |")
    lines += [
        "",
        f"Of {len(ablations)} rules that were switched off one by one, {fell} made a property fall in the simulation; "
        "the others say which other rule, or which test, makes up for them ([the table](tests/simulation/README.md)).",
    ]
    return "\n".join(lines)


def main() -> None:
    """Writes the section."""
    text = README.read_text(encoding="utf-8")
    made = re.sub(f"{BEGIN}.*?{END}", lambda _found: f"{BEGIN}\n{section()}\n{END}", text, flags=re.DOTALL)
    README.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
