"""Answers that were written down before: two sides of any size without a server, so that only syncd's own work costs.

The records are copies of a hundred that the sandbox answered with, under other ids and names; the pages stand in one
file and are read as they are asked for.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pyairtable
import requests

from syncd.crm.highlevel import HighLevelClient, connect
from syncd.crm.side import HighLevelSide
from syncd.http import Bucket, Retry
from syncd.opened import Pair
from syncd.sides import TableSchema
from syncd.store import Store
from syncd.tables.airtable import AirtableSide, open_airtable
from syncd.tables.transport import RequestsAdapter
from tests.hostile.bench import FIELDS, TABLE, Bench, Passes, Wire

PAGE: Final = 100
_READ: Final = Retry.READ


@dataclass(frozen=True, slots=True)
class Pages:
    """A file of pages: per side, where each begins and how long it is."""

    path: Path
    crm: tuple[tuple[int, int], ...]
    table: tuple[tuple[int, int], ...]


def _variant(text: str, ids: dict[str, str], number: int) -> str:
    for old, new in ids.items():
        text = text.replace(old, f"{new}{number:012d}")
    return text


def _templates(bench: Bench) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(id, JSON) of a hundred deals as search shows them, and (deal's id, JSON) of their rows."""
    with_rows = Passes(bench)
    with_rows.run()
    with_rows.run()
    bench.forget()
    with_rows.run()  # an idle one: its listings are the templates
    with_rows.close()
    search = next(one for one in bench.crm_wire.log if "search" in one.path)
    listing = next(one for one in bench.table_wire.log if b'"records"' in one.answer.content)
    deals = [(str(one["id"]), json.dumps(one)) for one in json.loads(search.answer.content)["opportunities"]]
    rows: dict[str, str] = {}
    for one in json.loads(listing.answer.content)["records"]:
        text = json.dumps(one)
        rows |= {deal: text for deal, _ in deals if f'"{deal}"' in text}
    return [one for one in deals if one[0] in rows], list(rows.items())


def write_pages(bench: Bench, path: Path, deals: int) -> Pages:
    """Writes the pages of `deals` deals and of as many rows."""
    templates, rows = _templates(bench)
    row_of = dict(rows)
    spans: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    with path.open("wb") as file:

        def put(span: list[tuple[int, int]], text: str) -> None:
            body = text.encode()
            span.append((file.tell(), len(body)))
            file.write(body)

        for first in range(0, deals, PAGE):
            numbers = range(first, min(first + PAGE, deals))
            shown, cells = [], []
            for number in numbers:
                deal, text = templates[number % len(templates)]
                one, row = json.loads(text), json.loads(row_of[deal])
                person = one["contact"]["name"]
                ids = {deal: "deal", str(one["contactId"]): "contact", str(row["id"]): "rec", person: f"{person} "}
                shown.append(_variant(text, ids, number))
                cells.append(_variant(row_of[deal], ids, number))
            last = numbers[-1]
            more = last + 1 < deals
            meta = {"total": deals, "startAfter": last + 1, "startAfterId": f"contact{last:012d}"}
            meta |= {"nextPage": first // PAGE + 2, "nextPageUrl": "more"} if more else {"nextPage": None}
            put(spans[0], f'{{"opportunities":[{",".join(shown)}],"meta":{json.dumps(meta)}}}')
            offset = f',"offset":"itr/{last + 1}"' if more else ""
            put(spans[1], f'{{"records":[{",".join(cells)}]{offset}}}')
    return Pages(path, tuple(spans[0]), tuple(spans[1]))


def pages_in(folder: Path, bench: Bench, deals: int) -> Pages:
    """The pages that stand in the folder, made where they do not yet."""
    path, index = folder / f"pages-{deals}", folder / f"pages-{deals}.json"
    if not index.exists():
        made = write_pages(bench, path, deals)
        index.write_text(json.dumps([made.crm, made.table]))
    crm, table = (tuple((start, length) for start, length in spans) for spans in json.loads(index.read_text()))
    return Pages(path, crm, table)


class Once(httpx.SyncByteStream):
    """A body that is given away when it is read, as a connection's is: httpx's responses are rubbish in cycles."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        body, self.body = self.body, b""
        yield body


class Canned(httpx.BaseTransport):
    """Lists pages from the file; everything else is answered by the sandbox behind `wire`."""

    def __init__(self, wire: Wire, pages: Pages, side: str, latency: float = 0.0) -> None:
        self.wire, self.side, self.latency = wire, side, latency
        self.spans = pages.crm if side == "crm" else pages.table
        self.file = os.open(pages.path, os.O_RDONLY)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One answer."""
        if self.latency:
            time.sleep(self.latency)
        params = request.url.params
        listing = request.url.path.endswith("/search") if self.side == "crm" else "fields[]" in params
        if not listing or request.method != "GET":
            return self.wire.handle_request(request)
        after = params.get("startAfter") if self.side == "crm" else params.get("offset", "").removeprefix("itr/")
        start, length = self.spans[int(after or 0) // PAGE]
        body = os.pread(self.file, length, start)
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Once(body))

    def close(self) -> None:
        """Closes the file."""
        os.close(self.file)


class OwnTable(AirtableSide):
    """A table that is known by another name than those of other pairs, though all have the same rows."""

    known_as = ""

    def schema(self) -> TableSchema:
        """The columns."""
        found = super().schema()
        return replace(found, identity=f"{self.known_as}{found.identity}")


class PlainAdapter(RequestsAdapter):
    """As the pair's own, but the answers are decoded by requests."""

    def send(self, *given: Any, **options: Any) -> requests.Response:
        """The answer as requests makes it."""
        answer = super().send(*given, **options)
        plain = requests.Response()
        plain.status_code, plain.headers, plain.encoding = answer.status_code, answer.headers, answer.encoding
        plain.url, plain.request, plain.raw = answer.url, answer.request, answer.raw
        return plain


@dataclass(slots=True)
class Canteen:
    """A pair over canned answers, and the bare loop over the same ones."""

    pair: Pair
    client: HighLevelClient
    table: AirtableSide
    bare_table: pyairtable.Table

    def page_bare(self) -> None:
        """Pages both sides by the same HTTP clients as the pair, as the standard library decodes; keeps nothing."""
        after: dict[str, Any] = {}
        while True:
            reply = self.client.http.request("GET", "/opportunities/search", params=after, retry=_READ)
            meta = json.loads(reply.content)["meta"]
            if not meta.get("nextPageUrl"):
                break
            after = {"startAfter": meta["startAfter"]}
        for _ in self.bare_table.iterate(page_size=PAGE, fields=["x"]):
            pass


@contextmanager
def canned(folder: Path, deals: int) -> Iterator[Canteen]:
    """A pair whose sides have `deals` deals and their rows, with a store in `folder`; its pages stay there, too, for
    other processes."""
    with Bench(deals=PAGE) as bench, served(bench, pages_in(folder, bench, deals), folder, f"canned-{deals}") as one:
        yield one


@contextmanager
def served(
    bench: Bench, pages: Pages, folder: Path, name: str, *, latency: float = 0.0, parallel: bool = False
) -> Iterator[Canteen]:
    """A pair over these pages; each answer takes `latency` seconds."""
    options: dict[str, Any] = {"bucket": Bucket.unlimited(), "clock": time.time}
    client = connect(
        bench.highlevel.token, bench.highlevel.location_id, base_url="https://crm.test",
        transport=Canned(bench.crm_wire, pages, "crm", latency), **options,
    )  # fmt: skip
    table = open_airtable(
        token=bench.airtable.settings.token, base_id=bench.airtable.base_id, table=TABLE, fields=FIELDS,
        base_url="https://table.test", transport=Canned(bench.table_wire, pages, "table", latency), **options,
    )  # fmt: skip
    table.__class__, store = OwnTable, Store(folder, name)
    cast("OwnTable", table).known_as = name
    try:
        pair = Pair(name, FIELDS, HighLevelSide(client, FIELDS), table, store, parallel=parallel)
        api = pyairtable.Api("token", retry_strategy=None, endpoint_url="https://table.test")
        api.session.mount("https://", PlainAdapter(table.http))
        yield Canteen(pair, client, table, api.table(bench.airtable.base_id, TABLE))
    finally:
        store.close()
        table.close()
        client.http.close()
