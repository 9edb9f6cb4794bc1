"""The rows that a table is sent, as Arrow tables with the columns of its dlt schema."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import dlt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchemaColumns

from ..api.columns import read_table
from ..api.kinds import ARROW, DataType
from ..api.reading import quote
from ..api.unknown import MARK, base_of
from ..dlt_internals import ROW_COLUMNS, adds_row_ids, row_ids
from ..errors import InvalidRow
from .changes import Changes
from .compared import Compared
from .destinations import arrow_format
from .listed import Links, column_of
from .shared import Shared
from .tables import KEYS, OWN_COLUMNS, REMOVED, TableName, columns

ROWS_A_BATCH = 25_000

GONE_LINKS = """
select held.id as {owner}, held.linked_id as {linked}
from held
semi join owners on held.id = owners.id
anti join sent on held.id = sent.{owner} and held.linked_id = sent.{linked}
"""
"""What is no longer in the list of its owner."""


@dataclass(frozen=True)
class Writing:
    """How dlt writes rows: the format of Arrow tables, None where it gets objects; and whether it adds ids itself."""

    arrow_format: Any
    adds_row_ids: bool

    @classmethod
    def into(cls, pipeline: dlt.Pipeline) -> Writing:
        return cls(arrow_format(pipeline), adds_row_ids())

    def with_row_columns(self, rows: pa.Table, load_id: str | None) -> pa.Table:
        """`rows` with the columns that dlt gives every row; as they are where dlt does so by itself."""
        if self.arrow_format is None:
            return rows
        rows = _with(rows, "_dlt_load_id", load_id)
        if self.adds_row_ids:
            return rows
        return rows.append_column("_dlt_id", pa.array(row_ids(rows.num_rows), pa.string()))


def rows_for(table: TableName, compared: Compared, shared: Shared) -> Iterator[Any]:
    """The batches that `table` is sent, none of them empty: items of a dlt resource, or rows without a pipeline."""
    links = compared.endpoint.links
    if links and table == links.table:
        batches = _link_rows(compared, links, shared)
    elif table == compared.endpoint.log:
        batches = _log_rows(compared, table, shared)
    else:
        changes = compared.changes[table]
        gone = _with(changes.removed.select(["id"]), REMOVED, True)
        batches = chain(_current_rows(compared.listed.rows, changes), [gone])
    yield from _handed_over(batches, table, shared)


def call_rows(calls: pa.Table, changes: Changes, shared: Shared) -> Iterator[Any]:
    """The same of the calls of a window."""
    yield from _handed_over(_current_rows(calls, changes), "calls", shared)


def _handed_over(batches: Iterator[pa.Table], table: TableName, shared: Shared) -> Iterator[Any]:
    not_empty = (batch for batch in batches if batch.num_rows)
    if not shared.held.is_in_pipeline:
        yield from (_as_rows(batch, table) for batch in not_empty)
    elif (first := next(not_empty, None)) is not None:  # dlt is asked only where something is sent: that takes time
        writing = Writing.into(dlt.current.pipeline())
        yield from (_for_dlt(batch, table, shared, writing) for batch in chain([first], not_empty))


def _current_rows(listed: pa.Table, changes: Changes) -> Iterator[pa.Table]:
    """The rows that are new or differ."""
    for rows in chain(_taken(listed, changes.added), _taken(listed, changes.changed)):
        yield rows.append_column("row_fingerprint", rows["fingerprint"])


def _log_rows(compared: Compared, table: TableName, shared: Shared) -> Iterator[pa.Table]:
    """A version for each row that is new, different or gone; of one that is gone, what it was before.

    What the log added at this very instant, which is loaded again, is added still.
    """
    at, log, changes = shared.observed_at, compared.held[table], compared.changes[table]
    if compared.rehashed is not None:
        yield compared.rehashed
    whole = schema_of(table, shared.schema)  # here, since what is sent may bring columns that are not there yet
    at_this_instant = pc.equal(log["changed_at"], pa.scalar(at, ARROW["timestamp"]))
    just_added = log["id"].filter(pc.and_(pc.equal(log["change_type"], "added"), at_this_instant)).combine_chunks()
    for change_type, places in (("added", changes.added), ("changed", changes.changed)):
        for rows in _taken(compared.listed.rows, places):
            types = pc.if_else(pc.is_in(rows["id"], value_set=just_added), "added", change_type)
            marked = rows.append_column("row_fingerprint", rows["change_fingerprint"])
            yield _with(marked.append_column("change_type", types), "changed_at", at)
    for rows in shared.held.rows_of(table, changes.removed["id"].to_pylist(), whole):
        yield _with(_with(rows.drop_columns(["change_type", "changed_at"]), "change_type", "removed"), "changed_at", at)


def _link_rows(compared: Compared, links: Links, shared: Shared) -> Iterator[pa.Table]:
    """All links of each row of which any changed, and a tombstone for each that is no longer there."""
    held, changes = compared.held[links.table], compared.changes[links.table]
    owner, linked = KEYS[links.table]
    query = GONE_LINKS.format(owner=owner, linked=linked)
    none = pa.schema([(owner, pa.string()), (linked, pa.string())]).empty_table()

    def gone(owners: pa.Table, sent: pa.Table) -> pa.Table:
        found = shared.database.query(query, held=held, owners=owners.select(["id"]), sent=sent)
        return _with(found, REMOVED, True)

    for owners in _taken(compared.listed.rows, changes.added):
        yield _links_of(owners, links, shared.schema)
    for owners in _taken(compared.listed.rows, changes.changed):
        yield (sent := _links_of(owners, links, shared.schema))
        yield gone(owners, sent)
    if changes.removed.num_rows:
        yield gone(changes.removed, none)


def _taken(listed: pa.Table, places: pa.ChunkedArray) -> Iterator[pa.Table]:
    """The rows at `places`, in batches: a copy of all of them would not be small."""
    are_all = len(places) == listed.num_rows
    for start in range(0, len(places), ROWS_A_BATCH):
        of_batch = (start, ROWS_A_BATCH)
        yield listed.slice(*of_batch) if are_all else listed.take(places.slice(*of_batch))


def _with(rows: pa.Table, name: str, value: Any) -> pa.Table:
    """`rows` with a column more, which holds `value` in each."""
    data_type: DataType = "bool" if value is True else "timestamp" if isinstance(value, datetime) else "text"
    return rows.append_column(name, pa.array([value] * rows.num_rows, ARROW[data_type]))


def _links_of(owners: pa.Table, links: Links, schema: Schema) -> pa.Table:
    """A row a link; what stands twice in a list stands once."""
    named: list[Any] = []
    places: list[int] = []
    for place, text in enumerate(owners[links.list].to_pylist()):
        in_list = {one["id"]: one for one in orjson.loads(text)}.values()
        named += in_list
        places += [place] * len(in_list)
    read = read_table(
        links.resource,
        named,
        links.table,
        name_column=lambda field: column_of(schema.naming, f"{links.prefix}{field}"),
        taken={*columns(links.table), *OWN_COLUMNS},
    )
    of_owners = owners.select(["id", "environment_key", "links_fingerprint"]).take(pa.array(places, pa.int64()))
    return (
        read.rename_columns([f"{links.prefix}{name}" for name in read.column_names])
        .append_column(links.owner, of_owners["id"])
        .append_column("environment_key", of_owners["environment_key"])
        .append_column("row_fingerprint", of_owners["links_fingerprint"])
    )


def schema_of(table: TableName, schema: Schema) -> pa.Schema:
    """The columns of `table` that dlt knows, or that are known to us where it has not asked yet, without its own."""
    return pa.schema(
        {
            name: ARROW[column["data_type"]]
            for name, column in (_known_columns(table, schema) or columns(table)).items()
            if column.get("data_type") in ARROW and not name.startswith("_dlt_")
        }
    )


def _known_columns(table: TableName, schema: Schema) -> TTableSchemaColumns:
    return schema.get_table_columns(table) if table in schema.tables else {}


# What dlt is handed.


def _for_dlt(rows: pa.Table, table: TableName, shared: Shared, writing: Writing) -> Any:
    """`rows` with the names and types of `table`, as an item of a dlt resource."""
    item, typed = as_in_table(writing.with_row_columns(rows, shared.held.load_id), table, shared.schema)
    hints = dlt.mark.make_hints(columns=typed, file_format=writing.arrow_format)
    lists = [name for name in item.column_names if typed[name]["data_type"] == "json"]
    return dlt.mark.with_hints(item if writing.arrow_format else objects(item, lists), hints)


def as_in_table(rows: pa.Table, table: TableName, schema: Schema) -> tuple[pa.Table, TTableSchemaColumns]:
    """`rows` with the names and types that they have in `table`, and all of its columns.

    A field that no page documents goes into the column of its name; where that is of another type in the table, or
    other rows hold another type, into a variant of it, named as dlt names those.
    """
    documented = columns(table) | ROW_COLUMNS
    unknown = _columns_of_unknown(rows, _known_columns(table, schema), schema)
    new: TTableSchemaColumns = {
        name: {"name": name, "data_type": data_type, "nullable": True} for name, (data_type, _) in unknown.items()
    }
    kept = [name for name in documented if name in rows.column_names]
    sources = {name: name for name in kept} | {name: source for name, (_, source) in unknown.items()}
    made = {name: (documented | new)[name] for name in sources}
    typed = pa.schema(
        [pa.field(name, ARROW[column["data_type"]], column.get("nullable", True)) for name, column in made.items()]
    )
    item = pa.Table.from_arrays([rows[sources[name]].cast(typed.field(name).type) for name in made], schema=typed)
    return item, documented | new


def objects(rows: pa.Table, lists: Collection[str]) -> list[dict[str, Any]]:
    """Column to value, without nulls; JSON as lists and objects."""
    return [
        {name: orjson.loads(value) if name in lists else value for name, value in row.items() if value is not None}
        for row in rows.to_pylist()
    ]


def _columns_of_unknown(rows: pa.Table, known: TTableSchemaColumns, schema: Schema) -> dict[str, tuple[DataType, str]]:
    """Column in the table to its type, and the column of `rows` that fills it."""
    by_base: dict[str, list[tuple[DataType, str]]] = {}
    for name in rows.column_names:
        if MARK in name:
            data_type: Any = name.rpartition(MARK)[2]
            by_base.setdefault(base_of(name), []).append((data_type, name))
    made: dict[str, tuple[DataType, str]] = {}
    for base, found in by_base.items():
        main = known.get(base, {}).get("data_type") or found[0][0]
        for data_type, name in found:
            column = base if data_type == main else schema.naming.shorten_fragments(base, f"v_{data_type}")
            if column in made:
                raise InvalidRow(
                    f"two fields would share column {quote(column)}. Nothing was loaded; please report this"
                )
            made[column] = (data_type, name)
    return made


def _as_rows(rows: pa.Table, table: TableName) -> list[dict[str, Any]]:
    """`rows` for who iterates the source without a pipeline: under the names of their fields."""
    documented = columns(table)
    kept = [name for name in rows.column_names if name in documented or MARK in name]
    lists = [
        name for name in kept if name.endswith(f"{MARK}json") or documented.get(name, {}).get("data_type") == "json"
    ]
    return [{base_of(name) or name: value for name, value in row.items()} for row in objects(rows.select(kept), lists)]
