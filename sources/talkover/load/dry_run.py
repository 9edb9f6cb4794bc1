"""`talkover load --dry-run`: what a load would add, change and remove. It lists and compares, and ends there.

dlt extracts into a folder that is thrown away: neither the destination nor the pipeline's own folder is touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from tempfile import TemporaryDirectory
from typing import Any, Literal

import dlt
import orjson
import pyarrow as pa
from dlt.common.schema.typing import TTableSchemaColumns

from ..errors import SuspiciousRemoval
from ..sync.calls import SAME_RUN
from ..sync.compared import Compared
from ..sync.fingerprints import VOLATILE_FIELDS
from ..sync.run import Run
from ..sync.sending import as_in_table, schema_of
from ..sync.shared import Shared
from ..sync.source import talkover_source
from ..sync.tables import OWN_COLUMNS
from .failures import translate_errors
from .load import is_loaded
from .lock import WAIT_SECONDS, dataset_lock, pipeline_lock
from .pipeline import PIPELINE, Place, open_pipeline
from .remembered import notes_of_history_elsewhere
from .settings import defaults

OF_A_ROW: Mapping[str, Sequence[str]] = {
    "phone_numbers": ("number", "country_code", "type", "monthly_renewal_cost", "currency"),
    "release_requests": ("phone_number", "status"),
    "agents": ("name",),
}
"""What a row of a resource is told apart by, for people."""
NO_CHANGE = (OWN_COLUMNS - {"environment_key"}) | VOLATILE_FIELDS
"""Columns that are not compared: our own, and what moves by itself."""


@dataclass(frozen=True)
class Change:
    """What would become of a row. `row` tells it apart, `fields` are those that differ: column to old and new value."""

    change_type: Literal["added", "changed", "removed"]
    environment_key: str
    id: str
    row: dict[str, Any]
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class DryRun:
    """What a load would do: the changes of each resource, and how many rows it lists.

    `refused` is the error that it would end in; the changes are then those of a load with the flag that overrules it.
    """

    listed: dict[str, int]
    changes: dict[str, list[Change]]
    refused: SuspiciousRemoval | None
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what that has no type for as text, so that money stays exact."""
        changes = {resource: list(map(asdict, found)) for resource, found in self.changes.items()}
        refused = str(self.refused) if self.refused else None
        made = {"listed": self.listed, "changes": changes, "refused": refused, "notes": self.notes}
        plain: dict[str, Any] = json.loads(json.dumps(made, default=str))
        return plain


def dry_run(
    *,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
    wait_seconds: float = WAIT_SECONDS,
    **source_arguments: Any,
) -> DryRun:
    """Lists the account, compares it with what was loaded, and loads nothing.

    Calls are not compared: they are events, of which none is ever removed. The arguments are those of `load_account`.
    A listing that is refused is made once more to tell what it would change.

    Raises:
        TalkoverError: as `load_account` does, but SuspiciousRemoval only where two environments share ids.
    """
    where: Any = (destination, dataset, pipeline_name)
    arguments = source_arguments | {"calls": False}
    with translate_errors(), pipeline_lock(pipeline_name, wait_seconds), defaults:
        place = Place.of(open_pipeline(*where))
        is_pending = place.pipeline.has_pending_data
        notes = ["an earlier run left rows pending: the next load finishes them first"] if is_pending else []
        with dataset_lock(place, wait_seconds), _nothing_left(place), TemporaryDirectory() as folder:
            pipeline = open_pipeline(*where, folder=folder)
            if is_loaded(place):
                pipeline.sync_destination()
            notes += notes_of_history_elsewhere(place)
            try:
                return _compared(pipeline, arguments, None, notes)
            except SuspiciousRemoval as error:
                overruled = {"allow_mass_removal": True, "allow_lost_fields": True}
                return _compared(pipeline, arguments | overruled, error, notes)


@contextmanager
def _nothing_left(place: Place) -> Iterator[None]:
    """DuckDB makes a file where there is none, though nothing is written."""
    was_missing = place.is_missing
    yield
    if was_missing and place.file:
        place.file.unlink(missing_ok=True)


def _compared(
    pipeline: dlt.Pipeline, arguments: dict[str, Any], refused: SuspiciousRemoval | None, notes: list[str]
) -> DryRun:
    found: list[DryRun] = []

    def end_here(run: Run) -> None:
        """What returns nothing is the end of the way: no resource is handed a run to send."""
        listed = {resource: each.listed.rows.num_rows for resource, each in run.compared.items()}
        changes = {resource: list(_changes(resource, each, run.shared)) for resource, each in run.compared.items()}
        found.append(DryRun(listed, changes, refused, notes))

    source = talkover_source(**arguments)
    source.resources["_run"].add_map(end_here)
    with translate_errors():
        pipeline.extract(source)
    return found[0]


def _changes(resource: str, compared: Compared, shared: Shared) -> Iterator[Change]:
    """Of a resource with a change log those that it logs, so that a countdown alone is none."""
    table = compared.endpoint.log or compared.endpoint.current
    changes, rows = compared.changes[table], compared.listed.rows
    whole = schema_of(table, shared.schema)

    def listed(places: pa.ChunkedArray) -> list[dict[str, Any]]:
        return _rows_of(*as_in_table(rows.take(places), table, shared.schema))

    def held(ids: list[str]) -> dict[str, dict[str, Any]]:
        known = shared.schema.tables[table]["columns"] if ids else {}
        batches = shared.held.rows_of(table, ids, whole)
        return {row["id"]: row for batch in batches for row in _rows_of(batch, known)}

    for row in listed(changes.added):
        yield _change("added", resource, row)
    new = listed(changes.changed)
    old = held([row["id"] for row in new])
    for row in new:
        yield _change("changed", resource, row, _fields(old.get(row["id"], {}), row))
    for row in held(changes.removed["id"].to_pylist()).values():
        yield _change("removed", resource, row)


def _change(change_type: Any, resource: str, row: dict[str, Any], fields: Any = None) -> Change:
    told_by = {name: row[name] for name in OF_A_ROW[resource] if row.get(name) is not None}
    return Change(change_type, row["environment_key"], row["id"], told_by, fields or {})


def _fields(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The columns of both that differ: old and new value."""
    names = [name for name in {**new, **old} if name not in NO_CHANGE]
    both = {name: (old.get(name), new.get(name)) for name in names}
    return {name: values for name, values in both.items() if not _are_same(*values)}


def _rows_of(rows: pa.Table, columns: TTableSchemaColumns) -> list[dict[str, Any]]:
    """`rows` of a table with `columns`, with JSON as lists and objects: databases write it differently."""
    made: list[dict[str, Any]] = rows.to_pylist()
    for name in rows.column_names:
        if columns.get(name, {}).get("data_type") == "json":
            for row in made:
                row[name] = None if row[name] is None else orjson.loads(row[name])
    return made


def _are_same(old: Any, new: Any) -> bool:
    """Not every destination keeps fractions of a second."""
    if isinstance(old, datetime) and isinstance(new, datetime):
        return abs(old - new) < SAME_RUN
    return bool(old == new)
