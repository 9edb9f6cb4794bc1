"""An endpoint's rows against what its tables hold: listed, compared, guarded. Nothing is sent from here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..api.fields import PHONE_NUMBERS
from ..api.reading import quote
from ..errors import LoadError
from .changes import Changes, Filled, compare, count_by, guard_account, guard_removal
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
NUMBERS_WITH_AGENTS = """
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
LISTED_WITHOUT_AGENTS = "exists (select 1 from listed where listed.id = gone.id)"


@dataclass(frozen=True)
class Compared:
    """An endpoint of a run. `held` is what each table of it held: CURRENT, AGENTS or LOG, see held.py."""

    endpoint: Endpoint
    listed: Listed
    held: Mapping[TableName, pa.Table]
    changes: Mapping[TableName, Changes]


def compare_endpoint(shared: Shared, endpoint: Endpoint, held: Mapping[TableName, pa.Table]) -> Compared:
    """Lists `endpoint` and compares it with each table in `held`. Raises what listing raises, and SuspiciousRemoval."""
    one_row_an_id = {table: _one_row_an_id(shared, table, rows) for table, rows in held.items()}
    listed = list_all(endpoint, shared, _numbers_held(endpoint, one_row_an_id), _filled(shared, endpoint, held))
    changes = {}
    for table, rows in one_row_an_id.items():
        found = compare(shared.database, _as_compared(shared, table, rows), _listed_for(table, listed))
        changes[table] = Changes(found.added, found.changed, _going(shared, endpoint, table, found.removed, listed))
        if not shared.options.allow_mass_removal:
            _guard(shared, table, rows, changes[table], listed)
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


def _one_row_an_id(shared: Shared, table: TableName, held: pa.Table) -> pa.Table:
    """The id, fingerprint and environment of each row that is there: of agents each number, of a log what it holds."""
    if table in CHANGE_LOGS:
        held = held.filter(pc.not_equal(held["change_type"], "removed"))
    elif table == "phone_number_agents":
        held = shared.database.query(NUMBERS_WITH_AGENTS, held=held)
    return held.select(["id", "fingerprint", "environment_key"])


def _as_compared(shared: Shared, table: TableName, held: pa.Table) -> pa.Table:
    """`held`, without fingerprints where every row is to be sent again."""
    if not shared.options.full_refresh or table in CHANGE_LOGS:
        return held
    return held.set_column(1, "fingerprint", pa.array([""] * held.num_rows, pa.string()))


def _numbers_held(endpoint: Endpoint, held: Mapping[TableName, pa.Table]) -> pa.Table | None:
    """The id and environment of every number that is held. Requests never go, so none of them is looked for again."""
    tables = [rows for table, rows in held.items() if table != "phone_number_agents" and _may_go(endpoint)]
    return pa.concat_tables(tables) if tables else None


def _filled(shared: Shared, endpoint: Endpoint, tables: Collection[TableName]) -> Mapping[str, Filled]:
    """How full the columns are that a listing must not empty, by environment."""
    whole = [table for table in tables if table != "phone_number_agents"]
    return shared.held.filled(whole[0], endpoint.guarded_columns) if whole else {}


# What a listing says of them.


def _listed_for(table: TableName, listed: Listed) -> pa.Table:
    """Place, id and the fingerprint that counts for `table`; of agents the numbers that have any."""
    column = "change_fingerprint" if table in CHANGE_LOGS else "fingerprint"
    column = "agents_fingerprint" if table == "phone_number_agents" else column
    rows = with_position(pa.table({"id": listed.rows["id"], "fingerprint": listed.rows[column]}))
    return rows.filter(pc.is_valid(rows["fingerprint"])) if rows["fingerprint"].null_count else rows


def _may_go(endpoint: Endpoint) -> bool:
    """A request is history."""
    return endpoint.path == PHONE_NUMBERS


def _going(shared: Shared, endpoint: Endpoint, table: TableName, gone: pa.Table, listed: Listed) -> pa.Table:
    """Of what is `gone` from a listing the rows to remove; the others were not requested. An agent goes with any."""
    if not gone.num_rows or not _may_go(endpoint):
        return gone.slice(length=0)
    environments = [*shared.clients, NOBODY] if listed.is_complete else []
    query = GOING.format(
        environments=", ".join(map(literal, environments)) or "null",
        is_listed=LISTED_WITHOUT_AGENTS if table == "phone_number_agents" else "false",
    )
    return shared.database.query(query, gone=gone, seen=listed.seen, listed=listed.rows.select(["id"]))


def _guard(shared: Shared, table: TableName, held: pa.Table, changes: Changes, listed: Listed) -> None:
    """Counts numbers, also where the rows are agents on them: an agent less on a listed number is no loss."""
    removed = changes.removed
    lost = removed.filter(pc.invert(pc.is_in(removed["id"], value_set=listed.rows["id"].combine_chunks())))
    if not lost.num_rows:
        return
    were, are_gone = count_by(held["environment_key"]), count_by(lost["environment_key"])
    for key, listing in listed.listings.items():
        asked = shared.clients[key].transport.where(PHONE_NUMBERS)
        figures = (asked, listing.distinct, were[key], are_gone[key])
        if table != "phone_number_agents":  # not every number has an agent
            guard_account(*figures)
        guard_removal(*figures)
