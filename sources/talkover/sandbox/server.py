"""The sandbox's HTTP server: the documented endpoints, their errors, pagination and rate limit. Loopback only."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from .account import Account
from .faults import FAULTS, SERVER_ERROR, TOO_MANY, UNAUTHORIZED, Answer, Fault
from .pages import Pagination, asked_days, filtered, filtered_calls, invalid, page_of

PREFIX = "/api/v1/"
PHONE_NUMBERS = "phone-numbers"
RELEASE_REQUESTS = "phone-numbers/release-requests"
AGENTS = "agents"
CALLS = "calls"
TOKEN = "talq_sandbox"
HANG_SECONDS = 120
MAX_DIGITS = 6
"""Of days to live: Python refuses to read thousands."""
NOT_BARE = ("direction", "agent", "updated_at")
"""Of a call, the fields that the OpenAPI file does not have."""


@dataclass(frozen=True)
class Request:
    """A request as the tests want to see it afterwards."""

    method: str
    endpoint: str
    query: Mapping[str, str]
    token: str | None


@dataclass
class RateLimit:
    """`requests` a window of `seconds`, reported in the headers in seconds or as an epoch."""

    requests: int = 1000
    seconds: float = 60
    reset_as: Literal["seconds", "epoch", "none"] = "seconds"
    _used: int = 0
    _window_ends: float = 0.0

    def take(self) -> tuple[bool, dict[str, str], float]:
        """Counts a request: whether it is allowed, the headers, and the seconds until the window ends."""
        now = time.time()
        if now >= self._window_ends:
            self._used, self._window_ends = 0, now + self.seconds
        self._used += 1
        left = self._window_ends - now
        headers = {
            "X-RateLimit-Limit": str(self.requests),
            "X-RateLimit-Remaining": str(max(self.requests - self._used, 0)),
        }
        if self.reset_as != "none":
            headers["X-RateLimit-Reset"] = f"{left:.3f}" if self.reset_as == "seconds" else f"{self._window_ends:.3f}"
        return self._used <= self.requests, headers, left


@dataclass
class Sandbox:
    """A running sandbox API, as a context manager.

    `accounts` is one account, or token to account: two tokens may be of the same one.
    `pagination`: "meta" as the OpenAPI file has it, "links" with next links and no total, "none" for everything at
    once; the others announce pages as other APIs do: `next_page_url` at the top, a page size alone, `has_more`, a total
    alone, `meta.pagination`, Laravel's paginator in `data`, a cursor (`next_cursor`) without page numbers, `pagination`
    as the page of agents has it, nothing at all ("silent").
    `largest_page` is what per_page may be; above it the answer is a 422, or `caps_pages` and it is cut to that.
    `clock_ahead`: seconds by which its `Date` is ahead. What is not documented of calls: date_from and date_to are days
    of a zone `calls_offset` hours ahead of UTC; `calls_until_excluded`, and those of date_to are not listed. With
    `bare_calls` they have only the fields that the OpenAPI file has.
    Every request is kept in `seen`; up to `most_at_once` came concurrently.
    """

    accounts: Account | dict[str, Account]
    port: int = 0
    pagination: Pagination = "meta"
    largest_page: int = 100
    caps_pages: bool = False
    faults: list[Fault] = field(default_factory=list)
    rate_limit: RateLimit = field(default_factory=RateLimit)
    latency: float = 0.0
    clock_ahead: float = 0.0
    calls_offset: int = 0
    calls_until_excluded: bool = False
    bare_calls: bool = False
    seen: list[Request] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._by_token = {TOKEN: self.accounts} if isinstance(self.accounts, Account) else self.accounts
        self._lock = threading.RLock()
        self._at_once = 0
        self.stopped = threading.Event()

    @property
    def token(self) -> str:
        """The token of the first account."""
        return next(iter(self._by_token))

    @property
    def base_url(self) -> str:
        """What the connector takes as base_url."""
        return f"http://127.0.0.1:{self.port}{PREFIX.rstrip('/')}"

    def __enter__(self) -> Sandbox:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.sandbox = self
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: Request) -> tuple[Answer, str | None]:
        """The answer to `request` after the latency, and what is to be done to it on the way out."""
        with self._lock:
            self.seen.append(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            allowed, headers, left = self.rate_limit.take()
            if allowed:
                answer, behaviour = self._answer(request)
            else:
                answer, behaviour = Answer(429, TOO_MANY, {"Retry-After": f"{left:.0f}"}), None
        self.stopped.wait(self.latency)
        with self._lock:
            self._at_once -= 1
        return Answer(answer.status, answer.body, headers | answer.headers | _wait_headers(answer)), behaviour

    @property
    def today(self) -> date:
        """The day that the first account is at."""
        return self._by_token[self.token].today

    @property
    def days_left(self) -> int:
        """How long it can live until it is today: no load can be dated later."""
        return (datetime.now(timezone.utc).date() - self.today).days

    @property
    def load_command(self) -> str:
        """What loads the accounts with the date of their day."""
        return f"talkover load --observed-at {self.today}" if self.days_left else "talkover load"

    def advance(self, days: int) -> date:
        """Lets every account live `days` on, and returns the new day."""
        with self._lock:
            for account in set(self._by_token.values()):
                account.advance(account.today + timedelta(days=days))
            return self.today

    def _answer(self, request: Request) -> tuple[Answer, str | None]:
        account = self._by_token.get(request.token or "")
        if request.endpoint == "health":
            return Answer(200, {"status": "ok"}), None
        if request.endpoint not in (PHONE_NUMBERS, RELEASE_REQUESTS, AGENTS, CALLS):
            return Answer(404, {"success": False, "message": "Not found."}), None
        if account is None:
            return Answer(401, UNAUTHORIZED), None
        try:
            page, size = self._asked_page(request.query), int(request.query.get("per_page", 20))
        except ValueError:
            return invalid("page", "The page must be an integer."), None
        where = (request.endpoint, page, request.query.get("date_from"))
        fault = next((fault for fault in self.faults if fault.strikes(*where)), None)
        behaviour = fault.answer or FAULTS[fault.kind] if fault else None
        if isinstance(behaviour, Answer):
            return behaviour, None
        if size < 1 or (size > self.largest_page and not self.caps_pages):
            return invalid("per_page", f"The per page must be between 1 and {self.largest_page}."), None
        rows, wrong = self._rows(account, request)
        if wrong:
            return wrong, None
        if behaviour in ("shrinking", "growing", "swapping"):
            _move(account, request.endpoint, behaviour, [row["id"] for row in rows])
            rows, _ = self._rows(account, request)
        extra = 1 if behaviour == "wrong-total" else 0
        url = f"{self.base_url}/{request.endpoint}"
        body = page_of(
            rows,
            page,
            min(size, self.largest_page),
            extra=extra,
            pagination=self.pagination,
            url=url,
            without=NOT_BARE if self.bare_calls and request.endpoint == CALLS else (),
        )
        return Answer(200, body), behaviour

    def _rows(self, account: Account, request: Request) -> tuple[list[dict[str, Any]], Answer | None]:
        if request.endpoint == PHONE_NUMBERS:
            return filtered(list(account.numbers.values()), request.query)
        if request.endpoint == CALLS:
            first, last, wrong = asked_days(request.query, until_excluded=self.calls_until_excluded)
            if wrong:
                return [], wrong
            return filtered_calls(account.calls_between(first, last, self.calls_offset), request.query)
        return account.agents if request.endpoint == AGENTS else list(account.requests.values()), None

    def _asked_page(self, query: Mapping[str, str]) -> int:
        """Raises ValueError."""
        if self.pagination == "cursor":
            return int(query.get("cursor", "after-0").removeprefix("after-")) + 1
        return int(query.get("page", 1))


def _move(account: Account, endpoint: str, how: str, listed: list[str]) -> None:
    """Takes a row out of the list that begins and ends with those ids, puts one in, or both; see `FAULTS`."""
    is_taken, is_put, is_first = how != "growing", how != "shrinking", how == "growing"
    if endpoint == CALLS:
        if is_put and listed:
            account.add_call(listed[0 if is_first else -1], is_after=not is_first)
        if is_taken and listed:
            account.lose_call(listed[0])
    elif endpoint == AGENTS:
        if is_taken and listed:
            account.dismiss(listed[0])
        if is_put:
            account.hire(is_first=is_first)
    else:
        if is_taken and account.numbers:
            account.release(next(iter(account.numbers)))
        if is_put:
            number = account.buy()
            if is_first:
                account.numbers = {number["id"]: number, **account.numbers}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    sandbox: Sandbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own affair; anything else is a bug worth a traceback."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        sandbox = self.server.sandbox
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        endpoint = url.path.removeprefix(PREFIX).strip("/")
        try:
            answer, behaviour = sandbox.answer(Request(self.command, endpoint, query, token))
        except Exception:  # as a framework would: the client sees a 500, the terminal the traceback
            self._send(Answer(500, SERVER_ERROR), None)
            raise
        self._send(answer, behaviour)

    def do_POST(self) -> None:
        """`POST /sandbox/advance?days=30` lets the accounts live, up to today; everything else only reads."""
        url = urlsplit(self.path)
        days = parse_qs(url.query).get("days", ["1"])[-1]
        if url.path != "/sandbox/advance" or not days.isdecimal():
            self._send(Answer(404, {"success": False, "message": "Only POST /sandbox/advance?days=N."}), None)
        else:
            self._send(_live(self.server.sandbox, days), None)

    def _send(self, answer: Answer, behaviour: str | None) -> None:
        if behaviour == "hang":
            self.server.sandbox.stopped.wait(HANG_SECONDS)
        if behaviour in ("hang", "drop"):
            self.close_connection = True
            return
        is_text = isinstance(answer.body, str)
        body = (answer.body if is_text else json.dumps(answer.body)).encode()
        self.send_response(answer.status)
        headers = {"Content-Type": "text/html" if is_text else "application/json", **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "cut":
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(int(now + self.server.sandbox.clock_ahead))

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the requests are in `Sandbox.seen`."""


def _live(sandbox: Sandbox, days: str) -> Answer:
    """The accounts as they are then, and what loads them so; refused where that would be after today."""
    if len(days) > MAX_DIGITS or int(days) > sandbox.days_left:
        message = (
            f"The accounts are as of {sandbox.today}: {max(sandbox.days_left, 0)} days are left until today, and no "
            "load can be dated later. `talkover sandbox --since DAY` begins earlier."
        )
        return Answer(422, {"success": False, "message": message})
    today = sandbox.advance(int(days))
    return Answer(200, {"success": True, "today": today.isoformat(), "load": sandbox.load_command})


def _wait_headers(answer: Answer) -> dict[str, str]:
    """A second of waiting, in the style of the fault."""
    if answer.wait == "seconds":
        return {"Retry-After": "1"}
    if answer.wait == "date":
        return {"Retry-After": formatdate(time.time() + 1, usegmt=True)}
    if answer.wait in ("reset", "epoch"):
        reset = 1 if answer.wait == "reset" else time.time() + 1
        return {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{reset:.0f}"}
    return {}
