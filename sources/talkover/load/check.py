"""`talkover check`: is each token good, what does it reach, does the destination answer. Loads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from ..api.client import TalkoverClient
from ..api.fields import PHONE_NUMBERS, RELEASE_REQUESTS
from ..api.page import Page
from ..api.reading import Json
from ..errors import LoadError, TalkoverError
from ..sync.changes import guard_account, guard_removal
from ..sync.settings import configured_clients, configured_without
from .connection import connect
from .failures import translate_errors
from .pipeline import Place, open_pipeline
from .settings import defaults

ENDPOINTS = (("phone_numbers", PHONE_NUMBERS, "numbers"), ("release_requests", RELEASE_REQUESTS, "requests"))
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
        clients, without = configured_clients(), configured_without()
        for key, client in clients.items():
            for resource, endpoint, rows in ENDPOINTS:
                what = f"environment {key}: /{endpoint}"
                if resource in without:
                    yield Finding(what, True, "not requested, as configured with `without`")
                else:
                    held = _held(place, key) if resource == "phone_numbers" else set()
                    yield _try_token(what, client, endpoint, rows, held)
        yield _try_destination(f"destination {place.pipeline.destination.destination_name}", place)


def _try_token(what: str, client: TalkoverClient, endpoint: str, rows: str, held: set[str]) -> Finding:
    try:
        page = client.first_page(endpoint, _ids)
        client.transport.refuse_a_wrong_clock()
        if held and held.isdisjoint(page.rows["id"].to_pylist()):
            listed = client.fetch(endpoint, _ids).seen
            figures = (client.transport.where(endpoint), len(listed), len(held), len(held - listed))
            guard_account(*figures)
            guard_removal(*figures)
        return Finding(what, True, _describe(page, rows))
    except TalkoverError as error:
        return Finding(what, False, str(error))


def _try_destination(what: str, place: Place) -> Finding:
    try:
        with translate_errors():
            return Finding(what, True, _ask_destination(place))
    except LoadError as error:
        return Finding(what, False, str(error))


def _held(place: Place, environment_key: str) -> set[str]:
    """The ids of the numbers that the destination holds of an environment; none where it does not answer."""
    if place.is_missing:
        return set()
    with suppress(LoadError, DestinationUndefinedEntity), connect(place) as client:
        numbers = client.make_qualified_table_name("phone_numbers")
        query = f"select id from {numbers} where environment_key = %s"  # noqa: S608  our own name
        return {row[0] for row in client.execute_sql(query, environment_key)}
    return set()


def _ids(rows: Sequence[Json]) -> pa.Table:
    return pa.table({"id": pa.array([str(row.get("id")) for row in rows], pa.string())})


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
