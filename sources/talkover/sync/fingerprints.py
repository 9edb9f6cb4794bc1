"""One row an id, and its fingerprints: hashes that show whether anything in it differs from an earlier listing.

Their making must never change, or every number of every user would be logged as changed: the tests pin some, on the
oldest and the newest DuckDB. A field that is null or absent leaves a fingerprint as it is, so a new field that no row
fills changes none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ..api.fields import COUNTDOWNS
from .database import Database, identifier, literal

VOLATILE_FIELDS = COUNTDOWNS | {"updated_at"}
"""Fields whose changes alone make no row in a change log: countdowns of the server, and the instant of an update."""
HEX_DIGITS = 16
"""64 bits: a fingerprint is compared with the earlier one of the same row alone, so two rows never meet."""


LATEST = """
select position from rows
qualify row_number() over (partition by id order by {updated_at} desc nulls last, position desc) = 1
order by position
"""
FINGERPRINTS = """
select
    position,
    left(md5(steady || volatile), {digits}) as fingerprint,
    left(steady, {digits}) as change_fingerprint,
    left(md5(links), {digits}) as links_fingerprint
from (
    select position, md5({steady}) as steady, {volatile} as volatile, {links} as links
    from (select * replace ({hashed_as} as environment_key) from rows)
)
"""


def with_fingerprints(
    rows: pa.Table, database: Database, links: str | None = None, hashed_as: Mapping[str, str] | None = None
) -> pa.Table:
    """`rows`, of each id the one that was updated last (of equal ones the last listed), with three columns more.

    `fingerprint` is of all columns, `change_fingerprint` of those that count as a change, `links_fingerprint` of the
    list `links`, such as the agents on a number; that one is null where it is empty or unknown. An environment in
    `hashed_as` counts under the name that it has there: that of its first run, since a new name is no change of a row.
    """
    rows = _one_row_an_id(rows, database)
    names = rows.column_names
    query = FINGERPRINTS.format(
        steady=_text_of_all(rows.schema, [name for name in names if name not in VOLATILE_FIELDS]),
        volatile=_text_of_all(rows.schema, [name for name in names if name in VOLATILE_FIELDS]),
        links="cast(null as varchar)"
        if links is None
        else f"case when {identifier(links)} <> '[]' then {identifier(links)} || ' ' || environment_key end",
        hashed_as=_in_case("environment_key", hashed_as or {}),
        digits=HEX_DIGITS,
    )
    made = database.query(query, rows=with_position(rows)).sort_by("position")
    for name in made.column_names[1:]:
        rows = rows.append_column(name, made[name])
    return rows


def _in_case(column: str, values: Mapping[str, str]) -> str:
    """SQL for `column`, with each value that is in `values` as the one that it has there."""
    cases = " ".join(f"when {literal(value)} then {literal(other)}" for value, other in values.items())
    return f"case {column} {cases} else {column} end" if cases else column


def _one_row_an_id(rows: pa.Table, database: Database) -> pa.Table:
    if pc.count_distinct(rows["id"]).as_py() == rows.num_rows:
        return rows
    updated_at = "updated_at" if "updated_at" in rows.column_names else "null"
    kept = rows.select([name for name in ("id", "updated_at") if name in rows.column_names])
    return rows.take(database.query(LATEST.format(updated_at=updated_at), rows=with_position(kept))["position"])


def with_position(rows: pa.Table) -> pa.Table:
    """`rows` with their places: an answer of SQL may come in another order."""
    return rows.append_column("position", pa.array(range(rows.num_rows), pa.int64()))


def _text_of_all(schema: pa.Schema, names: Collection[str]) -> str:
    """SQL for the columns `names` as one text, in order, without those that are null: `;name=1.5;name:length:text`."""
    return f"concat({', '.join(_text_of(schema.field(name)) for name in sorted(names))})" if names else "''"


def _text_of(column: pa.Field) -> str:
    """The same on every machine: an instant is microseconds, whatever the session's time zone."""
    name = identifier(column.name)
    if pa.types.is_string(column.type):
        return f"{literal(f';{column.name}:')} || strlen({name}) || ':' || {name}"
    value = f"epoch_us({name})" if pa.types.is_timestamp(column.type) else name
    return f"{literal(f';{column.name}=')} || {value}"
