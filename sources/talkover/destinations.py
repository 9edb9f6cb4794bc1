"""What a destination must be able to do. dlt is asked, and only what it says, before anything is asked of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationCapabilitiesException
from dlt.common.destination.utils import resolve_merge_strategy
from dlt.common.schema.typing import TTableSchema
from dlt.destinations.sql_client import WithSqlClient

from .errors import ConfigurationError
from .tables import MERGE

INSTEAD = (
    "Nothing was asked of the API. What works: DuckDB, DuckLake (Parquet files in a folder or bucket), PostgreSQL and "
    "the warehouses in docs/destinations.md"
)


def refuse_unfit(pipeline: dlt.Pipeline) -> None:
    """Raises ConfigurationError where nothing could be read back or no row could be deleted; needs no credentials."""
    destination = pipeline.destination
    if MERGE["strategy"] not in (destination.capabilities().supported_merge_strategies or ()):
        raise _cannot_remove(destination.destination_name)
    try:
        client_class = destination.client_class
    except ImportError as error:
        # dlt lets the driver's own error through
        name = destination.destination_type.rpartition(".")[2]
        raise ConfigurationError(
            f"destination {destination.destination_name!r} needs a package that is not installed ({error}). "
            f"`pip install 'dlt[{name}]'` brings it"
        ) from None
    if not issubclass(client_class, WithSqlClient):
        raise ConfigurationError(
            f"destination {destination.destination_name!r} cannot be asked by SQL what it holds, so nothing could be "
            f"compared. {INSTEAD}"
        )


def refuse_unfit_tables(pipeline: dlt.Pipeline, tables: Iterable[TTableSchema]) -> None:
    """Raises ConfigurationError where the format of one of `tables` (Delta, Iceberg) lets no row be deleted."""
    client: Any = pipeline.destination_client()
    for table in tables:
        try:
            strategy = resolve_merge_strategy({str(table["name"]): table}, table, client.capabilities)
        except DestinationCapabilitiesException:
            strategy = None
        if table.get("write_disposition") == "merge" and strategy is None:
            table_format = table.get("table_format") or client.capabilities.preferred_table_format
            raise _cannot_remove(pipeline.destination.destination_name, table_format)


def _cannot_remove(destination: str, table_format: str | None = None) -> ConfigurationError:
    what = f"{destination!r} with table format {table_format!r}" if table_format else repr(destination)
    return ConfigurationError(
        f"destination {what} cannot delete rows by their key while it merges (dlt has no delete-insert for it): "
        f"numbers that are gone would stay, or every run would be appended. {INSTEAD}"
    )
