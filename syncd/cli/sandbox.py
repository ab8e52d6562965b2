"""`syncd sandbox` and `syncd demo`: everything without an account."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from string import Template
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from syncd.cli.common import NoMatch, say, shared_options

if TYPE_CHECKING:
    from syncd.sandbox.world import Sandbox

PORT: Final = click.IntRange(0, 65_535)
HOW_TO: Final = """
Be a person in HighLevel: list deals with their ids; edit one (name, status, monetaryValue, assignedTo, source,
pipelineStageId); make one; delete one; list stages and users:
  curl $crm/_sandbox/deals
  curl -X PUT $crm/_sandbox/deals/$deal -d '{"status":"won"}'
  curl -X POST $crm/_sandbox/deals -d '{"name":"Brand new"}'
  curl -X DELETE $crm/_sandbox/deals/$deal
  curl $crm/_sandbox/pipelines
  curl $crm/_sandbox/users
Be a person in Airtable: list rows with their ids; edit cells of one; delete one:
  curl $airtable/_sandbox/records/$table
  curl -X PATCH $airtable/_sandbox/records/$table/ROW -d '{"fields":{"Value":12345}}'
  curl -X DELETE $airtable/_sandbox/records/$table/ROW
Make either of them fail: answer with a status, or cut the connection, for the next `times` requests (-1: for ever) of
which method, path and `contains` fit; `when` "after": they take effect all the same. Also: delay_seconds, skip, body,
headers:
  curl -X POST $crm/_sandbox/faults -d '{"method":"PUT","path":"/opportunities/","status":503,"times":2}'
  curl -X POST $airtable/_sandbox/faults -d '{"method":"PATCH","cut":true,"when":"after"}'
  curl -X DELETE $crm/_sandbox/faults
See what was asked (of either), and which workflows fired:
  curl $crm/_sandbox/log
  curl $crm/_sandbox/triggers
Ctrl-C ends it."""
GOOGLE: Final = """
A service account's key file for the Google sheet (type = "google"; base_url = "$google", spreadsheet_id = "$book"):
  curl $google/_sandbox/credentials > key.json
  export GOOGLE_BASE_URL=$google
  syncd init --table google --spreadsheet $book --credentials file:key.json --config google.toml
Be a person in the Google sheet: list rows; add one, edit one by its number (the first is 0), sort, copy, delete one:
  curl $google/_sandbox/rows/$book/$table
  curl -X POST $google/_sandbox/rows/$book/$table -d '{"cells":{"Name":"Brand new","Value":"=20*3"}}'
  curl -X PATCH $google/_sandbox/rows/$book/$table/0 -d '{"cells":{"Status":"won"}}'
  curl -X POST $google/_sandbox/sort/$book/$table -d '{"column":"Name"}'
  curl -X POST $google/_sandbox/rows/$book/$table/0/copy
  curl -X DELETE $google/_sandbox/rows/$book/$table/0"""


@click.command()
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same deals.")
@click.option("--deals", default=250, show_default=True, type=click.IntRange(0, 200_000), help="How many deals.")
@click.option(
    "--lag",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds by which HighLevel's search lags behind.",
)
@click.option("--crm-port", default=0, type=PORT, help="HighLevel's port (else any free one).")
@click.option("--table-port", default=0, type=PORT, help="Airtable's port (else any free one).")
@click.option("--google-port", default=0, type=PORT, help="Google's port (else any free one).")
@click.option("--no-limit", is_flag=True, help="Airtable without its 5 calls a second.")
@shared_options
def sandbox(
    seed: int, deals: int, lag: float, crm_port: int, table_port: int, google_port: int, no_limit: bool
) -> None:
    """Serves a local HighLevel, Airtable and Google Sheets on 127.0.0.1 until Ctrl-C, with made-up deals."""
    from syncd.sandbox.wire import PortUnusable
    from syncd.sandbox.world import Sandbox

    stop = _stop_on_signal()
    rate = None if no_limit else 5
    try:
        made = Sandbox(
            seed=seed,
            deals=deals,
            lag_seconds=lag,
            crm_port=crm_port,
            table_port=table_port,
            rate_per_second=rate,
            with_google=True,
            google_port=google_port,
        )
    except PortUnusable as error:
        raise click.ClickException(str(error)) from None
    with made as world:
        say(_how_to(world, deals))
        stop.wait()


def _how_to(world: Sandbox, deals: int) -> list[str]:
    """What the sandbox says first: its addresses, and how to play people and faults by hand."""
    from syncd.sandbox.world import SPREADSHEET, TABLE

    first = next((deal["id"] for deal in world.highlevel.deals() if deal["status"] == "open"), "ID")
    values = {"crm": world.crm_url, "airtable": world.table_url, "deal": first, "table": TABLE}
    google = {"google": world.google_url, "book": SPREADSHEET, "table": TABLE}
    *how, end = Template(HOW_TO).substitute(values).splitlines()
    sheets = Template(GOOGLE.strip()).substitute(google).splitlines() if world.google_url else []
    return [
        f"HighLevel with {deals} deals: {world.crm_url}",
        f"Airtable, table “{TABLE}”: {world.table_url}",
        "In another terminal:",
        *(f"  export {name}={value}" for name, value in world.environment().items()),
        "  syncd --reconcile",
        *how,
        *sheets,
        end,
    ]


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long, with a report.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same deals and edits.")
@click.option("--deals", default=250, show_default=True, type=click.IntRange(1, 20_000), help="How many deals.")
@click.option("--table", "kind", type=click.Choice(["airtable", "workbook"]), default="airtable", show_default=True,
              help="What the deals are synced with.")  # fmt: skip
@click.option("--path", default="syncd-demo.xlsx", show_default=True, help="The workbook to make.")
@shared_options
@click.pass_context
def demo(context: click.Context, seconds: float | None, seed: int, deals: int, kind: str, path: str) -> None:
    """Sandbox and daemon together: a made-up team edits deals on both sides, and the edits are seen to travel."""
    from syncd.demo import Demo

    workbook = Path(path) if kind == "workbook" else None
    if workbook is not None and workbook.exists():
        raise NoMatch(f"{workbook} exists already, and is left as it is. Delete it, or name another with --path.")
    show = Demo(seed=seed, deals=deals, seconds=seconds, tell=lambda line: say([line]), workbook=workbook)
    _stop_on_signal(show.stop)
    context.exit(1 if show.run() else 0)


def _stop_on_signal(stop: threading.Event | None = None) -> threading.Event:
    """An event that SIGINT and SIGTERM set; a second Ctrl-C interrupts."""
    event = stop or threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return event
