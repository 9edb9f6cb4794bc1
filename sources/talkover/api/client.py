"""The listings of the Talkover API: pages, and the proof that a listing is whole.

    GET {base_url}/phone-numbers                    -> Listing of number rows
    GET {base_url}/phone-numbers/release-requests   -> Listing of request rows
    GET {base_url}/agents                           -> Listing of agent rows
    GET {base_url}/calls?date_from=…&date_to=…      -> Listing of call rows

Only these are requested, and only with GET, so a run that failed anywhere can be run again.

The vendor's pages disagree about pagination: the reference pages show one list and no `meta`; the OpenAPI file gives
`page`, `per_page` (default 20) and `meta`; another page caps `per_page` at 100. Every reading is served here.
When a listing is whole stands in listing.py.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, as_completed
from threading import Thread
from typing import Any

import pyarrow as pa
from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_attempt, wait_fixed

from ..errors import ApiError, UnexpectedPayload
from .listing import Listing, Pages, request_of
from .page import MAX_PAGES, Page, Read, parse_page
from .transport import Transport
from .unknown import together

BASE_URL = "https://app.talkover.ai/api/v1"

READINGS = 3
"""How often a listing is read before it is called incomplete."""
SECONDS_TO_END = 0.5
"""What the pages under way are given when another one failed."""

log = logging.getLogger("talkover")


class TalkoverClient:
    """Reads the listings of one environment, pages concurrently.

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

    @property
    def page_size(self) -> Mapping[str, int]:
        """The parameter that asks for so many rows a page; none once the server has refused it."""
        return {} if self._per_page is None else {"per_page": self._per_page}

    def fetch(
        self,
        endpoint: str,
        read: Read,
        *,
        filters: Mapping[str, str] | None = None,
        known: pa.ChunkedArray | None = None,
        grows: bool = False,
    ) -> Listing:
        """Every row of `endpoint`, each page through `read` (called from several threads), and whether that is all.

        With a total, every page that names one must name the same, and the distinct ids must be as many. A list of
        several pages without a total is whole when two readings agree. What is not whole is read again, READINGS times
        in all; the last reading has its `problem`. `known` are ids held before: where one is missing from a list that
        took several answers, a second reading must miss it too, because a number released and another added between two
        pages hide a third one behind a right total. A list that `grows` while it is read is whole when it has as many
        rows as it had when it began: with fewer, a row was taken out, and what came after it moved to a page before.

        Raises AuthenticationError, ApiError, UnexpectedPayload, and whatever `read` raises.
        """
        try:
            listing = self._listing(endpoint, read, filters or {}, grows=grows)
            if listing.problem is not None or listing.answers == 1 or listing.holds(known):
                return listing
            log.info("%s: ids known before are missing; reading once more to be sure", endpoint)
            again = self._listing(endpoint, read, filters or {}, grows=grows)
            again.seen |= listing.seen
            return again
        finally:
            self.transport.close()

    def first_page(self, endpoint: str, read: Read, *, filters: Mapping[str, str] | None = None) -> Page:
        """Page 1 alone."""
        try:
            return self._page(endpoint, read, 1, {**(filters or {}), "page": 1})
        finally:
            self.transport.close()

    def _listing(self, endpoint: str, read: Read, filters: Mapping[str, str], *, grows: bool) -> Listing:
        earlier: set[str] | None = None

        def read_once() -> Listing:
            nonlocal earlier
            pages = self._read_pages(endpoint, read, filters, Pages(grows=grows))
            problem, earlier = pages.doubt(earlier), pages.seen
            rows = together(pages.tables, self.transport.where(endpoint))
            return Listing(
                rows, pages.count, pages.answers, pages.total, len(pages.seen), bool(filters), problem, pages.seen
            )

        again = Retrying(
            retry=retry_if_result(lambda listing: listing.problem is not None),
            stop=stop_after_attempt(READINGS),
            wait=wait_fixed(self._reading_pause),
            retry_error_callback=_last_result,
        )
        listing: Listing = again(read_once)
        return listing

    def _read_pages(self, endpoint: str, read: Read, filters: Mapping[str, str], pages: Pages) -> Pages:
        def page(number: int, params: Mapping[str, Any] | None = None, read: Read = read) -> Page:
            return self._page(endpoint, read, number, {**filters, **(params or {"page": number})})

        last = page(1)
        pages.take(last)
        last_page = last.last_page or 1
        if last_page > 1 and last.following is not None and "page" in last.following:
            for following in (rest := self._side_by_side(page, range(2, last_page + 1))):
                pages.take(following)
            last = rest[-1]
        pages.asked.update(request_of({"page": number + 1}) for number in range(pages.answers))
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

    def _side_by_side(self, page: Callable[[int], Page], numbers: Iterable[int]) -> list[Page]:
        """The pages of `numbers`, in their order.

        In threads of our own, since those of a pool keep the process alive while one of them sits in a read: here an
        error, or Ctrl-C, leaves such a page behind.
        """
        futures = {number: Future[Page]() for number in numbers}
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

    def _page(self, endpoint: str, read: Read, number: int, asked: Mapping[str, Any]) -> Page:
        """Page `number`, which the parameters `asked` ask for."""
        if number > MAX_PAGES:
            raise UnexpectedPayload(f"{self.transport.where(endpoint)} has more than {MAX_PAGES} pages, the limit")

        def parse(body: Any) -> Page:
            try:
                return parse_page(body, read, number)
            except UnexpectedPayload as error:
                raise UnexpectedPayload(
                    f"{self.transport.where(endpoint)} answered 200 with {self.transport.redact(str(error))}"
                ) from None

        try:
            page: Page = self.transport.get(endpoint, {**self.page_size, **asked}, parse)
        except ApiError as error:
            if number > 1 or error.status != 422 or "per_page" not in error.fields or self._per_page is None:
                raise
            log.info("%s: per_page=%s is refused; using the server's own page size", endpoint, self._per_page)
            self._per_page = None
            page = self.transport.get(endpoint, asked, parse)
        self.on_page(endpoint, page.last_page or 1)
        return page


def _last_result(state: RetryCallState) -> Any:
    return state.outcome and state.outcome.result()


def _is_past_the_end(error: ApiError) -> bool:
    """Whether a look at the next page was refused because there is none.

    The same request was answered for the page before, so what is refused is the page: a server that has no such page
    answers so instead of with an empty one. A server that refuses `page` altogether refuses page 1, which is an error.
    """
    return error.status in (400, 404, 422) and (not error.fields or "page" in error.fields)
