"""Versions in a change log whose fingerprint an earlier version of this connector made: the same values are no change.

They stay in their place, and get the fingerprint of today.
"""

from __future__ import annotations

from dataclasses import replace

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ..api.unknown import MARK, as_json
from ..api.values import read_unknown
from .compared import Compared
from .fingerprints import with_fingerprints
from .sending import schema_of
from .shared import Shared
from .tables import TableName, columns

OF_THE_LOG = ("row_fingerprint", "change_type", "changed_at")
NONE_THE_SAME = """
select environment_key from listed inner join held using (id, environment_key)
group by environment_key
having not bool_or(listed.change_fingerprint = held.fingerprint)
"""
"""The environments where each row differs: that is rare but after an upgrade, and the log is read only then."""
SAME = """
select id from listed inner join held using (id, environment_key) inner join rehashed using (id, change_fingerprint)
"""
"""What is held of another environment has moved."""


def without_rehashed(compared: Compared, shared: Shared) -> Compared:
    """`compared`, where what has the same values as in the log is no change."""
    table = compared.endpoint.log
    if table is None or table not in compared.changes or not len(compared.changes[table].changed):
        return compared
    held, changes = compared.held[table], compared.changes[table]
    held = held.filter(pc.not_equal(held["change_type"], "removed")).select(["id", "environment_key", "fingerprint"])
    listed = compared.listed.rows.select(["id", "environment_key", "change_fingerprint"])
    environments = shared.database.query(NONE_THE_SAME, listed=listed, held=held)["environment_key"].to_pylist()
    if not environments:
        return compared
    log = _rehashed(shared.held.versions_in(table, environments, schema_of(table, shared.schema)), table, shared)
    same = shared.database.query(SAME, listed=listed, held=held, rehashed=log)["id"].combine_chunks()
    differs = pc.invert(pc.is_in(listed["id"].take(changes.changed), value_set=same))
    return replace(
        compared,
        changes={**compared.changes, table: replace(changes, changed=changes.changed.filter(differs))},
        rehashed=log.filter(pc.is_in(log["id"], value_set=same)),
    )


def _rehashed(log: pa.Table, table: TableName, shared: Shared) -> pa.Table:
    """The versions in `log` as they would be listed, with fingerprints."""
    documented = columns(table)
    types = documented | shared.schema.get_table_columns(table)
    values = {}
    for name in [name for name in log.column_names if name not in OF_THE_LOG]:
        data_type = types[name]["data_type"]
        listed_as = name if name in documented or MARK in name else f"{name}{MARK}{data_type}"
        values[listed_as] = _read_json(log[name]) if data_type == "json" else log[name]
    hashed = with_fingerprints(pa.table(values), shared.database, hashed_as=shared.hashed_as)
    hashed = hashed.append_column("row_fingerprint", hashed["change_fingerprint"])
    for name in OF_THE_LOG[1:]:
        hashed = hashed.append_column(name, log[name])
    return hashed


def _read_json(column: pa.ChunkedArray) -> pa.Array:
    """JSON as a listing has it, however the destination spells it."""
    texts = [None if text is None else as_json(read_unknown(orjson.loads(text))) for text in column.to_pylist()]
    return pa.array(texts, pa.string())
