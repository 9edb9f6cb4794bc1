"""Talkover's tables as Dagster assets, loaded each morning, and checks that fail when they are stale or ask for action.

    dagster dev -f pipelines/dagster_definitions.py

One load fills all tables, so they are one multi-asset: `dlt_assets` would run the source without the lock, the retries
and the views of `load_account`. Running it again is always safe. Settings are dlt's, as in the README.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import dagster as dg

import talkover

TABLES = {
    "phone_numbers": "A number that the account holds now.",
    "phone_number_agents": "A number and an agent on it now.",
    "phone_number_changes": "A change of a number: added, changed or removed. Append-only.",
    "release_requests": "A request to give a number back; never removed.",
    "release_request_changes": "A change of a release request. Append-only.",
    "load_runs": "A run and environment: what was requested, listed, added, changed, removed.",
}
LISTINGS = ("phone_numbers", "release_requests")
MAX_AGE = timedelta(hours=26)
"""A day between loads, and time for the retries."""
RETRIES = dg.RetryPolicy(max_retries=2, delay=300, backoff=dg.Backoff.EXPONENTIAL)
NOT_RETRYABLE = (
    talkover.AuthenticationError,
    talkover.ConfigurationError,
    talkover.InvalidRow,
    talkover.SuspiciousRemoval,
)
"""What fails in the same way however often it is tried: somebody has to act."""

os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # before the first load imports dlt


def key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["talkover", table])


@dg.multi_asset(
    specs=[
        dg.AssetSpec(key(table), description=description, group_name="talkover", kinds={"dlt"})
        for table, description in TABLES.items()
    ],
    retry_policy=RETRIES,
)
def talkover_tables() -> Iterator[dg.MaterializeResult[Any]]:
    """Loads every phone number and release request, with their history."""
    try:
        summary = talkover.load_account()
    except talkover.TalkoverError as error:
        raise dg.Failure(str(error), allow_retries=not isinstance(error, NOT_RETRYABLE)) from None
    rows = talkover_rows()
    for table in TABLES:
        yield dg.MaterializeResult(
            key(table), metadata=run_metadata(summary, table) | {"dagster/row_count": rows[table]}
        )


def talkover_rows() -> dict[str, int]:
    """Table to number of rows."""
    from talkover.load.pipeline import open_pipeline  # imports dlt

    return dict(open_pipeline().dataset().row_counts().fetchall())


def run_metadata(summary: talkover.Summary, table: str) -> dict[str, Any]:
    """What a load did, for the page of an asset; Dagster plots numbers over time."""
    metadata: dict[str, Any] = {"run_id": summary.run_id, "requests": summary.requests, "seconds": summary.seconds}
    if summary.notes:
        metadata["notes"] = "\n".join(summary.notes)
    if counts := summary.resources.get(table):
        metadata |= {name: getattr(counts, name) for name in ("listed", "added", "changed", "removed", "complete")}
    if table == "phone_numbers":
        for rate in summary.run_rate:
            if rate.monthly_cost is not None:
                metadata[f"monthly_cost {rate.environment_key} {rate.currency}"] = float(rate.monthly_cost)
    return metadata


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("is_fresh", asset=key(listing), description=f"Listed completely in the last {MAX_AGE}.")
        for listing in LISTINGS
    ],
    retry_policy=RETRIES,
)
def listings_are_fresh() -> Iterator[dg.AssetCheckResult]:
    """Reads in `data_health` how old the last complete listing of each environment is."""
    rows = talkover.read_arrow("data_health", columns=["resource", "last_complete_listing_at"]).to_pylist()
    for listing in LISTINGS:
        listed_at = [row["last_complete_listing_at"] for row in rows if row["resource"] == listing]
        is_known = bool(listed_at) and None not in listed_at  # else it was never requested, which is not fresh
        age = datetime.now(timezone.utc) - min(listed_at) if is_known else None
        yield dg.AssetCheckResult(
            check_name="is_fresh",
            asset_key=key(listing),
            passed=age is not None and age <= MAX_AGE,
            metadata={"age_hours": "never listed" if age is None else round(age / timedelta(hours=1), 1)},
        )


@dg.asset_check(
    asset=key("phone_numbers"),
    description="No number is paid for in vain, no price changed.",
    retry_policy=RETRIES,
)
def nothing_is_open() -> dg.AssetCheckResult:
    """What `talkover findings --fail` would print, but for stale data: that is the other check."""
    found = [finding for finding in talkover.open_findings() if finding.finding != "stale_data"]
    kinds = [finding.finding for finding in found]
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(map(str, found)),
        metadata={kind: kinds.count(kind) for kind in kinds},
    )


load_job = dg.define_asset_job("talkover_load", selection=[talkover_tables])
freshness_job = dg.define_asset_job("talkover_freshness", selection=dg.AssetSelection.checks(listings_are_fresh))

defs = dg.Definitions(
    assets=[talkover_tables],
    asset_checks=[listings_are_fresh, nothing_is_open],
    jobs=[load_job, freshness_job],
    schedules=[
        dg.ScheduleDefinition(job=load_job, cron_schedule="0 5 * * *", execution_timezone="UTC"),
        # By itself too: where a load failed, the checks that follow loads did not run.
        dg.ScheduleDefinition(job=freshness_job, cron_schedule="0 8 * * *", execution_timezone="UTC"),
    ],
)
