"""What the client lists of a server, without dlt and tables; and the rows that a run would send, without a load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from talkover import talkover_source
from talkover.api.client import PHONE_NUMBERS, Listing, TalkoverClient
from talkover.api.transport import Transport
from talkover.load.failures import plain_errors
from talkover.sandbox import Sandbox

from .conftest import Row


@dataclass(frozen=True)
class Number:
    id: str


def read_ids(rows: Sequence[Row]) -> list[Number]:
    return [Number(str(row["id"])) for row in rows]


def client(sandbox: Sandbox, *, per_page: int = 100, side_by_side: int = 1, **settings: Any) -> TalkoverClient:
    """A client whose transport takes `settings`; it neither waits long nor tries again unless they say so."""
    transport = Transport(
        sandbox.token, sandbox.base_url, **{"max_attempts": 1, "backoff": 0.01, "timeout": 5} | settings
    )
    return TalkoverClient(transport, per_page=per_page, max_concurrent_requests=side_by_side, reading_pause=0)


def fetch(
    sandbox: Sandbox, endpoint: str = PHONE_NUMBERS, *, filters: Any = None, known: Any = (), **settings: Any
) -> Listing[Number]:
    """`endpoint` by a client of its own; see `client`."""
    return client(sandbox, **settings).fetch(endpoint, read_ids, filters=filters, known=known)


def ids(listing: Listing[Number]) -> set[str]:
    return {row.id for row in listing.rows}


def extract(sandbox: Sandbox, *tables: str, **arguments: Any) -> list[Row]:
    """The rows of `tables`, of all unless named, that a run sends to a destination which holds none."""
    source = talkover_source(sandbox.token, base_url=sandbox.base_url, **arguments)
    with plain_errors():
        return list(source.with_resources(*tables) if tables else source)
