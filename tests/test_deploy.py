"""deploy/: the systemd units, the container's files, the completions."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
DEPLOY = REPOSITORY / "deploy"
UNITS = ("syncd.service", "syncd-reconcile.service", "syncd-reconcile.timer")
SERVICES = UNITS[:2]
EXPOSURE_AT_MOST = 15  # tenths; systemd calls up to 2.0 "OK"
PROGRAM = "/opt/syncd/bin/syncd"


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs systemd-analyze; skips without it, except in CI."""
    found = shutil.which("systemd-analyze")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is missing; CI must not skip this (apt-get install systemd)")
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)


def _unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Section -> key -> values."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in (DEPLOY / name).read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(key, []).append(value)
    return found


def test_units_are_understood(tmp_path: Path) -> None:
    for name in UNITS:  # the program is not installed here, so another one stands for it
        text = (DEPLOY / name).read_text("utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / name).write_text(text, "utf-8")
    ran = _analyze("verify", "--man=no", *(str(tmp_path / name) for name in UNITS))
    about_ours = [line for line in ran.stderr.splitlines() if "syncd" in line]
    assert not about_ours
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_units_are_hardened(name: str) -> None:
    ran = _analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_AT_MOST}", str(DEPLOY / name))
    assert ran.returncode == 0, ran.stdout[-300:] + ran.stderr


def test_daemon_unit_fits_the_program() -> None:
    service = _unit("syncd.service")["Service"]
    assert service["Type"] == ["notify"]
    assert service["WatchdogSec"] == ["120"]
    assert service["TimeoutStopSec"] == ["60"]
    assert service["Restart"] == ["on-failure"]
    assert service["RestartPreventExitStatus"] == ["2"]
    assert service["DynamicUser"] == ["yes"]
    assert service["StateDirectory"] == ["syncd"]
    assert (service["RuntimeDirectory"], service["RuntimeDirectoryPreserve"]) == (["syncd"], ["yes"])  # trace.py
    assert service["ExecStart"] == [f"{PROGRAM} --config /etc/syncd/syncd.toml"]
    assert [line.partition(":")[0] for line in service["LoadCredential"]] == ["ghl-token", "airtable-token"]


def test_one_shot_unit_fits_the_program() -> None:
    service = _unit("syncd-reconcile.service")["Service"]
    assert service["Type"] == ["oneshot"]
    assert service["SuccessExitStatus"] == ["3"]
    assert service["ExecStart"] == [f"{PROGRAM} --reconcile --config /etc/syncd/syncd.toml"]
    assert _unit("syncd-reconcile.timer")["Install"]["WantedBy"] == ["timers.target"]


def test_both_services_are_confined_alike() -> None:
    daemon, once = (_unit(name)["Service"] for name in SERVICES)
    own = {"Type", "ExecStart", "SuccessExitStatus", "WatchdogSec", "TimeoutStartSec", "Restart", "RestartSec"}
    own |= {"RestartPreventExitStatus"}
    assert {key: daemon[key] for key in daemon.keys() - own} == {key: once[key] for key in once.keys() - own}


def test_dockerfile() -> None:
    lines = _instructions((DEPLOY / "Dockerfile").read_text("utf-8"))
    names = [name for name, _ in lines]
    assert lines[0] == ("ARG", "BASE=python:3.11-slim-bookworm")
    assert [rest for name, rest in lines if name == "FROM"] == ["${BASE} AS build", "${BASE}"]
    last = dict(lines[len(names) - names[::-1].index("FROM") :])
    assert last["USER"] == "10001:10001"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["ENTRYPOINT"] == '["syncd"]'
    assert "healthcheck.py" in last["HEALTHCHECK"]
    assert "ADD" not in names
    installs = [part for _, rest in lines for part in rest.split("&&") if "pip install" in part]
    assert all("--require-hashes" in part or "--no-deps dist/" in part for part in installs)
    assert not re.search(r"(?i)token|secret|password", (DEPLOY / "Dockerfile").read_text("utf-8"))


def _instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest) in order, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def test_what_the_image_copies_is_sent_to_the_builder() -> None:
    sent = {
        line.removeprefix("!") for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    lines = _instructions((DEPLOY / "Dockerfile").read_text("utf-8"))
    copied = {path for name, rest in lines if name == "COPY" and "--from" not in rest for path in rest.split()[:-1]}
    assert copied == sent
    assert all((REPOSITORY / path).exists() for path in copied)


def test_compose() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    compose: dict[str, Any] = yaml.safe_load(text)
    service = compose["services"]["syncd"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert service["volumes"] == ["state:/var/lib/syncd"]
    assert "privileged" not in service
    assert "ports" not in service
    assert service["environment"].keys() == {"SYNCD_CONFIG"}
    assert set(service["secrets"]) == set(compose["secrets"])
    assert all(one.keys() == {"file"} for one in compose["secrets"].values())
    folder = compose["secrets"]["ghl-token"]["file"].removeprefix("./").split("/")[0]
    assert f"{folder}/" in (DEPLOY / ".gitignore").read_text("utf-8").splitlines()


def test_the_containers_example_fits_compose() -> None:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    example = (REPOSITORY / "config" / "container-secrets.toml").read_text("utf-8")
    assert set(re.findall(r'"file:/run/secrets/([\w-]+)"', example)) == set(compose["secrets"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_those_that_make_writes(shell: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(DEPLOY / "completions.py"), shell], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == (DEPLOY / "completions" / f"syncd.{shell}").read_text("utf-8")


def test_completion_script_is_bash() -> None:
    bash = shutil.which("bash")
    assert bash
    subprocess.run([bash, "-n", str(DEPLOY / "completions" / "syncd.bash")], timeout=60, check=True)


# --- the health check ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ages", "code", "told"),
    [
        ([5.0, 10.0], 0, "2 pair(s) well"),
        ([5.0, 5_000.0], 1, "no success within 900 s: pair1"),
        ([None], 1, "no success within 900 s: pair0"),
        ([], 1, "it is broken"),
    ],
)
def test_health_check(tmp_path: Path, ages: list[float | None], code: int, told: str) -> None:
    """A stand-in for `python -m syncd` in the current folder prints what `syncd status --json` would."""
    lines = "\n".join(json.dumps({"pair": f"pair{n}", "age_seconds": age}) for n, age in enumerate(ages))
    (tmp_path / "syncd.py").write_text(
        f"import sys\nassert sys.argv[1:] == ['status', '--json']\nprint({lines!r}, end='')\n"
        + ("" if ages else "print('it is broken', file=sys.stderr)\n")
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, str(DEPLOY / "healthcheck.py")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout.strip()) == (code, told)


def test_the_unit_parser_of_this_test_agrees_with_configparser() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "syncd.service", "utf-8")
    assert parser["Service"]["Type"] == _unit("syncd.service")["Service"]["Type"][-1]
