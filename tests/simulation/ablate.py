"""`python -m tests.simulation.ablate` (`make ablation`): each rule is switched off, to see which property falls.

Writes the table into README.md and the failing seeds into ablations.json. Exit code 1: nothing caught a rule's absence,
and no reason is given for that.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulation.ablations import ABLATIONS, Ablation
from tests.simulation.knobs import draw
from tests.simulation.run import simulate

SEEDS_FILE: Final = Path(__file__).with_name("ablations.json")
README: Final = Path(__file__).with_name("README.md")
PROPERTY: Final = re.compile(r"P\d+")
BEGIN, END = "<!-- ablation -->", "<!-- end of ablation -->"


@dataclass(frozen=True, slots=True)
class Fall:
    """Which property fell at which seed; "" if none did."""

    name: str
    broken: str
    seed: int
    story: str


def named(name: str) -> Ablation:
    """The ablation of this name."""
    return next(one for one in ABLATIONS if one.name == name)


def first_fall(name: str, seeds: int, start: int = 0) -> Fall:
    """Runs seeds without one rule until a property falls that holds with it. That the crippled engine raises, or that
    the harness does, shows nothing."""
    for seed in range(start, start + seeds):
        with named(name).applied():
            outcome = simulate(seed, draw(seed))
        if PROPERTY.fullmatch(outcome.broken) and not simulate(seed, draw(seed)).broken:
            return Fall(name, outcome.broken, seed, outcome.story)
    return Fall(name, "", start + seeds - 1, "")


def table(falls: Sequence[Fall]) -> str:
    """The Markdown table."""
    lines = ["| rule switched off | what falls | seeds needed |", "|---|---|---|"]
    for fall in falls:
        ablation = named(fall.name)
        what = (
            f"{fall.broken}: {fall.story.partition(': ')[2][:110]}" if fall.broken else f"nothing. {ablation.covered}"
        )
        needed = str(fall.seed + 1) if fall.broken else f"none of {fall.seed + 1:,}"
        lines.append(f"| {ablation.rule} | {what.replace('|', '/')} | {needed} |")
    return "\n".join(lines)


def rule_of(line: str) -> str:
    """What a line of the table is about."""
    return line.split("|")[1].strip() if line.startswith("|") else line


def known_seeds() -> dict[str, int]:
    """Per ablation the seed at which a property fell last time; -1 where none did."""
    found: dict[str, int] = json.loads(SEEDS_FILE.read_text())
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.ablate", description="Each rule switched off.")
    parser.add_argument("--seeds", type=int, default=3_000, help="how many seeds each at most (default: 3000)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this rule; the other lines stay")
    given = parser.parse_args()
    names = given.only or [one.name for one in ABLATIONS]
    with ProcessPoolExecutor(given.jobs) as pool:
        falls = list(pool.map(first_fall, names, [given.seeds] * len(names)))
    shown = table(falls)
    print(shown)
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    kept, _, after = rest.partition(END)
    if given.only:
        lines = {rule_of(line): line for line in [*kept.strip().splitlines(), *shown.splitlines()]}
        shown = "\n".join(lines.values())
    README.write_text(f"{before}{BEGIN}\n{shown}\n{END}{after}")
    seeds = known_seeds() if given.only else {}
    seeds |= {fall.name: fall.seed if fall.broken else -1 for fall in falls}
    SEEDS_FILE.write_text(json.dumps(seeds, indent=1) + "\n")
    silent = [fall.name for fall in falls if not fall.broken and not named(fall.name).covered]
    for name in silent:
        print(f"Nothing falls without “{name}” ({named(name).rule}): improve the simulation, or say why.")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
