"""Both sandboxes in this process, without sockets: the real sides and clients over a transport that can spoil any
answer, with a clock that only sleeping moves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote

import httpx

from syncd.crm.highlevel import HighLevelClient, connect
from syncd.crm.side import HighLevelSide
from syncd.fields import DEFAULT_COLUMNS, PIPELINE, Field
from syncd.http import Bucket
from syncd.opened import Pair
from syncd.reconcile import PassResult, run_pass
from syncd.sandbox.airtable import Airtable
from syncd.sandbox.data import make_location
from syncd.sandbox.highlevel import HighLevel
from syncd.sandbox.wire import Request, Service
from syncd.store import Store
from syncd.tables.airtable import AirtableSide, open_airtable
from tests.hostile.mangle import Sent

START: Final = 1_790_000_000.0
TABLE: Final = "Deals"
FIELDS: Final = tuple(
    Field(name, (DEFAULT_COLUMNS[PIPELINE][0], column) if name == "stage" else (column,), direction)
    for name, (column, direction) in DEFAULT_COLUMNS.items()
    if name != PIPELINE
)
NAMES: Final = [one.name for one in FIELDS]
AT: Final = {name: index for index, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    answer: Sent

    @property
    def json(self) -> Any:
        """What was sent, as JSON."""
        return json.loads(self.body)


def plain(_exchange: Exchange) -> Sent | None:
    """Spoils nothing."""
    return None


class Wire(httpx.BaseTransport):
    """Carries requests to a sandbox. `spoil` sees each answer and may put another in its place."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.spoil: Callable[[Exchange], Sent | None] = plain
        self.log: list[Exchange] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange, logged as it was answered in the end."""
        query = tuple(parse_qsl(request.url.query.decode(), keep_blank_values=True))
        path, body = unquote(request.url.path), request.read()
        asked = Request(request.method, path, query, {name.lower(): one for name, one in request.headers.items()}, body)
        answer = self.service.handle(asked)
        sent = Sent(answer.status, answer.encoded(), {"content-type": "application/json", **answer.headers})
        exchange = Exchange(request.method, path, query, body, sent)
        spoilt = self.spoil(exchange)
        self.log.append(exchange if spoilt is None else Exchange(request.method, path, query, body, spoilt))
        last = self.log[-1].answer
        headers = [(name.encode(), value.encode("latin-1")) for name, value in last.headers.items()]
        return httpx.Response(last.status, headers=headers, stream=httpx.ByteStream(last.content))


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        """Now."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += seconds


class Bench:
    """A location of a few deals, a table, and clients and sides for both."""

    def __init__(self, *, deals: int = 4, seed: int = 1) -> None:
        self.clock = Clock()
        self.highlevel = HighLevel(make_location(seed, deals), clock=self.clock, rate_limit=100_000)
        self.airtable = Airtable(seed=seed, clock=self.clock, rate_per_second=None)
        self.airtable.deals_table(
            name=TABLE,
            stages=list(
                dict.fromkeys(
                    " ".join(stage["name"].split()) for one in self.highlevel.pipelines for stage in one["stages"]
                )
            ),
            pipelines=[" ".join(one["name"].split()) for one in self.highlevel.pipelines],
        )
        self.crm_wire, self.table_wire = Wire(self.highlevel), Wire(self.airtable)
        self.crm = HighLevelSide(self.client(), FIELDS)
        self.table = self.airtable_side()

    def _http(self) -> dict[str, Any]:
        clock = self.clock
        return {
            "bucket": Bucket.unlimited(monotonic=clock),
            "clock": clock,
            "monotonic": clock,
            "sleep": clock.sleep,
            "rng": lambda: 0.5,
        }

    def client(self) -> HighLevelClient:
        """A HighLevel client."""
        return connect(
            self.highlevel.token,
            self.highlevel.location_id,
            base_url="https://crm.test",
            transport=self.crm_wire,
            **self._http(),
        )

    def airtable_side(self) -> AirtableSide:
        """An Airtable side that knows nothing yet."""
        return open_airtable(
            token=self.airtable.settings.token,
            base_id=self.airtable.base_id,
            table=TABLE,
            fields=FIELDS,
            base_url="https://table.test",
            transport=self.table_wire,
            **self._http(),
        )

    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows by their key, which each has once."""
        found: dict[str, dict[str, Any]] = {}
        for id, row in self.airtable.rows(TABLE).items():
            key = str(row.get("GHL ID", id))
            assert key not in found, f"two rows carry {key}"
            found[key] = {**row, "row": id}
        return found

    def deals(self) -> dict[str, dict[str, Any]]:
        """The deals by id."""
        return {str(deal["id"]): deal for deal in self.highlevel.deals()}

    def forget(self) -> None:
        """Empties the logs and takes the spoiling away."""
        for wire in (self.crm_wire, self.table_wire):
            wire.spoil = plain
            wire.log.clear()
        self.airtable.writes.clear()
        self.highlevel.triggers.clear()

    def close(self) -> None:
        """Closes the clients."""
        self.crm.client.http.close()
        self.table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Passes:
    """A bench with a store in memory: whole passes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.store = Store(None, "hostile")
        self.pair = Pair("hostile", FIELDS, bench.crm, bench.table, self.store, clock=bench.clock)

    def run(self, seconds_later: float = 120.0) -> PassResult:
        """One pass, some time later."""
        self.bench.clock.sleep(seconds_later)
        return run_pass(self.pair)

    def close(self) -> None:
        """Closes the store."""
        self.store.close()
