"""Airtable as a side: the calls for rows, their splitting when one is refused, and the questions about edit times.

pyairtable sends, `Http` carries (deadlines, rate, retries of reads). Everything a server can answer becomes one of
three things here: rows, a `Refusal` (4xx: nothing happened), or `NoAnswer` (what happened is unknown). Sections (§) are
of reference/airtable.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import groupby
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from syncd.at_rest import Familiar, Sieve
from syncd.fields import KEY_COLUMN, MESSAGE_COLUMN, Field
from syncd.http import Bucket, Http, HttpError, NoAnswer, NotNow, ServerFault, scrub, shared_bucket
from syncd.model import ABSENT, Missing, Raw, Record, Side, Stamp
from syncd.sides import (
    Lost,
    Misconfigured,
    NewRecord,
    Patch,
    Question,
    ReadResult,
    Refused,
    SideDown,
    TableSchema,
    TryAgain,
    Unread,
    WriteResult,
    Written,
)
from syncd.tables import airtable_formulas as formulas
from syncd.tables.airtable_errors import (
    LISTING_LOST,
    Refusal,
    on_429,
    parsed,
    refused_reading,
    refused_schema,
    refused_writing,
)
from syncd.tables.airtable_layout import Layout, Unreadable, Wanted, created_at, id_of, read_layout
from syncd.tables.airtable_writes import Job, carry_out

if TYPE_CHECKING:
    import pyairtable

BASE_URL: Final = "https://api.airtable.com"
BUCKET_COUNT: Final = 5  # requests per second and base, over all tokens (§1); the window leaves room for jitter
BUCKET_SECONDS: Final = 1.04
PAGE: Final = 100  # rows per page of a listing, and rows that one formula names (§1)
LISTED_PAGES_AT_MOST: Final = 10  # so that a listing is not older than 5 s when it has ended (SPEC §3.1)
BATCH: Final = 10  # rows per write (§1)
CREATES_AT_ONCE: Final = 4  # one by one, answers that take over 0.2 s would leave the 5 calls a second unused
PAGES_AT_MOST: Final = 10_000  # a million rows, twice what a base can hold: a listing beyond them does not end
LISTINGS_AT_MOST: Final = 4  # a listing whose iterator is lost is begun anew three times
_END: Final = object()
_T = TypeVar("_T")
Row = dict[str, Any]


def open_airtable(
    *,
    token: str,
    base_id: str,
    table: str,
    fields: tuple[Field, ...],
    key_column: str = KEY_COLUMN,
    message_column: str = MESSAGE_COLUMN,
    explicit: frozenset[str] = frozenset(),
    remembered: Mapping[str, str] | None = None,
    base_url: str = BASE_URL,
    bucket: Bucket | None = None,
    traced: bool = False,
    threads: Callable[[int], Executor] = ThreadPoolExecutor,
    **http: Any,
) -> AirtableSide:
    """The side of one table, with its own `Http` and the base's shared bucket; nothing is sent yet.

    `explicit` names the fields whose column a person configured, `remembered` the column ids of earlier passes by field
    name; `traced` shares the bucket with other processes, too; `threads` makes what runs so many calls at once; `http`
    is passed on (clock, stop, sleep). Raises `Misconfigured` for an unusable address or token.
    """
    import pyairtable

    from syncd.tables.transport import RequestsAdapter

    try:
        connection = Http(
            base_url,
            headers={"Authorization": f"Bearer {token}"},
            bucket=bucket
            or shared_bucket(("airtable", base_url, base_id), BUCKET_COUNT, BUCKET_SECONDS, traced=traced),
            name="Airtable",
            on_429=on_429,
            **http,
        )
    except ValueError as error:
        raise Misconfigured(f"The configuration of Airtable cannot be used: {error}") from error
    # No retries of pyairtable's own: they would repeat creates whose answer was lost (§10).
    api = pyairtable.Api(token, retry_strategy=None, endpoint_url=connection.base_url, use_field_ids=True)
    api.session.trust_env = False  # a .netrc would replace the token; proxies are httpx's affair
    for scheme in ("http://", "https://"):  # whatever address: nothing leaves but through `Http`, which checks it
        api.session.mount(scheme, RequestsAdapter(connection))
    wanted = Wanted(base_id, table, fields, key_column, message_column, explicit)
    return AirtableSide(api, connection, wanted, remembered or {}, threads)


class AirtableSide:
    """One table of a base as a `TableSide`. One thread at a time."""

    side = Side.TABLE
    label = "Airtable"
    write_batch = BATCH
    rows_have_ids = True

    @property
    def read_batch(self) -> int:
        """A page, unless rows can be asked for neither by a formula nor by listing a few pages."""
        far = len(self._created) > PAGE * LISTED_PAGES_AT_MOST
        return 1 if far and "ids" in self._refused_formulas else PAGE

    def __init__(
        self,
        api: pyairtable.Api,
        http: Http,
        wanted: Wanted,
        remembered: Mapping[str, str],
        threads: Callable[[int], Executor] = ThreadPoolExecutor,
    ) -> None:
        self.http = http
        self.identity = ""  # "base/table", once the schema was read
        self._api = api
        self._base = api.base(wanted.base_id)
        self._wanted = wanted
        self._remembered = dict(remembered)
        self._threads = threads
        self._layout: Layout | None = None  # by which cells are read and written
        self._seen: Layout | None = None  # what `schema` has read last; `use` goes by it
        self._familiar = Familiar()
        self._created: dict[str, float] = {}  # when each row was made, for `edited`
        self._refused_formulas: set[str] = set()
        self._faulty: str | None = None  # the row whose reading failed in Airtable last
        self._ids_proved = False  # whether a formula has found rows by RECORD_ID(); one that errs drops them silently

    @property
    def clock_offset(self) -> float:
        """Seconds to add to Airtable's stamps to get our own clock."""
        return self.http.clock_offset.offset

    @property
    def calls(self) -> int:
        """Requests sent, retries counted."""
        return self.http.calls

    def close(self) -> None:
        """Closes the connections."""
        self.http.close()

    # --- schema -------------------------------------------------------------------------------------------------------

    def schema(self) -> TableSchema:
        """Tables and columns as they are now, in one call (§6); raises `Misconfigured` with the mend. Cells are read
        and written as before until `use` is called: a pass may look at columns in its midst."""
        try:
            answer = self._call(lambda: self._api.get(self._base.urls.tables))
            layout = read_layout(answer, self._wanted, self._remembered)
        except Refusal as refusal:
            raise refused_schema(refusal, self._wanted.base_id) from refusal
        except (NoAnswer, Unreadable) as error:
            raise SideDown(str(error)) from error
        self._seen, self._layout = layout, self._layout or layout
        self._refused_formulas.clear()  # asked anew in each pass: it may have been a column that is back
        self._remembered |= {name: column.id for name, column in layout.columns.items()}
        self.identity = f"{self._wanted.base_id}/{layout.table_id}"
        return layout.schema(self.identity)

    def use(self, fields: Sequence[Field]) -> None:
        """From now on raw values stand in the order of these fields, in the columns that `schema` has read last."""
        self._layout = (self._seen or self._ready()).with_fields(fields)

    def _ready(self) -> Layout:
        if self._layout is None:
            self.schema()
        assert self._layout is not None  # schema() sets it or raises
        return self._layout

    def _table(self) -> pyairtable.Table:
        return self._base.table(self._ready().table_id)

    # --- one call -----------------------------------------------------------------------------------------------------

    def _call(self, send: Callable[[], _T]) -> _T:
        """What `send` returns. Raises `Refusal` (4xx), `NoAnswer` (5xx, cut off, unreadable), `SideDown` (never sent,
        too many requests, used-up month: nothing happened)."""
        from pydantic import ValidationError
        from requests.exceptions import HTTPError, RequestException

        try:
            return send()
        except HTTPError as error:
            response = error.response
            try:
                body = response.json()
            except RequestException:
                body = None
            raise parsed(response.status_code, body, scrub(response.text)[:300]) from error
        except NoAnswer:
            raise
        except NotNow as error:
            raise TryAgain(str(error)) from error
        except HttpError as error:
            raise SideDown(str(error)) from error
        except (RequestException, ValidationError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NoAnswer("Airtable's answer is not what its API promises; a proxy may have changed it.") from error

    def _pages(self, formula: str, column_ids: Sequence[str]) -> Iterator[list[Row]]:
        """The pages of one listing to its end marker (§2). Raises what `_call` raises."""
        table = self._table()
        options: dict[str, Any] = {"page_size": PAGE, "fields": list(column_ids), "use_field_ids": True}
        if formula:
            options["formula"] = formula
        # Not `Table.iterate`: it takes an answer without rows for an empty table.
        pages = self._api.iterate_requests(
            "get", table.urls.records, fallback=("post", table.urls.records_post), options=options
        )
        offsets: set[str] = set()
        while True:
            page = self._call(lambda: next(pages, _END))  # an empty answer is None and no end
            if page is _END:
                return
            if not isinstance(page, dict) or not isinstance(page.get("records"), list):
                raise NoAnswer("Airtable's answer holds no list of rows.")
            yield page["records"]
            offset = str(page.get("offset"))
            if offset in offsets:
                raise NoAnswer("Airtable's listing goes round in circles.")
            if len(offsets) >= PAGES_AT_MOST:
                raise NoAnswer(f"Airtable's listing does not come to an end: {PAGES_AT_MOST:,} pages and still more.")
            offsets.add(offset)

    def _listed(
        self, formula: str = "", *, column_ids: Sequence[str] | None = None, sieve: Sieve | None = None
    ) -> list[Record]:
        """The rows of a whole listing; a lost iterator throws its pages away and begins anew (§2).

        Raises `Refusal`, and `SideDown` where it cannot be brought to its end.
        """
        layout = self._ready()
        columns = layout.column_ids if column_ids is None else column_ids
        if sieve is not None:
            self._familiar.lend(sieve, layout)
        for attempt in range(LISTINGS_AT_MOST):
            records: dict[str, Record] = {}
            created: dict[str, float] = {}
            if sieve is not None:
                sieve.begin()
            try:
                for page in self._pages(formula, columns):
                    for row in page:
                        record, id = layout.unless_held(row, sieve), row["id"]
                        if record is None:
                            records.pop(id, None)
                        else:
                            records[id] = record  # a row that moved between pages comes twice: the later is newer
                        if (at := created_at(row)) is not None:
                            created[id] = at
            except Refusal as refusal:
                if refusal.kind not in LISTING_LOST:
                    raise
                if attempt == LISTINGS_AT_MOST - 1:
                    raise SideDown(
                        f"Airtable lost its place in the table {LISTINGS_AT_MOST} times before the end was reached."
                    ) from refusal
            except (NoAnswer, Unreadable) as error:
                raise SideDown(str(error)) from error
            else:
                if not formula:
                    self._created.clear()
                self._created |= created
                return list(records.values())
        raise AssertionError("the last attempt returns or raises")

    def _filtered(self, form: str, formula: str, *, column_ids: Sequence[str] | None = None) -> list[Record] | None:
        """The rows that a formula keeps; None where the server refuses this form of formula, which is remembered."""
        if form in self._refused_formulas:
            return None
        try:
            return self._listed(formula, column_ids=column_ids)
        except Refusal as refusal:
            if not refusal.of_formula:
                raise self._down(refusal) from refusal
            self._refused_formulas.add(form)
            return None

    def _down(self, refusal: Refusal) -> SideDown:
        return refused_reading(refusal, self._wanted.base_id, self._ready().table_name)

    # --- reading ------------------------------------------------------------------------------------------------------

    def sweep(self, sieve: Sieve | None = None) -> Iterator[Record]:
        """Every row that the sieve does not hold. Nothing is handed out before the end marker was seen (SPEC §3.6)."""
        try:
            return iter(self._listed(sieve=sieve))
        except Refusal as refusal:
            raise self._down(refusal) from refusal

    def changed(self, since: float) -> list[Record] | None:
        """Rows made after `since`, or with a synced column or the key edited since, by a formula (§3); one call, unless
        there are many. None where the server refuses the formula."""
        layout = self._ready()
        at = since - self.clock_offset
        found = self._filtered("changed", formulas.changed_after(layout.edited_ids, at))
        if found is None:
            either = [formulas.created_after(at), formulas.modified_after(layout.edited_ids, at)]
            found = self._filtered("changed, plainly", formulas.any_of(either))
        return found

    def read(self, ids: Sequence[str], *, needed: Collection[int] | None = None) -> dict[str, ReadResult]:
        """Rows by their ids: a hundred a call, and by itself each one that the answer lacks (SPEC §1)."""
        unique = list(dict.fromkeys(ids))
        results: dict[str, ReadResult] = {}
        if len(unique) > 1:
            for some in _groups(unique, PAGE):
                found = self._filtered("ids", formulas.with_ids(some))
                results.update((record.id, record) for record in found or () if record.id in some)
                self._ids_proved = self._ids_proved or bool(found)
        if "ids" in self._refused_formulas and len(unique) - len(results) > len(self._created) // PAGE + 1:
            # Rows cannot be asked for by their ids: listing all of them is fewer calls than one call each.
            wanted = set(unique)
            results.update((record.id, record) for record in self.sweep() if record.id in wanted)
        single = [id for id in unique if id not in results]
        for id in single:
            results[id] = self._read_one(id)
        if not self._ids_proved and len(unique) > 1 and any(isinstance(results[id], Record) for id in single):
            self._refused_formulas |= {"ids", "rows"}  # the rows are there, and the formula did not find them
        return results

    def _read_one(self, id: str) -> ReadResult:
        if not id.isalnum():  # anything else would be another address
            return Unread(f"“{id}” is no id of an Airtable row.")
        try:
            row = self._call(lambda: self._table().get(id))
            record = self._ready().record(row)
        except Refusal as refusal:
            if refusal.row_is_gone:
                return ABSENT
            if refusal.status == 401 or (refusal.status == 403 and not refusal.unsaid):
                raise self._down(refusal) from refusal
            return Unread(f"Airtable does not show the row {id} ({refusal.status}): {refusal.said}.")
        except ServerFault as error:
            if self._faulty not in (None, id):
                raise SideDown(str(error)) from error  # one after the other: it is no row's own trouble
            self._faulty = id
            return Unread(str(error), fault=True)
        except (NoAnswer, Unreadable) as error:
            raise SideDown(str(error)) from error
        self._faulty = None
        if record.id != id:
            return Unread(f"Airtable answered with another row than {id}.")
        self._note_created(row)
        return record

    def _note_created(self, row: Any) -> None:
        if (at := created_at(row)) is not None:
            self._created[id_of(row)] = at

    def find(self, partners: Sequence[str]) -> dict[str, list[Record]]:
        """All rows that carry these ids in their key cell, read now."""
        found: dict[str, list[Record]] = {partner: [] for partner in partners}
        for record in self._carrying(list(found)).values():
            if record.partner in found:
                found[record.partner].append(record)
        return found

    def _carrying(self, partners: Sequence[str]) -> dict[str, Record]:
        """Rows by id, among them all that carry one of these keys: every row where no formula can choose them."""
        records: dict[str, Record] = {}
        for some in _groups(partners, PAGE):
            part = self._filtered("keys", formulas.with_keys(self._ready().key.id, some))
            if part is None:
                return {record.id: record for record in self.sweep()}
            records.update((record.id, record) for record in part)
        return records

    # --- writing ------------------------------------------------------------------------------------------------------

    def make_way(self) -> None:
        """Ten rows are read in one call, and written in another."""
        self.http.make_way(2)

    def write(self, patches: Sequence[Patch]) -> list[WriteResult]:
        """Writes cells of rows; a refused batch is split until the bad row stands alone (SPEC §3.7)."""
        layout = self._ready()
        jobs = [
            Job(place, patch.id, layout.outgoing(patch.changes, patch.message, patch.partner))
            for place, patch in enumerate(patches)
        ]
        return self._carry_out(jobs, self._update, "row")

    def create(self, records: Sequence[NewRecord]) -> list[WriteResult]:
        """Makes rows, matched by their key so that none is made twice (§4). Never waits: see `TableSide`."""
        with self.http.once():
            return self._create(self._new_jobs(records))

    def create_each(
        self, batches: Iterator[Sequence[NewRecord]]
    ) -> Generator[list[WriteResult] | SideDown, None, None]:
        """As `create`, for batch after batch, four calls at once. The first one goes alone: it shows whether there is a
        way. So does a batch that makes a new option: two at once could make it twice."""
        under_way: deque[Callable[[], list[WriteResult]]] = deque()
        with self._threads(CREATES_AT_ONCE) as pool:
            is_down, room = False, 1
            while not is_down and (records := next(batches, None)) is not None:
                jobs = self._new_jobs(records)
                alone = any(job.cells.casting for job in jobs)
                while alone and under_way:
                    yield _outcome(under_way.popleft())
                under_way.append(pool.submit(self._create, jobs).result)
                while under_way and (alone or len(under_way) == room):
                    outcome = _outcome(under_way.popleft())
                    is_down = isinstance(outcome, SideDown)
                    yield outcome
                room = CREATES_AT_ONCE
            while under_way:
                yield _outcome(under_way.popleft())

    def _new_jobs(self, records: Sequence[NewRecord]) -> list[Job]:
        layout = self._ready()
        return [
            Job(place, new.partner, layout.outgoing(new.values, new.message, new.partner))
            for place, new in enumerate(records)
        ]

    def _create(self, jobs: Sequence[Job]) -> list[WriteResult]:
        return self._carry_out(jobs, self._upsert, "row for")

    def _carry_out(
        self, jobs: Sequence[Job], send: Callable[[Sequence[Job]], Mapping[str, WriteResult]], what: str
    ) -> list[WriteResult]:
        results: dict[int, WriteResult] = {}
        for job in jobs:
            if not job.name.strip():
                results[job.place] = Refused(f"There is no id for this {what.removesuffix(' for')}.")
            elif not job.cells.values:
                results[job.place] = self._unchanged(job.name)
        ready = [job for job in jobs if job.place not in results]
        # Casting makes new options, so it is asked for only where one is needed (§4).
        casting = [job for job in ready if job.cells.casting]
        plain = [job for job in ready if not job.cells.casting]
        batches = [*_groups(plain, BATCH), *_groups(casting, BATCH)]
        results |= carry_out(batches, send, self._ready, what, self._wanted.base_id)
        return [results[job.place] for job in jobs]

    def _unchanged(self, id: str) -> WriteResult:
        """A patch that names no cell of this table (a message without a Sync column) is no write."""
        found = self._read_one(id)
        return Written(found) if isinstance(found, Record) else Refused(f"The row {id} cannot be read.")

    def _update(self, jobs: Sequence[Job]) -> dict[str, WriteResult]:
        table = self._table()
        with self.http.once():
            rows = self._call(
                lambda: table.batch_update(
                    [{"id": job.name, "fields": _fields(job)} for job in jobs], typecast=_casting(jobs)
                )
            )
        by_id = {job.name: job for job in jobs}
        return {record.id: Written(record) for record in self._taken(rows, by_id, lambda record: record.id)}

    def _upsert(self, jobs: Sequence[Job]) -> dict[str, WriteResult]:
        by_key = {job.name: job for job in jobs}  # one row per key: two with one new key in a call would both be made
        answer = self._call(
            lambda: self._table().batch_upsert(
                [{"fields": _fields(job)} for job in by_key.values()],
                key_fields=[self._ready().key.id],
                typecast=_casting(jobs),
            )
        )
        made = {id for id in answer["createdRecords"] if isinstance(id, str)}
        taken = self._taken(answer["records"], by_key, lambda record: record.partner or "")
        return {record.partner or "": Written(record, made=record.id in made) for record in taken}

    def _taken(self, rows: Sequence[Any], jobs: Mapping[str, Job], name: Callable[[Record], str]) -> Iterator[Record]:
        """The records that a write's answer shows, matched by name and never by position."""
        for row in rows:
            try:
                record = self._ready().record(row)
            except Unreadable:
                continue
            job = jobs.get(name(record))
            if job is None:
                continue
            self._note_created(row)
            if job.cells.casting:
                self._layout = self._ready().kept_new_labels(job.cells, row)
            yield record

    def delete(self, id: str) -> WriteResult | Missing:
        """Deletes one row; ABSENT where it was gone already. The `Written` record holds nothing but the id."""
        if not id.isalnum():  # anything else would be another address
            return Refused(f"“{id}” is no id of an Airtable row.")
        try:
            table = self._table()
            with self.http.once():
                answer = self._call(lambda: table.delete(id))
        except Refusal as refusal:
            if refusal.row_is_gone:
                return ABSENT
            if refusal.status == 401:
                raise self._down(refusal) from refusal
            sentence = refused_writing(refusal, self._ready().table_name)
            return Refused(sentence, everyone=refusal.status == 403)
        except NoAnswer as error:
            return Lost(str(error))
        if answer.get("deleted") is not True or answer.get("id") != id:
            return Lost("Airtable did not say whether it deleted the row.")
        return Written(Record(id, (None,) * len(self._ready().fields)))

    # --- edit times ---------------------------------------------------------------------------------------------------

    def edited(
        self, questions: Sequence[Question], records: Mapping[str, Record] | None = None
    ) -> dict[Question, Stamp]:
        """Whether cells were edited after an instant (SPEC §2), by LAST_MODIFIED_TIME in a formula (§3).

        A cell that was filled when its row was made may have no modified time: its row's age counts then. A blank cell
        that was never edited is no edit. `records` may hold the rows as they are, which saves reading the young ones.
        """
        asked = list(dict.fromkeys(questions))
        known: dict[str, ReadResult] = dict(records or {})
        perhaps_young = {question.id for question in asked if self._young(question) is not False}
        unread = sorted(id for id in perhaps_young if id not in known or id not in self._created)
        known |= self.read(unread) if unread else {}
        answers: dict[Question, bool] = {}
        open_ones: dict[int, list[Question]] = {}
        for question in asked:
            young, record = self._young(question), known.get(question.id)
            if young is None or (young and not isinstance(record, Record)):
                continue  # gone or unreadable: left out
            if young and isinstance(record, Record) and not _blank(record, question.index):
                answers[question] = True
            else:
                open_ones.setdefault(question.index, []).append(question)
        for index, of_field in open_ones.items():
            for some in _groups(of_field, PAGE):
                answers |= self._modified(index, some)
        return {
            question: Stamp(question.instant + 0.001, inf) if after else Stamp(-inf, question.instant)
            for question, after in answers.items()
        }

    def put_back(self) -> None:
        """A write hits the record whose id it names."""

    def made_at(self, id: str) -> float | None:
        """By the row's createdTime; in whole seconds, rounded down."""
        at = self._created.get(id)
        return None if at is None else at + self.clock_offset

    def _young(self, question: Question) -> bool | None:
        """Whether the row was made after the question's instant; None where that is not known."""
        at = self._created.get(question.id)
        return None if at is None else at > self._server_time(question.instant)

    def _server_time(self, instant: float) -> float:
        return round(instant - self.clock_offset, 3)

    def _modified(self, index: int, questions: Sequence[Question]) -> dict[Question, bool]:
        """Which of these cells of one field have a modified time after their instants; without those of no answer."""
        columns = [one for one in self._ready().cells[index] if one is not None]

        def modified(question: Question) -> str:
            return formulas.modified_after(columns, self._server_time(question.instant))

        wanted = {question.id for question in questions}
        formula = formulas.any_of(formulas.row_and(question.id, modified(question)) for question in questions)
        by_row = len(wanted) == len(questions)  # a row asked about twice cannot say for which instant it was returned
        rows = self._filtered("rows", formula, column_ids=[self._ready().key.id]) if by_row else None
        if rows is not None and not rows and not self._ids_proved:
            # No row at all: either none was edited, or RECORD_ID() errs here. One call tells.
            self._ids_proved = bool(self._filtered("ids", formulas.with_ids(sorted(wanted))))
            rows = rows if self._ids_proved else None
            self._refused_formulas |= set() if self._ids_proved else {"ids", "rows"}
        if rows is not None and (ids := {row.id for row in rows}) <= wanted:
            return {question: question.id in ids for question in questions}
        # The server does not know RECORD_ID or AND, or makes nothing of them: one question about all rows per instant.
        if rows is not None:
            self._refused_formulas.add("rows")
        return self._modified_anywhere(questions, modified)

    def _modified_anywhere(
        self, questions: Sequence[Question], modified: Callable[[Question], str]
    ) -> dict[Question, bool]:
        answers: dict[Question, bool] = {}

        def kind(question: Question) -> tuple[float, bool]:
            return question.instant, bool(self._young(question))

        for (instant, young), alike in groupby(sorted(questions, key=kind), kind):
            group = list(alike)
            formula = modified(group[0])
            if not young:  # the form of §3; for a young row its first half would be true of a blank cell, too
                formula = formulas.any_of([formulas.created_after(self._server_time(instant)), formula])
            form = "young" if young else "all"
            rows = self._filtered(form, formula, column_ids=[self._ready().key.id])
            if rows is not None:
                ids = {row.id for row in rows}
                answers |= {question: question.id in ids for question in group}
        return answers


def _blank(record: Record, index: int) -> bool:
    raw: Raw = record.raw[index]
    cells = raw if isinstance(raw, list) else [raw]
    return index not in record.lacks and all(cell is None or cell == "" for cell in cells)


def _fields(job: Job) -> dict[str, Any]:
    return dict(job.cells.values)


def _casting(jobs: Sequence[Job]) -> bool:
    return any(job.cells.casting for job in jobs)


def _outcome(result: Callable[[], list[WriteResult]]) -> list[WriteResult] | SideDown:
    """The results of a call that is under way, once they are there."""
    try:
        return result()
    except SideDown as error:
        return error


def _groups(things: Sequence[_T], size: int) -> list[list[_T]]:
    return [list(things[start : start + size]) for start in range(0, len(things), size)]


__all__ = ["AirtableSide", "open_airtable"]
