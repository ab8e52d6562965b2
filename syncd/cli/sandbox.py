"""`syncd sandbox` and `syncd demo`: everything without an account."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import click

from syncd.cli.common import say, shared_options


@click.command()
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same deals.")
@click.option("--deals", default=250, show_default=True, type=click.IntRange(0, 200_000), help="How many deals.")
@click.option("--lag", default=0.0, show_default=True, help="Seconds by which HighLevel's search lags behind.")
@click.option("--crm-port", default=0, help="HighLevel's port (else any free one).")
@click.option("--table-port", default=0, help="Airtable's port (else any free one).")
@click.option("--no-limit", is_flag=True, help="Airtable without its 5 calls a second.")
@shared_options
def sandbox(seed: int, deals: int, lag: float, crm_port: int, table_port: int, no_limit: bool) -> None:
    """Serves a local HighLevel and a local Airtable on 127.0.0.1 until Ctrl-C, with made-up deals."""
    from syncd.sandbox.world import TABLE, Sandbox

    stop = _stop_on_signal()
    with Sandbox(
        seed=seed,
        deals=deals,
        lag_seconds=lag,
        crm_port=crm_port,
        table_port=table_port,
        rate_per_second=None if no_limit else 5,
    ) as world:
        lines = [
            f"HighLevel with {deals} deals: {world.crm_url}    Airtable, table “{TABLE}”: {world.table_url}",
            "In another terminal:",
            *(f"  export {name}={value}" for name, value in world.environment().items()),
            "  syncd --reconcile",
            "Edit as a person: PUT /_sandbox/deals/ID, PATCH /_sandbox/records/Deals/ROW. Faults: /_sandbox/faults.",
            "What was asked: GET /_sandbox/log. Workflows that fired: GET /_sandbox/triggers. Ctrl-C ends it.",
        ]
        say(lines)
        stop.wait()


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after so long, with a report.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same deals and edits.")
@click.option("--deals", default=250, show_default=True, type=click.IntRange(1, 20_000), help="How many deals.")
@shared_options
@click.pass_context
def demo(context: click.Context, seconds: float | None, seed: int, deals: int) -> None:
    """Sandbox and daemon together: a made-up team edits deals on both sides, and the edits are seen to travel."""
    from syncd.demo import Demo

    show = Demo(seed=seed, deals=deals, seconds=seconds, tell=lambda line: say([line]))
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
