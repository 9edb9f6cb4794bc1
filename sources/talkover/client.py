"""The two listings of the Talkover API: pages, and the proof that a listing is whole.

    GET {base_url}/phone-numbers                    -> Listing of number rows
    GET {base_url}/phone-numbers/release-requests   -> Listing of request rows

Only these two are asked, and only with GET, so a run that failed anywhere can be run again.

The vendor's pages disagree about pagination: the reference pages show one list and no `meta`; the OpenAPI file gives
`page`, `per_page` (default 20) and `meta`; another page caps `per_page` at 100. Every reading is served here.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from datetime import datetime, timezone
from threading import Thread
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from .errors import ApiError, IncompleteListing, UnexpectedPayload
from .transport import Transport, server_message

BASE_URL = "https://app.talkover.ai/api/v1"
PHONE_NUMBERS = "phone-numbers"
RELEASE_REQUESTS = "phone-numbers/release-requests"

DEFAULT_PAGE_SIZE = 20
"""Rows on a page when `per_page` is not sent, by the vendor's OpenAPI file."""
MAX_PAGES = 100_000
READINGS = 3
"""How often a listing is read before it is called incomplete."""
SECONDS_TO_END = 0.5
"""What the pages under way are given when another one failed."""

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

    `rows` as they came: an id may stand twice, `distinct` counts it once. `total` is the API's own count, None where it
    tells none. `complete`: proven whole, and not filtered. `seen` holds the ids of every reading that was made.
    """

    rows: list[Row]
    pages: int
    total: int | None
    distinct: int
    complete: bool = False
    seen: set[str] = field(default_factory=set)
    listed_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One answer: its rows, and what it says of the other pages."""

    rows: list[Row]
    total: int | None
    last_page: int | None
    next_params: Mapping[str, Any] | None


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

        With a total, every page must name the same one, and the distinct ids must be as many. A list of several pages
        without a total is whole when two readings agree. `known` are ids held before: where one is missing from a list
        of several pages, a second reading must miss it too, because a number released and another added between two
        pages hide a third one behind a right total.

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
            return self._page(endpoint, read, 1, {})
        finally:
            self.transport.close()

    def _fetch(
        self, endpoint: str, read: Read[Row], filters: Mapping[str, str], known: Collection[str]
    ) -> Listing[Row]:
        listing = self._list_proven(endpoint, read, filters)
        if listing.pages > 1 and not listing.seen.issuperset(known):
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
                listing: Listing[Row] = _assemble(pages)
                if doubt := _doubt(pages, listing, earlier):
                    earlier = listing.seen
                    raise IncompleteListing(
                        f"{self.transport.where(endpoint)}: {doubt}, in each of {READINGS} readings", listing
                    )
                listing.complete = not filters
        return listing

    def _read_pages(self, endpoint: str, read: Read[Row], filters: Mapping[str, str]) -> list[Page[Row]]:
        def page(number: int, params: Mapping[str, Any] | None = None) -> Page[Row]:
            return self._page(endpoint, read, number, {**filters, **(params or {})})

        first = page(1)
        if first.last_page is not None:
            return [first, *self._side_by_side(page, range(2, first.last_page + 1))]
        pages, seen = [first], {row.id for row in first.rows}
        while (params := pages[-1].next_params) is not None and len(pages) < MAX_PAGES:
            following = page(len(pages) + 1, params)
            if seen.issuperset(row.id for row in following.rows):
                break  # past the end, or an API that knows no pages and repeats itself
            pages.append(following)
            seen.update(row.id for row in following.rows)
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

    def _page(self, endpoint: str, read: Read[Row], number: int, params: Mapping[str, Any]) -> Page[Row]:
        """Page `number`, as `params` ask for it where the API told how."""
        asked = {"page": number, **params}
        try:
            size = {} if self._per_page is None else {"per_page": self._per_page}
            body = self.transport.get(endpoint, {**size, **asked})
        except ApiError as error:
            if error.status != 422 or "per_page" not in error.fields or self._per_page is None:
                raise
            log.info("%s: per_page=%s is refused; using the server's own page size", endpoint, self._per_page)
            self._per_page = None
            body = self.transport.get(endpoint, asked)
        try:
            page = _parse_page(body, read, self._per_page or DEFAULT_PAGE_SIZE)
        except UnexpectedPayload as error:
            raise UnexpectedPayload(
                f"{self.transport.where(endpoint)} answered 200 with {self.transport.redact(str(error))}"
            ) from None
        self.on_page(endpoint, page.last_page or 1)
        return page


def _parse_page(body: Any, read: Read[Row], per_page: int) -> Page[Row]:
    rows = _rows_of(body)
    told = _pagination(body)
    total, size = _count_of(told, "total"), _count_of(told, "per_page")
    last_page = _count_of(told, "last_page" if "last_page" in told else "total_pages")
    if last_page is None and total is not None and size:
        last_page = math.ceil(total / size)
    if last_page is not None and last_page > MAX_PAGES:
        raise UnexpectedPayload(f"meta that tells of {last_page} pages; {MAX_PAGES} are the limit")
    if last_page is not None and total is not None and last_page > max(total, 1):
        raise UnexpectedPayload(f"meta that tells of {last_page} pages for {total} rows")
    next_params: Mapping[str, Any] | None = None
    links = body.get("links")
    following = links.get("next") if isinstance(links, dict) else told.get("next_page_url")
    is_full = len(rows) in (per_page, DEFAULT_PAGE_SIZE, size)
    if isinstance(following, str):
        next_params = dict(parse_qsl(urlsplit(following).query))
    elif last_page is None and (is_full or told.get("has_more") is True or (total or 0) > len(rows) > 0):
        # No word of pages, yet exactly a page full, or fewer than there are: only a look at the next page tells.
        next_params = {}
    return Page(read(rows), total, last_page, next_params)


def _pagination(body: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer tells of its pages: Laravel has it at the top, others in `meta`, in `pagination`, or in both."""
    meta = body.get("meta")
    told = dict(body)
    for part in (body.get("pagination"), meta, meta.get("pagination") if isinstance(meta, dict) else None):
        told |= part if isinstance(part, dict) else {}
    return told


def _rows_of(body: Any) -> list[Json]:
    """`data` as a list of objects; PHP writes a filtered collection as an object with numeric keys."""
    if not isinstance(body, dict):
        raise UnexpectedPayload(f"{_kind(body)} instead of an object with 'data'")
    if body.get("success") is False:
        raise UnexpectedPayload(f"success: false ({server_message(body) or 'no message'})")
    if "data" not in body:
        raise UnexpectedPayload(f"no 'data' ({server_message(body) or 'no message'})")
    data = body["data"]
    if isinstance(data, dict) and all(key.isdecimal() for key in data):
        data = list(data.values())
    if not isinstance(data, list):
        raise UnexpectedPayload(f"{_kind(data)} as 'data' instead of a list")
    for position, row in enumerate(data):
        if not isinstance(row, dict):
            raise UnexpectedPayload(f"{_kind(row)} as row {position} of 'data' instead of an object")
    return data


def _count_of(meta: Mapping[str, Any], name: str) -> int | None:
    value = meta.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UnexpectedPayload(f"{_kind(value)} as meta.{name} instead of a count")
    return value


def _assemble(pages: Sequence[Page[Row]]) -> Listing[Row]:
    rows = [row for page in pages for row in page.rows]
    ids = {row.id for row in rows}
    return Listing(rows, len(pages), pages[0].total, len(ids), seen=ids)


def _doubt(pages: Sequence[Page[Row]], listing: Listing[Row], earlier: set[str] | None) -> str | None:
    """Why the listing may not be whole; None where nothing speaks against it."""
    totals = {page.total for page in pages}
    if len(totals) > 1:
        return f"its pages name different totals ({', '.join(sorted(map(str, totals)))})"
    if listing.total is not None:
        if len(listing.seen) == listing.total:
            return None
        return f"{len(listing.seen)} different rows came on {len(pages)} pages, but the API's total is {listing.total}"
    if len(pages) > 1 and listing.seen != earlier:
        return f"{len(listing.seen)} rows came on {len(pages)} pages without a total, and no two readings agree"
    return None


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")
