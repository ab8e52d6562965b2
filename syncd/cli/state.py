"""`syncd status` and `syncd history`: what the state database knows. Both work while the daemon runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.common import chosen, not_blank, options, reader, say, say_json, settings_of, shared_options, worst

if TYPE_CHECKING:
    from syncd.settings import PairSettings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per pair.")
@shared_options
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Per pair: last success and its age, links, in sync / waiting / needs a person, calls used."""
    from syncd.lock import holder
    from syncd.meters import standing
    from syncd.report import budgets_json, budgets_lines, status_json, status_lines

    settings = settings_of(context)
    running = holder(Path(settings.state_dir))
    if not as_json and not options(context).quiet:
        say([f"Running: {running}." if running else "No daemon is running on this state folder."])
    codes = []
    for pair in chosen(context, settings):
        store = reader(settings, pair.name)
        try:
            budgets = standing(store, settings.pair, pair, settings.interval_of(pair), time.time())
            found = status_json(
                pair.name,
                store.last_passes(),
                store.last_success(),
                store.count_links(),
                len(store.open_writes()),
                time.time(),
                held=running is not None,
            )
        finally:
            store.close()
        codes.append(int(found["code"]))
        if as_json:
            say_json({**found, **budgets_json(budgets, pair.table.label)})
        else:
            say([*status_lines(found), *budgets_lines(budgets, pair.table.label)])
    context.exit(0 if not codes or worst(codes) == 0 else worst(codes))


@click.command()
@click.argument("deal", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per pair.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="How many writes at the most.")
@shared_options
@click.pass_context
def history(context: click.Context, deal: str | None, as_json: bool, limit: int) -> None:
    """What was written, when, old -> new, to which side, why. DEAL is a deal's or a row's id, or part of a name."""
    from syncd.model import Side
    from syncd.report import history_json, history_lines

    if deal is not None:
        not_blank(deal)
    settings = settings_of(context)
    for pair in chosen(context, settings):
        store = reader(settings, pair.name)
        try:
            writes = store.history(deal=deal, limit=limit)
        finally:
            store.close()
        if as_json:
            say_json({"pair": pair.name, "writes": history_json(writes)})
        else:
            labels = {Side.CRM: "HighLevel", Side.TABLE: pair.table.label}
            say([f"{pair.name}:", *history_lines(writes, labels, column_names(pair), deal)])


def column_names(pair: PairSettings) -> dict[str, str]:
    """The columns' names by field, as the configuration has them; the key's and the Sync column's, too."""
    from syncd.fields import KEY, MESSAGE

    names = {field.name: field.columns[-1] for field in pair.fields()}
    return {**names, KEY: pair.key_column, MESSAGE: pair.message_column}
