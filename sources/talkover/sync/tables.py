"""The tables that a run writes: columns with type and meaning, and keys. All of them are flat and merged on their key.

Flat, because a load that is killed at the wrong moment can double rows of dlt's nested tables; merged, because what is
sent twice must not stand twice.
"""

from __future__ import annotations

from typing import Any, Literal

from dlt.common.data_types import TDataType
from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns

from ..api.fields import AGENT, AGENTS_MEANING, COUNTDOWNS, PHONE_NUMBER, RELEASE_REQUEST, Resource
from ..api.money import MONEY_DIGITS, MONEY_PLACES
from ..dlt_internals import ROW_COLUMNS

TableName = Literal[
    "phone_numbers",
    "phone_number_agents",
    "phone_number_changes",
    "release_requests",
    "release_request_changes",
    "load_runs",
]
LEDGER_RESOURCES: tuple[TableName, ...] = ("phone_numbers", "release_requests")
CHANGE_LOGS: tuple[TableName, ...] = ("phone_number_changes", "release_request_changes")
OWN_COLUMNS = frozenset(
    {"environment_key", "row_fingerprint", "_removed", "change_type", "changed_at", "_dlt_id", "_dlt_load_id"}
)
"""Columns that a field of the API must not fill."""
REMOVED = "_removed"
"""Column of the tombstones: dlt deletes the row of that key instead of writing it. Always null in the table."""

MERGE: Any = {"disposition": "merge", "strategy": "delete-insert"}

KEYS: dict[TableName, tuple[str, ...]] = {
    "phone_numbers": ("id",),
    "phone_number_agents": ("phone_number_id", "agent_id"),
    "phone_number_changes": ("id", "changed_at"),
    "release_requests": ("id",),
    "release_request_changes": ("id", "changed_at"),
    "load_runs": ("run_id", "environment_key"),
}


def hints(table: TableName) -> dict[str, Any]:
    """Arguments for dlt's resource decorators. Made anew each time: dlt writes into them."""
    made: dict[str, Any] = {
        "primary_key": KEYS[table],
        "write_disposition": dict(MERGE),
        "columns": columns(table) | ROW_COLUMNS,
    }
    if table == "load_runs":
        made["file_format"] = "preferred"  # a row or two a run: not worth the start of what writes large files
    return made


def columns(table: TableName) -> TTableSchemaColumns:
    """Every column that is known before the first row, in order."""
    if table == "phone_numbers":
        made = resource_columns(PHONE_NUMBER) | _origin_columns() | _tombstone_column()
    elif table == "phone_number_agents":
        number = _column("phone_number_id", "text", "id of the number")
        of_all = _column(
            "row_fingerprint", "text", "hash of all agents on the number, for comparing with the next listing"
        )
        made = number | resource_columns(AGENT, prefix="agent_") | _origin_columns() | of_all | _tombstone_column()
    elif table == "phone_number_changes":
        made = _without(resource_columns(PHONE_NUMBER), COUNTDOWNS) | _origin_columns() | _change_columns("removed")
    elif table == "release_requests":
        made = resource_columns(RELEASE_REQUEST) | _origin_columns()
    elif table == "release_request_changes":
        made = resource_columns(RELEASE_REQUEST) | _origin_columns() | _change_columns()
    else:
        made = _ledger_columns()
    for key in KEYS[table]:
        made[key]["nullable"] = False
    return made


def resource_columns(resource: Resource, prefix: str = "") -> TTableSchemaColumns:
    """The columns of a resource's rows."""
    made: TTableSchemaColumns = {}
    for field in resource.fields:
        made |= _column(prefix + field.name, field.kind.data_type, field.meaning)
    for name, within in resource.objects.items():
        made |= resource_columns(within, f"{prefix}{name}__")
    for name in resource.lists:
        made |= _column(prefix + name, "json", AGENTS_MEANING)
    return made


def _origin_columns() -> TTableSchemaColumns:
    return _column("environment_key", "text", "which of your configured environments listed it") | _column(
        "row_fingerprint", "text", "hash of the row's values, for comparing with the next listing"
    )


def _tombstone_column() -> TTableSchemaColumns:
    column = _column(REMOVED, "bool", "always null: marks rows to delete on their way here")
    column[REMOVED]["hard_delete"] = True
    return column


def _change_columns(*more_types: str) -> TTableSchemaColumns:
    types = ", ".join(("added", "changed", *more_types))
    return _column("change_type", "text", types) | _column("changed_at", "timestamp", "when a run saw it, UTC")


def _ledger_columns() -> TTableSchemaColumns:
    made = (
        _column("run_id", "text", "id of the run")
        | _column("environment_key", "text", "which of your configured environments")
        | _column("started_at", "timestamp", "start of the run, UTC")
        | _column("observed_at", "timestamp", "the instant that the run's changes are dated with, UTC")
        | _column("requests_made", "bigint", "requests sent to the API, retries included")
        | _column("requests_a_minute", "bigint", "the most of them within 60 seconds")
        | _column("connector_version", "text", "version of this connector")
    )
    for resource in LEDGER_RESOURCES:
        what = resource.replace("_", " ")
        made |= (
            _column(f"{resource}_listed_at", "timestamp", f"when {what} were listed, UTC; null: not requested")
            | _column(f"{resource}_listed", "bigint", f"{what} in the listing")
            | _column(f"{resource}_total", "bigint", f"{what} by the API's own count; null: it gave none")
            | _column(f"{resource}_complete", "bool", "the listing was proven complete and was not filtered")
            | _column(f"{resource}_added", "bigint", f"{what} seen for the first time, or again")
            | _column(f"{resource}_changed", "bigint", f"{what} that changed; a countdown alone is no change")
            | _column(f"{resource}_removed", "bigint", f"{what} no longer listed")
        )
    return made


def _column(name: str, data_type: TDataType, description: str) -> TTableSchemaColumns:
    column: TColumnSchema = {"name": name, "data_type": data_type, "nullable": True, "description": description}
    if data_type == "decimal":
        column |= {"precision": MONEY_DIGITS, "scale": MONEY_PLACES}
    return {name: column}


def _without(made: TTableSchemaColumns, names: set[str] | frozenset[str]) -> TTableSchemaColumns:
    return {name: column for name, column in made.items() if name not in names}
