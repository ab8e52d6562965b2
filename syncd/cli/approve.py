"""`syncd approve` and `syncd resume`: what only a person may say. Both work while the daemon runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd.cli.common import (
    NoMatch,
    chosen,
    complain,
    not_blank,
    options,
    reader,
    say,
    say_json,
    settings_of,
    several,
    shared_options,
    worst,
)

if TYPE_CHECKING:
    from syncd.model import Link
    from syncd.settings import PairSettings, Settings
    from syncd.store import HeldRecord

SHOWN_MEMBERS = 20


@click.command()
@click.argument("plan", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--refuse", is_flag=True, help="Say no to a match report: these rows and deals are not the same.")
@click.option("--json", "as_json", is_flag=True, help="Only list what waits, one JSON object per pair.")
@shared_options
@click.pass_context
def approve(context: click.Context, plan: str | None, yes: bool, refuse: bool, as_json: bool) -> None:
    """Approves a held plan; the next pass carries out what of it is still planned, and nothing else.

    PLAN is the name that `syncd plan` and `syncd status` show, or its beginning. Without it, everything that waits is
    shown and asked for, one by one.
    """
    from syncd.report import printable

    if plan is not None and not plan.strip():
        raise click.UsageError("PLAN is empty; give the name that `syncd status` shows, or leave it out.")
    settings = settings_of(context)
    waiting: list[tuple[PairSettings, HeldRecord]] = []
    for pair in chosen(context, settings):
        records = held_of(settings, pair)
        if as_json:
            from syncd.report import held_json

            say_json({"pair": pair.name, "held": held_json(record.set for record in records)})
        waiting += [(pair, record) for record in records]
    if as_json:
        context.exit(3 if waiting else 0)
    wanted = [one for one in waiting if plan is None or one[1].digest.startswith(plan.casefold())]
    if plan is not None and not wanted:
        _not_waiting(context, plan, waiting)
    if plan is not None and len(wanted) > 1:
        names = ", ".join(record.digest for _, record in wanted)
        raise click.UsageError(f"“{printable(plan)}” begins the names of several plans: {names}. Give more of one.")
    if not wanted and not options(context).quiet:
        say(["Nothing waits for approval."])
    context.exit(worst([_ask(settings, pair, record, yes=yes, refuse=refuse) for pair, record in wanted]))


def held_of(settings: Settings, pair: PairSettings) -> list[HeldRecord]:
    """What waits for a person, as the last pass found it."""
    store = reader(settings, pair.name)
    try:
        return [record for record in store.held() if record.state == "held"]
    finally:
        store.close()


def _not_waiting(context: click.Context, plan: str, waiting: list[tuple[PairSettings, HeldRecord]]) -> None:
    from syncd.report import printable

    if not waiting:
        raise click.UsageError(f"No plan “{printable(plan)}” waits for approval, and no other either.")
    complain(
        f"No plan “{printable(plan)}” waits: it has changed since, was carried out, or is mistyped. This waits now."
    )
    for pair, record in waiting:
        say(record_lines(pair.name, record))
    context.exit(3)


def record_lines(pair: str, record: HeldRecord) -> list[str]:
    """A held plan for people: what it is about, and its writes."""
    from syncd.report import printable

    lines = [f"{pair}: plan {record.digest}", f"  {printable(record.set.sentence)}"]
    for member in record.set.members[:SHOWN_MEMBERS]:
        shown = printable(member.shown or member.old or "")
        lines.append(f"    “{printable(member.title or member.record)}” ({member.record})  {shown}")
    if len(record.set.members) > SHOWN_MEMBERS:
        lines.append(f"    … and {len(record.set.members) - SHOWN_MEMBERS} more: syncd approve --json")
    return lines


def _ask(settings: Settings, pair: PairSettings, record: HeldRecord, *, yes: bool, refuse: bool) -> int:
    from syncd.guards import SEVERAL, GuardKind
    from syncd.store import Store

    say(record_lines(pair.name, record))
    if refuse and record.set.kind is not GuardKind.MATCHES:
        complain("Only a match report can be refused; anything else goes on waiting until it is undone.")
        return 3
    if record.set.field == SEVERAL and not refuse:
        complain("Nobody but you can tell which one it is: put its id into the row's GHL ID.")
        return 3
    try:
        question = "Are these surely not the same?" if refuse else "Approve exactly this?"
        agreed = yes or click.confirm(question)
    except click.Abort:
        agreed = False
        say([""])
    if not agreed:
        complain("Not approved; it goes on waiting.")
        return 3
    store = Store(Path(settings.state_dir), pair.name)
    try:
        if not store.answer_held(record.digest, "refused" if refuse else "approved"):
            complain("It has changed meanwhile, so nothing was approved. Ask again: syncd approve")
            return 3
    finally:
        store.close()
    say([f"{'Refused' if refuse else 'Approved'} {record.digest}; the next pass carries it out."])
    return 0


@click.command()
@click.argument("deal")
@shared_options
@click.pass_context
def resume(context: click.Context, deal: str) -> None:
    """Lets DEAL (an id or part of a name) go on after it was frozen or refused."""
    from syncd.report import printable
    from syncd.store import Store
    from syncd.values import clipped

    not_blank(deal)
    settings = settings_of(context)
    names: dict[str, str] = {}
    waiting: list[tuple[str, Link]] = []
    for pair in chosen(context, settings):
        links, found = _waiting_in(settings, pair, deal)
        if len(found) > 1:
            raise several([(link.deal, link.title) for link in found], deal)
        names |= {link.deal: link.title for link in links.values()}
        waiting += [(pair.name, link) for link in found]
    # Two pairs may have one location: who gives an id means that deal, wherever it waits.
    named = [(pair, link) for pair, link in waiting if deal in (link.deal, link.row)]
    if not named and len(waiting) > 1:
        raise _in_several_pairs(waiting, deal)
    for pair_name, link in named or waiting:
        store = Store(Path(settings.state_dir), pair_name)
        try:
            store.resume(link.deal, time.time())
        finally:
            store.close()
        say([f"“{printable(link.title or link.deal)}” goes on with the next pass of {pair_name}."])
    if not waiting and not names:
        raise NoMatch(f"No deal matches “{clipped(deal)}”. `syncd status` says which ones wait.")
    if not waiting:
        say([f"Nothing of “{printable(next(iter(names.values())))}” is frozen or refused."])


def _waiting_in(settings: Settings, pair: PairSettings, deal: str) -> tuple[dict[str, Link], list[Link]]:
    """What an id or a part of a name stands for in one pair, by deal, and what of it is frozen or was refused."""
    from syncd.cli.look import matching
    from syncd.model import Link

    store = reader(settings, pair.name)
    try:
        known, refusals = store.links(), store.refused()
        # A deal without a row, or a row without a deal, can be refused, too: it has no link yet.
        loose = [Link(one.deal, "", title=one.title) for one in refusals if one.deal not in known]
        links = {link.deal: link for link in matching([*known.values(), *loose], deal)}
        waits = {id for id, _ in store.frozen()} | {refused.deal for refused in refusals}
    finally:
        store.close()
    asked = links or {deal: Link(deal, "", title=deal)}
    return links, [link for link in asked.values() if link.deal in waits]


def _in_several_pairs(waiting: list[tuple[str, Link]], asked: str) -> NoMatch:
    """The error for a name that waits in more than one pair."""
    from syncd.report import printable
    from syncd.values import clipped

    lines = [f"  {pair}: “{clipped(link.title)}” ({printable(link.deal)})" for pair, link in waiting]
    listed = "\n".join(lines)
    return NoMatch(f"“{clipped(asked)}” waits in several pairs; name one with --pair, or give an id:\n{listed}")
