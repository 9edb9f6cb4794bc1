"""Other loads of the same dataset. Two that list at once find the same differences, and each would log them.

Where a destination has a lock, `load_account` takes it: see load/lock.py. Elsewhere, and for a plain `pipeline.run`,
dlt's own ledger of loads tells whether another one finished meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.schema import Schema

from ..instants import read_instant

RECENTLY = timedelta(days=7)
"""Longer than a load takes and the clocks of two hosts differ: what was done before was done when this load began.
After years that is nearly all of dlt's ledger.
"""


class Others:
    """The loads of `schema` that are done from now on, by others than this one.

    `connect` gives a client of SQL, as a context manager, for each look.
    """

    def __init__(self, connect: Callable[[], Any], schema: Schema) -> None:
        self._connect, self._schema = connect, schema
        self._since = datetime.now(timezone.utc) - RECENTLY
        self._before = self._done().keys()

    def done(self, own: str = "") -> dict[str, str]:
        """Ids of such loads, without that of the `own` one, and how an error names each."""
        found = self._done()
        return {
            load_id: f"another run (load {load_id}, done at {read_instant(at):%Y-%m-%d %H:%M:%S} UTC)"
            for load_id, at in found.items()
            if load_id not in self._before and load_id != own
        }

    def _done(self) -> dict[str, Any]:
        """Each load that dlt noted as done of late, and when."""
        with self._connect() as client:
            loads = client.make_qualified_table_name(self._schema.loads_table_name)
            load_id, at, name, status = map(
                client.escape_column_name, ("load_id", "inserted_at", "schema_name", "status")
            )
            query = f"select {load_id}, {at} from {loads} where {status} = 0 and {name} = %s and {at} > %s"  # noqa: S608
            try:
                return dict(map(tuple, client.execute_sql(query, self._schema.name, self._since) or ()))
            except DestinationUndefinedEntity:
                return {}  # nobody has loaded anything yet
