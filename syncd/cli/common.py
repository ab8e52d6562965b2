"""What all commands share: the options that stand before or after a command, and errors as sentences."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from syncd.settings import PairSettings, Settings
    from syncd.store import Store

F = TypeVar("F", bound=Callable[..., Any])
SHOWN_MATCHES = 10
ORDER = (2, 1, 3, 0)  # of several pairs' exit codes the worst counts (CONTRACT)


@dataclass(slots=True)
class Options:
    """The shared options, as given anywhere on the line."""

    config: Path | None = None
    pairs: tuple[str, ...] = ()
    quiet: bool = False
    verbose: bool = False


def options(context: click.Context) -> Options:
    """The shared options of this run."""
    root = context.find_root()
    if not isinstance(root.obj, Options):
        root.obj = Options()
    return root.obj


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    given = options(context)
    if parameter.name == "pairs":
        given.pairs += tuple(value)
    elif value:
        setattr(given, str(parameter.name), value)


def shared_options(command: F) -> F:
    """Adds --config, --pair, --quiet and --verbose to a command; they may stand before it as well."""
    for decorate in (
        click.option("--verbose", is_flag=True, expose_value=False, callback=_keep, help="Say more, also for defects."),
        click.option("--quiet", is_flag=True, expose_value=False, callback=_keep, help="Only errors."),
        click.option(
            "--pair", "pairs", multiple=True, expose_value=False, callback=_keep, help="Only this pair (repeatable)."
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path, dir_okay=False),
            expose_value=False,
            callback=_keep,
            help="Configuration file (else $SYNCD_CONFIG, config/syncd.toml, or the environment alone).",
        ),
    ):
        command = decorate(command)
    return command


class NoMatch(click.ClickException):
    """What was asked for cannot be found, or is not the only one. How a command is used is not the trouble (exit 2)."""

    exit_code = 2


def not_blank(deal: str) -> None:
    """Raises a usage error where nothing was asked for."""
    if not deal.strip():
        raise click.UsageError("DEAL is empty; give a deal's id or a part of its name.")


def several(many: list[tuple[str, str]], asked: str, where: str = "") -> NoMatch:
    """The error for a text that fits several (id, name): ten of them, one a line."""
    from syncd.report import counted, printable, shortened
    from syncd.values import clipped

    lines = [f"  “{clipped(name)}” ({printable(id)})" for id, name in many]
    listed = "\n".join(shortened(lines, SHOWN_MATCHES, "give more of the name."))
    found = f"{counted(len(many), 'deal')}{where}"
    return NoMatch(f"{found} match “{clipped(asked)}”; give the id of one:\n{listed}")


def worst(codes: list[int]) -> int:
    """The exit code that counts for several pairs."""
    return min(codes, key=ORDER.index, default=0)


def settings_of(context: click.Context) -> Settings:
    """The checked configuration; raises `ConfigError`."""
    from syncd.settings import load_settings

    return load_settings(options(context).config, os.environ)


def chosen(context: click.Context, settings: Settings) -> list[PairSettings]:
    """The pairs that --pair names, else all; raises `ConfigError` for a name that does not exist."""
    from syncd.config_files import ConfigError

    wanted = options(context).pairs
    names = [pair.name for pair in settings.pair]
    for name in wanted:
        if name not in names:
            raise ConfigError(f'There is no pair "{name}". The configuration has: {", ".join(names)}.')
    return [pair for pair in settings.pair if not wanted or pair.name in wanted]


def reader(settings: Settings, pair: str) -> Store:
    """The state of a pair, to be read only; an empty one where nothing has run yet. Close it when done. Raises
    `StoreFailed`.
    """
    from syncd.folder import no_folder, trouble
    from syncd.store import FILE_NAME, Store, StoreFailed

    folder = Path(settings.state_dir)
    try:
        if no_folder(folder) is not None:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        known = (folder / FILE_NAME).exists()
    except OSError as error:
        raise StoreFailed(trouble(folder, error)) from None
    return Store(folder, pair, read_only=True) if known else Store(None, pair)


# Names come from servers and from everybody who may type them. Whatever is printed goes through one of the following,
# so that no name can move the cursor, colour the screen, hide what follows or reverse it.

LONGEST_LINE = 4_000  # characters; a key cell may hold anything, and --json tells all of it


def clean(text: str, *, kept: str = "\n\t") -> str:
    """`text` without anything that could steer a terminal; line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character in kept else "·" for character in text)


def say(lines: list[str]) -> None:
    """Prints lines on standard output; a line break within one makes no new line, and a screenful is enough of any."""
    for line in lines:
        shown = clean(line, kept="")
        click.echo(shown if len(shown) <= LONGEST_LINE else shown[: LONGEST_LINE - 1] + "…")


def complain(text: str) -> None:
    """Prints a sentence, or several lines of them, on standard error."""
    click.echo(clean(text), err=True)


def say_json(value: Any) -> None:
    """Prints one JSON value on standard output; what cannot be seen is written as its number."""
    text = json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None)
    if not text.isprintable():
        text = "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)
    click.echo(text)


class _CleanFormatter(logging.Formatter):
    """Log lines are printed, too."""

    def format(self, record: logging.LogRecord) -> str:
        """The line as it may stand on a terminal."""
        return clean(super().format(record))


def start_logging(given: Options) -> None:
    """Log lines on standard error: short on a terminal, with time elsewhere."""
    level = logging.WARNING if given.quiet else (logging.DEBUG if given.verbose else logging.INFO)
    form = "%(asctime)s %(levelname)s %(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_CleanFormatter(form, "%H:%M:%S" if sys.stderr.isatty() else None))
    logging.basicConfig(level=level, handlers=[handler])
    for noisy in ("httpx", "httpcore", "urllib3", "apscheduler"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
