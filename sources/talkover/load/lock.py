"""One load at a time: a pipeline, whose working directory it fills, and a dataset, whose staging tables it merges from.

dlt names its staging tables after the dataset alone, so two pipelines that load an environment each into one dataset
would merge each other's rows.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any

from dlt.common.pipeline import get_dlt_pipelines_dir
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
    """One load at a time a dataset, whatever its pipeline is called: on this host, and for PostgreSQL on every host."""
    what = f"dataset {place.dataset!r} of {place.shown}"
    name = blake2b(f"{place.location} {place.dataset}".encode(), digest_size=8).hexdigest()
    with ExitStack() as held:
        held.enter_context(file_lock(f"dataset-{name}", what, wait_seconds))
        if place.dialect == "postgres":
            client = held.enter_context(connect(place))
            held.enter_context(postgres_lock(client, what, wait_seconds))
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
    name = f"talkover {client.dataset_name}"
    key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
    deadline = time.monotonic() + wait_seconds
    client.execute_sql("begin")
    client.execute_sql("set local idle_in_transaction_session_timeout = 0")
    client.execute_sql("set local tcp_keepalives_idle = 60")  # a lost host must not hold the lock for hours
    while not _is_true(client.execute_sql("select pg_try_advisory_xact_lock(%s)", key)):
        if time.monotonic() > deadline:
            raise _in_progress(what, _holder(client, key), wait_seconds)
        time.sleep(ASK_AGAIN_SECONDS)
    yield


def _is_true(rows: Any) -> bool:
    return bool(rows[0][0])


def _holder(client: SqlClientBase[Any], key: int) -> str:
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


def _in_progress(what: str, who: str, wait_seconds: float) -> RunInProgress:
    return RunInProgress(f"{what} is being loaded by {who}. Waited {wait_seconds:g} s; no request was sent")
