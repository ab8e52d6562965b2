"""A pair whose rate limits are off, the bare loop it is compared with, and requests as the servers counted them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyairtable

from syncd.crm.highlevel import HighLevelClient, connect
from syncd.crm.side import HighLevelSide
from syncd.http import Bucket, Http
from syncd.opened import Pair
from syncd.reconcile import PassResult, run_pass
from syncd.settings import PairSettings, load_settings
from syncd.store import Store
from syncd.tables.airtable import AirtableSide, open_airtable
from syncd.tables.transport import RequestsAdapter

PAGE = 100


@dataclass(frozen=True, slots=True)
class Calls:
    """Requests to the two servers, apart by what they do."""

    crm_reads: int
    crm_writes: int
    table_reads: int
    table_writes: int


@dataclass(slots=True)
class Scene:
    """A pair on a sandbox, and a bare pyairtable table on the very connection that the pair uses."""

    pair: Pair
    client: HighLevelClient
    table: AirtableSide
    bare_table: pyairtable.Table
    columns: list[str]

    def run(self) -> PassResult:
        """One full pass; raises where it is not completed."""
        result = run_pass(self.pair)
        if result.error or result.needs_person or result.unsettled:
            raise RuntimeError(f"The pass did not end well: {result.error or result.as_report()}")
        return result

    def run_idle(self) -> None:
        """One full pass that must find nothing to do."""
        tally = self.run().tally
        if sum(tally.created.values()) + sum(tally.updated.values()):
            raise RuntimeError("An idle pass wrote something.")

    def page_bare(self) -> None:
        """Pages both sides with the same clients, as a full pass must, and keeps nothing."""
        page = self.client.search_page(limit=PAGE)
        while page.more:
            page = self.client.search_page(limit=PAGE, cursor=page.cursor)
        for _ in self.bare_table.iterate(page_size=PAGE, fields=self.columns):
            pass


@contextmanager
def opened(environment: Mapping[str, str], folder: Path) -> Iterator[Scene]:
    """The pair that `environment` configures, its state in `folder`, every rate bucket off."""
    settings = load_settings(None, environment).pair[0]
    crm = settings.ghl
    client = connect(
        crm.secret(), crm.location_id, version=crm.version, base_url=crm.base_url, bucket=Bucket.unlimited()
    )
    store = Store(folder, settings.name)
    table = open_airtable(
        token=settings.table.secret(),
        base_id=settings.airtable.base_id,
        table=settings.airtable.table,
        fields=settings.fields(),
        remembered=store.fact("columns") or {},
        base_url=settings.airtable.base_url,
        bucket=Bucket.unlimited(),
    )
    try:
        pair = Pair(
            settings.name,
            settings.fields(),
            HighLevelSide(client, settings.fields(), crm.pipelines),
            table,
            store,
            parallel=True,  # as syncd.pairs makes it
        )
        schema = table.schema()
        columns = list(dict.fromkeys(column.id for column in schema.columns.values()))
        table_id = schema.identity.rpartition("/")[2]
        yield Scene(pair, client, table, _bare_table(settings, table.http, table_id), columns)
    finally:
        store.close()
        table.close()
        client.http.close()


def _bare_table(settings: PairSettings, http: Http, table_id: str) -> pyairtable.Table:
    token = settings.table.secret()
    api = pyairtable.Api(token, retry_strategy=None, endpoint_url=http.base_url, use_field_ids=True)
    api.session.trust_env = False
    api.session.mount("http://", RequestsAdapter(http))
    return api.table(settings.airtable.base_id, table_id)


def sorted_calls(crm: Iterable[tuple[str, str]], table: Iterable[tuple[str, str]]) -> Calls:
    """Counts requests, given as (method, path)."""
    crm_reads = [method == "GET" or path == "/opportunities/search" for method, path in crm]
    table_reads = [method == "GET" or path.endswith("/listRecords") for method, path in table]
    return Calls(sum(crm_reads), crm_reads.count(False), sum(table_reads), table_reads.count(False))


def forget_calls(environment: Mapping[str, str]) -> None:
    """Counts start anew."""
    for name in ("GHL_BASE_URL", "AIRTABLE_BASE_URL"):
        _log(environment[name], "DELETE")


def counted_calls(environment: Mapping[str, str]) -> Calls:
    """What the servers of another process were asked since `forget_calls`, by their own logs."""
    return sorted_calls(_log(environment["GHL_BASE_URL"]), _log(environment["AIRTABLE_BASE_URL"]))


def _log(url: str, method: str = "GET") -> list[tuple[str, str]]:
    request = urllib.request.Request(f"{url}/_sandbox/log", method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return [(line["method"], line["path"]) for line in json.load(answer)["log"]]
