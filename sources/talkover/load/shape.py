"""`talkover check --shape`: what each endpoint answers as structure alone, beside what the vendor's pages promise.

Nobody had an account when this was written, so whoever has one can tell what the API really sends without telling what
the account holds. Two pages of each list are requested, and nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import pyarrow as pa

from .. import __version__
from ..api.client import TalkoverClient
from ..api.fields import (
    AGENT,
    AGENTS,
    CALL,
    CALLS,
    PHONE_NUMBER,
    PHONE_NUMBERS,
    RELEASE_REQUEST,
    RELEASE_REQUESTS,
    Resource,
)
from ..api.forms import describe, shown
from ..api.page import Page, parse_page
from ..api.reading import Json
from ..api.shape import DIFFERS, UNREADABLE, Line, shape_of_envelope, shape_of_refusal, shape_of_rows
from ..api.transport import Answer, parse_json
from ..errors import TalkoverError, UnexpectedPayload
from ..sync.settings import configured_clients, configured_more, configured_without, configured_zone
from ..sync.tables import MORE_RESOURCES
from ..text import visible
from .check import since_yesterday
from .failures import translate_errors
from .settings import defaults

RESOURCES = {
    "phone_numbers": (PHONE_NUMBERS, PHONE_NUMBER),
    "release_requests": (RELEASE_REQUESTS, RELEASE_REQUEST),
    "agents": (AGENTS, AGENT),
    "calls": (CALLS, CALL),
}
RATE_LIMIT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
"""On every answer, by the vendor's pages."""
EPOCH, MILLISECONDS = 1e8, 1e11
MEDIA_TYPES = ("application/json", "text/html", "text/plain")
HEAD = (
    f"talkover {__version__}: the structure of what the API answers, beside what its pages promise.",
    "Keys, types, forms, lengths and how often; no value of a row, no token, no name of an environment.",
    f"{DIFFERS} differs from the pages; {DIFFERS}{DIFFERS} cannot be loaded, either.",
)
FOOT = "Please read it, then open an issue of this project with it: nobody who made this has seen the real API."


@dataclass(frozen=True)
class Shape:
    """What is to be printed of an endpoint, and whether it answered with a list where a load needs one."""

    lines: Sequence[str]
    is_good: bool = True


def shape_of_api() -> Iterator[Shape]:
    """The shape of each endpoint, between a head and a foot. Raises ConfigurationError."""
    with translate_errors(), defaults:
        clients, zone = configured_clients(), configured_zone()
        without, more = configured_without(), configured_more()
        yield Shape(HEAD)
        for number, client in enumerate(clients.values(), 1):
            if len(clients) > 1:
                yield Shape(["", f"Environment {number} of {len(clients)}"])
            for resource, (endpoint, model) in RESOURCES.items():
                head = ["", f"GET /{endpoint}"]
                if resource in without:
                    yield Shape([*head, "   not requested, as configured"])
                    continue
                lines, is_list = _listing(client, endpoint, model, zone)
                is_good = is_list or (resource in MORE_RESOURCES and resource not in more)
                yield Shape([*head, *(visible(client.transport.redact(line)) for line in lines)], is_good)
        yield Shape(["", FOOT])


@dataclass(frozen=True)
class Asked:
    """One request: the lines about its answer, its status, and where that is a page of a listing what it holds.

    `rows` are as they came; `page` is how they and what it says of others were understood, None for any other answer,
    of which the lines say all.
    """

    lines: Sequence[str]
    status: int | None = None
    body: Any = None
    rows: Sequence[Json] = ()
    page: Page | None = None

    @property
    def ids(self) -> set[str]:
        return {str(row.get("id")) for row in self.rows}


def _listing(client: TalkoverClient, endpoint: str, model: Resource, zone: tzinfo) -> tuple[list[str], bool]:
    """What is to be said of an endpoint's first two pages, and whether the first is a page of a listing."""
    asked: dict[str, Any] = {**(since_yesterday() if endpoint == CALLS else {}), **client.page_size, "page": 1}
    first = _ask(client, endpoint, asked)
    lines = [*first.lines]
    if first.status == 422 and asked.pop("per_page", None):
        first = _ask(client, endpoint, asked)
        lines += first.lines
    if first.page is None:
        return lines, False
    rows = [*first.rows]
    lines += [*_table(shape_of_envelope(first.body, first.rows)), *_said_of_pages(first.page, len(rows), asked)]
    if first.page.more and first.page.following:
        second = _ask(client, endpoint, {**asked, **first.page.following})
        rows += second.rows
        lines += second.lines
        lines += [f"{DIFFERS:<3}the second page has rows of the first"] if first.ids & second.ids else []
    lines.append(f"   {len(rows)} rows")
    return [*lines, *(_table(shape_of_rows(rows, model, zone)) if rows else ())], True


def _ask(client: TalkoverClient, endpoint: str, asked: Mapping[str, Any]) -> Asked:
    lines = [f"   asked with {', '.join(map(shown, asked))}"]
    try:
        answer = client.transport.look(endpoint, asked)
    except TalkoverError:
        return Asked([*lines, f"{UNREADABLE} no whole answer came: `talkover check` says why"])
    finally:
        client.transport.close()
    lines.append(f"{'' if answer.status == 200 else DIFFERS:<3}{answer.status}, {_media_type(answer)}")
    lines += _rate_limit(answer.headers)
    try:
        body = parse_json(answer.body)
    except ValueError:
        what = f"{UNREADABLE} no JSON: {len(answer.body)} bytes{_beginning(answer.body)}"
        return Asked([*lines, what], answer.status)
    rows: list[Json] = []
    page = _page(body, rows) if answer.status == 200 else None
    if page is None:
        return Asked([*lines, f"{UNREADABLE} no list:", *_table(shape_of_refusal(body))], answer.status)
    return Asked(lines, answer.status, body, rows, page)


def _page(body: Any, rows: list[Json]) -> Page | None:
    """The page that a listing would take `body` for, after its rows went into `rows`; None where it is none."""

    def read(of_page: Sequence[Json]) -> pa.Table:
        rows.extend(of_page)
        return pa.table({})

    try:
        return parse_page(body, read, 1)
    except UnexpectedPayload:
        return None


def _media_type(answer: Answer) -> str:
    found = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    dated = "with a Date" if "Date" in answer.headers else "without a Date"
    return f"{found if found in MEDIA_TYPES else 'another media type'}, {dated}"


def _beginning(body: bytes) -> str:
    return ", empty" if not body.strip() else ", begins like HTML" if body.lstrip()[:1] == b"<" else ""


def _rate_limit(headers: Mapping[str, str]) -> Iterator[str]:
    """The headers that speak of it, which the pages promise on every answer."""
    came = [name for name in headers if _plain(name).startswith(("xratelimit", "ratelimit", "retryafter"))]
    for name in RATE_LIMIT:
        if name not in headers:
            yield f"{DIFFERS:<3}{name}: missing"
    for name in came:
        is_documented = name.lower() in map(str.lower, RATE_LIMIT)
        form = describe([headers[name]]).partition(",")[0].removesuffix(" in text")
        unit = _unit(headers[name]) if "reset" in name.lower() and form.endswith("number") else ""
        yield f"{'' if is_documented else DIFFERS:<3}{shown(name)}: {form}{unit}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "")


def _unit(reset: str) -> str:
    """The pages give none: whether it can be an instant."""
    size = abs(float(reset.replace(",", ".")))
    return ", an epoch in milliseconds" if size > MILLISECONDS else ", an epoch" if size > EPOCH else ", no epoch"


def _said_of_pages(page: Page, rows: int, asked: Mapping[str, Any]) -> Iterator[str]:
    names = [name for name, value in (("a total", page.total), ("a last page", page.last_page)) if value is not None]
    more = {True: "that more rows follow", False: "that nothing follows", None: "nothing of other pages"}[page.more]
    yield f"   pages: it names {' and '.join(names) or 'no total'}, and says {more}"
    if page.more and page.following:
        yield f"   the next page is asked for with {', '.join(map(shown, page.following))}"
    if page.more and rows != asked.get("per_page", rows):
        yield f"{DIFFERS:<3}{rows} rows came where per_page asked for {asked['per_page']}"
    if not page.more and page.total not in (None, rows):
        yield f"{DIFFERS:<3}the total is not the number of rows"


def _table(lines: Iterable[Line]) -> Iterator[str]:
    cells = [("", "key", "came", "null", "absent", "documented")]
    cells += [
        (line.mark, line.key, line.came, str(line.null or ""), str(line.absent or ""), line.documented)
        for line in lines
    ]
    key, came = (max(len(row[place]) for row in cells) for place in (1, 2))
    for mark, name, form, null, absent, documented in cells:
        yield f"{mark:<3}{name:<{key}}  {form:<{came}}  {null:>4}  {absent:>6}  {documented}".rstrip()
