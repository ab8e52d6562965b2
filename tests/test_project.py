"""The repository itself: what lies in it, what it may not hold, and its pins."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from syncd import __version__
from syncd.cli.main import COMMANDS
from syncd.settings import SCALARS, VARIABLES, load_settings

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
TOP_LEVEL = {
    *(".ci", ".dockerignore", ".gitignore", "LICENSE", "LIMITS.md", "Makefile", "README.md", "config", "deploy"),
    *("pyproject.toml", "requirements-dev.txt", "requirements.txt", "state", "syncd", "tests"),
}
# With [x] in place of x, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a package index": re.compile(
        r"[i]ndex-url|[p]ypi\.org|[p]ythonhosted|[t]rusted-host|[f]ind-links|[n]pmjs\.org|[r]egistry\.yarnpkg|\"[r]esolved\":"
    ),
    "a path of one machine": re.compile(r"/[h]ome/|/[r]oot\b|/[w]ork/|/[U]sers/|/opt/[w]heels|/opt/[p]ypi"),
}
ALLOWED = {"deploy/pins.sh": {"a package index"}}  # it switches the index lines off


def _tracked() -> list[str]:
    """What git holds or would add; where this is no clone, what lies here."""
    git = shutil.which("git")
    if git is not None and (REPOSITORY / ".git").exists():
        command = [git, "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout
        return [name for name in listed.split("\0") if name and (REPOSITORY / name).is_file()]
    skipped = {".venv", "build", "dist", "node_modules", "__pycache__"}
    paths = (path.relative_to(REPOSITORY) for path in REPOSITORY.rglob("*") if path.is_file())
    return [path.as_posix() for path in paths if not skipped & set(path.parts) and not path.parts[0].endswith("_cache")]


def test_no_file_names_a_machine_or_a_package_index() -> None:
    found = []
    for name in _tracked():
        text = (REPOSITORY / name).read_bytes().decode("utf-8", "replace")
        for what, pattern in FORBIDDEN.items():
            if what not in ALLOWED.get(name, set()) and (match := pattern.search(text)):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line} holds {what}: {match[0]}")
    assert not found


def test_the_pattern_finds_what_it_should() -> None:
    assert FORBIDDEN["a package index"].search("--index" + "-url x")
    assert FORBIDDEN["a path of one machine"].search("see /ho" + "me/me/x")


def test_top_level() -> None:
    assert {name.split("/")[0] for name in _tracked()} - {".git", ".hypothesis"} <= TOP_LEVEL


def test_no_secrets_state_or_own_configuration_is_tracked() -> None:
    names = _tracked()
    assert [name for name in names if name.startswith("state/")] == ["state/README.md"]
    assert "config/syncd.toml" not in names
    assert not [name for name in names if name.startswith("deploy/secrets/")]
    assert not [name for name in names if name.endswith((".db", ".sqlite", ".pem", ".key"))]


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    text = (REPOSITORY / name).read_text("utf-8")
    entries = re.sub(r"\s*\\\n\s*", " ", re.sub(r"(?m)^#.*\n|^\n", "", text)).splitlines()
    assert entries
    pattern = re.compile(r"[a-z0-9-]+==[^ ]+( ; [^-]+?)?( --hash=sha256:[0-9a-f]{64})+")
    assert [entry for entry in entries if not pattern.fullmatch(entry)] == []


def _pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (REPOSITORY / name).read_text("utf-8")))


def test_tests_run_with_the_versions_that_people_run() -> None:
    run, dev = (_pins(name) for name in REQUIREMENTS)
    assert run.items() <= dev.items()


def test_every_declared_dependency_is_pinned() -> None:
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))

    def names(declared: list[str]) -> set[str]:
        return {match[0] for one in declared if (match := re.match(r"[\w-]+", one))}

    assert names(project["project"]["dependencies"]) <= _pins("requirements.txt").keys()
    assert names(project["dependency-groups"]["dev"]) <= _pins("requirements-dev.txt").keys()
    assert project["project"]["version"] == __version__


def test_every_example_of_a_configuration_loads() -> None:
    examples = sorted((REPOSITORY / "config").glob("*.toml"))
    shipped = [path for path in examples if path.name != "syncd.toml"]
    assert len(shipped) >= 8
    for path in shipped:
        assert load_settings(path, {}).pair


def test_the_readme_names_every_variable_and_command() -> None:
    text = (REPOSITORY / "README.md").read_text("utf-8")
    variables = {name for names in VARIABLES.values() for name in names}
    variables |= {"SYNCD_CONFIG", *(f"SYNCD_{name.upper()}" for name in SCALARS)}
    assert [name for name in sorted(variables) if f"`{name}`" not in text] == []
    assert [name for name in COMMANDS if f"| `syncd {name}" not in text] == []


def test_make_help_tells_every_target() -> None:
    text = (REPOSITORY / "Makefile").read_text("utf-8")
    listed = re.search(r"(?m)^\.PHONY: (.*)$", text)
    assert listed
    make = shutil.which("make")
    assert make
    told = subprocess.run([make, "--silent"], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    assert re.findall(r"(?m)^  make (\w+)", told.stdout) == listed[1].split()
