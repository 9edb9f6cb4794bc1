"""`talkover check`: is each token good, what does it reach, does the destination answer. Loads nothing."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from ..api.client import TalkoverClient
from ..api.fields import AGENTS, CALLS, PHONE_NUMBERS, RELEASE_REQUESTS
from ..api.page import Page
from ..errors import LoadError, TalkoverError
from ..sync.held import last_runs
from ..sync.settings import configured_clients, configured_more, configured_without
from ..sync.tables import MORE_RESOURCES
from .connection import connect
from .failures import translate_errors
from .pipeline import Place, open_pipeline
from .settings import defaults
from .summary import left_behind
from .tokens import Compared, loaded_ids, read_ids

ENDPOINTS = (
    ("phone_numbers", PHONE_NUMBERS, "numbers"),
    ("release_requests", RELEASE_REQUESTS, "requests"),
    ("agents", AGENTS, "agents"),
    ("calls", CALLS, "calls since yesterday"),
)
"""Resource, endpoint, and what its rows are called."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked, and whether it is good."""

    what: str
    is_good: bool
    says: str


def check_account(destination: Any = None, dataset: str | None = None) -> Iterator[Finding]:
    """A finding for each environment and endpoint, and one for the destination. Raises ConfigurationError."""
    with translate_errors(), defaults:
        place = Place.of(open_pipeline(destination, dataset))
        clients, without, more = configured_clients(), configured_without(), configured_more()
        loaded = loaded_ids(place)
        lists = {
            resource: Compared(resource, rows, loaded[resource])
            for resource, _, rows in ENDPOINTS
            if resource in loaded  # calls are not: those since yesterday are others each day
        }
        for key, client in clients.items():
            for resource, endpoint, rows in ENDPOINTS:
                what = f"environment {key}: /{endpoint}"
                if resource in without:
                    yield Finding(what, True, "not requested, as configured with `without`")
                    continue
                is_more = resource in MORE_RESOURCES and resource not in more
                is_good, says = _try_token(key, client, endpoint, rows, None if is_more else lists.get(resource))
                if is_more and is_good:
                    says = f"{says}; `--with {endpoint}` loads them"
                elif is_more:
                    says = f"not loaded, and out of this token's reach: {says}"
                yield Finding(what, is_good or is_more, says)
        yield from _left_behind(place, clients)
        yield _try_destination(f"destination {place.pipeline.destination.destination_name}", place)


def _try_token(key: str, client: TalkoverClient, endpoint: str, rows: str, lists: Compared | None) -> tuple[bool, str]:
    """Whether its list is as it should be, and what to say of it."""
    try:
        page = client.first_page(endpoint, read_ids, filters=since_yesterday() if endpoint == CALLS else {})
        client.transport.refuse_a_wrong_clock()
        return True, _describe(page, rows) + (lists.compare(key, client, page) if lists else "")
    except TalkoverError as error:
        return False, str(error)


def _try_destination(what: str, place: Place) -> Finding:
    try:
        with translate_errors():
            return Finding(what, True, _ask_destination(place))
    except LoadError as error:
        return Finding(what, False, str(error))


def _left_behind(place: Place, configured: Collection[str]) -> Iterator[Finding]:
    """A finding for each environment that is in the tables only: no fault where another pipeline loads it."""
    if place.is_missing:
        return
    with suppress(LoadError, DestinationUndefinedEntity), connect(place) as client:
        for key, last in last_runs(client).items():
            if key not in configured and not last.is_retired:
                yield Finding(f"environment {key}", True, left_behind(key, last))


def since_yesterday() -> dict[str, str]:
    """Nobody knows how many calls there are in all."""
    return {"date_from": f"{datetime.now(timezone.utc) - timedelta(days=1):%Y-%m-%d}"}


def _describe(page: Page, rows: str) -> str:
    if page.total is not None:
        on_how_many = page.last_page or (1 if page.total == page.rows.num_rows else "several")
        pages = "1 page" if on_how_many == 1 else f"{on_how_many} pages"
        return f"the token works; {page.total} {rows} on {pages}"
    if page.more:
        return f"the token works; at least {page.rows.num_rows} {rows}, on several pages without a total"
    if page.more is None:
        return f"the token works; at least {page.rows.num_rows} {rows}: the answer says nothing about other pages"
    return f"the token works; {page.rows.num_rows} {rows}, all in one answer"


def _ask_destination(place: Place) -> str:
    if place.file is not None and not place.file.exists():
        if not os.access(place.file.parent, os.W_OK):
            raise LoadError(f"{place.file.parent} is not a writable folder")
        return f"{place.file} will be created by the first load"
    with connect(place) as client:
        client.execute_sql("select 1")
        has_dataset = client.has_dataset()
    last = _last_load(place.pipeline) if has_dataset else "holds no load yet"
    return f"answers; dataset {place.pipeline.dataset_name!r} {last}"


def _last_load(pipeline: dlt.Pipeline) -> str:
    pipeline.sync_destination()
    if pipeline.default_schema_name is None or "load_runs" not in pipeline.default_schema.tables:
        return "holds no load yet"
    row = pipeline.dataset()("select max(observed_at) from load_runs").fetchone()
    return f"was last loaded {row[0]:%Y-%m-%d %H:%M} UTC" if row and row[0] else "holds no load yet"
