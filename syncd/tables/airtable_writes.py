"""Writes in batches: what is refused is traced to its column, its row or the table, and the others go on (SPEC §3.7).

Airtable seems to take a batch as a whole or not at all (reference/airtable.md §4). Where a refusal does not say whose
fault it is, the batch is halved until the bad row stands alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from syncd.http import NoAnswer
from syncd.sides import Later, Lost, Refused, SideDown, TryAgain, WriteResult
from syncd.tables.airtable_errors import Refusal, refused_token, refused_writing
from syncd.tables.airtable_layout import Cells, Layout
from syncd.values import clipped

_NO_SUCH_OPTION: Final = "INVALID_MULTIPLE_CHOICE_OPTIONS"  # Airtable calls it a lack of permissions (§4)
_NAME_COLUMNS: Final = frozenset({"INVALID_VALUE_FOR_COLUMN", "UNKNOWN_FIELD_NAME", "INVALID_PERMISSIONS"})
_OF_TABLE: Final = frozenset({"TABLE_NOT_FOUND"})


_Send: TypeAlias = "Callable[[Sequence[Job]], Mapping[str, WriteResult]]"


@dataclass(frozen=True, slots=True)
class Job:
    """One row to write. `place` is its place among the results, `name` its record id or, for a new row, its key."""

    place: int
    name: str
    cells: Cells


def carry_out(
    batches: Iterable[Sequence[Job]],
    send: _Send,
    layout: Callable[[], Layout],
    what: str,
    base_id: str,
) -> dict[int, WriteResult]:
    """Sends every batch; the results by place. `send` returns results by name, or raises `Refusal`, `NoAnswer` or
    `SideDown`; only the last one is raised on, and only while there is no result that would be lost with it."""
    results: dict[int, WriteResult] = {}
    pending = [list(jobs) for jobs in batches][::-1]
    while pending:
        jobs = pending.pop()
        try:
            answer = _sent(send, jobs, base_id)
        except NoAnswer as error:
            results |= {job.place: Lost(str(error)) for job in jobs}
        except SideDown as error:
            if not results:
                raise
            if isinstance(error, TryAgain):
                return results | {job.place: Later(str(error)) for some in [jobs, *pending] for job in some}
            left = [job for some in [jobs, *pending] for job in some]
            return results | {job.place: Lost(f"It was not sent. {error}") for job in left}
        except Refusal as error:
            refused, again = _judged(error, jobs, layout(), what)
            results |= refused
            pending += [some for some in again[::-1] if some]
        else:
            unseen = Lost("Airtable took the write, but its answer does not show the row.")
            results |= {job.place: answer.get(job.name, unseen) for job in jobs}
    return results


def _sent(send: _Send, jobs: Sequence[Job], base_id: str) -> Mapping[str, WriteResult]:
    """What `send` returns. A bad token, or a proxy that refuses in Airtable's place, is `SideDown`: no row's fault."""
    try:
        return send(jobs)
    except Refusal as refusal:
        if refusal.status == 401:
            raise refused_token(refusal, base_id) from refusal
        if not refusal.kind:
            sentence = f"Something answered {refusal.status} in Airtable's place: {refusal.said}."
            raise SideDown(sentence) from refusal
        raise


def _judged(
    refusal: Refusal, jobs: list[Job], layout: Layout, what: str
) -> tuple[dict[int, WriteResult], list[list[Job]]]:
    """Who is refused, and which batches are to be tried again. Each try is smaller than `jobs`."""
    blamed = {job.place: columns for job in jobs if (columns := _blamed(refusal, job, layout))}
    if blamed:
        carriers, others = _parted(jobs, lambda job: job.place in blamed)
        everyone = refusal.kind != _NO_SUCH_OPTION and _is_of_column(refusal)
        if everyone or refusal.kind == _NO_SUCH_OPTION or len(carriers) == 1:
            refused = {job.place: _of_columns(refusal, job, blamed[job.place], layout, everyone) for job in carriers}
            return dict(refused), [others]
        return {}, [*_halves(carriers), others]
    if refusal.status == 403 or refusal.kind in _OF_TABLE:
        sentence = refused_writing(refusal, layout.table_name)
        return {job.place: Refused(sentence, everyone=True) for job in jobs}, []
    named, others = _parted(jobs, lambda job: _names(refusal.message, job.name))
    if not named and len(jobs) == 1:
        named, others = jobs, []
    if named and refusal.kind == "ROW_DOES_NOT_EXIST":
        return {job.place: Later(_of_row(refusal, job, what)) for job in named}, [others]
    if named:
        return {job.place: Refused(_of_row(refusal, job, what)) for job in named}, [others]
    return {}, _halves(jobs)


def _blamed(refusal: Refusal, job: Job, layout: Layout) -> set[str]:
    """The columns of this job that the refusal names, by id."""
    columns = {column.id: column for column in layout.columns.values() if column.id in job.cells.values}
    said = refusal.message
    if refusal.kind == _NO_SUCH_OPTION:
        selects = {id for id, column in columns.items() if column.kind == "select"}
        return {id for id in selects if isinstance(value := job.cells.values[id], str) and f'"{value}"' in said}
    if refusal.kind not in _NAME_COLUMNS and "cannot accept" not in said:
        return set()
    return {
        id
        for id, column in columns.items()
        if _names(said, id) or f'"{column.name}"' in said or f"field {column.name} (" in said
    }


def _is_of_column(refusal: Refusal) -> bool:
    """Whether the column itself is at fault, whatever is written to it: locked, gone or computed."""
    return refusal.status == 403 or refusal.kind == "UNKNOWN_FIELD_NAME" or "computed" in refusal.message


def _of_columns(refusal: Refusal, job: Job, blamed: set[str], layout: Layout, everyone: bool) -> Refused:
    named = [column for column in layout.columns.values() if column.id in blamed]
    names = " and ".join(f"“{column.name}”" for column in named)
    fields = frozenset(job.cells.places[column.id] for column in named if column.id in job.cells.places)
    if refusal.kind == _NO_SUCH_OPTION:
        options = " and ".join(f"“{clipped(job.cells.values[column.id])}”" for column in named)
        return Refused(
            f"Airtable does not let the token add the option {options} to the column {names}. Add it in Airtable, or "
            "let a creator of the base make the token.",
            fields,
        )
    return Refused(f"Airtable refuses to write to the column {names}: {refusal.said}.", fields, everyone)


def _of_row(refusal: Refusal, job: Job, what: str) -> str:
    if refusal.kind == "ROW_DOES_NOT_EXIST":
        return f"The row {job.name} does not exist in Airtable any more."
    twofold = "more than one" in refusal.message or "multiple records" in refusal.message
    mend = " Two rows carry this id: delete one, or clear its key cell." if twofold else ""
    return f"Airtable refuses the {what} {job.name}: {refusal.said}.{mend}"


def _names(said: str, id: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(id)}(?!\w)", said) is not None


def _parted(jobs: Sequence[Job], test: Callable[[Job], bool]) -> tuple[list[Job], list[Job]]:
    return [job for job in jobs if test(job)], [job for job in jobs if not test(job)]


def _halves(jobs: Sequence[Job]) -> list[list[Job]]:
    middle = len(jobs) // 2
    return [list(jobs[:middle]), list(jobs[middle:])]
