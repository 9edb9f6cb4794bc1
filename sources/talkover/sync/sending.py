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
from ..api.fields import AGENT
from ..api.kinds import ARROW, DataType
from ..api.reading import quote
from ..api.unknown import MARK, base_of
from ..dlt_internals import ROW_COLUMNS, adds_row_ids, row_ids
from ..errors import InvalidRow
from .changes import Changes
from .compared import Compared
from .destinations import arrow_format
from .listed import Listed, column_of
from .shared import Shared
from .tables import OWN_COLUMNS, REMOVED, TableName, columns

ROWS_A_BATCH = 25_000

GONE_AGENTS = """
select held.id as phone_number_id, held.agent_id
from held
semi join numbers on held.id = numbers.id
anti join sent on held.id = sent.phone_number_id and held.agent_id = sent.agent_id
"""
"""The agents that are no longer on their number."""
NOBODY = pa.schema([("phone_number_id", pa.string()), ("agent_id", pa.string())]).empty_table()


@dataclass(frozen=True)
class Writing:
    """How dlt writes rows: the format of Arrow tables, None where it gets objects; and whether it adds ids itself."""

    arrow_format: Any
    adds_row_ids: bool


def rows_for(table: TableName, compared: Compared, shared: Shared) -> Iterator[Any]:
    """The batches that `table` is sent, none of them empty: items of a dlt resource, or rows without a pipeline."""
    if table == "phone_number_agents":
        batches = _agent_rows(compared, shared)
    elif table == compared.endpoint.log:
        batches = _log_rows(compared, shared)
    else:
        batches = _current_rows(compared.listed, compared.changes[table])
    not_empty = (batch for batch in batches if batch.num_rows)
    if not shared.held.is_in_pipeline:
        yield from (_as_rows(batch, table) for batch in not_empty)
    elif (first := next(not_empty, None)) is not None:  # dlt is asked only where something is sent: that takes time
        writing = Writing(arrow_format(dlt.current.pipeline()), adds_row_ids())
        yield from (_for_dlt(batch, table, shared, writing) for batch in chain([first], not_empty))


def _current_rows(listed: Listed, changes: Changes) -> Iterator[pa.Table]:
    """The rows that are new or differ, and a tombstone for each that is gone."""
    for rows in chain(_taken(listed, changes.added), _taken(listed, changes.changed)):
        yield rows.append_column("row_fingerprint", rows["fingerprint"])
    yield _with(changes.removed.select(["id"]), REMOVED, True)


def _log_rows(compared: Compared, shared: Shared) -> Iterator[pa.Table]:
    """A version for each row that is new, different or gone; of one that is gone, what it was before.

    What the log added at this very instant, which is loaded again, is added still.
    """
    table, at = compared.endpoint.log, shared.observed_at
    log, changes = compared.held[table], compared.changes[table]
    whole = _log_schema(table, shared.schema)  # here, since what is sent may bring columns that are not there yet
    at_this_instant = pc.equal(log["changed_at"], pa.scalar(at, ARROW["timestamp"]))
    just_added = log["id"].filter(pc.and_(pc.equal(log["change_type"], "added"), at_this_instant)).combine_chunks()
    for change_type, places in (("added", changes.added), ("changed", changes.changed)):
        for rows in _taken(compared.listed, places):
            types = pc.if_else(pc.is_in(rows["id"], value_set=just_added), "added", change_type)
            marked = rows.append_column("row_fingerprint", rows["change_fingerprint"])
            yield _with(marked.append_column("change_type", types), "changed_at", at)
    for rows in shared.held.latest_rows(table, changes.removed["id"].to_pylist(), whole):
        yield _with(_with(rows.drop_columns(["change_type", "changed_at"]), "change_type", "removed"), "changed_at", at)


def _agent_rows(compared: Compared, shared: Shared) -> Iterator[pa.Table]:
    """All agents of each number on which any changed, and a tombstone for each that is no longer there."""
    held, changes = compared.held["phone_number_agents"], compared.changes["phone_number_agents"]

    def gone(numbers: pa.Table, sent: pa.Table) -> pa.Table:
        found = shared.database.query(GONE_AGENTS, held=held, numbers=numbers.select(["id"]), sent=sent)
        return _with(found, REMOVED, True)

    for numbers in _taken(compared.listed, changes.added):
        yield _agents_of(numbers, shared.schema)
    for numbers in _taken(compared.listed, changes.changed):
        yield (sent := _agents_of(numbers, shared.schema))
        yield gone(numbers, sent)
    if changes.removed.num_rows:
        yield gone(changes.removed, NOBODY)


def _taken(listed: Listed, places: pa.ChunkedArray) -> Iterator[pa.Table]:
    """The rows at `places`, in batches: a copy of all of them would not be small."""
    are_all = len(places) == listed.rows.num_rows
    for start in range(0, len(places), ROWS_A_BATCH):
        of_batch = (start, ROWS_A_BATCH)
        yield listed.rows.slice(*of_batch) if are_all else listed.rows.take(places.slice(*of_batch))


def _with(rows: pa.Table, name: str, value: Any) -> pa.Table:
    """`rows` with a column more, which holds `value` in each."""
    data_type: DataType = "bool" if value is True else "timestamp" if isinstance(value, datetime) else "text"
    return rows.append_column(name, pa.array([value] * rows.num_rows, ARROW[data_type]))


def _agents_of(numbers: pa.Table, schema: Schema) -> pa.Table:
    """A row an agent; one that stands twice on a number stands once."""
    agents: list[Any] = []
    places: list[int] = []
    for place, text in enumerate(numbers["agents"].to_pylist()):
        on_number = {agent["id"]: agent for agent in orjson.loads(text)}.values()
        agents += on_number
        places += [place] * len(on_number)
    read = read_table(
        AGENT,
        agents,
        "an agent",
        name_column=lambda field: column_of(schema.naming, f"agent_{field}"),
        taken={*columns("phone_number_agents"), *OWN_COLUMNS},
    )
    own = [f"agent_{name}" if name in AGENT.columns else name for name in read.column_names]
    owners = numbers.select(["id", "environment_key", "agents_fingerprint"]).take(pa.array(places, pa.int64()))
    return (
        read.rename_columns(own)
        .append_column("phone_number_id", owners["id"])
        .append_column("environment_key", owners["environment_key"])
        .append_column("row_fingerprint", owners["agents_fingerprint"])
    )


def _log_schema(table: TableName, schema: Schema) -> pa.Schema:
    """The columns of a change log that dlt knows, or that are known to us where it has not asked yet."""
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
    """`rows` with the names and types of `table`, as an item of a dlt resource.

    A field that no page documents goes into the column of its name; where that is of another type in the table, or
    other rows hold another type, into a variant of it, named as dlt names those.
    """
    schema = shared.schema
    documented = columns(table) | ROW_COLUMNS
    unknown = _columns_of_unknown(rows, _known_columns(table, schema), schema)
    new: TTableSchemaColumns = {
        name: {"name": name, "data_type": data_type, "nullable": True} for name, (data_type, _) in unknown.items()
    }
    hints = dlt.mark.make_hints(columns=documented | new, file_format=writing.arrow_format)
    if writing.arrow_format is not None:
        rows = _with(rows, "_dlt_load_id", shared.held.load_id)
        if not writing.adds_row_ids:
            rows = rows.append_column("_dlt_id", pa.array(row_ids(rows.num_rows), pa.string()))
    kept = [name for name in documented if name in rows.column_names]
    sources = {name: name for name in kept} | {name: source for name, (_, source) in unknown.items()}
    made = {name: (documented | new)[name] for name in sources}
    typed = pa.schema(
        [pa.field(name, ARROW[column["data_type"]], column.get("nullable", True)) for name, column in made.items()]
    )
    item = pa.Table.from_arrays([rows[sources[name]].cast(typed.field(name).type) for name in made], schema=typed)
    lists = [name for name, column in made.items() if column["data_type"] == "json"]
    return dlt.mark.with_hints(item if writing.arrow_format else _objects(item, lists), hints)


def _objects(rows: pa.Table, lists: Collection[str]) -> list[dict[str, Any]]:
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
    return [{base_of(name) or name: value for name, value in row.items()} for row in _objects(rows.select(kept), lists)]
