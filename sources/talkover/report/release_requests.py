"""What the notebooks work out of release requests: frames of `Account.view` in, frames out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..money import money
from .costs import total


def as_of(history: pd.DataFrame, month: pd.Timestamp) -> pd.DataFrame:
    """The versions of a history view that held at the end of `month`, or that hold now."""
    end = month.tz_localize("UTC") + pd.offsets.MonthBegin(1)
    return history[(history["valid_from"] < end) & (history["valid_to"].isna() | (history["valid_to"] >= end))]


def backlog_by_month(waits: pd.DataFrame, environments: Sequence[str], months: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """One row a month and environment: how many of `waits`, the rows of `release_request_history` that are pending,
    held at its end or hold now.
    """
    rows = [
        {
            "month": month,
            "group": environment,
            "pending": len(as_of(waits[waits["environment"] == environment], month)),
        }
        for environment in environments
        for month in months
    ]
    return pd.DataFrame(rows, columns=["month", "group", "pending"])


def decisions_by_month(times: pd.DataFrame, months: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """One row a month and environment of `release_lead_times`: approvals and rejections, also of months with none."""
    counts = times.astype({"outcome": "string"}).pivot_table(
        index=["group", "month"], columns="outcome", values="requests", aggfunc="sum", observed=True
    )
    every = pd.MultiIndex.from_product([times["group"].unique(), months], names=["group", "month"])
    counts = counts.reindex(index=every, columns=["approved", "rejected"], fill_value=0).fillna(0).astype("int64")
    return counts.reset_index()


def costs_at_stake(requests: pd.DataFrame) -> list[str]:
    """What the numbers of those rows of `release_request_flow` cost a month, a text a currency; each number once."""
    at_stake = requests[requests["cost_at_stake"].notna()]
    return [
        money(total(costs["cost_at_stake"]), str(costs["currency"].iloc[0]))
        for _, costs in at_stake.groupby("group", sort=False)
    ]
