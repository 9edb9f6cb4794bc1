"""Batches of rows as Arrow tables, which dlt writes as they are: row by row that is most of a first load."""

from __future__ import annotations

from collections.abc import Callable
from logging import LogRecord
from typing import Any

import dlt
import orjson
from dlt.common.configuration import known_sections, resolve_configuration
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.normalizers.utils import generate_dlt_ids
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.schema.utils import dlt_id_column, dlt_load_id_column
from dlt.extract import DltSource
from dlt.normalize.configuration import ItemsNormalizerConfiguration

from .tables import KEYS, columns

JSON_IS_TEXT = tuple(f"In resource: {table}, when merging arrow schema with dlt schema" for table in KEYS)


def send_arrow(source: DltSource, capabilities: DestinationCapabilitiesContext) -> None:
    """Makes `source` send its batches of rows as Arrow tables, and the destination gets Parquet.

    A batch with a field that no page documents stays rows, since dlt is to find the field's type. So do the one or two
    of `load_runs`: a run without changes need not import what writes Parquet.
    """
    own = _own_columns()
    for table in KEYS.keys() - {"load_runs"}:
        step = _to_arrow(columns(table), own, capabilities)
        source.resources[table].apply_hints(file_format="parquet", columns=own).add_step(step)


def _to_arrow(
    documented: TTableSchemaColumns, own: TTableSchemaColumns, capabilities: DestinationCapabilitiesContext
) -> Callable[..., Any]:
    """A step of a resource, for batches of rows with `documented` columns; those of dlt itself, `own`, come on top."""
    lists = [name for name, column in documented.items() if column["data_type"] == "json"]
    # A row has the API's instants, days and money as text, as JSON does; only these are of their column's type.
    typed = {name for name, column in documented.items() if column["data_type"] in ("bool", "bigint")} | {"changed_at"}

    def to_arrow(rows: Any, meta: Any = None) -> Any:  # noqa: ARG001  dlt gives it by this name
        if not rows or not all(row.keys() <= documented.keys() for row in rows):
            return rows
        import pyarrow  # noqa: PLC0415  no run without changes needs it
        from dlt.common.libs.pyarrow import columns_to_arrow  # noqa: PLC0415

        load_id = dlt.current.load_package_state()["load_id"]
        for row, dlt_id in zip(rows, generate_dlt_ids(len(rows)), strict=True):
            row |= {name: orjson.dumps(row[name]).decode() for name in lists if isinstance(row.get(name), list)}
            row |= {"_dlt_load_id": load_id, "_dlt_id": dlt_id}
        schema = columns_to_arrow(documented | own, capabilities, "UTC")
        in_rows = [
            column if column.name in typed else pyarrow.field(column.name, pyarrow.string()) for column in schema
        ]
        arrays = pyarrow.array(rows, pyarrow.struct(in_rows)).flatten()
        in_order = [array.cast(column.type) for array, column in zip(arrays, schema, strict=True)]
        return pyarrow.Table.from_arrays(in_order, schema=schema)

    return to_arrow


def is_news(record: LogRecord) -> bool:
    """JSON is text in an Arrow table, and dlt warns with every batch that it is not."""
    return not record.getMessage().startswith(JSON_IS_TEXT)


def _own_columns() -> TTableSchemaColumns:
    """The columns of dlt itself, which it adds to rows, but to Arrow tables only where it is told to."""
    told = resolve_configuration(
        ItemsNormalizerConfiguration(), sections=(known_sections.NORMALIZE, "parquet_normalizer")
    )
    load_id: TTableSchemaColumns = {"_dlt_load_id": dlt_load_id_column()}
    return load_id if told.add_dlt_id else load_id | {"_dlt_id": dlt_id_column()}
