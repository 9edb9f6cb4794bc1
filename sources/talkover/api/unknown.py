"""Fields that no page documents, in columns with their type in the name, since nobody knows what the next row holds:
`label__v_text`, `label__v_double`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from ..errors import InvalidRow
from .fields import Resource
from .kinds import ARROW, TEXT, DataType, data_type_of
from .reading import Objects, Reading, field_error, quote
from .values import read_text, read_unknown

MAX_NEW_FIELDS = 500
"""Of a listing: no API grows so many, and a table in PostgreSQL may have 1,600 columns."""
MARK = "__v_"
"""Between name and type. dlt names the variants of a column so."""


def unknown_values(resource: Resource, objects: Objects, page: Reading) -> dict[str, list[Any]]:
    """Field to its values, of every field that has one; of none where it may hold a secret."""
    if resource.may_hold_secrets:
        return {}
    known = {field.name for field in resource.fields} | resource.objects.keys() | resource.lists.keys()
    names = set().union(*objects.rows) - known
    if len(names) > MAX_NEW_FIELDS:
        names = {name for row in objects.rows for name, value in row.items() if value is not None} - known
        _refuse_many(len(names), page.asked)
    other_names = {field.other_name: field.name for field in resource.fields if field.other_name is not None}
    found: dict[str, list[Any]] = {}
    for name in sorted(names):
        values = [row.get(name) for row in objects.rows]
        if name in other_names:  # else it was taken for the field itself
            main = other_names[name]
            values = [None if row.get(main) is None else value for row, value in zip(objects.rows, values, strict=True)]
        if any(value is not None for value in values):
            found[name] = _read_unknown(name, values, objects, page)
    return found


def _read_unknown(name: str, values: list[Any], objects: Objects, page: Reading) -> list[Any]:
    if TEXT.column([name, *values]) is not None:
        return values
    read: list[Any] = []
    for index, value in enumerate(values):
        try:
            read.append(None if value is None else read_unknown(read_text(name) and value))
        except ValueError as error:
            page.errors.append(field_error(objects, index, name, str(error), quote(value)))
            read.append(None)
    return read


def unknown_columns(unknown: Mapping[str, list[Any]], page: Reading) -> dict[str, pa.Array]:
    """Column to values, by `name__v_type`. Two fields of a row must not share one: a value would be lost."""
    by_column: dict[str, list[Any]] = {}
    for name, values in unknown.items():
        column = page.name_column(name)
        together = by_column.get(column, [None] * len(values))
        for position, value in enumerate(values):
            if value is not None and (column in page.taken or together[position] is not None):
                raise InvalidRow(
                    f"{page.asked}: id {quote(page.rows[position].get('id'))}: field {quote(name)} would share column "
                    f"{quote(column)}. Nothing was loaded; please report this"
                )
        by_column[column] = [
            mine if mine is not None else theirs for mine, theirs in zip(values, together, strict=True)
        ]
    _refuse_many(len(by_column), page.asked)
    return {
        f"{column}{MARK}{data_type}": _of_type(data_type, values)
        for column, values in by_column.items()
        for data_type in sorted({data_type_of(value) for value in values if value is not None})
    }


def _of_type(data_type: DataType, values: Iterable[Any]) -> pa.Array:
    of_type = (value if value is not None and data_type_of(value) == data_type else None for value in values)
    if data_type == "json":
        of_type = (None if value is None else as_json(value) for value in of_type)
    return pa.array(of_type, ARROW[data_type])


def _refuse_many(fields: int, asked: str) -> None:
    if fields > MAX_NEW_FIELDS:
        raise InvalidRow(
            f"{asked}: more than {MAX_NEW_FIELDS} fields that are not documented. Nothing was loaded; please report "
            "this"
        )


def together(tables: Sequence[pa.Table], asked: str) -> pa.Table:
    """Pages as one table; a field that some pages lack is null in their rows. Raises InvalidRow for too many."""
    table = pa.concat_tables(tables, promote_options="default")
    _refuse_many(len({base_of(name) for name in table.column_names if MARK in name}), asked)
    return table


def base_of(column: str) -> str:
    """The column of a field that no page documents, without its type."""
    return column.rpartition(MARK)[0]


def as_json(value: Any) -> str:
    """The same text for the same value: sorted by name."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
