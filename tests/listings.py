"""What the client lists of a server, without dlt and tables; and the rows that a run would send, without a load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from talkover import talkover_source
from talkover.api.client import TalkoverClient
from talkover.api.fields import PHONE_NUMBERS
from talkover.api.listing import Listing
from talkover.api.transport import Transport
from talkover.load.failures import translate_errors
from talkover.sandbox import Sandbox

from .conftest import Row


def read_ids(rows: Sequence[Row]) -> pa.Table:
    return pa.table({"id": pa.array([str(row["id"]) for row in rows], pa.string())})


def client(sandbox: Sandbox, *, per_page: int = 100, side_by_side: int = 1, **settings: Any) -> TalkoverClient:
    """A client whose transport takes `settings`; it neither waits long nor tries again unless they say so."""
    transport = Transport(
        sandbox.token, sandbox.base_url, **{"max_attempts": 1, "backoff": 0.01, "timeout": 5} | settings
    )
    return TalkoverClient(transport, per_page=per_page, max_concurrent_requests=side_by_side, reading_pause=0)


def fetch(
    sandbox: Sandbox, endpoint: str = PHONE_NUMBERS, *, filters: Any = None, known: Any = (), **settings: Any
) -> Listing:
    """`endpoint` by a client of its own; see `client`."""
    return client(sandbox, **settings).fetch(
        endpoint, read_ids, filters=filters, known=pa.chunked_array([list(known)], pa.string())
    )


def in_order(listing: Listing) -> list[str]:
    """The ids as they came."""
    return list(listing.rows["id"].to_pylist())


def ids(listing: Listing) -> set[str]:
    return set(in_order(listing))


def extract(sandbox: Sandbox, *tables: str, **arguments: Any) -> list[Row]:
    """The rows of `tables`, of all unless named, that a run sends to a destination which holds none."""
    source = talkover_source(sandbox.token, base_url=sandbox.base_url, **arguments)
    with translate_errors():
        return list(source.with_resources(*tables) if tables else source)
