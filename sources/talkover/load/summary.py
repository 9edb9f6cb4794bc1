"""What a load did, read back from the tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from dlt.destinations.sql_client import SqlClientBase

from .. import __version__
from ..sync.held import in_utc
from ..sync.tables import LEDGER_RESOURCES
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


def read_summary(client: SqlClientBase[Any], place: Place, load_id: str, notes: list[str], seconds: float) -> Summary:
    """The summary of load `load_id`, which took `seconds`, over an open `client` of `place`."""
    figures = ("listed", "added", "changed", "removed", "complete")
    columns = [f"{resource}_{figure}" for resource in LEDGER_RESOURCES for figure in figures]
    listed = ", ".join(["run_id", "observed_at", "requests_made", "requests_a_minute", *columns])
    numbers, load_runs = map(client.make_qualified_table_name, ("phone_numbers", "load_runs"))
    this_load = f"from {load_runs} where _dlt_load_id = %s"
    runs = [tuple(run) for run in client.execute_sql(f"select {listed} {this_load}", load_id) or ()]
    rates = client.execute_sql(
        f"select environment_key, currency, count(*), sum(monthly_renewal_cost) from {numbers} "  # noqa: S608  our own
        f"where environment_key in (select environment_key {this_load}) "
        "group by environment_key, currency order by environment_key, currency",
        load_id,
    )
    return Summary(
        run_id=runs[0][0],
        observed_at=in_utc(runs[0][1]),
        destination=place.shown,
        dataset=place.pipeline.dataset_name,
        resources={
            resource: _counts([run[4 + len(figures) * position :][: len(figures)] for run in runs])
            for position, resource in enumerate(LEDGER_RESOURCES)
        },
        run_rate=[RunRate(*rate) for rate in rates or ()],
        requests=sum(run[2] for run in runs),
        requests_a_minute=max(run[3] for run in runs),
        seconds=round(seconds, 2),
        notes=notes,
    )


def _counts(figures: list[tuple[Any, ...]]) -> Counts | None:
    """The figures of all environments together; None for a resource that was not requested in any."""
    figures = [row for row in figures if row[0] is not None]
    if not figures:
        return None
    listed, added, changed, removed = (sum(column) for column in list(zip(*figures, strict=True))[:4])
    return Counts(listed, added, changed, removed, listed - added - changed, all(row[4] for row in figures))
