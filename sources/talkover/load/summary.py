"""What a load did, read back from the tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from dlt.destinations.sql_client import SqlClientBase

from .. import __version__
from ..errors import RunInProgress
from ..sync.held import LastRun, in_utc
from ..sync.tables import LEDGER_RESOURCES
from ..text import in_shell, visible
from .pipeline import Place


@dataclass(frozen=True)
class Counts:
    """What became of a resource. `unchanged` includes rows in which only a countdown or `updated_at` moved."""

    listed: int
    added: int
    changed: int
    removed: int
    unchanged: int
    complete: bool


@dataclass(frozen=True)
class RunRate:
    """What the numbers of an environment cost a month, in one currency; None for an unknown currency."""

    environment_key: str
    currency: str | None
    numbers: int
    monthly_cost: Decimal | None


@dataclass(frozen=True)
class Summary:
    """What a load did, read back from the tables.

    A resource that was not requested is None. `requests_a_minute` are the most within 60 seconds of any
    environment: the API's plans are limited so, a token.
    """

    run_id: str
    observed_at: datetime
    destination: str
    dataset: str
    resources: dict[str, Counts | None]
    run_rate: list[RunRate]
    requests: int
    requests_a_minute: int
    seconds: float
    notes: list[str] = field(default_factory=list)
    connector_version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the instant in ISO 8601, money as text, so that it stays exact."""
        rates = [
            asdict(rate) | {"monthly_cost": None if rate.monthly_cost is None else f"{rate.monthly_cost:f}"}
            for rate in self.run_rate
        ]
        return asdict(self) | {"observed_at": self.observed_at.isoformat(), "run_rate": rates}


def left_behind(environment_key: str, last: LastRun) -> str:
    """What is said of an environment that is in the tables, but not among those that are configured."""
    return (
        f"environment {environment_key!r}, last loaded {last.observed_at:%Y-%m-%d %H:%M} UTC, is in the tables and not "
        f"configured here. Unless another pipeline loads it: {how_to_end(environment_key)}"
    )


def how_to_end(environment_key: str) -> str:
    """The commands for an environment that is loaded no more under this name."""
    rename, retire = in_shell(environment_key, "NEW"), in_shell(environment_key)
    command = "`talkover environment"
    return f"{command} rename {rename}` where it has another name now, {command} retire {retire}` where it is no more"


def read_summary(
    client: SqlClientBase[Any],
    place: Place,
    load_id: str,
    call_loads: list[str] | None,
    *,
    notes: list[str],
    seconds: float,
) -> Summary:
    """The summary of load `load_id`, which took `seconds`, over an open `client` of `place`.

    `call_loads` are the ids of those that loaded calls; None where calls were not asked for. Raises RunInProgress where
    another load has swept away what this one was merging: dlt's staging tables belong to all loads of a dataset.
    """
    figures = ("listed", "added", "changed", "removed", "complete")
    columns = [f"{resource}_{figure}" for resource in LEDGER_RESOURCES for figure in figures]
    listed = ", ".join(["run_id", "observed_at", "requests_made", "requests_a_minute", *columns])
    numbers, load_runs = map(client.make_qualified_table_name, ("phone_numbers", "load_runs"))
    this_load = f"from {load_runs} where _dlt_load_id = %s"
    runs = [tuple(run) for run in client.execute_sql(f"select {listed} {this_load}", load_id) or ()]
    if not runs:
        raise RunInProgress(
            f"load_runs has no row of this load ({load_id}): another one was loaded into dataset {place.dataset!r} at "
            "the same time. Run it again"
        )
    rates = client.execute_sql(
        f"select environment_key, currency, count(*), sum(monthly_renewal_cost) from {numbers} "  # noqa: S608  our own
        f"where environment_key in (select environment_key {this_load}) "
        "group by environment_key, currency order by environment_key, currency",
        load_id,
    )
    resources: dict[str, Counts | None] = {
        resource: _counts([run[4 + len(figures) * position :][: len(figures)] for run in runs])
        for position, resource in enumerate(LEDGER_RESOURCES)
    }
    calls, requests, requests_a_minute = _of_calls(client, call_loads)
    return Summary(
        run_id=runs[0][0],
        observed_at=in_utc(runs[0][1]),
        destination=place.shown,
        dataset=place.pipeline.dataset_name,
        resources=resources | {"calls": calls},
        run_rate=[RunRate(*rate) for rate in rates or ()],
        requests=sum(run[2] for run in runs) + requests,
        requests_a_minute=max(requests_a_minute, *(run[3] for run in runs)),
        seconds=round(seconds, 2),
        notes=[*map(visible, notes)],
    )


def _of_calls(client: SqlClientBase[Any], loads: list[str] | None) -> tuple[Counts | None, int, int]:
    """The counts of all windows together, where a call that two of them hold is listed twice; and their requests, in
    all and the most a minute.
    """
    if loads is None:
        return None, 0, 0
    if not loads:
        return Counts(0, 0, 0, 0, 0, complete=False), 0, 0
    windows = client.make_qualified_table_name("call_windows")
    columns = "listed, added, changed, 0, complete, requests_made, requests_a_minute"
    of_loads = f"from {windows} where _dlt_load_id in ({', '.join(['%s'] * len(loads))})"
    rows = [tuple(row) for row in client.execute_sql(f"select {columns} {of_loads}", *loads) or ()]
    return _counts([row[:5] for row in rows]), sum(row[5] for row in rows), max(row[6] for row in rows)


def _counts(figures: list[tuple[Any, ...]]) -> Counts | None:
    """The figures of all environments together; None for a resource that was not requested in any."""
    figures = [row for row in figures if row[0] is not None]
    if not figures:
        return None
    listed, added, changed, removed = (sum(column) for column in list(zip(*figures, strict=True))[:4])
    return Counts(listed, added, changed, removed, listed - added - changed, all(row[4] for row in figures))
