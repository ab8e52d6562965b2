"""What became of the mutants: counts per module, the survivors with their reasons, README.md's line.

survivors.json is kept by people: for each mutant that no test notices its kind (KINDS) and the reason. survivors.md is
made of it. A survivor is known by its function and its changed line, not by its number, which moves with the code.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Final

from tests.mutation.forks import KILLED, TIMEOUT, mangled

HERE: Final = Path(__file__).parent
RESULTS, REASONS, TABLE = HERE / "results.json", HERE / "survivors.json", HERE / "survivors.md"
README: Final = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- mutation -->", "<!-- end of mutation -->"
DEAD: Final = (KILLED, TIMEOUT)
ENOUGH: Final = 0.95
KINDS: Final = {
    "equivalent": "the changed line does the same",
    "unreachable": "what it would change cannot happen; the line is there for the type checker or for care",
    "speed": "the same result, later or earlier",
    "slow": "a test notices it that is too slow for here",
    "open": "no test notices it yet",
}


@dataclass(frozen=True, order=True)
class Survivor:
    """A mutant that no test noticed: where, what stood there, what stands there now."""

    module: str
    function: str
    before: str
    after: str


def changed(mutants: Path, mutant: str) -> Survivor:
    """What a mutant changes."""
    module, name = mutant.removeprefix("syncd.").rsplit(".", 1)
    lines = _functions(mutants / "syncd" / f"{module}.py")
    original = f"{mangled(name)}__mutmut_orig"
    before, after = (_plain(lines[one], one) for one in (original, name))
    old, new = [], []
    for tag, start, stop, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            old += before[start:stop]
            new += after[first:last]
    function = re.sub(r"^xǁ(.*)ǁ", r"\1.", mangled(name)).removeprefix("x_")
    return Survivor(module, function, " ".join(old), " ".join(new))


def needs_no_second_try(mutants: Path, mutant: str, outcome: str) -> bool:
    """Whether a mutant was killed, or somebody has said why it was not."""
    return outcome in DEAD or changed(mutants, mutant) in reasons()


_cache: dict[Path, dict[str, list[str]]] = {}


def _functions(path: Path) -> dict[str, list[str]]:
    if path not in _cache:
        text = path.read_text("utf-8")
        lines = text.splitlines()
        _cache[path] = {
            node.name: lines[node.lineno - 1 : node.end_lineno]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
        }
    return _cache[path]


def _plain(lines: list[str], name: str) -> list[str]:
    """Lines of a function without its name and mutmut's remarks."""
    return [line.partition("# type: ignore # mutmut")[0].strip().replace(name, "") for line in lines]


@dataclass(frozen=True)
class Found:
    """What a run found."""

    counts: Mapping[str, Mapping[str, int]]  # module -> mutants, killed
    survivors: list[Survivor]
    reasons: Mapping[Survivor, tuple[str, str]]  # kind and reason; ("", "") where nobody has given one yet

    @staticmethod
    def of(outcomes: Mapping[str, Mapping[str, str]], mutants: Path) -> Found:
        """From what became of each mutant of each module."""
        counts = {
            module: {"mutants": len(found), "killed": sum(outcome in DEAD for outcome in found.values())}
            for module, found in outcomes.items()
        }
        survivors = [
            changed(mutants, mutant)
            for found in outcomes.values()
            for mutant, outcome in found.items()
            if outcome not in DEAD
        ]
        known = reasons()
        return Found(counts, survivors, {one: known.get(one, ("", "")) for one in survivors})

    @property
    def share(self) -> float:
        """Which part was killed."""
        total = sum(count["mutants"] for count in self.counts.values())
        return sum(count["killed"] for count in self.counts.values()) / total

    @property
    def good(self) -> bool:
        """Whether enough were killed, and every other one is explained."""
        return self.share >= ENOUGH and all(kind in KINDS and reason for kind, reason in self.reasons.values())

    def told(self) -> str:
        """For the terminal."""
        lines = [f"{name}: {count['killed']} of {count['mutants']} killed" for name, count in self.counts.items()]
        lines.append(f"together {self.share:.1%}; {ENOUGH:.0%} are asked for")
        for one, (_, reason) in self.reasons.items():
            if not reason:
                lines += [f"no reason for {one.module}.{one.function}", f"  - {one.before}", f"  + {one.after}"]
        return "\n".join(lines)

    def keep(self, modules: Collection[str]) -> None:
        """Writes results.json, survivors.json (with reasons that still count), survivors.md and README.md's line. Of
        those of `modules` that this run has not tried, what an earlier one found stays, with its date."""
        today, before = f"{datetime.now(UTC):%Y-%m-%d}", results()["modules"]
        counts: dict[str, Any] = {
            one: {**self.counts[one], "date": today} if one in self.counts else before[one]
            for one in modules
            if one in self.counts or one in before
        }
        RESULTS.write_text(json.dumps({"modules": counts}, indent=1) + "\n", encoding="utf-8")
        others = [one for one in entries() if one["module"] in counts and one["module"] not in self.counts]
        kept = others + [
            {"module": one.module, "function": one.function, "before": one.before, "after": one.after,
             "kind": kind, "reason": reason, "mutants": self.survivors.count(one)}
            for one, (kind, reason) in sorted(self.reasons.items())
        ]  # fmt: skip
        kept.sort(key=lambda one: [one[key] for key in ("module", "function", "before", "after")])
        REASONS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        TABLE.write_text(table(), encoding="utf-8")
        text = README.read_text(encoding="utf-8")
        made = re.sub(f"{BEGIN}.*?{END}", lambda _found: f"{BEGIN}\n{section()}\n{END}", text, flags=re.DOTALL)
        README.write_text(made, encoding="utf-8")


def entries() -> list[dict[str, Any]]:
    """survivors.json."""
    found: list[dict[str, Any]] = json.loads(REASONS.read_text("utf-8")) if REASONS.exists() else []
    return found


def reasons() -> dict[Survivor, tuple[str, str]]:
    """Kind and reason of each survivor that was looked at."""
    return {
        Survivor(one["module"], one["function"], one["before"], one["after"]): (one["kind"], one["reason"])
        for one in entries()
        if one["reason"]
    }


def results() -> dict[str, Any]:
    """results.json."""
    found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    return found


def section() -> str:
    """README.md's line."""
    modules: dict[str, dict[str, Any]] = results()["modules"]
    total, killed = (sum(count[name] for count in modules.values()) for name in ("mutants", "killed"))
    dates = sorted({count["date"] for count in modules.values()})
    earlier = [f"{', '.join(one for one in modules if modules[one]['date'] == date)} on {date}" for date in dates[:-1]]
    when = "; ".join([f"last on {dates[-1]}", *earlier])
    each = ", ".join(f"{name} {count['killed']:,} of {count['mutants']:,}" for name, count in modules.items())
    return (
        f"`make mutation` ({when}) changes what decides and what writes at one place at a time. "
        f"The plain tests notice {killed:,} of {total:,} such changes, {killed / total:.1%} ({each}); "
        "[why not the others](tests/mutation/survivors.md)."
    )


def table() -> str:
    """survivors.md."""
    lines = [
        "# Changes that no test notices",
        "",
        "Made by `make mutation` from `survivors.json`. Each is a mutant (×n: so many that read alike) that all plain,",
        "fast tests let pass.",
        "",
    ]
    found = entries()
    for kind, meaning in KINDS.items():
        count = sum(one["mutants"] for one in found if one["kind"] == kind)
        lines += [f"- **{kind}** ({count}): {meaning}"] * (count > 0)
    for module in dict.fromkeys(one["module"] for one in found):
        lines += ["", f"## {module}.py", ""]
        for one in found:
            if one["module"] == module:
                times = f" ×{one['mutants']}" if one["mutants"] > 1 else ""
                lines += [
                    f"- `{one['function']}`{times}, {one['kind'] or 'not looked at'}: {one['reason']}",
                    "",
                    "  ```diff",
                    f"  - {one['before']}",
                    f"  + {one['after']}",
                    "  ```",
                ]
    return "\n".join(lines) + "\n"
