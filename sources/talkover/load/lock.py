"""One load at a time: a pipeline, whose working directory it fills, and a dataset, whose staging tables it merges from.

dlt names its staging tables after the dataset alone, so two pipelines that load an environment each into one dataset
would merge each other's rows.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any

from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.sql_client import SqlClientBase
from filelock import FileLock, Timeout

from ..errors import RunInProgress
from .connection import connect
from .pipeline import Place

WAIT_SECONDS = 60
"""How long a run waits for another one, unless configured otherwise."""
ASK_AGAIN_SECONDS = 0.2


def pipeline_lock(pipeline_name: str, wait_seconds: float) -> AbstractContextManager[None]:
    """One load at a time a pipeline: its working directory holds what one run extracted."""
    return file_lock(pipeline_name, f"pipeline {pipeline_name!r}", wait_seconds)


@contextmanager
def dataset_lock(place: Place, wait_seconds: float) -> Iterator[None]:
    """One load at a time a dataset, whatever its pipeline is called: on this host, and on every host where the server
    has locks.
    """
    what = f"dataset {place.dataset!r} of {place.shown}"
    name = blake2b(f"{place.location} {place.dataset}".encode(), digest_size=8).hexdigest()
    with ExitStack() as held:
        held.enter_context(file_lock(f"dataset-{name}", what, wait_seconds))
        if lock := SERVER_LOCKS.get(place.dialect or ""):
            client = held.enter_context(connect(place))
            held.enter_context(lock(client, what, wait_seconds))
        yield


@contextmanager
def file_lock(name: str, what: str, wait_seconds: float) -> Iterator[None]:
    """Holds the lock `name` of this host, which stands for `what`. Raises RunInProgress after the wait."""
    folder = Path(get_dlt_pipelines_dir())
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f".{name}.holder"
    lock = FileLock(folder / f".{name}.lock", timeout=wait_seconds)
    try:
        lock.acquire()
    except Timeout:
        who = holder.read_text().strip() if holder.exists() else "another process"
        raise _in_progress(what, who, wait_seconds) from None
    try:
        now = datetime.now(timezone.utc)
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {now:%Y-%m-%d %H:%M:%S} UTC")
        yield
    finally:
        lock.release()


@contextmanager
def postgres_lock(client: SqlClientBase[Any], what: str, wait_seconds: float) -> Iterator[None]:
    """Holds an advisory lock on the dataset of `client`, which keeps other hosts apart, too.

    It belongs to a transaction, not to the session, since a pooler may give the session to somebody else. Nothing else
    happens in it, and it ends with the connection. Raises RunInProgress after the wait.
    """
    key = int.from_bytes(_digest(client), "big", signed=True)
    deadline = time.monotonic() + wait_seconds
    client.execute_sql("begin")
    client.execute_sql("set local idle_in_transaction_session_timeout = 0")
    client.execute_sql("set local tcp_keepalives_idle = 60")  # a lost host must not hold the lock for hours
    while not _is_true(client.execute_sql("select pg_try_advisory_xact_lock(%s)", key)):
        if time.monotonic() > deadline:
            raise _in_progress(what, _postgres_holder(client, key), wait_seconds)
        time.sleep(ASK_AGAIN_SECONDS)
    yield


@contextmanager
def mysql_lock(client: SqlClientBase[Any], what: str, wait_seconds: float) -> Iterator[None]:
    """Holds a lock of the server of MariaDB or MySQL, named after the dataset of `client`: it keeps other hosts apart.

    It belongs to the session. Raises RunInProgress after the wait.
    """
    name = f"talkover {_digest(client).hex()}"
    client.execute_sql("set session wait_timeout = 86400")  # in seconds: nothing else happens in the session meanwhile
    if not _is_true(client.execute_sql("select get_lock(%s, %s)", name, wait_seconds)):
        raise _in_progress(what, _mysql_holder(client, name), wait_seconds)
    try:
        yield
    finally:
        with suppress(DatabaseException):  # a lost session has lost its lock, too
            client.execute_sql("select release_lock(%s)", name)


SERVER_LOCKS: Mapping[str, Callable[[SqlClientBase[Any], str, float], AbstractContextManager[None]]] = {
    "postgres": postgres_lock,
    "mysql": mysql_lock,
}
"""What keeps hosts apart, by dialect. DuckDB's file does; for all others there is sync/others.py."""


def _digest(client: SqlClientBase[Any]) -> bytes:
    return blake2b(f"talkover {client.dataset_name}".encode(), digest_size=8).digest()


def _is_true(rows: Any) -> bool:
    return bool(rows[0][0])


def _postgres_holder(client: SqlClientBase[Any], key: int) -> str:
    """Whose session holds the lock, as far as the role of `client` may see that."""
    rows = client.execute_sql(
        "select activity.usename, activity.client_addr, activity.xact_start from pg_locks "
        "join pg_stat_activity as activity on activity.pid = pg_locks.pid where pg_locks.locktype = 'advisory' "
        "and pg_locks.granted and pg_locks.database = (select oid from pg_database where datname = current_database()) "
        "and (pg_locks.classid::bigint << 32) | pg_locks.objid::bigint = %s",
        key,
    )
    if not rows:
        return "another process"
    user, address, since = rows[0]
    return f"{user or 'another user'} from {address or 'that host'}" + (
        f", since {since:%Y-%m-%d %H:%M:%S}" if since else ""
    )


def _mysql_holder(client: SqlClientBase[Any], name: str) -> str:
    """The same there."""
    query = "select user, host from information_schema.processlist where id = is_used_lock(%s)"
    rows = client.execute_sql(query, name)
    return "{} from {}".format(*rows[0]) if rows else "another process"


def _in_progress(what: str, who: str, wait_seconds: float) -> RunInProgress:
    return RunInProgress(f"{what} is being loaded by {who}. Waited {wait_seconds:g} s; no request was sent")
