"""One answer of a listing: its rows, and what it says of other pages.

The vendor's pages show three envelopes: `data` alone, beside `meta`, and beside `pagination`. Its answers look like
Laravel's, which knows more: the paginator as it is (`{"current_page", "data", "next_page_url", …}`), that once more in
`data`, links alone, and cursors. A name is read alike in every part of the envelope and in every spelling. Where two
words differ, the one that announces more counts: a contradiction may cost a request or an error, but never a row.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import pyarrow as pa

from ..errors import UnexpectedPayload
from .reading import Json
from .refusals import server_message

MAX_PAGES = 100_000
MAX_DIGITS = 20
"""Of a count that is written as text: Python refuses to read thousands."""

Read = Callable[[Sequence[Json]], pa.Table]
"""Reads the rows of a page into a table that has a column `id`."""
Words = dict[str, list[tuple[str, Any]]]
"""What an answer says of pages: by meaning, each name that says so, as it is found in the answer, and the value."""


def _plain(name: str) -> str:
    """`lastPage`, `last-page` and `last_page` are one name."""
    return name.replace("_", "").replace("-", "").lower()


_SPELLINGS = {
    # No `count`: Fractal, which many Laravel APIs use, calls the rows of one page so.
    "total": "total total_count total_items total_results total_records total_rows total_elements total_entries",
    "last_page": "last_page total_pages page_count num_pages",
    "page_size": "per_page page_size",
    "has_more": "has_more has_more_pages has_next has_next_page",
    "next": "next next_page next_page_url next_url next_link",
    "cursor": "cursor next_cursor next_page_token next_token next_offset",
}
_MEANINGS = {_plain(name): meaning for meaning, names in _SPELLINGS.items() for name in names.split()}
_PARTS = frozenset(map(_plain, ("data", "meta", "pagination", "paging", "links", "page", "page_info", "cursor")))
_MAX_DEPTH = 4
"""Parts within parts: data.meta.pagination.links is the deepest that is known."""
_LISTS = ("data", "items", "results", "records", "phone_numbers", "release_requests")
"""Where the rows are when `data` is an object around them."""


@dataclass(frozen=True)
class Page:
    """One answer: its rows, and what it says of other pages.

    `total` and `last_page` are None where it gives none. `more`: whether it says that other rows follow; None where it
    says nothing. `following` are the parameters to ask for them with; None where it says that nothing follows.
    """

    rows: pa.Table
    total: int | None
    last_page: int | None
    more: bool | None
    following: Mapping[str, Any] | None


def parse_page(body: Any, read: Read, number: int) -> Page:
    """`body` as page `number`, its rows through `read`. Raises UnexpectedPayload, and whatever `read` raises."""
    rows = _rows_of(body)
    words = _words_of(body)
    total = max(_counts(words["total"]), default=None)
    size = min(_counts(words["page_size"]), default=None)
    last_page = max(_counts(words["last_page"]), default=None)
    if last_page is not None and total is not None and last_page > max(total, 1):
        raise UnexpectedPayload(f"meta with {last_page} pages for {total} rows")
    ways = [_way_on(name, value) for name, value in words["next"]]
    flags = [_flag(name, value) for name, value in words["has_more"]]
    if False not in flags:  # a cursor says how to go on, and some APIs name one on the last page, too
        ways += [_way_on(name, value) for name, value in words["cursor"]]
    says = [*flags, *(way is not None for way in ways)]
    if last_page is not None:
        says.append(number < last_page)
    elif total is not None and size:
        last_page = math.ceil(total / size)
        if number < last_page:  # else nothing is said: it may be the size that was requested, not the true one
            says.append(True)
    if last_page is not None and last_page > MAX_PAGES:
        raise UnexpectedPayload(f"meta with {last_page} pages; {MAX_PAGES} are the limit")
    more = any(says) if says else None
    following = None if more is False else next(filter(None, ways), {"page": number + 1})
    return Page(read(rows), total, last_page, more, following)


def _words_of(body: Mapping[str, Any]) -> Words:
    words: Words = defaultdict(list)

    def gather(part: Mapping[str, Any], path: str, depth: int) -> None:
        for name, value in part.items():
            plain = _plain(name)
            if plain in _PARTS and isinstance(value, dict):
                if depth < _MAX_DEPTH:
                    gather(value, f"{path}{name}.", depth + 1)
            elif plain in _MEANINGS and (value is not None or plain.startswith("next")):
                words[_MEANINGS[plain]].append((f"{path}{name}", value))

    gather(body, "", 0)
    return words


def _way_on(name: str, value: Any) -> Mapping[str, Any] | None:
    """The parameters that ask for what `name` speaks of: none known where they are empty, None where nothing follows.

    Of an address the query counts, never the host: the token goes nowhere else. A cursor is sent back under what stands
    after `next` in its name (`next_cursor` as `cursor`, `nextPageToken` as `pageToken`), as APIs usually have it.
    """
    if isinstance(value, dict):
        value = value.get("href", value.get("url", value))
    if value is None or value == "" or value is False:
        return None
    if value is True:
        return {}
    if not isinstance(value, (str, int)) or not str(value).isprintable():
        raise UnexpectedPayload(f"{_kind(value)} as {name} instead of an address, a page or a cursor")
    last = name.rpartition(".")[2]
    meaning = _MEANINGS[_plain(last)]
    if meaning == "next" and isinstance(value, str) and ("?" in value or "://" in value or value.startswith("/")):
        query = value.partition("?")[2].partition("#")[0]
        return dict(parse_qsl(query, keep_blank_values=True))
    if meaning == "next" and str(value).isdecimal():
        return {"page": value}
    parameter = last.removeprefix("next").lstrip("_-")
    return {parameter[:1].lower() + parameter[1:] or "cursor": value}


def _rows_of(body: Any) -> list[Json]:
    """`data` as a list of objects."""
    if not isinstance(body, dict):
        raise UnexpectedPayload(f"{_kind(body)} instead of an object with 'data'")
    if body.get("success") is False:
        raise UnexpectedPayload(f"success: false ({server_message(body) or 'no message'})")
    if "data" not in body:
        raise UnexpectedPayload(f"no 'data' ({server_message(body) or 'no message'})")
    data = _unwrapped(body["data"])
    if not isinstance(data, list):
        raise UnexpectedPayload(f"{_kind(data)} as 'data' instead of a list")
    for position, row in enumerate(data):
        if not isinstance(row, dict):
            raise UnexpectedPayload(f"{_kind(row)} as row {position} of 'data' instead of an object")
    return data


def _unwrapped(data: Any) -> Any:
    """PHP writes a filtered collection as an object with numeric keys; a paginator is an object around its rows."""
    if not isinstance(data, dict):
        return data
    wrapped = [name for name in _LISTS if name in data]
    if len(wrapped) == 1 and "id" not in data:
        data = data[wrapped[0]]
    if isinstance(data, dict) and all(key.isdecimal() for key in data):
        return list(data.values())
    return data


def _counts(words: Sequence[tuple[str, Any]]) -> Iterator[int]:
    for name, value in words:
        count = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < MAX_DIGITS else value
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise UnexpectedPayload(f"{_kind(count)} as {name} instead of a count")
        yield count


def _flag(name: str, value: Any) -> bool:
    """True and false, or 0 and 1 as PHP may write them."""
    if value in (True, 1, "1", "true"):
        return True
    if value in (False, 0, "0", "false", ""):
        return False
    raise UnexpectedPayload(f"{_kind(value)} as {name} instead of true or false")


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


def _kind(value: Any) -> str:
    """What JSON calls `value`, for an error."""
    return _KINDS.get(type(value), "a number")
