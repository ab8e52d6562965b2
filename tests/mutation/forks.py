"""A pytest plugin: tries mutants, one forked child each, instead of running the tests once.

mutmut makes the mutants and knows which tests reach which function; its own runner starts a session of pytest for each
mutant, which costs more than most of the tests do. Here the tests are collected once. A child runs those that reach its
mutant, the last ones that killed a mutant of that function first, and ends at the first failure.
"""

from __future__ import annotations

import json
import os
import signal
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Final

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test

KILLED, SURVIVED, TIMEOUT, NO_TESTS = "killed", "survived", "timeout", "no tests"
CPU_SECONDS: Final = 60.0  # of one mutant; all the tests together take less than half of it
SLOWEST_SECONDS: Final = 1.0  # a test that takes longer is left out


def mangled(mutant: str) -> str:
    """The name under which mutmut keeps the tests of a mutant's function."""
    return mutant.partition("__mutmut_")[0]


class Forks:
    """Tries the mutants of a list; writes what became of each to a file, a line each."""

    def __init__(self, mutants: Sequence[str], results: Path, stats: Path) -> None:
        known = json.loads(stats.read_text("utf-8"))
        self.reached: dict[str, list[str]] = known["tests_by_mangled_function_name"]
        self.seconds: dict[str, float] = known["duration_by_test"]
        self.mutants, self.results = mutants, results
        self.killers: dict[str, list[str]] = defaultdict(list)
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a failure."""
        if report.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's loop over the tests."""
        items = {item.nodeid: item for item in session.items}
        with self.results.open("a", encoding="utf-8", buffering=1) as file:
            for mutant in self.mutants:
                outcome, killer = self._tried(mutant, items)
                file.write(json.dumps([mutant, outcome, killer]) + "\n")
        return True

    def _tried(self, mutant: str, items: dict[str, pytest.Item]) -> tuple[str, str]:
        killers = self.killers[mangled(mutant)]
        reached = set(self.reached.get(mangled(mutant), ()))
        names = [name for name in items if name in reached or name not in self.seconds]
        names = [name for name in names if self.seconds.get(name, 0.0) < SLOWEST_SECONDS]
        if not names:
            return NO_TESTS, ""
        names.sort(
            key=lambda name: (killers.index(name) if name in killers else len(killers), self.seconds.get(name, 0.0))
        )
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._child(mutant, [items[name] for name in names], writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            killer = pipe.read().decode()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return TIMEOUT if os.WTERMSIG(status) == signal.SIGVTALRM else KILLED, ""
        if not killer:
            return SURVIVED if os.WEXITSTATUS(status) == 0 else KILLED, ""
        if killer in killers:
            killers.remove(killer)
        killers.insert(0, killer)
        return KILLED, killer

    def _child(self, mutant: str, items: Sequence[pytest.Item], writing: int) -> None:
        status = 1
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)  # its signal ends a process that does not ask for it
            set_mutant_under_test(mutant)
            patience = process_time() + float(os.environ.get("SYNCD_PATIENCE", "inf"))
            for item, following in zip(items, (*items[1:], None), strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    os.write(writing, self.failed.encode())
                    break
                if process_time() > patience:
                    status = 0
                    break
            else:
                status = 0
        finally:
            os._exit(status)


def pytest_configure(config: pytest.Config) -> None:
    """Reads what is to be done from the environment."""
    place = os.environ.get("SYNCD_MUTANTS")
    if place:
        folder = Path(place)
        mutants = (folder / "wanted.txt").read_text("utf-8").split()
        config.pluginmanager.register(Forks(mutants, folder / "results.jsonl", folder / "mutmut-stats.json"))
