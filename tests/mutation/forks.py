"""A pytest plugin: tries mutants, one forked child each, instead of running the tests once.

mutmut makes the mutants and knows which tests reach which function. Its own runner begins a session of pytest for each
mutant, which costs more than most of the tests do; here the tests are collected once. A child runs those that reach
its mutant, the last ones that killed a mutant of the same function first, and ends at the first failure.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import inf
from pathlib import Path
from time import process_time
from typing import Final

import pytest

WANTED: Final = "SYNCD_MUTANTS"  # a file with the names of the mutants to be tried; what became of them goes beside it
MUTANT: Final = "MUTANT_UNDER_TEST"  # which one is alive, as mutmut's code asks
KILLED, SURVIVED, TIMEOUT, NO_TESTS = "killed", "survived", "timeout", "no tests"
CPU_SECONDS: Final = 60.0  # after which a mutant that does not end counts as noticed
SLOWEST_SECONDS: Final = 0.5  # a test that takes longer is left out
PATIENCE: Final = 5.0  # CPU seconds of tests, the narrowest first, after which a mutant counts as a survivor


def mangled(mutant: str) -> str:
    """The name under which mutmut keeps the tests of a mutant's function."""
    return mutant.partition("__mutmut_")[0]


class Forks:
    """Tries the mutants of a list; writes what became of each to a file, a line each."""

    def __init__(self, wanted: Path, stats: Path) -> None:
        known = json.loads(stats.read_text("utf-8"))
        self.reached: dict[str, list[str]] = known["tests_by_mangled_function_name"]
        self.seconds: dict[str, float] = known["duration_by_test"]
        self.mutants, self.results = wanted.read_text("utf-8").split(), wanted.with_suffix(".results")
        self.breadth = Counter(name for names in self.reached.values() for name in names)
        self.killers: dict[str, list[str]] = defaultdict(list)
        self.failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes a failure."""
        if report.failed:
            self.failed = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In place of pytest's loop over the tests."""
        items = {item.nodeid: item for item in session.items}
        failed = self._run("none", [one for name, one in items.items() if self._took(name) < SLOWEST_SECONDS], inf)[1]
        if failed:
            raise pytest.UsageError(f"{failed} fails without any mutant, so it says nothing about them.")
        with self.results.open("w", encoding="utf-8", buffering=1) as file:
            for mutant in self.mutants:
                outcome, killer = self._tried(mutant, items)
                file.write(json.dumps([mutant, outcome, killer]) + "\n")
        return True

    def _tried(self, mutant: str, items: dict[str, pytest.Item]) -> tuple[str, str]:
        """What becomes of a mutant, and which test killed it."""
        killers = self.killers[mangled(mutant)]
        names = self._tests(mangled(mutant), items)
        if not names:
            return NO_TESTS, ""
        # Those that killed a mutant of that function, then those that reach the fewest functions, then the fastest.
        found = {name: at for at, name in enumerate(killers)}
        names.sort(key=lambda name: (found.get(name, len(found)), self.breadth[name], self._took(name)))
        status, killer = self._run(mutant, [items[name] for name in names], PATIENCE)
        if os.WIFSIGNALED(status):
            return TIMEOUT if os.WTERMSIG(status) == signal.SIGVTALRM else KILLED, ""
        if not killer:
            return SURVIVED if os.WEXITSTATUS(status) == 0 else KILLED, ""
        if killer in killers:
            killers.remove(killer)
        killers.insert(0, killer)
        return KILLED, killer

    def _run(self, mutant: str, items: Sequence[pytest.Item], patience: float) -> tuple[int, str]:
        """Runs tests in a child; how it ended, and the first test that failed."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._child(mutant, items, writing, patience)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            failed = pipe.read().decode()
        return os.waitpid(child, 0)[1], failed

    def _tests(self, function: str, items: dict[str, pytest.Item]) -> list[str]:
        """Tests that reach a function, and those that are too new to know."""
        reached = set(self.reached.get(function, ()))
        names = [name for name in items if name in reached or name not in self.seconds]
        return [name for name in names if self._took(name) < SLOWEST_SECONDS]

    def _took(self, name: str) -> float:
        return self.seconds.get(name, 0.0)

    def _child(self, mutant: str, items: Sequence[pytest.Item], writing: int, patience: float) -> None:
        status = 1
        try:
            signal.setitimer(
                signal.ITIMER_VIRTUAL, CPU_SECONDS if patience < inf else 0.0
            )  # its signal ends a process that does not ask for it
            os.environ[MUTANT] = mutant
            begun = process_time()
            for item, following in zip(items, (*items[1:], None), strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    os.write(writing, self.failed.encode())
                    break
                if process_time() - begun > patience:
                    status = 0
                    break
            else:
                status = 0
        finally:
            os._exit(status)


def pytest_configure(config: pytest.Config) -> None:
    """Takes the loop over where mutants are wanted."""
    if WANTED in os.environ:
        wanted = Path(os.environ[WANTED])
        config.pluginmanager.register(Forks(wanted, wanted.with_name("mutmut-stats.json")))
