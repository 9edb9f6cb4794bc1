"""The dlt source: listings → changes → tables. Running it again without changes writes one ledger row and nothing else.

    GET /phone-numbers                  → phone_numbers, phone_number_agents, phone_number_changes
    GET /phone-numbers/release-requests → release_requests, release_request_changes
    GET /agents, where it is wanted     → agents, agent_phone_numbers
    all these                           → load_runs
    GET /calls, where it is wanted      → calls, call_windows

Calls are events, and read by windows of days: see calls.py. Each other listing is read whole, once a run and
environment, and compared with what the destination holds: only rows that are new or differ are let through, and numbers
and agents that a complete listing no longer holds become tombstones.
`updated_at` is no cursor: countdowns, agents and late commits do not move it, and the API cannot filter by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime
from typing import Any

import dlt
from dlt.common.schema.typing import TTableSchema
from dlt.extract import DltResource, DltSource

from ..api.client import BASE_URL
from ..dlt_internals import is_filtered
from ..errors import ConfigurationError
from .database import Database
from .run import Run, WindowSent
from .settings import (
    Api,
    TalkoverConfiguration,
    aware,
    call_options_of,
    filters_of,
    left_out_of,
    more_of,
    require,
    tokens_of,
    zone_of,
)
from .shared import Options
from .tables import KEYS, MORE_RESOURCES, MORE_TABLES, TableName, hints, partitioned


@dlt.source(name="talkover", section="talkover", max_table_nesting=0, spec=TalkoverConfiguration)
def talkover_source(
    api_token: str | None = None,
    environments: Mapping[str, str] | None = None,
    *,
    base_url: str = BASE_URL,
    per_page: int = 100,
    max_concurrent_requests: int = 4,
    environment_key: str = "default",
    time_zone: str = "UTC",
    type: str | None = None,
    has_voice: bool | None = None,
    has_whatsapp: bool | None = None,
    search: str | None = None,
    observed_at: datetime | date | str | None = None,
    full_refresh: bool = False,
    allow_mass_removal: bool = False,
    allow_lost_fields: bool = False,
    accept_incomplete: bool = False,
    without: Collection[str] | None = None,
    agents: bool | None = None,
    calls: bool | None = None,
    calls_since: date | datetime | str | None = None,
    calls_lookback_days: int = 3,
    calls_window_days: int = 14,
    calls_most_windows: int | None = None,
    keep_callers: bool = False,
    caller_key: str | None = None,
) -> Any:
    """Phone numbers and release requests of one Talkover environment, or of several; agents and calls where wanted.

    Args:
        api_token: environment token, `talq_…`; TALKOVER_TOKEN where nothing else is set.
        environments: name to token, for several environments in one run, instead of `api_token`.
        base_url: https, or http to loopback.
        per_page: rows a page, 1 to 100 by the API's documentation.
        max_concurrent_requests: pages fetched concurrently.
        environment_key: name of the one environment in the tables.
        time_zone: zone of the API's days, such as `America/Sao_Paulo`: where it sends an instant for a day, that is
            midnight there. All other instants are UTC.
        type, has_voice, has_whatsapp, search: the API's filters of numbers; a filtered listing removes nothing.
        observed_at: the instant that changes are dated with, now unless given; never before an earlier run's. A day or
            ISO 8601 text will do; UTC unless it says otherwise.
        full_refresh: sends every row of the current tables again; change logs stay as they are.
        allow_mass_removal: takes a listing that removes most numbers for right.
        allow_lost_fields: takes a listing for right that lacks a field which most rows had.
        accept_incomplete: loads a listing that never matches the API's total, without removing.
        without: `phone_numbers` or `release_requests`, left out: not requested, its tables as they are or made empty.
        agents, calls: loads those, too; where not given, what the setting `with` names, or `with_resources`.
        calls_since: the first day of calls to load; 90 days before the first run unless given.
        calls_lookback_days: how many days a call may go on changing: days are read again until they are older.
        calls_window_days: how many days of calls are read, proven whole and held in memory at a time.
        calls_most_windows: how many such windows one run reads, all unless given; the next run goes on from there.
        keep_callers: loads the other party's telephone number; else its country and a keyed hash alone.
        caller_key: the secret that telephone numbers are hashed with, 16 characters or more; one is made unless given.

    Raises:
        ConfigurationError: here, before any request is sent. Other TalkoverErrors end the extract step.
    """
    # A text of a field that is not documented stays text: what one row holds must not decide for all later ones.
    dlt.current.source_schema().remove_type_detection("iso_timestamp")
    require(
        bool,
        "True or False",
        full_refresh=full_refresh,
        allow_mass_removal=allow_mass_removal,
        allow_lost_fields=allow_lost_fields,
        accept_incomplete=accept_incomplete,
    )
    tokens = tokens_of(api_token, environments, environment_key)
    api = Api.of(tokens, base_url, per_page, max_concurrent_requests)
    options = Options(
        filters=filters_of(type=type, has_voice=has_voice, has_whatsapp=has_whatsapp, search=search),
        time_zone=zone_of(time_zone),
        observed_at=aware(observed_at),
        full_refresh=full_refresh,
        allow_mass_removal=allow_mass_removal,
        allow_lost_fields=allow_lost_fields,
        accept_incomplete=accept_incomplete,
        without=left_out_of(without),
        calls=call_options_of(
            since=calls_since,
            lookback_days=calls_lookback_days,
            window_days=calls_window_days,
            most_windows=calls_most_windows,
            keep_callers=keep_callers,
            caller_key=caller_key,
        ),
    )

    more = more_of({"agents": agents, "calls": calls})

    wanted = {table for resource in more for table in MORE_RESOURCES[resource]}

    @dlt.resource(name="_run", selected=False)
    def start_run() -> Iterator[Run]:
        source = dlt.current.source()
        tables = [table for table in KEYS if table in source.selected_resources]
        _refuse_calls_without_ledger(tables)
        schemas = {table: _schema_of(table, source) for table in tables}
        yield Run(api.clients(), options, source.schema, schemas, database=Database())

    @dlt.transformer(data_from=start_run, name="_windows", selected=False)
    def windows(run: Run) -> Iterator[WindowSent]:
        yield from run.windows()

    def resource(table: TableName) -> DltResource:
        def rows(run: Run) -> Iterator[Any]:
            yield from run.rows(table)

        def rows_of_window(window: WindowSent) -> Iterator[Any]:
            yield from window.calls if table == "calls" else [window.ledger_row]

        is_selected = table not in MORE_TABLES or table in wanted
        of_calls = table in MORE_RESOURCES["calls"]
        parent, made = (windows, rows_of_window) if of_calls else (start_run, rows)
        transformer = dlt.transformer(made, data_from=parent, name=table, selected=is_selected, **hints(table))
        return partitioned(transformer)

    return start_run, windows, *map(resource, KEYS)


def _refuse_calls_without_ledger(tables: Collection[TableName]) -> None:
    if len({"calls", "call_windows"}.intersection(tables)) == 1:
        raise ConfigurationError(
            "calls and call_windows belong together: by the second the next run knows what is loaded. Select both"
        )


def _schema_of(table: TableName, source: DltSource) -> TTableSchema:
    """The schema that dlt will load `table` with.

    Raises ConfigurationError where its rows would not all arrive under their own name and key: the next run compares
    with what the table holds, and would take what is missing for a change.
    """
    resource = source.resources[table]
    schema = resource.compute_table_schema()
    contract = source.schema.resolve_contract_settings_for_table(table, schema)
    if resource.incremental is not None:
        raise ConfigurationError(
            f"{table}: no incremental cursor can stand on it, because updated_at does not move when a number renews or "
            "its agents change, so those rows would be stale for ever. Leave it out: each run sends only what differs"
        )
    if is_filtered(resource):
        raise ConfigurationError(
            f"{table}: a filter on it would make every run send the filtered rows again. Leave it out, and filter by "
            "the arguments of talkover_source or by SQL"
        )
    if refused := {what: mode for what, mode in contract.items() if mode != "evolve"}:
        raise ConfigurationError(
            f"{table}: the schema contract {refused} would keep rows or values out of the table, and the next run "
            "counts on them. Leave it at 'evolve': each row is checked before it is sent"
        )
    if schema["name"] != table:
        raise ConfigurationError(
            f"{table}: its rows cannot go into table {schema['name']!r}, since the next run reads {table!r}. Rename it "
            "with a view of yours"
        )
    keys = [name for name, column in schema["columns"].items() if column.get("primary_key")]
    merge_keys = [name for name, column in schema["columns"].items() if column.get("merge_key")]
    if set(keys) != set(KEYS[table]) or merge_keys:
        raise ConfigurationError(
            f"{table}: it is merged on its primary key ({', '.join(KEYS[table])}) alone, not on "
            f"{', '.join(keys + merge_keys) or 'none'}"
        )
    return schema
