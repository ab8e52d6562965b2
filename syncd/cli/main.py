"""`syncd` itself: the daemon, `--reconcile`, and the group of all commands."""

from __future__ import annotations

import difflib
import importlib
import io
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from syncd import __version__
from syncd.cli.common import (
    Options,
    chosen,
    clean,
    complain,
    options,
    say,
    say_json,
    settings_of,
    shared_options,
    start_logging,
    worst,
)

if TYPE_CHECKING:
    from syncd.daemon import Pulse
    from syncd.meters import Standing
    from syncd.settings import PairSettings, Settings

log = logging.getLogger("syncd")

# Command -> the module that holds it; a module is imported only when its command is asked for (start-up time).
COMMANDS: Final = {
    "plan": ("syncd.cli.look", "What a pass would write, and why; writes nothing."),
    "why": ("syncd.cli.look", "Why a deal's fields are as they are: both sides, the shadow, the rule."),
    "status": ("syncd.cli.state", "Where each pair stands."),
    "history": ("syncd.cli.state", "What was written, when, old -> new, and why."),
    "approve": ("syncd.cli.approve", "Approves a held plan; the next pass carries it out."),
    "resume": ("syncd.cli.approve", "Lets a deal that was frozen or refused go on."),
    "init": ("syncd.cli.init", "Makes a workbook or lays out a Google sheet, and writes a configuration."),
    "doctor": ("syncd.cli.doctor", "Checks configuration, tokens, scopes, columns, options and clocks."),
    "sandbox": ("syncd.cli.sandbox", "A local HighLevel and a local Airtable with made-up deals."),
    "demo": ("syncd.cli.sandbox", "Sandbox and daemon together: edits on either side are seen to travel."),
}


class Commands(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but what is not known gets a suggestion."""
        unknown = args and args[0] not in COMMANDS and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:
            close = difflib.get_close_matches(args[0].casefold(), COMMANDS, 1)
            hint = f"Did you mean “{close[0]}”?" if close else f"There are: {', '.join(COMMANDS)}."
            ctx.fail(f"There is no command “{args[0]}”. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="syncd", message="%(prog)s %(version)s")
@click.option("--reconcile", is_flag=True, help="One full pass of every pair over both sides, then exit.")
@click.option("--json", "as_json", is_flag=True, help="With --reconcile: one JSON object per pair.")
@shared_options
@click.pass_context
def syncd(context: click.Context, reconcile: bool, as_json: bool) -> None:
    """Keeps HighLevel opportunities and a table in agreement, in both directions.

    Without a command: the daemon, a pass of every pair each interval until SIGTERM or Ctrl-C.
    """
    if context.invoked_subcommand is not None:
        if reconcile or as_json:
            raise click.UsageError("--reconcile and --json stand alone here; a command has its own --json.")
        return
    if as_json and not reconcile:
        raise click.UsageError("--json goes with --reconcile, or with a command such as “syncd status --json”.")
    settings = settings_of(context)
    pairs = chosen(context, settings)
    code = _reconcile(context, settings, pairs, as_json) if reconcile else _daemon(context, settings, pairs)
    context.exit(code)


def _reconcile(context: click.Context, settings: Settings, pairs: list[PairSettings], as_json: bool) -> int:
    from contextlib import ExitStack
    from pathlib import Path

    from syncd.cli.progress import Progress
    from syncd.daemon import stop_on_signals
    from syncd.folder import FolderUnusable
    from syncd.lock import Held, InstanceLock
    from syncd.pairs import Connection
    from syncd.reconcile import PassResult
    from syncd.report import pass_lines

    given = options(context)
    stop = threading.Event()
    stop_on_signals(stop)
    codes = []
    with ExitStack() as stack:
        try:
            stack.enter_context(InstanceLock(Path(settings.state_dir), doing="--reconcile"))
        except (Held, FolderUnusable) as error:
            for pair in pairs if as_json else ():
                say_json(PassResult(pair.name, error=str(error)).as_json())
            raise
        for pair in pairs:
            if stop.is_set():  # every pair has its object, and none may look as if it had nothing to do (CONTRACT)
                if as_json:
                    say_json(PassResult(pair.name, error="Stopped before its turn.").as_json())
                codes.append(1)
                continue
            with (
                Progress(given.quiet or as_json, pair.name) as progress,
                Connection(settings, pair, stop) as connection,
            ):
                result = connection.run_pass(progress.show)
            codes.append(result.code or (1 if result.stopped else 0))
            if as_json:
                stopped = {"error": "Stopped before its end; the next pass goes on from there."}
                say_json(result.as_json() | (stopped if result.stopped else {}))
            elif not given.quiet and not result.error:
                say(pass_lines(result))
            if result.error:
                complain(pass_lines(result)[0])
    return worst(codes)


def _daemon(context: click.Context, settings: Settings, pairs: list[PairSettings]) -> int:
    from contextlib import ExitStack
    from functools import partial
    from pathlib import Path

    from syncd.cli.journal import Journal
    from syncd.daemon import Daemon, Pulse, stop_on_signals
    from syncd.lock import InstanceLock
    from syncd.meters import Pacer
    from syncd.pairs import Connection

    start_logging(options(context))
    check_secrets(pairs)
    stop, pulse = threading.Event(), Pulse()
    stop_on_signals(stop)
    journal = Journal([pair.name for pair in pairs], hopeless=stop.set)
    with ExitStack() as stack:
        stack.enter_context(InstanceLock(Path(settings.state_dir), doing="daemon"))
        connections = {pair.name: stack.enter_context(Connection(settings, pair, stop)) for pair in pairs}
        passes = {
            name: partial(one.run_pass, partial(_beat, pulse, name), patient=True) for name, one in connections.items()
        }
        every = {pair.name: settings.interval_of(pair) for pair in pairs}
        log.info("syncd %s: %d pair(s), a pass every %g s", __version__, len(pairs), min(every.values(), default=0.0))
        pacer = Pacer(settings, pairs, partial(_log_pace, {pair.name: pair.table.label for pair in pairs}))
        daemon = Daemon(
            passes, every, stop=stop, pulse=pulse, report=journal.passed, due=pacer.due, threads=settings.threads
        )
        if not daemon.run():
            # A server keeps a request hanging. What is durable is durable, as after kill -9.
            log.warning("ended while a request was still without an answer; the next start looks it up")
            logging.shutdown()
            os._exit(0)
    if journal.is_hopeless:
        log.error("ended, since no pair can be synced like this: mend the configuration, then start again")
        return 2
    log.info("ended")
    return 0


def _beat(pulse: Pulse, pair: str, _what: str, _done: int, _total: int) -> None:
    pulse.beat(pair)


def check_secrets(pairs: list[PairSettings]) -> None:
    """Raises `ConfigError` where no pair at all has its tokens; one pair's missing token does not stop the others."""
    from syncd.config_files import ConfigError

    problems = []
    for pair in pairs:
        try:
            pair.ghl.secret()
            pair.table.secret()
        except ConfigError as error:
            problems.append(f"{pair.name}: {error}")
    if pairs and len(problems) == len(pairs):
        raise ConfigError("\n".join(problems))


def _log_pace(labels: Mapping[str, str], pair: str, found: Standing) -> None:
    """An interval that budgets have made longer, or no longer do."""
    from syncd.report import pace_sentence

    sentence = pace_sentence(found, labels[pair])
    log.log(logging.WARNING if found.spent else logging.INFO, "%s: %s", pair, sentence)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; every failure becomes a sentence on standard error."""
    context: click.Context | None = None
    try:
        with syncd.make_context("syncd", list(arguments)) as context:
            result = syncd.invoke(context)
            return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(clean(shown.getvalue()), err=True, nl=False)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _explained(error, verbose=context is not None and options(context).verbose)


def _explained(error: Exception, *, verbose: bool) -> int:
    """The sentence and the exit code of a failure (CONTRACT "Exit codes")."""
    from syncd.config_files import ConfigError
    from syncd.folder import FolderUnusable
    from syncd.lock import Held
    from syncd.sides import Misconfigured, SideDown
    from syncd.store import StoreFailed

    if isinstance(error, (ConfigError, Misconfigured)):
        complain(str(error))
        return 2
    if isinstance(error, OSError) and error.strerror:
        complain(f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}.")
        return 1
    if isinstance(error, (SideDown, StoreFailed, Held, FolderUnusable, OSError)):
        complain(str(error))
        return 1
    if verbose:
        start_logging(Options(verbose=True))  # a traceback quotes values, so it is printed as all else is
        log.exception("defect")
    click.echo(
        f"A defect in syncd: {type(error).__name__}. Nothing half-done is lost; the next pass goes on from there. "
        "Please report it with the output of the same command and --verbose.",
        err=True,
    )
    return 1
