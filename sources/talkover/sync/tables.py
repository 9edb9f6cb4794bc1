"""The tables that a run writes: columns with type and meaning, and keys. All of them are flat and merged on their key.

Flat, because a load that is killed at the wrong moment can double rows of dlt's nested tables; merged, because what is
sent twice must not stand twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dlt.common.data_types import TDataType
from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns
from dlt.destinations.adapters import bigquery_adapter
from dlt.extract import DltResource

from ..api.fields import (
    AGENT,
    AGENT_ON_NUMBER,
    CALL,
    COUNTDOWNS,
    NUMBER_OF_AGENT,
    PHONE_NUMBER,
    RELEASE_REQUEST,
    Resource,
)
from ..api.money import MONEY_DIGITS, MONEY_PLACES
from ..dlt_internals import ROW_COLUMNS

TableName = Literal[
    "phone_numbers",
    "phone_number_agents",
    "phone_number_changes",
    "release_requests",
    "release_request_changes",
    "agents",
    "agent_phone_numbers",
    "calls",
    "call_windows",
    "load_runs",
]
RESOURCES: tuple[TableName, ...] = ("phone_numbers", "release_requests")
"""What is loaded unless it is left out."""
MORE_RESOURCES: Mapping[str, tuple[TableName, ...]] = {
    "agents": ("agents", "agent_phone_numbers"),
    "calls": ("calls", "call_windows"),
}
"""What is loaded where it is asked for, and the tables that are there from the first run on that was."""
MORE_TABLES = tuple(table for tables in MORE_RESOURCES.values() for table in tables)
LEDGER_RESOURCES: tuple[TableName, ...] = (*RESOURCES, "agents")
"""What is listed whole. Calls have a ledger of their own, `call_windows`."""
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
    "agents": ("id",),
    "agent_phone_numbers": ("agent_id", "phone_number_id"),
    "calls": ("id",),
    "call_windows": ("environment_key", "first_day", "last_day"),
    "load_runs": ("run_id", "environment_key"),
}


def hints(table: TableName) -> dict[str, Any]:
    """Arguments for dlt's resource decorators. Made anew each time: dlt writes into them."""
    made: dict[str, Any] = {
        "primary_key": KEYS[table],
        "write_disposition": dict(MERGE),
        "columns": columns(table) | ROW_COLUMNS,
    }
    if table in ("load_runs", "call_windows"):
        made["file_format"] = "preferred"  # a row or two a run: not worth the start of what writes large files
    return made


def partitioned(resource: DltResource) -> DltResource:
    """`resource`, with what BigQuery lays its table out by.

    It bills what a query reads, and a window of calls is compared with the calls that are held of its days.
    """
    if resource.name != "calls":
        return resource
    return bigquery_adapter(resource, partition="created_at", cluster=["environment_key", "phone_number"])


def columns(table: TableName) -> TTableSchemaColumns:
    """Every column that is known before the first row, in order."""
    if table == "phone_numbers":
        made = resource_columns(PHONE_NUMBER) | _origin_columns() | _tombstone_column()
    elif table == "phone_number_agents":
        number = _column("phone_number_id", "text", "id of the number")
        made = number | resource_columns(AGENT_ON_NUMBER, prefix="agent_") | _link_columns("all agents on the number")
    elif table == "phone_number_changes":
        made = _without(resource_columns(PHONE_NUMBER), COUNTDOWNS) | _origin_columns() | _change_columns("removed")
    elif table == "release_requests":
        made = resource_columns(RELEASE_REQUEST) | _origin_columns()
    elif table == "release_request_changes":
        made = resource_columns(RELEASE_REQUEST) | _origin_columns() | _change_columns()
    elif table == "agents":
        made = resource_columns(AGENT) | _origin_columns() | _tombstone_column()
    elif table == "agent_phone_numbers":
        agent = _column("agent_id", "text", "id of the agent")
        made = agent | resource_columns(NUMBER_OF_AGENT, prefix="phone_number_") | _link_columns("all its numbers")
    elif table == "calls":
        made = _call_columns() | _origin_columns()
    elif table == "call_windows":
        made = _window_columns()
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
    for name, within in resource.lists.items():
        made |= _column(prefix + name, "json", within.meaning)
    return made


def _origin_columns() -> TTableSchemaColumns:
    return _column("environment_key", "text", "which of your configured environments listed it") | _column(
        "row_fingerprint", "text", "hash of the row's values, for comparing with the next listing"
    )


def _link_columns(of_all: str) -> TTableSchemaColumns:
    fingerprint = _column("row_fingerprint", "text", f"hash of {of_all}, for comparing with the next listing")
    return _origin_columns() | fingerprint | _tombstone_column()


def _tombstone_column() -> TTableSchemaColumns:
    column = _column(REMOVED, "bool", "always null: marks rows to delete on their way here")
    column[REMOVED]["hard_delete"] = True
    return column


def _change_columns(*more_types: str) -> TTableSchemaColumns:
    types = ", ".join(("added", "changed", *more_types))
    return _column("change_type", "text", types) | _column("changed_at", "timestamp", "when a run saw it, UTC")


def _call_columns() -> TTableSchemaColumns:
    """Those of a call, with `from` and `to` as the number that is the account's and what may be kept of the other."""
    fields = _without(resource_columns(CALL), {"from", "to"})
    return (
        fields
        | _column("phone_number", "text", "the account's number on the call, in E.164 form; null is unknown")
        | _column("party_country_code", "text", "ISO country code of the other party's number")
        | _column("party_hash", "text", "keyed hash of the other party's number: the same for the same number")
        | _column("party_number", "text", "the other party's number; null unless keep_callers is set")
    )


def _window_columns() -> TTableSchemaColumns:
    return (
        _column("environment_key", "text", "which of your configured environments")
        | _column("first_day", "date", "first day of the window; the day before it was requested, too")
        | _column("last_day", "date", "last day of the window; the day after it was requested, too")
        | _column("observed_at", "timestamp", "the instant of the run, UTC")
        | _column("read_at", "timestamp", "when its calls were listed, UTC")
        | _column("listed", "bigint", "calls in the listing")
        | _column("total", "bigint", "calls by the API's own count; null: it gave none")
        | _column("complete", "bool", "the listing was proven complete")
        | _column("added", "bigint", "calls seen for the first time")
        | _column("changed", "bigint", "calls that changed since they were loaded")
        | _column("requests_made", "bigint", "requests sent to the API for it, retries included")
        | _column("requests_a_minute", "bigint", "the most within 60 seconds until then, of all windows of the run")
        | _column("caller_key_id", "text", "tells apart the keys that hash the other parties")
    )


def _ledger_columns() -> TTableSchemaColumns:
    made = (
        _column("run_id", "text", "id of the run")
        | _column("environment_key", "text", "which of your configured environments")
        | _column("started_at", "timestamp", "start of the run, UTC")
        | _column("observed_at", "timestamp", "the instant that the run's changes are dated with, UTC")
        | _column("requests_made", "bigint", "requests sent to the API, retries included")
        | _column("requests_a_minute", "bigint", "the most of them within 60 seconds")
        | _column("connector_version", "text", "version of this connector")
        | _column(
            "hashed_as", "text", "the environment's first name, which row_fingerprint goes by; null: it is the same"
        )
        | _column("is_retired", "bool", "true: no run, but the end of the environment; else null")
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
