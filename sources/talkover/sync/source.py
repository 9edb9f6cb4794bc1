"""The dlt source: listings → changes → tables. Running it again without changes writes one ledger row and nothing else.

    GET /phone-numbers                  → phone_numbers, phone_number_agents, phone_number_changes
    GET /phone-numbers/release-requests → release_requests, release_request_changes
    both                                → load_runs

Each listing is read whole, once a run and environment, and compared with what the destination holds: only rows that are
new or differ are let through, and numbers that a complete listing no longer holds become tombstones. `updated_at` is no
cursor: countdowns, agents and late commits do not move it, and the API cannot filter by it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, tzinfo
from functools import partial
from typing import Annotated, Any, Optional
from zoneinfo import ZoneInfo

import dlt
from dlt.common.configuration import configspec, known_sections, resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.schema.typing import TTableSchema
from dlt.common.typing import SecretSentinel, TSecretStrValue
from dlt.extract import DltResource, DltSource

from ..api.client import BASE_URL, TalkoverClient
from ..api.transport import Transport
from ..dlt_internals import is_filtered, values_for_tables
from ..errors import ConfigurationError
from ..instants import read_instant
from .database import Database
from .run import Run
from .shared import Options
from .tables import KEYS, LEDGER_RESOURCES, TableName, hints

ENVIRONMENT_VARIABLE = "TALKOVER_TOKEN"
"""Where the vendor's own documentation keeps the token."""


@configspec
class TalkoverConfiguration(BaseConfiguration):
    """What dlt takes from `[sources.talkover]` or `SOURCES__TALKOVER__…` for arguments that are not given."""

    api_token: Optional[TSecretStrValue] = None
    # As a plain dict of secrets the tokens would stand in dlt's trace.
    environments: Optional[Annotated[dict[str, str], SecretSentinel]] = None
    base_url: str = BASE_URL
    per_page: int = 100
    max_concurrent_requests: int = 4
    environment_key: str = "default"
    time_zone: str = "UTC"
    without: Optional[list[str]] = None


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
) -> Any:
    """Phone numbers and release requests of one Talkover environment, or of several.

    Args:
        api_token: environment token, `talq_…`; TALKOVER_TOKEN where nothing else is set.
        environments: name to token, for several environments in one run, instead of `api_token`.
        base_url: https, or http to loopback.
        per_page: rows a page, 1 to 100 by the API's documentation.
        max_concurrent_requests: pages asked for side by side.
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
        without: `phone_numbers` or `release_requests`, to be left out: not asked, its tables as they are or made empty.

    Raises:
        ConfigurationError: here, before anything is asked. Other TalkoverErrors end the extract step.
    """
    # A text of a field that is not documented stays text: what one row holds must not decide for all later ones.
    dlt.current.source_schema().remove_type_detection("iso_timestamp")
    _refuse_misfits(
        bool,
        "True or False",
        full_refresh=full_refresh,
        allow_mass_removal=allow_mass_removal,
        allow_lost_fields=allow_lost_fields,
        accept_incomplete=accept_incomplete,
    )
    tokens = _tokens(api_token, environments, environment_key)
    make_clients = partial(_clients, tokens, base_url, per_page, max_concurrent_requests)
    make_clients()  # what cannot work is an error here, while each run has clients of its own
    options = Options(
        filters=_filters(type=type, has_voice=has_voice, has_whatsapp=has_whatsapp, search=search),
        time_zone=_zone(time_zone),
        observed_at=_aware(observed_at),
        full_refresh=full_refresh,
        allow_mass_removal=allow_mass_removal,
        allow_lost_fields=allow_lost_fields,
        accept_incomplete=accept_incomplete,
        without=_left_out(without),
    )

    @dlt.resource(name="_run", selected=False)
    def start_run() -> Iterator[Run]:
        source = dlt.current.source()
        tables = [table for table in KEYS if table in source.selected_resources]
        schemas = {table: _schema_of(table, source) for table in tables}
        yield Run(make_clients(), options, source.schema, schemas, database=Database())

    def resource(table: TableName) -> DltResource:
        def rows(run: Run) -> Iterator[Any]:
            yield from run.rows(table)

        return dlt.transformer(rows, data_from=start_run, name=table, **hints(table))

    return start_run, *map(resource, KEYS)


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


def configured_clients() -> dict[str, TalkoverClient]:
    """The clients that `talkover_source()` would use. Raises ConfigurationError."""
    found = _configured()
    tokens = _tokens(found.api_token, found.environments, found.environment_key)
    _zone(found.time_zone)
    return _clients(tokens, found.base_url, found.per_page, found.max_concurrent_requests)


def configured_without() -> frozenset[str]:
    """The resources that `talkover_source()` would not ask for. Raises ConfigurationError."""
    return _left_out(_configured().without)


def _configured() -> TalkoverConfiguration:
    return resolve_configuration(TalkoverConfiguration(), sections=(known_sections.SOURCES, "talkover"))


def _left_out(without: Collection[str] | None) -> frozenset[str]:
    """The resources that are not to be asked. Raises ConfigurationError for another name, and for all of them."""
    _refuse_misfits(Collection, "a list of names", without=without)
    left_out = frozenset([without] if isinstance(without, str) else without or ())
    both = " and ".join(LEDGER_RESOURCES)
    if strange := sorted(left_out.difference(LEDGER_RESOURCES)):
        raise ConfigurationError(f"without names {strange[0]!r}: it may leave out {both.replace(' and ', ' or ')}")
    if left_out.issuperset(LEDGER_RESOURCES):
        raise ConfigurationError(f"without names {both}: nothing would be left to load")
    return left_out


def _tokens(api_token: str | None, environments: Mapping[str, str] | None, environment_key: str) -> Mapping[str, str]:
    """Environment to token. Raises ConfigurationError."""
    _refuse_values_for_tables()
    _refuse_misfits(str, "text", api_token=api_token, environment_key=environment_key)
    _refuse_misfits(Mapping, "names and the token of each", environments=environments)
    for key in (environment_key, *(environments or ())):
        if not isinstance(key, str) or not key.strip():
            raise ConfigurationError(f"{key!r} cannot be the name of an environment: give it a text")
    if environments and api_token:
        raise ConfigurationError(
            "api_token and environments are both set: several environments need environments alone"
        )
    if not environments:
        return {environment_key: api_token or os.environ.get(ENVIRONMENT_VARIABLE, "")}
    if strange := [key for key, token in environments.items() if not isinstance(token, str)]:
        raise ConfigurationError(f"environments: the token of {strange[0]!r} is no text")
    names = {token: key for key, token in environments.items()}
    if len(names) < len(environments):
        raise ConfigurationError("two environments have the same token: their numbers would be counted twice")
    return environments


def _clients(
    tokens: Mapping[str, str], base_url: str, per_page: int, max_concurrent_requests: int
) -> dict[str, TalkoverClient]:
    """A client an environment, with dlt's own settings for requests (`RUNTIME__REQUEST_…`)."""
    _refuse_misfits(str, "text", base_url=base_url)
    _refuse_misfits(int, "a whole number", per_page=per_page, max_concurrent_requests=max_concurrent_requests)
    if per_page < 1 or max_concurrent_requests < 1:
        raise ConfigurationError("per_page and max_concurrent_requests must be at least 1")
    runtime = dlt.current.run_context().runtime_config
    clients = {}
    for key, token in tokens.items():
        transport = Transport(
            token,
            base_url,
            environment=key,
            connections=max_concurrent_requests,
            timeout=runtime.request_timeout,
            max_attempts=runtime.request_max_attempts,
            backoff=runtime.request_backoff_factor,
            max_wait=runtime.request_max_retry_delay,
        )
        clients[key] = TalkoverClient(
            transport,
            per_page=per_page,
            max_concurrent_requests=max_concurrent_requests,
            reading_pause=runtime.request_backoff_factor,
        )
    return clients


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):  # not found, no name of a file, a folder, no text
        raise ConfigurationError(
            f'time_zone {name!r} is not known: give a name such as "UTC" or "America/Sao_Paulo"'
        ) from None


def _filters(**given: str | bool | None) -> dict[str, str]:
    """The API's query parameters of the filters that are given. Raises ConfigurationError."""
    for name, value in given.items():
        kind, what = (bool, "True or False") if name.startswith("has_") else (str, "text")
        _refuse_misfits(kind, what, **{name: value})
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
        if value is not None
    }


def _aware(given: datetime | date | str | None) -> datetime | None:
    try:
        return None if given is None else read_instant(given)
    except ValueError as error:
        raise ConfigurationError(f"observed_at: {error}") from None


def _refuse_values_for_tables() -> None:
    for name, file in values_for_tables("sources", "talkover"):
        raise ConfigurationError(
            f"{name} in {file} is a value, but should be a table: write [sources.talkover] above settings"
        )


def _refuse_misfits(kind: type, what: str, **given: Any) -> None:
    """Raises ConfigurationError for an argument of another type. It may be a secret, and is not quoted."""
    for name, value in given.items():
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise ConfigurationError(f"{name} must be {what}, but is of type {type(value).__name__}")
