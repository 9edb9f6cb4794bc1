"""The sandbox's HTTP server: the two documented endpoints, their errors, pagination and rate limit. Loopback only."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from .account import Account
from .faults import FAULTS, SERVER_ERROR, TOO_MANY, UNAUTHORIZED, Answer, Fault
from .pages import Pagination, filtered, invalid, page_of

PREFIX = "/api/v1/"
PHONE_NUMBERS = "phone-numbers"
RELEASE_REQUESTS = "phone-numbers/release-requests"
TOKEN = "talq_sandbox"
HANG_SECONDS = 120


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

    `accounts` is one account, or token to account. `pagination`: "meta" as the OpenAPI file has it, "links" with next
    links and no total, "none" for everything at once; the others announce pages as other APIs do: `next_page_url` at
    the top, a page size alone, `has_more`, a total alone, `meta.pagination`, Laravel's paginator in `data`, a cursor
    (`next_cursor`) without page numbers, nothing at all ("silent"). `largest_page` is what per_page may be; above it
    the answer is a 422, or `caps_pages` and it is cut to that. `clock_ahead`: seconds by which its `Date` is ahead.
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

    def advance(self, days: int) -> date:
        """Lets every account live `days` on, and returns the new day."""
        with self._lock:
            for account in self._by_token.values():
                account.advance(account.today + timedelta(days=days))
            return self._by_token[self.token].today

    def _answer(self, request: Request) -> tuple[Answer, str | None]:
        account = self._by_token.get(request.token or "")
        if request.endpoint == "health":
            return Answer(200, {"status": "ok"}), None
        if request.endpoint not in (PHONE_NUMBERS, RELEASE_REQUESTS):
            return Answer(404, {"success": False, "message": "Not found."}), None
        if account is None:
            return Answer(401, UNAUTHORIZED), None
        try:
            page, size = self._asked_page(request.query), int(request.query.get("per_page", 20))
        except ValueError:
            return invalid("page", "The page must be an integer."), None
        fault = next((fault for fault in self.faults if fault.strikes(request.endpoint, page)), None)
        behaviour = fault.answer or FAULTS[fault.kind] if fault else None
        if isinstance(behaviour, Answer):
            return behaviour, None
        if behaviour == "shrinking" and account.numbers:
            account.release(next(iter(account.numbers)))
        if behaviour == "growing":
            number = account.buy()
            account.numbers = {number["id"]: number, **account.numbers}
        if behaviour == "swapping":
            account.release(next(iter(account.numbers)))
            account.buy()
        if size < 1 or (size > self.largest_page and not self.caps_pages):
            return invalid("per_page", f"The per page must be between 1 and {self.largest_page}."), None
        if request.endpoint == PHONE_NUMBERS:
            rows, wrong = filtered(list(account.numbers.values()), request.query)
            if wrong:
                return wrong, None
        else:
            rows = list(account.requests.values())
        extra = 1 if behaviour == "wrong-total" else 0
        url = f"{self.base_url}/{PHONE_NUMBERS}"
        return Answer(
            200, page_of(rows, page, min(size, self.largest_page), extra=extra, pagination=self.pagination, url=url)
        ), behaviour

    def _asked_page(self, query: Mapping[str, str]) -> int:
        """Raises ValueError."""
        if self.pagination == "cursor":
            return int(query.get("cursor", "after-0").removeprefix("after-")) + 1
        return int(query.get("page", 1))


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
        """`POST /sandbox/advance?days=30` lets the account live; everything else only reads."""
        url = urlsplit(self.path)
        days = parse_qs(url.query).get("days", ["1"])[-1]
        if url.path != "/sandbox/advance" or not days.isdecimal():
            self._send(Answer(404, {"success": False, "message": "Only POST /sandbox/advance?days=N."}), None)
            return
        self._send(Answer(200, {"success": True, "today": self.server.sandbox.advance(int(days)).isoformat()}), None)

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
