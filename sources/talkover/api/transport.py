"""One GET that ends in parsed JSON or in an error a person can act on: waits, retries, a body of bounded size."""

from __future__ import annotations

import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import requests
from requests.exceptions import ChunkedEncodingError
from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, wait_exponential, wait_random
from urllib3.exceptions import DecodeError
from urllib3.exceptions import HTTPError as Urllib3Error

from ..errors import ApiError, AuthenticationError, ConfigurationError, TalkoverError, UnexpectedPayload
from .connection import (
    AUTHORITY_IS_UNKNOWN,
    asked_host,
    checked_base_url,
    checked_token,
    innermost,
    open_session,
    proxy_of,
    without_password,
)
from .rate_limit import CANCELLED, Pace, RateLimiter, asked_wait, server_time
from .refusals import advice_on, describe_page, is_passing, one_line, read_answer, what_it_says

QUOTED_LENGTH = 300
"""Characters of a server's message that an error quotes."""
MAX_BODY_BYTES = 256 * 1024 * 1024
"""An answer that is larger when unpacked is refused: 256 MiB are about 400,000 numbers on one page."""
CLOCK_HOURS = 1
"""A clock may be off by so much, in either direction."""

log = logging.getLogger("talkover")


@dataclass(frozen=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Asks one environment of the API. Safe to use from several threads.

    `timeout` and `max_wait` are in seconds, `backoff` is the factor of the exponential wait; a 429 is waited out for
    `max_wait` in all, other passing faults for `max_attempts` requests. `environment` names the token in errors, `pace`
    counts its requests.
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
        pace: Pace | None = None,
    ) -> None:
        self.pace = pace or Pace()
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
        self._one_at_a_time = threading.Lock()
        self._limiter = RateLimiter(max_wait, self._cancelled, self.pace)
        self.session = open_session(self._token, self._base_url, connections)

    def get(self, endpoint: str, params: Mapping[str, Any], read: Callable[[Any], Any] = lambda parsed: parsed) -> Any:
        """What `read` makes of the parsed JSON of `endpoint`, in which fractions are Decimal.

        Raises AuthenticationError, ApiError, UnexpectedPayload, or what `read` raises.
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
                    return self._ask(endpoint, params, read)
        except _Retryable as fault:
            raise fault.error from None

    def look(self, endpoint: str, params: Mapping[str, Any]) -> Answer:
        """Whatever `endpoint` answers, asked once. Raises ApiError, UnexpectedPayload where no whole answer comes."""
        try:
            response, body = self._send(endpoint, params)
        except _Retryable as fault:
            raise fault.error from None
        return Answer(response.status_code, response.headers, body)

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
        """Ends the waits of all threads, for good: what they were to request is not needed any more."""
        self._cancelled.set()

    def close(self) -> None:
        """Closes the connections; another `get` opens new ones."""
        self.session.close()

    def _ask(self, endpoint: str, params: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
        response, body = self._send(endpoint, params)
        if response.status_code == 200:
            # One answer at a time: several are no faster in one interpreter, and each takes many times its size.
            with self._one_at_a_time:
                return read(self._parse(endpoint, body))
        raise self._refusal(endpoint, response, body)

    def _send(self, endpoint: str, params: Mapping[str, Any]) -> tuple[requests.Response, bytes]:
        """One request; the answer and its whole body."""
        self._limiter.acquire()
        headers: Mapping[str, str] = {}
        try:
            url = f"{self._base_url}/{endpoint}"
            with self.session.get(url, params=dict(params), timeout=self._timeout, stream=True) as response:
                headers = response.headers
                self.clock_ahead = time.time() - server_time(headers)
                return response, self._read_body(endpoint, response)
        except (requests.RequestException, Urllib3Error) as error:
            raise self._lost(endpoint, error) from error
        finally:
            self._limiter.release(headers)

    def _lost(self, endpoint: str, error: Exception) -> Exception:
        """What a request ends in that got no complete answer: the address, and the network's own cause.

        An address, a setting or a certificate that is wrong is a ValueError to Python: it is no better the next time.
        """
        cause = innermost(error)
        host, proxy = asked_host(self._base_url), proxy_of(self.session, self._base_url)
        said = one_line(str(cause.args[0] if isinstance(cause, DecodeError) else cause)) or type(cause).__name__
        if proxy:
            host += f" through the proxy {without_password(proxy)}"
            said = said.replace(proxy, without_password(proxy))
        what = f"{self.where(endpoint)}: no complete answer from {host} ({self.redact(said)})"
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code in AUTHORITY_IS_UNKNOWN:
            what += ". Where a network has an authority of its own, name its certificate's file in REQUESTS_CA_BUNDLE"
        may_pass = isinstance(error, (requests.Timeout, requests.ConnectionError, ChunkedEncodingError, Urllib3Error))
        lost = ApiError(what)
        return _Retryable(lost) if may_pass and not isinstance(cause, ValueError) else lost

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
            return parse_json(body, _refuse_constant)
        except ValueError as error:
            what = self.redact(describe_page(body) or f"unreadable JSON ({error})")
            raise _Retryable(UnexpectedPayload(f"{self.where(endpoint)} answered 200 with {what}")) from error

    def _refusal(self, endpoint: str, response: requests.Response, body: bytes) -> Exception:
        status, answer = response.status_code, read_answer(body)
        is_of_the_api = isinstance(answer, dict)
        said = what_it_says(status, answer, body) or response.reason or "no message"
        what = f"{self.where(endpoint)} answered {status}: {self.redact(said)}"
        if advice := advice_on(endpoint, status, is_of_the_api, asked_host(self._base_url)):
            what = f"{what.rstrip('.')}. {advice}"
        if is_of_the_api and status in (401, 403):
            return AuthenticationError(what)
        fields = answer.get("errors") if is_of_the_api else None
        error = ApiError(what, status, fields if isinstance(fields, dict) else None)
        if is_of_the_api and not is_passing(status):
            return error
        wait = asked_wait(response.headers, answer) if status in (429, 503) else None
        if wait is not None and wait > self._max_wait:
            return ApiError(f"{what}. It asks to wait {wait:.0f} s: run again after that", status)
        return _Retryable(error, wait)

    def redact(self, text: str) -> str:
        """`text` without the token, since a server may quote what it was sent; only then cut to a readable length."""
        text = text.replace(self._token, "talq_***")
        return text if len(text) <= QUOTED_LENGTH else text[: QUOTED_LENGTH - 1] + "…"

    def where(self, endpoint: str) -> str:
        """How errors name what was requested."""
        return f"GET /{endpoint} (environment {self._environment!r})"

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, _Retryable) and not self._cancelled.is_set()

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
            self._limiter.pause(wait)
        return wait


class _Retryable(Exception):
    """A fault that may be gone on the next try; `error` is what it becomes when it is not."""

    def __init__(self, error: TalkoverError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait
        self.status = error.status if isinstance(error, ApiError) else None


def _fault(state: RetryCallState) -> _Retryable:
    """The fault of the attempt that has ended: only these are retried."""
    return cast(_Retryable, state.outcome and state.outcome.exception())


def _log_wait(state: RetryCallState) -> None:
    log.warning("%s; asking again in %.1f s", _fault(state), state.upcoming_sleep)


def parse_json(body: bytes, constant: Callable[[str], Any] | None = None) -> Any:
    """What `body` holds, its fractions as Decimal, and NaN and infinity as `constant` has them, else as floats.

    Raises ValueError where it is not JSON or cannot be held.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=constant)
    except InvalidOperation:
        raise ValueError("a number has an exponent of more than 18 digits") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
