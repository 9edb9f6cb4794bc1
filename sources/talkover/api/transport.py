"""One GET that ends in parsed JSON or in an error a person can act on: token, waits, retries, rate limit.

Facts of the API that shape it: the token is a Bearer header; every answer names the rate limit in `X-RateLimit-Limit`,
`-Remaining` and `-Reset` (the unit of the last is not documented: seconds and epoch are both understood); errors come
in nine body shapes, all of them JSON objects, so that a refusal of another kind is somebody else's; a PHP back end can
print an HTML page with status 200.
"""

from __future__ import annotations

import json
import logging
import os
import re
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import ChunkedEncodingError, InvalidURL
from requests.utils import get_environ_proxies, select_proxy
from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_exponential, wait_random
from urllib3.exceptions import DecodeError
from urllib3.exceptions import HTTPError as Urllib3Error

from ..errors import ApiError, AuthenticationError, ConfigurationError, TalkoverError, UnexpectedPayload

QUOTED_LENGTH = 300
"""Characters of a server's message that an error quotes."""
FOLDED_LENGTH = 100_000
MAX_BODY_BYTES = 256 * 1024 * 1024
"""An answer that is larger when unpacked is refused: 256 MiB are about 400,000 numbers on one page."""
MINUTE = 60.0
CLOCK_HOURS = 1
"""A clock may be off by so much, in either direction."""
RESET_ROUNDING = 2.0
"""Seconds by which two answers of the same window may differ about its end: they tell whole ones."""
PASSING_STATUS = frozenset({408, 425, 429})
AUTHORITY_IS_UNKNOWN = frozenset({18, 19, 20, 21})
"""OpenSSL's codes of a certificate that nobody whom we trust has signed."""

CANCELLED = "cancelled: another request of this run failed"

log = logging.getLogger("talkover")


class Transport:
    """Asks one environment of the API. Safe to use from several threads.

    `timeout` and `max_wait` are in seconds, `backoff` is the factor of the exponential wait; a 429 is waited out for
    `max_wait` in all, other passing faults for `max_attempts` requests. `environment` names the token in errors.
    Raises ConfigurationError for a token or address that cannot be used safely.
    """

    def __init__(
        self,
        token: str,
        base_url: str,
        *,
        environment: str = "default",
        connections: int = 4,
        timeout: float = 60,
        max_attempts: int = 5,
        backoff: float = 1,
        max_wait: float = 300,
    ) -> None:
        self.pace = Pace()
        self.clock_ahead = 0.0
        """Seconds that this machine's clock is ahead of the API's, by the `Date` of the latest answer."""
        self._token = checked_token(token, environment)
        self._base_url = checked_base_url(base_url)
        self._environment = environment
        self._timeout = timeout
        self._max_attempts = max_attempts
        self._backoff = backoff
        self._max_wait = max_wait
        self._cancelled = threading.Event()
        self._allowance = _Allowance(max_wait, self._cancelled, self.pace)
        self.session = _open_session(self._token, self._base_url, connections)

    def get(self, endpoint: str, params: Mapping[str, Any]) -> Any:
        """The parsed JSON of `endpoint`, fractions as Decimal.

        Raises AuthenticationError, ApiError or UnexpectedPayload.
        """
        try:
            for attempt in Retrying(
                retry=retry_if_exception(self._may_pass),
                stop=self._is_enough,
                wait=self._wait,
                sleep=sleep_using_event(self._cancelled),
                before_sleep=_log_wait,
                reraise=True,
            ):
                with attempt:
                    return self._ask(endpoint, params)
        except _Passing as fault:
            raise fault.error from None

    def refuse_a_wrong_clock(self) -> None:
        """Raises ConfigurationError where this machine's clock and that of the latest answer are CLOCK_HOURS apart.

        A run dated too late would lock out every later one, since history only goes forward.
        """
        if abs(self.clock_ahead) > CLOCK_HOURS * 3600:
            ours = datetime.now(timezone.utc)
            theirs = ours - timedelta(seconds=self.clock_ahead)
            raise ConfigurationError(
                f"this machine's clock says {ours:%Y-%m-%d %H:%M} UTC, the API's says {theirs:%Y-%m-%d %H:%M} UTC: "
                "nothing was loaded, since changes would be dated wrongly. Set this machine's clock"
            )

    def cancel(self) -> None:
        """Ends the waits of all threads, for good: what they were to ask is not needed any more."""
        self._cancelled.set()

    def close(self) -> None:
        """Closes the connections; another `get` opens new ones."""
        self.session.close()

    def _ask(self, endpoint: str, params: Mapping[str, Any]) -> Any:
        self._allowance.take()
        headers: Mapping[str, str] = {}
        try:
            url = f"{self._base_url}/{endpoint}"
            with self.session.get(url, params=dict(params), timeout=self._timeout, stream=True) as response:
                headers = response.headers
                self.clock_ahead = time.time() - _server_time(headers)
                body = self._read_body(endpoint, response)
        except (requests.RequestException, Urllib3Error) as error:
            raise self._lost(endpoint, error) from error
        finally:
            self._allowance.give_back(headers)
        if response.status_code == 200:
            return self._parse(endpoint, body)
        raise self._refusal(endpoint, response, body)

    def _lost(self, endpoint: str, error: Exception) -> Exception:
        """What a request ends in that got no whole answer: the one who was asked, and the network's own cause.

        An address, a setting or a certificate that is wrong is a ValueError to Python: it is no better the next time.
        """
        cause = _innermost(error)
        host, proxy = _asked_host(self._base_url), self._proxy()
        said = _one_line(str(cause.args[0] if isinstance(cause, DecodeError) else cause)) or type(cause).__name__
        if proxy:
            host += f" through the proxy {_without_password(proxy)}"
            said = said.replace(proxy, _without_password(proxy))
        what = f"{self.where(endpoint)}: no whole answer from {host} ({self.redact(said)})"
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in AUTHORITY_IS_UNKNOWN:
            what += ". Where a network has an authority of its own, name its certificate's file in REQUESTS_CA_BUNDLE"
        may_pass = isinstance(error, (requests.Timeout, requests.ConnectionError, ChunkedEncodingError, Urllib3Error))
        lost = ApiError(what)
        return _Passing(lost) if may_pass and not isinstance(cause, ValueError) else lost

    def _proxy(self) -> str | None:
        """The proxy that the environment names for the API."""
        if not self.session.trust_env:
            return None
        proxy: str | None = select_proxy(self._base_url, get_environ_proxies(self._base_url))
        return proxy

    def _read_body(self, endpoint: str, response: requests.Response) -> bytes:
        """The whole body, within MAX_BODY_BYTES and ten timeouts: a server that drips must not hang a run."""
        deadline = time.monotonic() + 10 * self._timeout
        chunks: list[bytes] = []
        size = 0
        while chunk := response.raw.read1(1 << 20, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise UnexpectedPayload(
                    f"{self.where(endpoint)}: an answer is larger than {MAX_BODY_BYTES >> 20} MiB: set per_page lower"
                )
            if self._cancelled.is_set():
                raise requests.Timeout(CANCELLED)
            if time.monotonic() > deadline:
                raise requests.Timeout(f"the body did not end within {10 * self._timeout:g} s")
        return b"".join(chunks)

    def _parse(self, endpoint: str, body: bytes) -> Any:
        try:
            return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            what = self.redact(_describe_page(body) or f"unreadable JSON ({error})")
            raise _Passing(UnexpectedPayload(f"{self.where(endpoint)} answered 200 with {what}")) from error

    def _refusal(self, endpoint: str, response: requests.Response, body: bytes) -> Exception:
        status = response.status_code
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        is_of_the_api = isinstance(answer, dict)
        said = server_message(answer) or _describe_page(body)
        if said is None and answer is None and status < 500:  # the text of a crash could hold data
            said = f"text ({_one_line(body.decode('utf-8', 'replace'))!r})"
        what = f"{self.where(endpoint)} answered {status}: {self.redact(said or response.reason or 'no message')}"
        advice = self._advice(endpoint, status, is_of_the_api)
        if advice:
            what = f"{what.rstrip('.')}. {advice}"
        if is_of_the_api and status in (401, 403):
            return AuthenticationError(what)
        fields = answer.get("errors") if is_of_the_api else None
        error = ApiError(what, status, fields if isinstance(fields, dict) else None)
        if status in PASSING_STATUS or status >= 500 or not is_of_the_api:
            wait = _asked_wait(response.headers, answer) if status in (429, 503) else None
            if wait is not None and wait > self._max_wait:
                return ApiError(f"{what}. It asks to wait {wait:.0f} s: run again after that", status)
            return _Passing(error, wait)
        return error

    def _advice(self, endpoint: str, status: int, is_of_the_api: bool) -> str | None:
        """What to do about a refusal; None where its own words are all there is to say."""
        if not is_of_the_api:
            is_known = status in PASSING_STATUS or status >= 500
            return None if is_known else _NOT_THE_API.format(host=_asked_host(self._base_url))
        name = endpoint.rpartition("/")[2]
        resource, rows = name.replace("-", "_"), name.replace("-", " ")
        return _ADVICE[status].format(resource=resource, rows=rows) if status in _ADVICE else None

    def redact(self, text: str) -> str:
        """`text` without the token, since a server may quote what it was sent; only then cut to a readable length."""
        text = text.replace(self._token, "talq_***")
        return text if len(text) <= QUOTED_LENGTH else text[: QUOTED_LENGTH - 1] + "…"

    def where(self, endpoint: str) -> str:
        """How errors name what was asked."""
        return f"GET /{endpoint} (environment {self._environment!r})"

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, _Passing) and not self._cancelled.is_set()

    def _is_enough(self, state: RetryCallState) -> bool:
        if _fault(state).status == 429:
            return (state.seconds_since_start or 0) >= self._max_wait
        return state.attempt_number >= self._max_attempts

    def _wait(self, state: RetryCallState) -> float:
        """What the server asked for, but never nothing; else 1, 2, 4 … times the backoff, with jitter."""
        asked = _fault(state).wait
        if asked is None:
            asked = wait_exponential(self._backoff, max=self._max_wait)(state)
        wait = asked + wait_random(self._backoff / 2, self._backoff)(state)
        if _fault(state).status == 429:
            self._allowance.pause(wait)
        return wait


class _Passing(Exception):
    """A fault that may be gone on the next try; `error` is what it becomes when it is not."""

    def __init__(self, error: TalkoverError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait
        self.status = error.status if isinstance(error, ApiError) else None


class Pace:
    """How many requests were sent, and the most of them within any minute: plans are limited by the minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests = 0
        self.most_a_minute = 0
        self._clock = clock
        self._of_this_minute: deque[float] = deque()

    def count(self) -> None:
        now = self._clock()
        self._of_this_minute.append(now)
        while self._of_this_minute[0] <= now - MINUTE:
            self._of_this_minute.popleft()
        self.requests += 1
        self.most_a_minute = max(self.most_a_minute, len(self._of_this_minute))


class _Allowance:
    """Keeps the requests of all threads within the X-RateLimit headers: it pauses before a 429, not after.

    A request on its way is counted as one that the last `Remaining` did not know of yet.
    """

    def __init__(self, max_wait: float, cancelled: threading.Event, pace: Pace) -> None:
        self._max_wait = max_wait
        self._cancelled = cancelled
        self._pace = pace
        self._turn = threading.Condition()
        self._limit: int | None = None
        self._remaining: int | None = None
        self._window_ends = 0.0
        self._paused_until = 0.0
        self._on_their_way = 0

    def take(self) -> None:
        """Waits for a turn."""
        with self._turn:
            while self._cancelled.is_set() or not self._is_free():
                if self._cancelled.is_set():
                    raise ApiError(CANCELLED)
                ends = max(self._window_ends, self._paused_until)
                self._turn.wait(timeout=min(max(ends - time.monotonic(), 0.001), 1))
            self._on_their_way += 1
            self._pace.count()

    def give_back(self, headers: Mapping[str, str]) -> None:
        """Ends a turn with the headers that came, if any."""
        with self._turn:
            self._on_their_way -= 1
            remaining = _number(headers.get("X-RateLimit-Remaining"))
            if remaining is not None:
                self._learn(int(remaining), headers)
            self._turn.notify_all()

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long: a 429 came."""
        with self._turn:
            self._paused_until = max(time.monotonic() + seconds, self._paused_until)

    def _is_free(self) -> bool:
        now = time.monotonic()
        if now < self._paused_until:
            return False
        if now >= self._window_ends:
            self._remaining = self._limit
        return self._remaining is None or self._remaining > self._on_their_way

    def _learn(self, remaining: int, headers: Mapping[str, str]) -> None:
        limit = _number(headers.get("X-RateLimit-Limit"))
        self._limit = max(int(limit), 1) if limit is not None else None
        now = time.monotonic()
        reset = _seconds_until_reset(headers)
        ends = now + reset if reset is not None and reset <= self._max_wait else self._window_ends
        is_same_window = now < self._window_ends and ends < self._window_ends + RESET_ROUNDING
        if is_same_window and self._remaining is not None:
            remaining = min(remaining, self._remaining)
        self._remaining = remaining
        self._window_ends = ends


class _Bearer(AuthBase):
    """Sets the header itself: a .netrc entry would otherwise replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Session(requests.Session):
    """Follows redirects within one origin only."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        try:
            target = super().get_redirect_target(resp)
            here, there = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
        except ValueError as error:
            resp.close()
            raise InvalidURL(f"redirects to what is no address: {error}") from None
        if target is None:
            return None
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            resp.close()
            raise ApiError(
                f"{here.scheme}://{here.netloc} redirects to {there.scheme}://{there.netloc}: not followed, "
                "the token would go there. If that is right, set base_url to it",
                resp.status_code,
            )
        return target


def _open_session(token: str, base_url: str, connections: int) -> requests.Session:
    session = _Session()
    session.auth = _Bearer(token)
    session.headers.update({"Accept": "application/json", "User-Agent": "talkover-dlt"})
    session.mount(base_url, HTTPAdapter(pool_maxsize=connections))
    if urlsplit(base_url).scheme == "http":
        # A proxy from the environment would get the token in clear; plain http is for loopback alone.
        session.trust_env = False
    else:
        session.verify = _authorities()
    return session


def _authorities() -> str | bool:
    """The file of the authorities to trust; of the variables that name one, requests knows the first two.

    Raises ConfigurationError for a file that holds none.
    """
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            try:
                place = {"capath" if os.path.isdir(path) else "cafile": path}
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**place)
            except OSError as error:
                reason = error.strerror or str(error)
                raise ConfigurationError(f"{variable} names {path!r}, which holds no certificates: {reason}") from None
            return path
    return True


def checked_token(token: str | None, environment: str = "default") -> str:
    """`token` without white space around it. Raises ConfigurationError where it cannot be one; never quotes it."""
    token = (token or "").strip()
    if not token:
        raise ConfigurationError(
            f"no API token for environment {environment!r}: set TALKOVER_TOKEN, SOURCES__TALKOVER__API_TOKEN "
            "or api_token under [sources.talkover] in .dlt/secrets.toml"
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError(
            f"the API token of environment {environment!r} holds spaces, line breaks or letters that no token has: "
            "give the token alone, without 'Bearer'"
        )
    return token


def checked_base_url(base_url: str) -> str:
    """`base_url` without a slash at its end. Raises ConfigurationError unless it is https, or http to loopback."""
    try:
        url = urlsplit(base_url.strip())
        _ = url.port  # is parsed, and refused, no earlier than here
    except ValueError as error:
        raise ConfigurationError(f"base_url {base_url!r} is no https address: {error}") from None
    if url.scheme not in ("https", "http") or not url.hostname:
        raise ConfigurationError(f"base_url {base_url!r} is no https address")
    if url.username or url.password or url.query or url.fragment:
        raise ConfigurationError("base_url must be an address alone, without user, password, query or fragment")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ConfigurationError(
            f"base_url {base_url!r} is plain http: the token would travel in clear. Use https; http is for loopback"
        )
    return base_url.strip().rstrip("/")


def server_message(answer: Any) -> str | None:
    """What the server said, from any of the documented error shapes, on one line; None where it said nothing.

    `{"message"}`, `{"error": {"code", "message"}}`, `{"error": "CODE", "message"}`, `{"message", "code": "CODE"}` and
    `{"message", "errors": {…}}`, each also with other fields beside it.
    """
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    nested = error if isinstance(error, dict) else {"code": error}
    codes = [code for code in (nested.get("code"), answer.get("code")) if isinstance(code, str)]
    message = nested.get("message") or answer.get("message")
    parts = list(dict.fromkeys(str(part) for part in (*codes, message) if part))
    errors = answer.get("errors")
    for name, texts in errors.items() if isinstance(errors, dict) else ():
        parts.append(f"{name}: {' '.join(map(str, texts)) if isinstance(texts, list) else texts}")
    return _one_line("; ".join(parts)) or None


_ADVICE = {
    401: "The token is wrong, expired or missing: each Talkover environment has its own",
    403: "The token is known, but may not read {rows}: give it that permission. To load the rest meanwhile: "
    "`talkover load --without {resource}`",
    404: "Either base_url is wrong, or the API of this account has no {rows}. To load the rest: "
    "`talkover load --without {resource}`",
}
"""What the API's own refusals want; those of a firewall say nothing of the token."""
_NOT_THE_API = "That is not the API, but something on the way to {host} (a firewall, a proxy), or base_url is wrong"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _fault(state: RetryCallState) -> _Passing:
    """The fault of the attempt that has ended: only these are retried."""
    return cast(_Passing, state.outcome and state.outcome.exception())


def _log_wait(state: RetryCallState) -> None:
    log.warning("%s; asking again in %.1f s", _fault(state), state.upcoming_sleep)


def _asked_wait(headers: Mapping[str, str], answer: Any) -> float | None:
    """Seconds to wait by `Retry-After` (seconds or a date), else by the body, else by `X-RateLimit-Reset`."""
    retry_after = headers.get("Retry-After")
    if retry_after is not None:
        seconds = _number(retry_after)
        if seconds is not None:
            return max(seconds, 0)
        try:
            return max(parsedate_to_datetime(retry_after).timestamp() - _server_time(headers), 0)
        except ValueError:
            pass
    told = _told_wait(answer)
    if told is not None:
        return told
    is_used_up = (_number(headers.get("X-RateLimit-Remaining")) or 0) <= 0
    return _seconds_until_reset(headers) if is_used_up else None


def _told_wait(answer: Any) -> float | None:
    """`retry_after` of a body, in seconds: documented in `error.details`, and looked for where a flat error has it."""
    flat = answer if isinstance(answer, dict) else {}
    nested = flat["error"] if isinstance(flat.get("error"), dict) else {}
    for place in (nested.get("details"), nested, flat.get("details"), flat):
        seconds = _number(str(place.get("retry_after"))) if isinstance(place, dict) else None
        if seconds is not None and seconds >= 0:
            return seconds
    return None


def _seconds_until_reset(headers: Mapping[str, str]) -> float | None:
    """`X-RateLimit-Reset` as seconds from now: the docs give no unit, so a huge value is an epoch (s or ms)."""
    reset = _number(headers.get("X-RateLimit-Reset"))
    if reset is None:
        return None
    if reset > 1e11:
        reset /= 1000
    if reset > 1e8:
        reset -= _server_time(headers)
    return max(reset, 0)


def _server_time(headers: Mapping[str, str]) -> float:
    """The server's clock by its `Date`, so that ours may be wrong."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return time.time()


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1e15 else None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _describe_page(body: bytes) -> str | None:
    """Says what a body is that should have been JSON, without quoting it."""
    if not body.strip():
        return "an empty body"
    if body.lstrip()[:1] == b"<":
        title = re.search(rb"<title[^>]*>(.*?)</title>", body[:4096], re.IGNORECASE | re.DOTALL)
        name = _one_line(title[1].decode("utf-8", "replace")) if title else ""
        return f"an HTML page ({name!r})" if name else "an HTML page"
    return None


def _one_line(text: str) -> str:
    """`text` with white space folded and control characters gone."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text[:FOLDED_LENGTH]).split())


def _innermost(error: BaseException) -> BaseException:
    """The first cause of a network error, which requests and urllib3 wrap as an argument, a reason or a cause.

    Not by `__context__`: that goes on to what the caller was handling, such as the end of another iterator.
    """
    while not isinstance(error, DecodeError):  # zlib's own words do not say what was to be unpacked
        wrapped = (error.__cause__, getattr(error, "reason", None), *error.args)
        inner = next((part for part in wrapped if isinstance(part, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error


def _asked_host(url: str) -> str:
    """Host and port."""
    parts = urlsplit(url)
    return parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"


def _without_password(proxy: str) -> str:
    """Host and port of a proxy: its address may hold a user's name and password."""
    return proxy.rpartition("@")[2].rpartition("//")[2].rstrip("/")
