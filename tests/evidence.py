"""`make evidence`: what the tests have shown, counted, as README.md's section “How we know”.

The simulation's totals are those of all soak runs (simulation/results.json); ablations and mutants are those of the
last `make ablation` and `make mutation`. Crash points are counted anew: their tests run here, and report with
`record_property` how often they killed or broke something.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from xml.etree import ElementTree

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
README: Final = ROOT / "README.md"
CRASHES: Final = HERE / "crashes.json"
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
CRASH_TESTS: Final = (
    "tests/test_carry.py", "tests/test_anomalies.py", "tests/test_trust.py", "tests/test_new_deals.py",
    "tests/end_to_end/test_crash.py",
)  # fmt: skip
CRASH_NAMES: Final = "kill or crash or fail or down"


def read(path: Path) -> dict[str, Any]:
    """A file of results."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def count_crashes() -> None:
    """Runs the tests that kill and break, and keeps their counts."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "-k", CRASH_NAMES, f"--junitxml={report}"]
        subprocess.run([*command, *CRASH_TESTS], cwd=ROOT, env={**os.environ, "CI": "true"}, check=True)
        counts: Counter[str] = Counter()
        for one in ElementTree.parse(report).iter("property"):
            counts[one.attrib["name"]] += int(one.attrib["value"])
    CRASHES.write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n", encoding="utf-8")


def simulated() -> list[str]:
    """The simulation and its ablations."""
    found = read(HERE / "simulation" / "results.json")
    marks: dict[str, int] = found["marks"]
    ablations = read(HERE / "simulation" / "ablations.json")
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
    return [
        *lines,
        "",
        f"Of {len(ablations)} rules that were switched off one by one, {fell} made a property fall in the simulation; "
        "the others say which other rule, or which test, makes up for them ([the table](tests/simulation/README.md)).",
    ]


def crashed() -> list[str]:
    """The tests that stop the program at a known point and compare what comes of it with the uncrashed result."""
    counts: dict[str, int] = read(CRASHES)
    listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return ["", f"Crash points, each followed by a comparison with the run that nothing disturbed: {listed}."]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence", description="Writes README's “How we know”.")
    parser.add_argument("--crashes", action="store_true", help="count the crash points anew (some minutes)")
    if parser.parse_args().crashes:
        count_crashes()
    section = "\n".join([*simulated(), *crashed()])
    text = README.read_text(encoding="utf-8")
    made = re.sub(f"{BEGIN}.*?{END}", lambda _found: f"{BEGIN}\n{section}\n{END}", text, flags=re.DOTALL)
    README.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
