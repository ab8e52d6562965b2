"""The sandbox as a process of its own, so that its CPU is not counted: prints its environment, ends with its input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from syncd.sandbox.world import Sandbox

NO_LIMIT = 10**9


def unlimited_sandbox(deals: int) -> Sandbox:
    """A sandbox without artificial latency and without rate limits."""
    sandbox = Sandbox(seed=1, deals=deals, rate_per_second=None)
    sandbox.highlevel.rate_limit = NO_LIMIT
    return sandbox


@contextmanager
def serving(deals: int) -> Iterator[Mapping[str, str]]:
    """Starts the sandbox in another process; gives the environment that `syncd` needs for it."""
    command = [sys.executable, "-m", "tests.benchmarks.server", str(deals)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("The sandbox did not start.")
            environment: dict[str, str] = json.loads(line)
            yield environment
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def main() -> None:
    """Serves until standard input ends."""
    with unlimited_sandbox(int(sys.argv[1])) as sandbox:
        print(json.dumps(sandbox.environment()), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
