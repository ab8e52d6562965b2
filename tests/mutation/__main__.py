"""`python -m tests.mutation`: changes what decides and writes at one place at a time; the plain tests must notice.

`make mutation` runs it. Exit code 0: at least 95 % of the mutants were killed, and survivors.json gives a reason for
each of the others. It writes results.json, survivors.md and README.md's line anew.
After a new test, `--again` tries only what was neither killed nor explained before; `--believe` spares the time that
known survivors take, which are many tests each. (Which functions an old test reaches is not asked anew: one that was
changed needs another name to be tried.)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.mutation import report
from tests.mutation.forks import MUTANT, SURVIVED, WANTED

ROOT: Final = Path(__file__).resolve().parents[2]
MUTANTS: Final = ROOT / "mutants"
OUTCOMES: Final = MUTANTS / "outcomes.json"
ANY_ONE: Final = "syncd.decide.x_order__mutmut_1"  # mutmut makes all of them before it tries this one
QUIET: Final = ("-p", "tests.mutation.forks", "--assert=plain", "--tb=no",
                "-o", "tmp_path_retention_policy=none")  # fmt: skip


def settings() -> dict[str, Any]:
    """[tool.mutmut] of pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: dict[str, Any] = project["tool"]["mutmut"]
    return found


def make_mutants() -> None:
    """Has mutmut write the mutants and find out which tests reach which function."""
    shutil.rmtree(MUTANTS, ignore_errors=True)
    MUTANTS.mkdir()
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    with (MUTANTS / "mutmut.log").open("w") as log:  # its spinner writes megabytes
        made = subprocess.run([mutmut, "run", "--max-children", "1", ANY_ONE], cwd=ROOT, stdout=log, stderr=log)
    if made.returncode:
        raise SystemExit(f"mutmut failed ({made.returncode}); mutants/mutmut.log has its words.")


def names_of(module: str) -> list[str]:
    """The mutants of a module, in order."""
    meta = json.loads((MUTANTS / "syncd" / f"{module}.py.meta").read_text("utf-8"))
    return list(meta["exit_code_by_key"])


def tried(names: Sequence[str], jobs: int) -> dict[str, str]:
    """What became of each mutant."""
    with tempfile.TemporaryDirectory() as folder:
        begun = []
        for job in range(jobs):
            wanted = MUTANTS / f"wanted{job}.txt"
            wanted.write_text("\n".join(names[job::jobs]), encoding="utf-8")
            begun.append((wanted, _begin(wanted, Path(folder) / str(job))))
        codes = [process.wait() for _, process in begun]
    if any(codes):
        raise SystemExit(f"pytest failed ({codes}); mutants/wanted*.log has its words.")
    lines = [line for wanted, _ in begun for line in wanted.with_suffix(".results").read_text("utf-8").splitlines()]
    return {mutant: outcome for mutant, outcome, _ in map(json.loads, lines)}


def _begin(wanted: Path, folder: Path) -> subprocess.Popen[bytes]:
    chosen = settings()
    command = [sys.executable, "-m", "pytest", *QUIET, f"--basetemp={folder}", *chosen["pytest_add_cli_args"],
               *chosen["pytest_add_cli_args_test_selection"]]  # fmt: skip
    environment = {**os.environ, WANTED: str(wanted), MUTANT: "none"}
    with wanted.with_suffix(".log").open("w") as log:
        return subprocess.Popen(command, cwd=MUTANTS, env=environment, stdout=log, stderr=log)


def main() -> int:
    """The command."""
    known = [Path(name).stem for name in settings()["only_mutate"]]
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Do the tests notice a changed line?")
    parser.add_argument("modules", nargs="*", default=known, help=f"some of {', '.join(known)} (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--again", action="store_true", help="try what the last run left unexplained; same code")
    parser.add_argument("--believe", action="store_true", help="count as survivors, untried, what has a reason already")
    asked = parser.parse_args()
    before: dict[str, dict[str, str]] = {}
    if asked.again:
        before = json.loads(OUTCOMES.read_text("utf-8"))
        shutil.copytree(ROOT / "tests", MUTANTS / "tests", dirs_exist_ok=True)
    else:
        make_mutants()
    outcomes = {}
    for module in asked.modules:
        done = {
            name: end for name, end in before.get(module, {}).items() if report.needs_no_second_try(MUTANTS, name, end)
        }
        if asked.believe:
            known_ones = [one for one in names_of(module) if report.needs_no_second_try(MUTANTS, one, SURVIVED)]
            done |= {name: SURVIVED for name in known_ones if name not in done}
        now = tried([name for name in names_of(module) if name not in done], asked.jobs)
        outcomes[module] = {name: done.get(name) or now[name] for name in names_of(module)}
        OUTCOMES.write_text(json.dumps({**before, **outcomes}), encoding="utf-8")
    found = report.Found.of(outcomes, MUTANTS)
    print(found.told())
    found.keep(known)
    return 0 if found.good else 1


if __name__ == "__main__":
    sys.exit(main())
