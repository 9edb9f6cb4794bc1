"""A connection to the place that is loaded into, and what is said where it does not answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import LoadError
from ..sync.held import IN_UTC
from .failures import first_line
from .pipeline import Place

READ_ONLY = {
    "postgres": f"set transaction read only; {IN_UTC}",
    "mysql": "set transaction read only",
}
"""What such a transaction begins with, by dialect. DuckDB's file is opened so; else the role must lack the rights."""


@contextmanager
def connect(place: Place, *, read_only: bool = False) -> Iterator[Any]:
    """A SQL client of the destination. Raises LoadError where it does not answer: drivers raise what they like."""
    client: Any = place.pipeline.sql_client()
    if place.file:
        client.credentials.read_only = read_only
    try:
        client.open_connection()
    except Exception as error:
        raise LoadError(_why_unreachable(place, error)) from error
    try:
        if read_only and (statements := READ_ONLY.get(client.capabilities.sqlglot_dialect)):
            # not the session: it may be a pooler's, and the next one's who writes
            with client.begin_transaction():
                client.execute_sql(statements)
                yield client
        else:
            yield client
    except AttributeError as error:
        if client.native_connection is not None:
            raise
        # dlt rolls back a connection that it has lost, too
        raise LoadError(_why_unreachable(place, error.__context__ or error)) from error
    finally:
        client.close_connection()


def _why_unreachable(place: Place, error: BaseException) -> str:
    reason = first_line(getattr(error, "inner_exc", None) or error)
    if locked := re.search(r'Could not set lock on file "([^"]+)"', reason):
        holder = re.search(r"held in (.+ \(PID \d+\))", reason)
        file = place.file or locked[1]  # of DuckLake it is the catalog
        return (
            f"{file} is open in another process{f', {holder[1]}' if holder else ''}. DuckDB lets one "
            "process write or several read. Close it there and run this again; PostgreSQL allows both at once"
        )
    return f"{place.pipeline.destination.destination_name} does not answer: {reason}"
