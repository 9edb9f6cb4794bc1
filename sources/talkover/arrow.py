"""Batches of rows as Arrow tables, which dlt writes as they are: row by row that is most of a first load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from dlt.common.destination import DestinationCapabilitiesContext

from .tables import TableName, columns


def to_arrow(table: TableName, capabilities: DestinationCapabilitiesContext) -> Callable[..., Any]:
    """A step for the resource `table`: a batch of rows, with values as JSON has them, becomes an Arrow table.

    One with a field that no page documents stays as it is, since dlt is to find the field's type.
    """
    documented = columns(table)
    lists = [name for name, column in documented.items() if column["data_type"] == "json"]

    def convert(rows: Any, meta: Any = None) -> Any:  # noqa: ARG001  dlt gives it by this name
        if not rows or not all(row.keys() <= documented.keys() for row in rows):
            return rows
        import pyarrow  # noqa: PLC0415  no run without changes needs it
        from dlt.common.libs.pyarrow import columns_to_arrow  # noqa: PLC0415

        for row in rows:
            row |= {name: orjson.dumps(row[name]).decode() for name in lists if isinstance(row.get(name), list)}
        schema = columns_to_arrow(documented, capabilities, "UTC")
        types = dict(zip(schema.names, schema.types, strict=True))
        in_json = {pyarrow.bool_(), pyarrow.int64()}  # and all else is text there: instants, days, money
        read_as = {name: kind if kind in in_json else pyarrow.string() for name, kind in types.items()}
        arrays = pyarrow.array(rows, pyarrow.struct(read_as.items())).flatten()
        typed = [array.cast(kind) for array, kind in zip(arrays, types.values(), strict=True)]
        return pyarrow.Table.from_arrays(typed, schema=schema)

    return convert
