"""The rows of a page as an Arrow table, column by column: whole where Arrow takes a column as it is, else by value.

    [{"id": "a", "current_price": "1.00", "label": "x"}, …] → id text, current_price decimal, …, label__v_text text

Null and absent are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timezone, tzinfo
from itertools import islice
from operator import itemgetter
from typing import Any

import pyarrow as pa

from .fields import Field, Resource
from .reading import FieldError, Json, NameColumn, Objects, Reading, field_error, quote
from .unknown import as_json, unknown_columns, unknown_values


def read_table(
    resource: Resource,
    rows: Sequence[Json],
    asked: str,
    *,
    time_zone: tzinfo = timezone.utc,
    name_column: NameColumn = str,
    taken: Collection[str] = (),
) -> pa.Table:
    """`rows` of the API as a table; an instant for a day is midnight in `time_zone`.

    `name_column` gives the column of a field that no page documents. Raises InvalidRow that names `asked`, row, id,
    field and value of the first error, and where two fields would share a column, or one fill one of `taken`.
    """
    page = Reading(asked, rows, time_zone, name_column, {*resource.columns, *taken})
    objects = Objects(rows, lambda position: (position, ""))
    columns = _known_columns(resource, objects, page)
    unknown = unknown_values(resource, objects, page)
    for name, within in resource.objects.items():
        inner = _objects_within(name, rows, page)
        columns |= {f"{name}__{column}": values for column, values in _known_columns(within, inner, page).items()}
        unknown |= {f"{name}__{column}": values for column, values in unknown_values(within, inner, page).items()}
    for name, within in resource.lists.items():
        columns[name] = _lists_as_json(name, within, rows, page)
    page.raise_errors()
    return pa.table(columns | unknown_columns(unknown, page))


# Fields of the reference pages.


def _known_columns(resource: Resource, objects: Objects, page: Reading) -> dict[str, pa.Array]:
    return {field.name: _column(field, objects, page) for field in resource.fields}


def _column(field: Field, objects: Objects, page: Reading) -> pa.Array:
    values = [row.get(field.name) for row in objects.rows]
    if field.other_name is not None:
        other = field.other_name
        values = [row.get(other) if value is None else value for row, value in zip(objects.rows, values, strict=True)]
    column = field.kind.column(values)
    return pa.array(_one_by_one(field, values, objects, page), field.kind.arrow) if column is None else column


def _one_by_one(field: Field, values: Sequence[Any], objects: Objects, page: Reading) -> list[Any]:
    is_required = type(None) not in field.kind.types
    read: list[Any] = [None] * len(values)
    for index, value in enumerate(values):
        if value is None and not is_required:
            continue
        if field.name not in objects.rows[index] and is_required:
            page.errors.append(field_error(objects, index, field.name, "is required", "missing"))
            continue
        try:
            read[index] = field.kind.read(value, page.time_zone)
        except ValueError as error:
            shown = "a value that may be personal" if field.is_personal else quote(value)
            page.errors.append(field_error(objects, index, field.name, str(error), shown))
    return read


# Objects and lists within a row.


def _objects_within(name: str, rows: Sequence[Json], page: Reading) -> Objects:
    """The objects in field `name`; PHP writes one without members as an empty list."""
    values: list[Any] = [row.get(name) for row in rows]
    if not {dict}.issuperset(map(type, values)):
        for position, value in enumerate(values):
            if value not in (None, [], "") and not isinstance(value, dict):
                page.errors.append(FieldError(position, name, "must be an object", quote(value)))
        values = [value if isinstance(value, dict) else {} for value in values]
    return Objects(values, lambda position: (position, f"{name}."))


def _lists_as_json(name: str, resource: Resource, rows: Sequence[Json], page: Reading) -> pa.Array:
    """The lists in field `name`, each as JSON that is the same for the same objects; null where it is unknown."""
    lists = _lists(name, rows, page)
    flat = [one for given in lists if given for one in given]

    def place(index: int) -> tuple[int, str]:
        places = [(position, inner) for position, given in enumerate(lists) for inner in range(len(given or ()))]
        return places[index][0], f"{name}.{places[index][1]}."

    objects = Objects(flat, place)
    known, unknown = _known_columns(resource, objects, page), unknown_values(resource, objects, page)
    page.raise_errors()
    members = {field: values.to_pylist() for field, values in known.items()} | unknown
    names = list(members)
    read = iter(
        [
            {name: value for name, value in zip(names, values, strict=True) if value is not None}
            for values in zip(*members.values(), strict=True)
        ]
    )
    by_id = itemgetter("id")
    return pa.array(
        [
            as_json(sorted(islice(read, len(given)), key=by_id)) if given else None if given is None else "[]"
            for given in lists
        ],
        pa.string(),
    )


def _lists(name: str, rows: Sequence[Json], page: Reading) -> list[list[Json] | None]:
    """PHP writes a filtered list as an object with numeric keys."""
    values = [row.get(name) for row in rows]
    if not {list, type(None)}.issuperset(map(type, values)):
        values = [_list(name, position, value, page) for position, value in enumerate(values)]
    if not {dict}.issuperset(type(one) for given in values if given for one in given):
        for position, given in enumerate(values):
            for index, one in enumerate(given or ()):
                if not isinstance(one, dict):
                    page.errors.append(FieldError(position, f"{name}.{index}", "must be an object", quote(one)))
        page.raise_errors()
    return values


def _list(name: str, position: int, value: Any, page: Reading) -> list[Json] | None:
    if value is None or value == "":
        return None
    given = list(value.values()) if isinstance(value, dict) and all(map(str.isdecimal, value)) else value
    if isinstance(given, list):
        return given
    page.errors.append(FieldError(position, name, "must be a list", quote(value)))
    return None
