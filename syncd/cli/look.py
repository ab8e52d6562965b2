"""`syncd plan` and `syncd why`: look at both sides and say what would happen. Nothing is written anywhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.common import chosen, options, reader, say, say_json, settings_of, shared_options, worst

if TYPE_CHECKING:
    from syncd.judge import Ground, Verdict
    from syncd.model import Link
    from syncd.reconcile import Pair


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per pair.")
@shared_options
@click.pass_context
def plan(context: click.Context, as_json: bool) -> None:
    """What a full pass would write, per record: field, old -> new, direction, and why. Writes nothing."""
    from syncd.cli.progress import Progress
    from syncd.pairs import Connection
    from syncd.reconcile import look, open_pair
    from syncd.report import plan_json, plan_lines

    settings = settings_of(context)
    codes = []
    for chosen_pair in chosen(context, settings):
        store = reader(settings, chosen_pair.name)
        with (
            Progress(options(context).quiet or as_json, chosen_pair.name) as progress,
            Connection(settings, chosen_pair, threading.Event()) as connection,
        ):
            pair = connection.open(progress.show, store)
            opened = open_pair(pair, keep=False)
            seen = look(pair, opened, busy=frozenset(write.deal for write in store.open_writes()))
        if as_json:
            say_json(plan_json(pair.name, seen.view.ground, seen.plan, seen.held))
        else:
            say(plan_lines(pair.name, seen.view.ground, seen.plan, seen.held))
        codes.append(3 if seen.held or any(finding.needs_person for finding in seen.plan.findings) else 0)
    context.exit(worst(codes))


@click.command()
@click.argument("deal")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@shared_options
@click.pass_context
def why(context: click.Context, deal: str, as_json: bool) -> None:
    """Per field of DEAL (an id or part of a name): both sides, the shadow, the clocks, the rule that decides."""
    from syncd.pairs import Connection
    from syncd.reconcile import open_pair
    from syncd.report import printable

    settings = settings_of(context)
    found = False
    for chosen_pair in chosen(context, settings):
        store = reader(settings, chosen_pair.name)
        links = matching(list(store.links().values()), deal)
        if not links:
            continue
        found = True
        if len(links) > 1 and not as_json:
            shown = ", ".join(f"“{printable(link.title)}” ({link.deal})" for link in links[:10])
            raise click.UsageError(
                f"{len(links)} deals of {chosen_pair.name} match “{printable(deal)}”: {shown}. Give the id."
            )
        with Connection(settings, chosen_pair, threading.Event()) as connection:
            pair = connection.open(lambda _what, _done, _total: None, store)
            opened = open_pair(pair, keep=False)
            for link in links:
                ground, verdicts, note = explain(pair, opened.ground, link)
                if as_json:
                    say_json(why_json(pair.name, ground, link, verdicts, note))
                else:
                    say(why_lines(pair.name, ground, link, verdicts, note))
    if not found:
        raise click.UsageError(
            f"No linked deal matches “{printable(deal)}”. `syncd status` shows the pairs, `syncd plan` new deals."
        )


def matching(links: list[Link], deal: str) -> list[Link]:
    """The links that an id or a part of a name stands for; an exact id or name wins."""
    exact = [link for link in links if link.deal == deal or link.row == deal]
    if exact:
        return exact
    wanted = deal.casefold()
    named = [link for link in links if link.title.casefold() == wanted]
    return named or [link for link in links if wanted in link.title.casefold()]


def explain(pair: Pair, ground: Ground, link: Link) -> tuple[Ground, list[Verdict], str]:
    """Judges every field of one link on fresh reads of both records."""
    from dataclasses import replace

    from syncd.judge import Past, judge
    from syncd.model import Side
    from syncd.reconcile import observe_one

    deal, row = observe_one(pair, link.deal, link.row)
    offsets = {Side.CRM: pair.crm.clock_offset, Side.TABLE: pair.table.clock_offset}
    ground = replace(ground, offsets=offsets, clocks={})
    if row is None or deal is None:
        gone = pair.table.label if row is None else pair.crm.label
        return (
            ground,
            [],
            f"The record in {gone} is not there, or could not be read (last known state: {link.state.value}).",
        )
    agreed, past = link.agreed(), Past(link.own, link.foreign)

    def judged() -> list[Verdict]:
        names = [f.name for f in ground.fields]
        return [judge(ground, index, agreed.get(name), deal, row, past) for index, name in enumerate(names)]

    verdicts = judged()
    questions = [verdict.question for verdict in verdicts if verdict.question is not None]
    if questions:
        ground = replace(ground, clocks=pair.table.edited(questions))
        verdicts = judged()
    return ground, verdicts, ""


def why_lines(pair: str, ground: Ground, link: Link, verdicts: list[Verdict], note: str) -> list[str]:
    """The verdicts for people."""
    from syncd.model import ABSENT, Side
    from syncd.report import local, printable, shown

    lines = [f"{pair}: “{printable(link.title)}” (deal {link.deal}, row {link.row})"]
    if link.seen is not None:
        lines.append(f"  newest change seen in {ground.labels[Side.CRM]}: {local(link.seen)}")
    if note:
        return [*lines, f"  {note}"]
    for verdict in verdicts:
        name = ground.fields[verdict.index].columns[-1]
        shadow = "(none yet)" if verdict.shadow is ABSENT else shown(ground, verdict.index, verdict.shadow)
        lines.append(f"  {name}: {verdict.kind.value}")
        lines.append(
            f"      {ground.labels[Side.CRM]}: {shown(ground, verdict.index, verdict.crm)}   "
            f"{ground.labels[Side.TABLE]}: {shown(ground, verdict.index, verdict.table)}   agreed: {shadow}"
        )
        lines += [f"      {line}" for line in _clock_lines(ground, verdict)]
        lines.append(f"      {printable(verdict.problem or verdict.why)}")
    return lines


def _clock_lines(ground: Ground, verdict: Verdict) -> list[str]:
    import math

    from syncd.model import Side
    from syncd.report import local

    lines = []
    for side, stamp in zip((Side.CRM, Side.TABLE), verdict.stamps, strict=True):
        if stamp is None:
            continue
        if stamp.low == stamp.high:
            text = f"edited {local(stamp.low)}"
        elif math.isinf(stamp.high):
            text = f"edited after {local(stamp.low)}"
        elif math.isinf(stamp.low):
            text = f"not edited after {local(stamp.high)}"
        else:
            text = f"edited between {local(stamp.low)} and {local(stamp.high)}"
        lines.append(f"{ground.labels[side]}: {text}")
    return lines


def why_json(pair: str, ground: Ground, link: Link, verdicts: list[Verdict], note: str) -> dict[str, Any]:
    """The verdicts for programs."""
    from syncd.model import Missing

    def plain(value: Any) -> Any:
        return value.value if isinstance(value, Missing) else value

    return {
        "pair": pair,
        "deal": link.deal,
        "row": link.row,
        "name": link.title,
        "state": link.state.value,
        "seen": link.seen,
        "note": note,
        "fields": [
            {
                "field": ground.fields[verdict.index].name,
                "column": ground.fields[verdict.index].columns[-1],
                "crm": plain(verdict.crm),
                "table": plain(verdict.table),
                "shadow": plain(verdict.shadow),
                "rule": verdict.kind.value,
                "why": verdict.problem or verdict.why,
                "writes": verdict.change.target.value if verdict.change is not None else None,
                "clocks": [
                    None if stamp is None else [_finite(stamp.low), _finite(stamp.high)] for stamp in verdict.stamps
                ],
            }
            for verdict in verdicts
        ],
    }


def _finite(number: float) -> float | None:
    return number if abs(number) != float("inf") else None
