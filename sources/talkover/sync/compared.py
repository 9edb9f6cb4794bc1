"""An endpoint's rows against what its tables hold: listed, compared, guarded. Nothing is sent from here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from ..api.fields import PHONE_NUMBERS, RELEASE_REQUESTS
from ..api.reading import quote
from ..errors import LoadError
from .changes import Changes, Filled, compare, count_by, guard_account, guard_environment, guard_removal
from .database import literal
from .fingerprints import with_position
from .listed import Endpoint, Listed, list_all
from .shared import Shared
from .tables import CHANGE_LOGS, TableName

NOBODY = ""
"""The environment of a tombstone that an earlier version left as a row."""

DAMAGED = """
select {key} from held
group by {key}
having count(*) > 1 or count(fingerprint) = 0 or count(environment_key) = 0
limit 1
"""
REPAIRED = """
select {key}, '' as fingerprint, coalesce(max(environment_key), '') as environment_key from held
group by {key}
"""
ROWS_WITH_LINKS = """
select
    id,
    case when min(fingerprint) = max(fingerprint) then min(fingerprint) else '' end as fingerprint,
    max(environment_key) as environment_key
from held
group by id
"""
GOING = """
select gone.id, gone.environment_key from gone
where
    (gone.environment_key in ({environments}) and not exists (select 1 from seen where seen.id = gone.id))
    or {is_listed}
"""
HELD_ELSEWHERE = """
select listed.environment_key, held.environment_key as other, count(*)
from listed inner join held on listed.id = held.id
where held.environment_key not in ({environments})
group by all
"""
STAYING = """
select held.environment_key
from held inner join listed on held.id = listed.id and held.environment_key = listed.environment_key
"""
LISTED_WITHOUT_LINKS = "exists (select 1 from listed where listed.id = gone.id)"


@dataclass(frozen=True)
class Compared:
    """An endpoint of a run. `held` is what each table of it held: CURRENT, LINKS or LOG, see held.py.

    `rehashed` are versions that stand in the log, with other fingerprints than there.
    """

    endpoint: Endpoint
    listed: Listed
    held: Mapping[TableName, pa.Table]
    changes: Mapping[TableName, Changes]
    rehashed: pa.Table | None = None


def compare_endpoint(shared: Shared, endpoint: Endpoint, held: Mapping[TableName, pa.Table]) -> Compared:
    """Lists `endpoint` and compares it with each table in `held`. Raises what listing raises, and SuspiciousRemoval."""
    one_row_an_id = {table: _one_row_an_id(shared, endpoint, table, rows) for table, rows in held.items()}
    listed = list_all(endpoint, shared, _rows_held(endpoint, one_row_an_id), partial(_filled, shared, endpoint, held))
    changes = {}
    for table, rows in one_row_an_id.items():
        found = compare(shared.database, as_compared(shared, table, rows), _listed_for(endpoint, table, listed))
        changes[table] = Changes(found.added, found.changed, _going(shared, endpoint, table, found.removed, listed))
        if not shared.options.allow_mass_removal:
            _guard_against_swapped_tokens(shared, table, rows, listed)
            _guard(shared, table, rows, changes[table], listed)
            _guard_environments(shared, table, rows, listed)
    return Compared(endpoint, listed, held, changes)


# What the tables held.


def read_held(shared: Shared, table: TableName) -> pa.Table:
    """What `table` holds. Raises LoadError where a key stands twice or a tombstone stands as a row.

    A run that sends every row again repairs that: then such a tombstone is of the environment NOBODY.
    """
    if table in CHANGE_LOGS:
        return shared.held.latest(table)
    held = shared.held.current(table)
    if not held.num_rows:
        return held
    key = ", ".join(held.column_names[:-2])
    if shared.options.full_refresh:
        return shared.database.query(REPAIRED.format(key=key), held=held)
    for damaged in shared.database.rows(DAMAGED.format(key=key), held=held):
        raise LoadError(
            f"{table} holds {quote(damaged[0] if len(damaged) == 1 else damaged)} twice or as a row without values: an "
            "earlier run loaded it with another write disposition than merge. Nothing was loaded. `talkover load "
            "--full-refresh` (full_refresh=True) repairs the table; the change logs keep their history"
        )
    return held


def _one_row_an_id(shared: Shared, endpoint: Endpoint, table: TableName, held: pa.Table) -> pa.Table:
    """The id, fingerprint and environment of each row that is there: of links each owner, of a log what it holds."""
    if table in CHANGE_LOGS:
        held = held.filter(pc.not_equal(held["change_type"], "removed"))
    elif endpoint.is_links(table):
        held = shared.database.query(ROWS_WITH_LINKS, held=held)
    return held.select(["id", "fingerprint", "environment_key"])


def as_compared(shared: Shared, table: TableName, held: pa.Table) -> pa.Table:
    """`held`, without fingerprints where every row is to be sent again."""
    if not shared.options.full_refresh or table in CHANGE_LOGS:
        return held
    return held.set_column(1, "fingerprint", pa.array([""] * held.num_rows, pa.string()))


def _rows_held(endpoint: Endpoint, held: Mapping[TableName, pa.Table]) -> pa.Table | None:
    """The id and environment of every row that is held. Requests never go, so none of them is looked for again."""
    tables = [rows for table, rows in held.items() if not endpoint.is_links(table) and _may_go(endpoint)]
    return pa.concat_tables(tables) if tables else None


def _filled(
    shared: Shared, endpoint: Endpoint, tables: Collection[TableName], columns: Collection[str]
) -> Mapping[str, Filled]:
    """How full `columns` are in what is held, by environment."""
    whole = [table for table in tables if not endpoint.is_links(table)]
    return shared.held.filled(whole[0], columns) if whole else {}


# What a listing says of them.


def _listed_for(endpoint: Endpoint, table: TableName, listed: Listed) -> pa.Table:
    """Place, id and the fingerprint that counts for `table`; of links the rows that have any."""
    column = "change_fingerprint" if table in CHANGE_LOGS else "fingerprint"
    column = "links_fingerprint" if endpoint.is_links(table) else column
    rows = listed.rows.select(["id", column, "environment_key"]).rename_columns(
        ["id", "fingerprint", "environment_key"]
    )
    rows = with_position(rows)
    return rows.filter(pc.is_valid(rows["fingerprint"])) if rows["fingerprint"].null_count else rows


def _may_go(endpoint: Endpoint) -> bool:
    """A request is history."""
    return endpoint.path != RELEASE_REQUESTS


def _going(shared: Shared, endpoint: Endpoint, table: TableName, gone: pa.Table, listed: Listed) -> pa.Table:
    """Of what is `gone` from a listing the rows to remove; the others were not requested. A link goes with any."""
    if not gone.num_rows or not _may_go(endpoint):
        return gone.slice(length=0)
    environments = [*shared.clients, NOBODY] if listed.is_complete else []
    query = GOING.format(
        environments=", ".join(map(literal, environments)) or "null",
        is_listed=LISTED_WITHOUT_LINKS if endpoint.is_links(table) else "false",
    )
    return shared.database.query(query, gone=gone, seen=listed.seen, listed=listed.rows.select(["id"]))


def _guard(shared: Shared, table: TableName, held: pa.Table, changes: Changes, listed: Listed) -> None:
    """Counts owners where the rows are links: an agent less on a listed number is no loss."""
    removed = changes.removed
    lost = removed.filter(pc.invert(pc.is_in(removed["id"], value_set=listed.rows["id"].combine_chunks())))
    if not lost.num_rows:
        return
    endpoint = listed.endpoint
    were, are_gone = count_by(held["environment_key"]), count_by(lost["environment_key"])
    for key, listing in listed.listings.items():
        asked = shared.clients[key].transport.where(endpoint.path)
        figures = (asked, listing.distinct, were[key], are_gone[key])
        if endpoint.path == PHONE_NUMBERS and not endpoint.is_links(table):  # not every number has an agent
            guard_account(*figures)
        guard_removal(*figures)


def _guard_environments(shared: Shared, table: TableName, held: pa.Table, listed: Listed) -> None:
    """The requests of an environment that is no more are held for ever, and another may list them."""
    if listed.endpoint.is_links(table):
        return
    retired = {key for key, last in shared.last_runs.items() if last.is_retired}
    if set(held["environment_key"].unique().to_pylist()) <= (known := {*shared.clients, *retired, NOBODY}):
        return
    query = HELD_ELSEWHERE.format(environments=", ".join(map(literal, sorted(known))))
    elsewhere: dict[str, dict[str, int]] = {}
    for key, other, rows in shared.database.rows(
        query, held=held, listed=listed.rows.select(["id", "environment_key"])
    ):
        elsewhere.setdefault(key, {})[other] = rows
    for key, found in elsewhere.items():
        asked = shared.clients[key].transport.where(listed.endpoint.path)
        guard_environment(asked, key, listed.listings[key].distinct, found, is_new=key not in shared.last_runs)


def _guard_against_swapped_tokens(shared: Shared, table: TableName, held: pa.Table, listed: Listed) -> None:
    """Then no number is gone, and each environment has the other's."""
    endpoint = listed.endpoint
    if len(listed.listings) == 1 or endpoint.path != PHONE_NUMBERS or endpoint.is_links(table):
        return
    rows = listed.rows.select(["id", "environment_key"])
    were = count_by(held["environment_key"])
    stay = count_by(shared.database.query(STAYING, held=held, listed=rows)["environment_key"])
    for key, listing in listed.listings.items():
        if listing.complete:
            asked = shared.clients[key].transport.where(endpoint.path)
            guard_account(asked, listing.distinct, were[key], were[key] - stay[key])
