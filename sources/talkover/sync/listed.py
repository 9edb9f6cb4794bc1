"""The rows of an endpoint in all environments of a run: each listing read whole, then one row an id."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming import NamingConvention

from ..api.client import READINGS
from ..api.columns import read_table
from ..api.fields import (
    AGENT,
    AGENT_ON_NUMBER,
    AGENTS,
    NUMBER_OF_AGENT,
    PHONE_NUMBER,
    PHONE_NUMBERS,
    RELEASE_REQUEST,
    RELEASE_REQUESTS,
    Resource,
)
from ..api.listing import Listing
from ..api.reading import Json, quote
from ..errors import IncompleteListing, SuspiciousRemoval
from .changes import Filled, guard_fields
from .destinations import refuse_unfit_values
from .fingerprints import with_fingerprints
from .shared import Shared
from .tables import OWN_COLUMNS, TableName

SETTLED = frozenset({"resolved_at", "rejection_reason"})
"""Fields of settled requests: the requests listed may all be pending, while those held stay for ever."""

AskFilled = Callable[[Collection[str]], Mapping[str, Filled]]
"""How full the columns of these names are in what is held, by environment."""

SHARED = """
select id, min(environment_key), max(environment_key), count(*) over () from rows
group by id
having min(environment_key) <> max(environment_key)
order by id
limit 1
"""


@dataclass(frozen=True)
class Links:
    """A table of what a list in each row names: one row for the row (`owner`, its id) and each that it names.

    `prefix` stands before the columns of what is named.
    """

    table: TableName
    list: str
    resource: Resource
    owner: str
    prefix: str


@dataclass(frozen=True)
class Endpoint:
    """What is listed, and the tables that are made of it: of its rows as they are, of a list in them, of changes."""

    path: str
    resource: Resource
    current: TableName
    links: Links | None = None
    log: TableName | None = None

    @property
    def tables(self) -> list[TableName]:
        tables = (self.current, self.links.table if self.links else None, self.log)
        return [table for table in tables if table is not None]

    def is_links(self, table: TableName) -> bool:
        return self.links is not None and table == self.links.table

    @property
    def guarded_columns(self) -> list[str]:
        """The columns that a listing must not empty."""
        return [name for name in self.resource.columns if name not in SETTLED]


ENDPOINTS: Mapping[str, Endpoint] = {
    "phone_numbers": Endpoint(
        PHONE_NUMBERS,
        PHONE_NUMBER,
        "phone_numbers",
        Links("phone_number_agents", "agents", AGENT_ON_NUMBER, owner="phone_number_id", prefix="agent_"),
        "phone_number_changes",
    ),
    "release_requests": Endpoint(RELEASE_REQUESTS, RELEASE_REQUEST, "release_requests", log="release_request_changes"),
    "agents": Endpoint(
        AGENTS,
        AGENT,
        "agents",
        Links("agent_phone_numbers", "phone_numbers", NUMBER_OF_AGENT, owner="agent_id", prefix="phone_number_"),
    ),
}


@dataclass(frozen=True)
class Listed:
    """The rows of an endpoint, one an id, with fingerprints and their environment; and the listings they came in."""

    endpoint: Endpoint
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


def list_all(endpoint: Endpoint, shared: Shared, held: pa.Table | None, filled: AskFilled) -> Listed:
    """Lists `endpoint` in every environment of a run.

    `held` has the id and environment of each row that must not be missed. `filled` is asked only where a column that
    must not be emptied came without a value.

    Raises IncompleteListing unless that was to be accepted, SuspiciousRemoval where a field is lost or two environments
    list the same id, and what a client raises.
    """
    listings = {}
    for key in shared.clients:
        known = None if held is None else held["id"].filter(pc.equal(held["environment_key"], key))
        listings[key] = _list(endpoint, shared, key, known)
        if listings[key].complete and not shared.options.allow_lost_fields:
            _guard_fields(endpoint, shared, key, listings[key], filled)
    by_environment = [with_environment(listing.rows, key) for key, listing in listings.items()]
    rows = pa.concat_tables(by_environment, promote_options="default")
    _refuse_shared_ids(endpoint, shared, rows)
    links = endpoint.links.list if endpoint.links else None
    return Listed(endpoint, with_fingerprints(rows, shared.database, links, shared.hashed_as), listings)


def _list(endpoint: Endpoint, shared: Shared, key: str, known: pa.ChunkedArray | None) -> Listing:
    client, options = shared.clients[key], shared.options
    filters = options.filters if endpoint.path == PHONE_NUMBERS else {}
    asked = client.transport.where(endpoint.path)
    client.on_page = progress(shared, f"{endpoint.path} pages")
    read = _reader(endpoint, asked, options.time_zone, shared.schema.naming)
    listing = client.fetch(endpoint.path, read, filters=filters, known=None if filters else known)
    client.transport.refuse_a_wrong_clock()
    if shared.held.is_in_pipeline:
        refuse_unfit_values(dlt.current.pipeline(), listing.rows, asked)
    if listing.problem is not None and not options.accept_incomplete:
        raise IncompleteListing(
            f"{asked}: {listing.problem}, after {READINGS} attempts. --accept-incomplete (accept_incomplete=True) "
            "loads what came and removes nothing"
        )
    return listing


def _guard_fields(endpoint: Endpoint, shared: Shared, key: str, listing: Listing, filled: AskFilled) -> None:
    rows = listing.rows
    returned = {name for name in rows.column_names if rows[name].null_count < rows.num_rows}
    empty = [name for name in endpoint.guarded_columns if name not in returned]
    if rows.num_rows and empty and (held := filled(empty).get(key)):
        guard_fields(shared.clients[key].transport.where(endpoint.path), listing.distinct, returned, held)


def _refuse_shared_ids(endpoint: Endpoint, shared: Shared, rows: pa.Table) -> None:
    if len(shared.clients) == 1:
        return
    for id, one, other, ids in shared.database.rows(SHARED, rows=rows.select(["id", "environment_key"])):
        raise SuspiciousRemoval(
            f"environments {one!r} and {other!r} both list id {quote(id)} of /{endpoint.path} ({ids} ids stand in two "
            "lists): both tokens may be of the same environment. Nothing was loaded. Each needs its own token"
        )


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


def progress(shared: Shared, counter: str) -> Callable[[str, int], None]:
    """Counts pages as `counter` of the pipeline's collector. They come from other threads, which know no pipeline."""
    if not shared.held.is_in_pipeline:
        return lambda _endpoint, _pages: None
    collector = dlt.current.pipeline().collector
    return lambda _endpoint, pages: collector.update(counter, total=pages)


def with_environment(rows: pa.Table, key: str) -> pa.Table:
    return rows.append_column("environment_key", pa.array([key] * rows.num_rows, pa.string()))
