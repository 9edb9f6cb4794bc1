"""The API's rate limit: how fast requests may be sent, and how long it wants us to wait.

Every answer names the limit in `X-RateLimit-Limit`, `-Remaining` and `-Reset`. The unit of the last is not documented:
seconds and epoch are both understood.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ..errors import ApiError

MINUTE = 60.0
RESET_ROUNDING = 2.0
"""Seconds by which two answers of the same window may differ about its end: they are whole ones."""
CANCELLED = "cancelled: another request of this run failed"


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


class RateLimiter:
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

    def acquire(self) -> None:
        """Waits for a turn."""
        with self._turn:
            while self._cancelled.is_set() or not self._is_free():
                if self._cancelled.is_set():
                    raise ApiError(CANCELLED)
                ends = max(self._window_ends, self._paused_until)
                self._turn.wait(timeout=min(max(ends - time.monotonic(), 0.001), 1))
            self._on_their_way += 1
            self._pace.count()

    def release(self, headers: Mapping[str, str]) -> None:
        """Ends a turn with the headers that came, if any."""
        with self._turn:
            self._on_their_way -= 1
            remaining = _number(headers.get("X-RateLimit-Remaining"))
            if remaining is not None:
                self._learn(int(remaining), headers)
            self._turn.notify_all()

    def pause(self, seconds: float) -> None:
        """Nobody sends a request for so long: a 429 came."""
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


def asked_wait(headers: Mapping[str, str], answer: Any) -> float | None:
    """Seconds to wait by `Retry-After` (seconds or a date), else by the body, else by `X-RateLimit-Reset`."""
    retry_after = headers.get("Retry-After")
    if retry_after is not None:
        seconds = _number(retry_after)
        if seconds is not None:
            return max(seconds, 0)
        until = _instant(retry_after)
        if until is not None:
            return max(until - server_time(headers), 0)
    requested = _requested_wait(answer)
    if requested is not None:
        return requested
    is_used_up = (_number(headers.get("X-RateLimit-Remaining")) or 0) <= 0
    return _seconds_until_reset(headers) if is_used_up else None


def _requested_wait(answer: Any) -> float | None:
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
        reset -= server_time(headers)
    return max(reset, 0)


def server_time(headers: Mapping[str, str]) -> float:
    """The server's clock by its `Date`, so that ours may be wrong."""
    now = _instant(headers.get("Date"))
    return time.time() if now is None else now


def _instant(date: str | None) -> float | None:
    """Seconds since 1970; None where `date` is none."""
    try:
        return parsedate_to_datetime(date).timestamp() if date is not None else None
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < 1e15 else None
