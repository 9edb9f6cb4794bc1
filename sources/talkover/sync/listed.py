"""The rows of an endpoint in all environments of a run: each listing read whole, then one row an id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming import NamingConvention

from ..api.client import READINGS
from ..api.columns import read_table
from ..api.fields import PHONE_NUMBER, PHONE_NUMBERS, RELEASE_REQUEST, RELEASE_REQUESTS, Resource
from ..api.listing import Listing
from ..api.reading import Json
from ..errors import IncompleteListing
from .changes import Filled, guard_fields
from .fingerprints import with_fingerprints
from .shared import Shared
from .tables import OWN_COLUMNS, TableName

SETTLED = frozenset({"resolved_at", "rejection_reason"})
"""Fields of settled requests: the requests listed may all be pending, while those held stay for ever."""


@dataclass(frozen=True)
class Endpoint:
    """What is listed, and the tables that are made of it: that of its rows as they are comes first, its log last."""

    path: str
    resource: Resource
    tables: tuple[TableName, ...]

    @property
    def log(self) -> TableName:
        return self.tables[-1]

    @property
    def guarded_columns(self) -> list[str]:
        """The columns that a listing must not empty."""
        return [name for name in self.resource.columns if name not in SETTLED]


ENDPOINTS: Mapping[str, Endpoint] = {
    "phone_numbers": Endpoint(
        PHONE_NUMBERS, PHONE_NUMBER, ("phone_numbers", "phone_number_agents", "phone_number_changes")
    ),
    "release_requests": Endpoint(RELEASE_REQUESTS, RELEASE_REQUEST, ("release_requests", "release_request_changes")),
}


@dataclass(frozen=True)
class Listed:
    """The rows of an endpoint, one an id, with fingerprints and their environment; and the listings they came in."""

    rows: pa.Table
    listings: Mapping[str, Listing]

    @property
    def is_complete(self) -> bool:
        return all(listing.complete for listing in self.listings.values())

    @property
    def seen(self) -> pa.Table:
        """The ids of every reading of any environment, also of one that had to be made again."""
        return pa.table(
            {"id": pa.array(set().union(*(listing.seen for listing in self.listings.values())), pa.string())}
        )


def list_all(endpoint: Endpoint, shared: Shared, held: pa.Table | None, filled: Mapping[str, Filled]) -> Listed:
    """Lists `endpoint` in every environment of a run.

    `held` has the id and environment of each row that must not be missed, `filled` is how full the columns are, by
    environment.

    Raises IncompleteListing unless that was to be accepted, SuspiciousRemoval where a field is lost, and what a client
    raises.
    """
    listings = {}
    for key in shared.clients:
        known = None if held is None else held["id"].filter(pc.equal(held["environment_key"], key))
        listings[key] = _list(endpoint, shared, key, known)
        if listings[key].complete and key in filled and not shared.options.allow_lost_fields:
            _guard_fields(endpoint, shared, key, listings[key], filled[key])
    by_environment = [_with_environment(listing.rows, key) for key, listing in listings.items()]
    rows = pa.concat_tables(by_environment, promote_options="default")
    return Listed(with_fingerprints(rows, shared.database), listings)


def _list(endpoint: Endpoint, shared: Shared, key: str, known: pa.ChunkedArray | None) -> Listing:
    client, options = shared.clients[key], shared.options
    filters = options.filters if endpoint.path == PHONE_NUMBERS else {}
    asked = client.transport.where(endpoint.path)
    client.on_page = _progress(shared)
    read = _reader(endpoint, asked, options.time_zone, shared.schema.naming)
    listing = client.fetch(endpoint.path, read, filters=filters, known=None if filters else known)
    client.transport.refuse_a_wrong_clock()
    if listing.problem is not None and not options.accept_incomplete:
        raise IncompleteListing(
            f"{asked}: {listing.problem}, after {READINGS} attempts. --accept-incomplete (accept_incomplete=True) "
            "loads what came and removes nothing"
        )
    return listing


def _guard_fields(endpoint: Endpoint, shared: Shared, key: str, listing: Listing, filled: Filled) -> None:
    rows = listing.rows
    returned = [name for name in rows.column_names if rows[name].null_count < rows.num_rows]
    guard_fields(shared.clients[key].transport.where(endpoint.path), listing.distinct, returned, filled)


def _reader(
    endpoint: Endpoint, asked: str, time_zone: tzinfo, naming: NamingConvention
) -> Callable[[Sequence[Json]], pa.Table]:
    """What reads the rows of a page."""
    return partial(
        read_table,
        endpoint.resource,
        asked=asked,
        time_zone=time_zone,
        name_column=partial(column_of, naming),
        taken=OWN_COLUMNS,
    )


def column_of(naming: NamingConvention, field: str) -> str:
    """The column of a field that no page documents, as dlt names it."""
    return naming.normalize_path(field.strip() or "_empty")


def _progress(shared: Shared) -> Callable[[str, int], None]:
    """Counts pages for the pipeline's collector. Pages come from other threads, which know no pipeline."""
    if not shared.held.is_in_pipeline:
        return lambda _endpoint, _pages: None
    collector = dlt.current.pipeline().collector
    return lambda endpoint, pages: collector.update(f"{endpoint} pages", total=pages)


def _with_environment(rows: pa.Table, key: str) -> pa.Table:
    return rows.append_column("environment_key", pa.array([key] * rows.num_rows, pa.string()))
