"""The two listings of the Talkover API: pages, and the proof that a listing is whole.

    GET {base_url}/phone-numbers                    -> Listing of number rows
    GET {base_url}/phone-numbers/release-requests   -> Listing of request rows

Only these two are asked, and only with GET, so a run that failed anywhere can be run again.

The vendor's pages disagree about pagination: the reference pages show one list and no `meta`; the OpenAPI file gives
`page`, `per_page` (default 20) and `meta`; another page caps `per_page` at 100. Every reading is served here.

A listing is whole when its rows are as many as the API's total. Without a total it is whole when the API says that
nothing follows; where the API says nothing of other pages, when a look at the next page brings nothing new. An empty
page ends nothing while the API speaks of another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from datetime import datetime, timezone
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from ..errors import ApiError, IncompleteListing, UnexpectedPayload
from .page import MAX_PAGES, Page, parse_page
from .transport import Transport

BASE_URL = "https://app.talkover.ai/api/v1"
PHONE_NUMBERS = "phone-numbers"
RELEASE_REQUESTS = "phone-numbers/release-requests"

READINGS = 3
"""How often a listing is read before it is called incomplete."""
SECONDS_TO_END = 0.5
"""What the pages under way are given when another one failed."""
MAX_EMPTY_PAGES = 100
"""In a row: an API that names a next page after each would be asked for ever."""

log = logging.getLogger("talkover")

Json = dict[str, Any]


class Identified(Protocol):
    """What a row is read into: it has an id."""

    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=Identified)
Read = Callable[[Sequence[Json]], list[Row]]


@dataclass
class Listing(Generic[Row]):
    """One whole reading of an endpoint.

    `rows` as they came: an id may stand twice, `distinct` counts it once. They came on `pages` pages, while `answers`
    counts a look past their end, too. `total` is the API's own count, None where it tells none. `complete`: proven
    whole, and not filtered. `seen` holds the ids of every reading that was made.
    """

    rows: list[Row]
    pages: int
    answers: int
    total: int | None
    distinct: int
    complete: bool = False
    seen: set[str] = field(default_factory=set)
    listed_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass
class _Pages(Generic[Row]):
    """The pages of one reading, as they come.

    `repeats`: a look brought known rows again. `ended`: it brought nothing new, and the API spoke of nothing more.
    `stopped`: why no more are asked for though the API speaks of more.
    """

    rows: list[Row] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    totals: set[int] = field(default_factory=set)
    asked: set[frozenset[tuple[str, str]]] = field(default_factory=set)
    answers: int = 0
    count: int = 0
    empty: int = 0
    repeats: bool = False
    ended: bool = False
    stopped: str | None = None

    @property
    def total(self) -> int | None:
        return max(self.totals, default=None)

    def take(self, page: Page[Row], *, is_look: bool = False) -> None:
        """Adds a page. A look that brought nothing new counts as none."""
        ids = {row.id for row in page.rows}
        is_new = not ids <= self.seen
        self.answers += 1
        self.empty = 0 if ids else self.empty + 1
        if page.total is not None:
            self.totals.add(page.total)
        if is_new or not is_look:
            self.count += 1
            self.rows += page.rows
            self.seen |= ids
        if ids and not is_new:
            self.stopped = f"page {self.count} holds only rows of the pages before it"
        self.ended = is_look and not is_new and (self.repeats or not page.more)

    def unless_seen(self, read: Read[Row]) -> Read[Row]:
        """`read`, but of no row where all are known: an API that knows no pages sends everything again."""

        def read_news(rows: Sequence[Json]) -> list[Row]:
            self.repeats = bool(rows) and all(str(row.get("id")) in self.seen for row in rows)
            return [] if self.repeats else read(rows)

        return read_news

    def go_on_after(self, last: Page[Row]) -> bool:
        """Whether what follows `last`, the latest page, is to be asked for."""
        if last.following is None or self.ended or self.stopped is not None:
            return False
        if last.more is None and self.total is not None and len(self.seen) >= self.total:
            return False
        request = _request(last.following)
        if request in self.asked:
            self.stopped = f"page {self.answers} names as the next one a page that was asked for before"
        elif self.empty > MAX_EMPTY_PAGES:
            self.stopped = f"the last {self.empty} pages were empty, and each spoke of another"
        self.asked.add(request)
        return self.stopped is None

    def doubt(self, earlier: set[str] | None) -> str | None:
        """Why they may not be the whole list; None where nothing speaks against it."""
        if len(self.totals) > 1:
            return f"its pages name different totals ({', '.join(map(str, sorted(self.totals)))})"
        if len(self.seen) == self.total:
            return None
        pages = "1 page" if self.count == 1 else f"{self.count} pages"
        came = f"{len(self.seen)} different rows came on {pages}"
        if self.total is not None:
            came += f", but the API's total is {self.total}"
        elif self.stopped is None:
            if self.count == 1 or self.seen == earlier:
                return None
            return f"{came} without a total, and no two readings agree"
        return f"{came}: {self.stopped}" if self.stopped else came


class TalkoverClient:
    """Reads the listings of one environment, pages side by side.

    `per_page` is lowered to the server's own default where it refuses the size; `reading_pause` are the seconds between
    two readings. `on_page(endpoint, pages)` is called after each page with how many there are, from several threads.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        per_page: int = 100,
        max_concurrent_requests: int = 4,
        reading_pause: float = 1,
    ) -> None:
        self.transport = transport
        self._per_page: int | None = per_page
        self._concurrency = max_concurrent_requests
        self._reading_pause = reading_pause
        self.on_page: Callable[[str, int], None] = lambda _endpoint, _pages: None

    def fetch(
        self,
        endpoint: str,
        read: Read[Row],
        *,
        filters: Mapping[str, str] | None = None,
        known: Collection[str] = (),
    ) -> Listing[Row]:
        """Every row of `endpoint`, each page through `read` (called from several threads), proven whole.

        With a total, every page that names one must name the same, and the distinct ids must be as many. A list of
        several pages without a total is whole when two readings agree. `known` are ids held before: where one is
        missing from a list that took several answers, a second reading must miss it too, because a number released and
        another added between two pages hide a third one behind a right total.

        Raises IncompleteListing (with the last reading), AuthenticationError, ApiError, UnexpectedPayload, and whatever
        `read` raises.
        """
        try:
            return self._fetch(endpoint, read, filters or {}, known)
        finally:
            self.transport.close()

    def first_page(self, endpoint: str, read: Read[Row]) -> Page[Row]:
        """Page 1 alone."""
        try:
            return self._page(endpoint, read, 1, {"page": 1})
        finally:
            self.transport.close()

    def _fetch(
        self, endpoint: str, read: Read[Row], filters: Mapping[str, str], known: Collection[str]
    ) -> Listing[Row]:
        listing = self._list_proven(endpoint, read, filters)
        if listing.answers > 1 and not listing.seen.issuperset(known):
            log.info("%s: ids known before are missing; reading once more to be sure", endpoint)
            again = self._list_proven(endpoint, read, filters)
            again.seen |= listing.seen
            return again
        return listing

    def _list_proven(self, endpoint: str, read: Read[Row], filters: Mapping[str, str]) -> Listing[Row]:
        earlier: set[str] | None = None
        for reading in Retrying(
            retry=retry_if_exception_type(IncompleteListing),
            stop=stop_after_attempt(READINGS),
            wait=wait_fixed(self._reading_pause),
            reraise=True,
        ):
            with reading:
                pages = self._read_pages(endpoint, read, filters)
                listing = Listing(pages.rows, pages.count, pages.answers, pages.total, len(pages.seen), seen=pages.seen)
                if doubt := pages.doubt(earlier):
                    earlier = listing.seen
                    raise IncompleteListing(
                        f"{self.transport.where(endpoint)}: {doubt}, in each of {READINGS} readings. "
                        "--accept-incomplete (accept_incomplete=True) loads what came and removes nothing",
                        listing,
                    )
                listing.complete = not filters
        return listing

    def _read_pages(self, endpoint: str, read: Read[Row], filters: Mapping[str, str]) -> _Pages[Row]:
        def page(number: int, params: Mapping[str, Any] | None = None, read: Read[Row] = read) -> Page[Row]:
            return self._page(endpoint, read, number, {**filters, **(params or {"page": number})})

        pages: _Pages[Row] = _Pages()
        last = page(1)
        pages.take(last)
        last_page = last.last_page or 1
        if last_page > 1 and last.following is not None and "page" in last.following:
            for following in (rest := self._side_by_side(page, range(2, last_page + 1))):
                pages.take(following)
            last = rest[-1]
        pages.asked.update(_request({"page": number + 1}) for number in range(pages.answers))
        while pages.go_on_after(last):
            is_look = last.more is None
            try:
                last = page(pages.answers + 1, last.following, pages.unless_seen(read) if is_look else read)
            except ApiError as error:
                if not is_look or not _is_past_the_end(error):
                    raise
                pages.answers += 1
                break
            pages.take(last, is_look=is_look)
        return pages

    def _side_by_side(self, page: Callable[[int], Page[Row]], numbers: Iterable[int]) -> list[Page[Row]]:
        """The pages of `numbers`, in their order.

        In threads of our own, since those of a pool keep the process alive while one of them sits in a read: here an
        error, or Ctrl-C, leaves such a page behind.
        """
        futures = {number: Future[Page[Row]]() for number in numbers}
        to_ask = iter(futures.items())

        def work() -> None:
            for number, future in to_ask:
                try:
                    future.set_result(page(number))
                except BaseException as error:
                    future.set_exception(error)

        most = min(self._concurrency, len(futures))
        threads = [Thread(target=work, name="talkover", daemon=True) for _ in range(most)]
        try:
            for thread in threads:
                thread.start()
            for future in as_completed(futures.values()):
                future.result()
            return [future.result() for future in futures.values()]
        except BaseException:
            self.transport.cancel()
            # Who does not hang is done at once; a thread that works while Python ends may crash it.
            ends = time.monotonic() + SECONDS_TO_END
            for thread in filter(Thread.is_alive, threads):
                thread.join(max(ends - time.monotonic(), 0))
            raise

    def _page(self, endpoint: str, read: Read[Row], number: int, asked: Mapping[str, Any]) -> Page[Row]:
        """Page `number`, which the parameters `asked` ask for."""
        if number > MAX_PAGES:
            raise UnexpectedPayload(f"{self.transport.where(endpoint)} has more than {MAX_PAGES} pages, the limit")
        try:
            size = {} if self._per_page is None else {"per_page": self._per_page}
            body = self.transport.get(endpoint, {**size, **asked})
        except ApiError as error:
            if number > 1 or error.status != 422 or "per_page" not in error.fields or self._per_page is None:
                raise
            log.info("%s: per_page=%s is refused; using the server's own page size", endpoint, self._per_page)
            self._per_page = None
            body = self.transport.get(endpoint, asked)
        try:
            page = parse_page(body, read, number)
        except UnexpectedPayload as error:
            raise UnexpectedPayload(
                f"{self.transport.where(endpoint)} answered 200 with {self.transport.redact(str(error))}"
            ) from None
        self.on_page(endpoint, page.last_page or 1)
        return page


def _request(params: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in params.items())


def _is_past_the_end(error: ApiError) -> bool:
    """Whether a look at the next page was refused because there is none.

    The same request was answered for the page before, so what is refused is the page: a server that has no such page
    answers so instead of with an empty one. A server that refuses `page` altogether refuses page 1, which is an error.
    """
    return error.status in (400, 404, 422) and (not error.fields or "page" in error.fields)
