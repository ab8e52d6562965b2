"""The program's entry. `--version` answers before anything heavy is imported."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code (CONTRACT)."""
    if sys.argv[1:] == ["--version"]:
        from syncd import __version__

        print(f"syncd {__version__}")
        return
    from syncd.cli.main import run, syncd

    if "_SYNCD_COMPLETE" in os.environ:
        syncd.main(prog_name="syncd")  # the shell asks for completions
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that this terminal's encoding lacks is no failure
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
