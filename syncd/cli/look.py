"""`syncd plan` and `syncd why`: look at both sides and say what would happen. Nothing is written anywhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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
    from syncd.judge import Ground, Verdict
    from syncd.model import Link, Record
    from syncd.opened import Pair
    from syncd.settings import PairSettings, Settings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per pair.")
@shared_options
@click.pass_context
def plan(context: click.Context, as_json: bool) -> None:
    """What a full pass would write, per record: field, old -> new, direction, and why. Writes nothing."""
    from syncd.config_files import ConfigError
    from syncd.sides import Misconfigured, SideDown
    from syncd.store import StoreFailed

    settings = settings_of(context)
    pairs, codes = chosen(context, settings), []
    for one in pairs:
        try:
            codes.append(_plan_of(context, settings, one, as_json=as_json))
        except (ConfigError, Misconfigured, SideDown, StoreFailed) as error:
            if len(pairs) == 1:
                raise
            complain(f"{one.name}: {error}")  # one pair's error does not stop the others (CONTRACT)
            codes.append(2 if isinstance(error, (ConfigError, Misconfigured)) else 1)
    context.exit(worst(codes))


def _plan_of(context: click.Context, settings: Settings, chosen_pair: PairSettings, *, as_json: bool) -> int:
    """Prints the plan of one pair; returns its exit code."""
    from syncd.cli.progress import Progress
    from syncd.look import about_rows, look
    from syncd.opened import column_problems, open_pair
    from syncd.pairs import Connection
    from syncd.report import SHOWN_NEW_ROWS, plan_json, plan_lines

    new_rows = SHOWN_NEW_ROWS if sys.stdout.isatty() and not options(context).verbose else None
    store = reader(settings, chosen_pair.name)
    with (
        Progress(options(context).quiet or as_json, chosen_pair.name) as progress,
        Connection(settings, chosen_pair, threading.Event()) as connection,
    ):
        pair = connection.open(progress.show, store)
        opened = open_pair(pair, keep=False)
        seen = look(pair, opened, busy=frozenset(write.deal for write in store.open_writes()))
    columns = column_problems(opened.gone, opened.computed)
    ground, rows = seen.view.ground, about_rows(seen.view, seen.plan)
    if as_json:
        say_json(plan_json(pair.name, ground, seen.plan, seen.held, columns=columns))
    else:
        say(plan_lines(pair.name, ground, seen.plan, seen.held, rows=rows, new_rows=new_rows, columns=columns))
    return 3 if seen.held or columns or any(finding.needs_person for finding in seen.plan.findings) else 0


@click.command()
@click.argument("deal")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@shared_options
@click.pass_context
def why(context: click.Context, deal: str, as_json: bool) -> None:
    """Per field of DEAL (an id, a row's id, or part of a name): both sides, the shadow, the clocks, the rule that
    decides.
    """
    from syncd.opened import open_pair
    from syncd.pairs import Connection
    from syncd.values import clipped

    not_blank(deal)
    settings = settings_of(context)
    codes = []
    for chosen_pair in chosen(context, settings):
        store = reader(settings, chosen_pair.name)
        links = matching(list(store.links().values()), deal)
        if not links:
            continue
        if len(links) > 1 and not as_json:
            raise several([(link.deal, link.title) for link in links], deal, f" of {chosen_pair.name}")
        with Connection(settings, chosen_pair, threading.Event()) as connection:
            pair = connection.open(lambda _what, _done, _total: None, store)
            opened = open_pair(pair, keep=False)
            for link in links:
                found = explain(pair, opened.ground, link)
                codes.append(3 if found.needs_person or found.waits else 0)
                if as_json:
                    say_json(why_json(pair.name, link, found))
                else:
                    say(why_lines(pair.name, link, found))
    if not codes:
        raise NoMatch(
            f"No linked deal has the id, the row or, as of the last pass, the name “{clipped(deal)}”. "
            "`syncd plan` shows new deals and new names."
        )
    context.exit(worst(codes))


def matching(links: list[Link], deal: str) -> list[Link]:
    """The links that an id or a part of a name stands for; an exact id or name wins."""
    exact = [link for link in links if link.deal == deal or link.row == deal]
    if exact:
        return exact
    wanted = deal.casefold()
    named = [link for link in links if link.title.casefold() == wanted]
    return named or [link for link in links if wanted in link.title.casefold()]


@dataclass(frozen=True, slots=True)
class Explained:
    """What `why` found out about a link. `note` is what stands above its fields, or in their place; where a person is
    needed because of it, nothing is written to the link's fields. `waits` says by field why its write is not made."""

    ground: Ground
    deal: Record | None = None
    row: Record | None = None
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""
    needs_person: bool = False
    waits: Mapping[int, str] = field(default_factory=dict)


def explain(pair: Pair, ground: Ground, link: Link) -> Explained:
    """Judges every field of one link on fresh reads of both records."""
    from syncd.judge import Past, judge
    from syncd.look import observe_one
    from syncd.model import Side

    deal, row = observe_one(pair, link.deal, link.row)
    offsets = {Side.CRM: pair.crm.clock_offset, Side.TABLE: pair.table.clock_offset}
    ground = replace(ground, offsets=offsets, clocks={})
    note, needs_person = key_note(pair, link, row)
    if row is None or deal is None:
        gone = pair.table.label if row is None else pair.crm.label
        gone_note = f"The record in {gone} is not there, or could not be read (last known state: {link.state.value})."
        return Explained(ground, deal, row, (), " ".join(filter(None, (gone_note, note))), needs_person)
    agreed, past = link.agreed(), Past(link.own, link.foreign)

    def judged() -> tuple[Verdict, ...]:
        names = [f.name for f in ground.fields]
        return tuple(judge(ground, index, agreed.get(name), deal, row, past) for index, name in enumerate(names))

    verdicts = judged()
    questions = [verdict.question for verdict in verdicts if verdict.question is not None]
    if questions:
        ground = replace(ground, clocks=pair.table.edited(questions))
        verdicts = judged()
    if any(write.deal == link.deal for write in pair.store.open_writes()):
        note = " ".join(filter(None, ("An earlier write has no answer yet; the next pass looks it up first.", note)))
    return Explained(ground, deal, row, verdicts, note, needs_person, waits_of(pair, ground, link, verdicts))


def waits_of(pair: Pair, ground: Ground, link: Link, verdicts: Sequence[Verdict]) -> dict[int, str]:
    """By field: why what was decided is not written now. It is frozen, held, or was refused lately (SPEC §§3.7, 4)."""
    from syncd.guards import GuardKind
    from syncd.model import Missing, Side
    from syncd.plan import Update, fingerprint
    from syncd.report import local

    names, waits = [one.name for one in ground.fields], {}
    changes = [verdict.change for verdict in verdicts if verdict.change is not None]
    refused = {one.side: one for one in pair.store.refused() if one.deal == link.deal}
    frozen = pair.store.frozen()
    waiting = [
        (one.set, one.digest, member)
        for one in pair.store.held()
        if one.state == "held"
        for member in one.set.members
        if member.record == link.deal
    ]
    held = {
        (one.side, one.field, member.old, member.new): digest
        for one, digest, member in waiting
        if one.kind is GuardKind.CHANGES
    }
    accidents = {  # of a sheet: of rows sorted without their ids nothing is written on either side
        side: digest
        for one, digest, _ in waiting
        for side in Side
        if one.kind is GuardKind.SHUFFLED or (one.kind is GuardKind.OLD_COPY and side is one.side)
    }
    for change in changes:
        name, one = names[change.index], refused.get(change.target)
        whole = tuple(each for each in changes if each.target is change.target)
        digest = held.get((change.target, name, None if isinstance(change.old, Missing) else change.old, change.new))
        digest = digest or accidents.get(change.target)
        if (link.deal, name) in frozen:
            waits[change.index] = frozen[link.deal, name]
        elif digest is not None:
            waits[change.index] = f"It is held with many others; `syncd approve {digest}` carries them out."
        elif one is not None and one.fingerprint == fingerprint(Update(change.target, link.deal, "", "", whole)):
            waits[change.index] = f"It was refused: {one.sentence.rstrip('.')}. Next try: {local(one.next_try)}."
    return waits


def key_note(pair: Pair, link: Link, row: Record | None) -> tuple[str, bool]:
    """What is wrong with the key of a link's row, and whether a person is needed for it (SPEC §5)."""
    from syncd.values import clipped

    carriers = sorted(one.id for one in pair.table.find([link.deal]).get(link.deal, []))
    if len(carriers) > 1:
        rows = ", ".join(carriers)
        return f"{len(carriers)} rows have this GHL ID ({rows}). Nothing is written until only one has it.", True
    if row is not None and row.partner not in (None, link.deal):
        return (
            f"This row's GHL ID now says “{clipped(row.partner)}”. Nothing is written until it says {link.deal} again.",
            True,
        )
    if carriers and carriers != [link.row]:
        return f"The row {carriers[0]} has this GHL ID now; the next pass looks at that one.", False
    return "", False


def why_lines(pair: str, link: Link, found: Explained) -> list[str]:
    """The verdicts for people."""
    from syncd.model import ABSENT, Side
    from syncd.report import local, printable, rule, seen, shown

    ground = found.ground
    lines = [f"{pair}: “{printable(link.title)}” (deal {link.deal}, row {link.row})"]
    if link.seen is not None:
        lines.append(f"  newest change seen in {ground.labels[Side.CRM]}: {local(link.seen)}")
    if found.note:
        lines.append(f"  {printable(found.note)}")
    for verdict in found.verdicts:
        name = ground.fields[verdict.index].columns[-1]
        shadow = "(none yet)" if verdict.shadow is ABSENT else shown(ground, verdict.index, verdict.shadow)
        lines.append(f"  {name}: {rule(ground, verdict)}")
        held = (f"{ground.labels[side]}: {seen(ground, verdict, side, record)}"
                for side, record in ((Side.CRM, found.deal), (Side.TABLE, found.row)))  # fmt: skip
        lines.append(f"      {'   '.join(held)}   agreed: {shadow}")
        lines += [f"      {line}" for line in _clock_lines(ground, verdict)]
        why = verdict.problem or verdict.why
        if why != rule(ground, verdict):
            lines.append(f"      {printable(why)}")
        if verdict.index in found.waits:
            lines.append(f"      not written now: {printable(found.waits[verdict.index])}")
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


def why_json(pair: str, link: Link, found: Explained) -> dict[str, Any]:
    """The verdicts for programs."""
    from syncd.model import Missing

    ground = found.ground

    def plain(value: Any) -> Any:
        return value.value if isinstance(value, Missing) else value

    return {
        "pair": pair,
        "deal": link.deal,
        "row": link.row,
        "name": link.title,
        "state": link.state.value,
        "seen": link.seen,
        "note": found.note,
        "fields": [
            {
                "field": ground.fields[verdict.index].name,
                "column": ground.fields[verdict.index].columns[-1],
                "crm": plain(verdict.crm),
                "table": plain(verdict.table),
                "shadow": plain(verdict.shadow),
                "rule": verdict.kind.value,
                "why": verdict.problem or verdict.why,
                "writes": _writes(found, verdict),
                "waits": found.waits.get(verdict.index),
                "clocks": [
                    None if stamp is None else [_finite(stamp.low), _finite(stamp.high)] for stamp in verdict.stamps
                ],
            }
            for verdict in found.verdicts
        ],
    }


def _writes(found: Explained, verdict: Verdict) -> str | None:
    """The side that the next pass writes because of this verdict."""
    stays = verdict.change is None or found.needs_person or verdict.index in found.waits
    return None if stays or verdict.change is None else verdict.change.target.value


def _finite(number: float) -> float | None:
    return number if abs(number) != float("inf") else None
