"""Exits 0 if every pair had a success within HEALTH_MAX_AGE_SECONDS (default 900), else 1 with a line that says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main() -> int:
    """Asks `syncd status --json`, which prints one JSON object a pair."""
    limit = float(os.environ.get("HEALTH_MAX_AGE_SECONDS", "900"))
    command = [sys.executable, "-m", "syncd", "status", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    pairs = [json.loads(line) for line in ran.stdout.splitlines()]
    late = [pair["pair"] for pair in pairs if pair["age_seconds"] is None or pair["age_seconds"] > limit]
    if late or not pairs:
        print(f"no success within {limit:g} s: {', '.join(late)}" if late else ran.stderr.strip())
        return 1
    print(f"{len(pairs)} pair(s) well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
