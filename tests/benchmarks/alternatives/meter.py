"""How much memory this process has had at once, written to the file that BENCH_PEAK names. Standard library only."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Linux: VmHWM, since ru_maxrss starts with what the parent had before it executed this program."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def report_peak() -> None:
    """To be called last."""
    Path(os.environ["BENCH_PEAK"]).write_text(str(peak_bytes()))


if __name__ == "__main__":
    report_peak()  # of an interpreter that does nothing
