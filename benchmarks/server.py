"""A local Talkover API that costs next to nothing, in a process of its own, so that what is measured is the client.

    python benchmarks/server.py --numbers 10000 --per-page 100 --latency 50

GET /api/v1/phone-numbers and /api/v1/phone-numbers/release-requests (page, per_page; any token) as the API's OpenAPI
file has them, and GET /api/v1/calls (date_from and date_to, days in UTC, both included). POST /change changes ten
numbers, a request and ten calls, POST /next-day also the countdown of every number, and adds a day of calls; GET
/requests returns what was requested since the last call. Rows are a thousand of the sandbox's, repeated under ids and
numbers of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from talkover.sandbox import Account

PREFIX = "/api/v1/"
NUMBERS, REQUESTS, CALLS = "phone-numbers", "phone-numbers/release-requests", "calls"
LARGEST_PAGE = 5_000
KEPT_BYTES = 1_000_000_000
"""Pages are kept in memory up to this much, some 1,300,000 numbers; above it they are made for each request."""
CHANGED_NUMBERS = 10
NUMBERS_A_REQUEST = 10
TEMPLATES = 1_000
STATES = ("pending", "approved", "rejected", "cancelled")
FOUNDED = date(2026, 3, 1)
NEW_AGENT = "a0000000-0000-4000-8000-{:012}"
"""The id of who is on the first of the changed numbers after that many changes."""
DAY = timedelta(days=1)
YEAR_DAYS = 365
FIRST_CALLS = date(2025, 7, 1)
LAST_CALLS = FIRST_CALLS + (YEAR_DAYS - 1) * DAY
"""The last day that has calls, until `next_day` adds one."""
CALLS_A_CALLER = 5
FIRST_CALLER = 2_000_000
"""In North America the seven digits of a number begin with 2 or more: else it is of no country."""
OUTCOMES = ("completed",) * 7 + ("no-answer", "busy", "failed")

Json = dict[str, Any]


class Listings:
    """The rows of both endpoints by position, made from templates; and what `change` did to some of them.

    Those who check what was loaded make one of their own: the same size and changes give the same rows.
    """

    def __init__(self, numbers: int, calls: int = 0) -> None:
        account = Account(size=TEMPLATES, founded=FOUNDED)
        self._numbers = list(account.numbers.values())
        self._requests = list(account.requests.values())
        self.sizes = {NUMBERS: numbers, REQUESTS: numbers // NUMBERS_A_REQUEST}
        self.changes = 0
        self.days = 0
        self.calls = Calls(calls, [row["number"] for row in self.rows(NUMBERS)] if calls else [])

    def row(self, endpoint: str, position: int) -> Json:
        return self._number(position) if endpoint == NUMBERS else self._request(position)

    def rows(self, endpoint: str) -> Iterator[Json]:
        return (self.row(endpoint, position) for position in range(self.sizes[endpoint]))

    def change(self) -> list[tuple[str, int]]:
        """Another price for ten numbers, another agent for the first of them, another status for a request."""
        self.changes += 1
        self.calls.changes += 1
        return [*((NUMBERS, position) for position in self.changed_numbers()), (REQUESTS, 0)]

    def next_day(self) -> None:
        """A day less until every renewal, a day of calls more, and a `change`."""
        self.days += 1
        self.calls.days += 1
        self.change()

    def changed_numbers(self) -> range:
        """Positions all over the list, so that they lie on several pages."""
        return range(0, self.sizes[NUMBERS], max(self.sizes[NUMBERS] // CHANGED_NUMBERS, 1))[:CHANGED_NUMBERS]

    def _number(self, position: int) -> Json:
        number = dict(self._numbers[position % len(self._numbers)])
        number["id"] = scattered_id(position)
        number["number"] = f"{number['number'][:-7]}{position:07}"
        number["days_until_monthly_renewal"] -= self.days
        number["is_due_for_monthly_renewal"] = number["days_until_monthly_renewal"] <= 0
        if self.changes and position in self.changed_numbers():
            number["current_price"] = number["monthly_renewal_cost"] = 50 + self.changes / 4
            number["updated_at"] = f"2026-06-01T00:{self.changes:02}:00Z"
            if position == 0:
                number["agents"] = [{"id": NEW_AGENT.format(self.changes), "name": f"Nora {self.changes}"}]
        return number

    def _request(self, position: int) -> Json:
        request = dict(self._requests[position % len(self._requests)])
        number = self._number(position * NUMBERS_A_REQUEST)
        request |= {"id": scattered_id(-1 - position), "phone_number_id": number["id"]}
        request["phone_number"] = number["number"]
        if self.changes and position == 0:
            request["status"] = STATES[(STATES.index(request["status"]) + self.changes) % len(STATES)]
        return request


class Calls:
    """A year of `calls` on `numbers`, by position: evenly over its days, the oldest first.

    What differs from call to call is made of the position, the rest is one of a thousand templates. There is a caller
    for every CALLS_A_CALLER calls, so that in a week nearly each call has another.
    """

    def __init__(self, calls: int, numbers: Sequence[str]) -> None:
        chance = Random(1)  # noqa: S311  it protects nothing
        self._calls, self._numbers = calls, numbers
        self._callers = max(calls // CALLS_A_CALLER, 1)
        self._templates = [self._template(chance) for _ in range(TEMPLATES if calls else 0)]
        self._began = datetime(FIRST_CALLS.year, FIRST_CALLS.month, FIRST_CALLS.day, tzinfo=timezone.utc)
        self._changed = self._positions(LAST_CALLS, LAST_CALLS)
        self._changed = self._changed[:: max(len(self._changed) // CHANGED_NUMBERS, 1)][:CHANGED_NUMBERS]
        self.days = YEAR_DAYS
        self.changes = 0

    def between(self, first: date, last: date) -> Sequence[int]:
        """The positions of the calls of these days, both included."""
        return self._positions(max(first, FIRST_CALLS), min(last, FIRST_CALLS + (self.days - 1) * DAY))

    def row(self, position: int) -> Json:
        """Ten calls of the year's last day grow longer with each change."""
        ours = self._numbers[position * 7919 % len(self._numbers)]
        call, began = dict(self._templates[position % TEMPLATES]), self._began_at(position)
        caller = spread(position) % self._callers
        theirs = f"{self._numbers[caller % len(self._numbers)][:-7]}{FIRST_CALLER + caller:07}"
        call["id"] = scattered_id(position)
        call["sid"] = f"CA{spread(-1 - position):032x}"
        call["from"], call["to"] = (theirs, ours) if call["direction"] == "inbound" else (ours, theirs)
        if position in self._changed:
            call["duration"] += self.changes
        call["created_at"] = began
        call["ended_at"] = call["updated_at"] = began + timedelta(seconds=20 + call["duration"])
        return call

    def _positions(self, first: date, last: date) -> range:
        return range(self._first_of(first), self._first_of(last + DAY))

    def _first_of(self, day: date) -> int:
        return -(-(day - FIRST_CALLS).days * self._calls // YEAR_DAYS)

    def _began_at(self, position: int) -> datetime:
        return self._began + timedelta(seconds=position * YEAR_DAYS * 86_400 // self._calls)

    def _template(self, chance: Random) -> Json:
        """A call, its fields in the API's order."""
        status, agent = chance.choice(OUTCOMES), chance.randrange(20)
        return {
            "id": None,
            "sid": None,
            "from": None,
            "to": None,
            "direction": chance.choice(("inbound", "inbound", "outbound")),
            "status": status,
            "duration": chance.randrange(5, 900) if status == "completed" else 0,
            "is_testing": chance.random() < 0.01,
            "created_at": None,
            "updated_at": None,
            "ended_at": None,
            "agent": {"id": scattered_id(agent), "name": f"Agent {agent}", "label": f"Support {agent % 4}"},
        }


def spread(position: int) -> int:
    """128 bits without any order; no two positions share them."""
    return position * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128


def scattered_id(position: int) -> str:
    """A UUID without any order, as the API's are; no two positions share one."""
    text = f"{spread(position):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Pages:
    """Pages as the bytes of whole answers, kept while there is room."""

    def __init__(self, listings: Listings) -> None:
        self.listings = listings
        self._kept: dict[tuple[str, int, int], bytes] = {}
        self._kept_bytes = 0

    def get(self, endpoint: str, page: int, per_page: int) -> bytes:
        key = (endpoint, page, per_page)
        if (answer := self._kept.get(key)) is None:
            answer = self._make(*key)
            if self._kept_bytes + len(answer) <= KEPT_BYTES:
                self._kept[key] = answer
                self._kept_bytes += len(answer)
        return answer

    def make_all(self, per_page: int) -> None:
        """Before the first client: none must wait for what the others find ready."""
        for endpoint, size in self.listings.sizes.items():
            for page in range(1, -(-size // per_page) + 1):
                if self._kept_bytes >= KEPT_BYTES - 8_000_000:
                    return
                self.get(endpoint, page, per_page)

    def change(self) -> None:
        for endpoint, position in self.listings.change():
            for key in [key for key in self._kept if key[0] == endpoint and position // key[2] + 1 == key[1]]:
                self._kept_bytes -= len(self._kept.pop(key))
                self.get(*key)

    def next_day(self) -> None:
        """Makes every page anew, also before the next client."""
        self.listings.next_day()
        kept = list(self._kept)
        self._kept.clear()
        self._kept_bytes = 0
        for key in kept:
            self.get(*key)

    def _make(self, endpoint: str, page: int, per_page: int) -> bytes:
        positions = range(self.listings.sizes[endpoint])
        return page_of(positions, page, per_page, lambda position: self.listings.row(endpoint, position))

    def get_calls(self, first: date, last: date, page: int, per_page: int) -> bytes:
        """Made for each request: to keep them all would take more memory than the client does."""
        calls = self.listings.calls
        return page_of(calls.between(first, last), page, per_page, calls.row)


class Counter:
    """How many requests came, and the seconds from the first one of an endpoint to its last answer, added up."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._requests = 0
        self._spans: dict[str, tuple[float, float]] = {}

    def count(self, endpoint: str, came: float) -> None:
        self._requests += 1
        first, _ = self._spans.get(endpoint, (came, came))
        self._spans[endpoint] = (first, time.monotonic())

    def take(self) -> Json:
        """What was counted, and counts anew."""
        taken = {"requests": self._requests, "seconds": sum(last - first for first, last in self._spans.values())}
        self._reset()
        return taken


class Connection(asyncio.Protocol):
    """HTTP/1.1 as clients of REST APIs speak it: one request at a time, without a body."""

    def __init__(self, pages: Pages, counter: Counter, latency: float) -> None:
        self._pages, self._counter, self._latency = pages, counter, latency
        self._changes = {"/change": pages.change, "/next-day": pages.next_day}
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            self._answer(method, target, is_last=b"connection: close" in head.lower())

    def _answer(self, method: str, target: str, *, is_last: bool) -> None:
        url = urlsplit(target)
        endpoint = url.path.removeprefix(PREFIX).strip("/")
        if method == "POST" and (change := self._changes.get(url.path)):
            change()
            self._send(answer_of({"changes": self._pages.listings.changes}), is_last)
        elif (method, url.path) == ("GET", "/requests"):
            self._send(answer_of(self._counter.take()), is_last)
        elif method == "GET" and endpoint in (*self._pages.listings.sizes, CALLS):
            came = time.monotonic()
            call_later = asyncio.get_running_loop().call_later
            call_later(self._latency, self._send_page, endpoint, url.query, came, is_last)
        else:
            self._send(answer_of({"success": False, "message": "Not found."}, "404 Not Found"), is_last)

    def _send_page(self, endpoint: str, query: str, came: float, is_last: bool) -> None:
        given = {name: value for name, (value, *_) in parse_qs(query).items()}
        asked = {name: int(value) for name, value in given.items() if value.isdecimal()}
        page, per_page = asked.get("page", 1), asked.get("per_page", 20)
        if page < 1 or not 1 <= per_page <= LARGEST_PAGE:
            refusal = {"success": False, "message": "The given data was invalid.", "errors": {"per_page": ["no"]}}
            self._send(answer_of(refusal, "422 Unprocessable Content"), is_last)
        elif endpoint == CALLS:
            first, last = (date.fromisoformat(given[name]) for name in ("date_from", "date_to"))
            self._send(self._pages.get_calls(first, last, page, per_page), is_last)
        else:
            self._send(self._pages.get(endpoint, page, per_page), is_last)
        self._counter.count(endpoint, came)

    def _send(self, answer: bytes, is_last: bool) -> None:
        self._transport.write(answer)
        if is_last:
            self._transport.close()


def page_of(positions: Sequence[int], page: int, per_page: int, row: Callable[[int], Json]) -> bytes:
    """The whole answer with one page of `positions`."""
    size = len(positions)
    rows = [row(position) for position in positions[(page - 1) * per_page : page * per_page]]
    meta = {"current_page": page, "per_page": per_page, "total": size, "last_page": max(-(-size // per_page), 1)}
    return answer_of({"success": True, "data": rows, "meta": meta})


def answer_of(body: Json, status: str = "200 OK") -> bytes:
    text = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


async def serve(options: argparse.Namespace) -> None:
    pages, counter = Pages(Listings(options.numbers, options.calls)), Counter()
    pages.make_all(options.per_page)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(pages, counter, options.latency / 1000), "127.0.0.1", options.port
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, default=200)
    parser.add_argument("--calls", type=int, default=0, help="in the year that ends with 2026-06-30")
    parser.add_argument("--per-page", type=int, default=100, help="the size of pages that are made before the start")
    parser.add_argument("--latency", type=float, default=0, help="milliseconds a request waits for its answer")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
