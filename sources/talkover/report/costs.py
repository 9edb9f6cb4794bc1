"""What the notebooks work out of costs and renewals: frames of `Account.view` in, frames out, money exact.

Sums of many numbers come from views that sum; nothing here goes through the rows of an account one by one.
"""

from __future__ import annotations

from decimal import Decimal

import pandas as pd

FLOWS = ("added", "removed", "repriced")


def run_rate(costs: pd.DataFrame) -> pd.DataFrame:
    """One row a group of `cost_by_group`: numbers, those without a cost, and the cost a month."""
    return costs.groupby("group", sort=False, as_index=False).agg(
        currency=("currency", "first"),
        numbers=("numbers", "sum"),
        without_cost=("numbers_without_cost", "sum"),
        monthly_cost=("monthly_cost", total),
    )


def with_money(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows of groups that have any money in `column`: a bar of nothing says nothing."""
    has_money = (frame[column] != 0).fillna(False).astype(bool) & frame[column].notna()
    return frame[frame["group"].isin(frame[has_money]["group"].unique())]


def bridge(monthly: pd.DataFrame) -> pd.DataFrame:
    """One row a group of `monthly_cost`: opening, added, removed, repriced and closing cost of its months together."""
    return monthly.groupby("group", sort=False, as_index=False).agg(
        since=("month", "first"),
        opening=("opening_cost", "first"),
        **{flow: (f"{flow}_cost", total) for flow in FLOWS},
        closing=("closing_cost", "last"),
        currency=("currency", "first"),
    )


def explained(changes: pd.DataFrame, approved: pd.DataFrame) -> pd.DataFrame:
    """`cost_changes` without first loads, newest first, each with its `change` and `why`; `approved` are the approved
    requests.
    """
    changes = changes[changes["change_type"] != "first_load"]
    # Removed and added at the same instant: it never left.
    moved = changes.duplicated(["phone_number_id", "changed_at"], keep=False)
    added, removed = changes["change_type"] == "added", changes["change_type"] == "removed"
    bought = added & (changes["created_at"].dt.tz_localize(None) >= changes["month"]).fillna(False)
    why = pd.Series("price went down", index=changes.index, dtype="string")
    why[(changes["monthly_cost"] > 0).astype(bool)] = "price went up"
    why[added] = "newly listed"
    why[bought] = "bought"
    why[removed] = "no longer listed, no approved request"
    why[removed & changes["phone_number_id"].isin(approved["phone_number_id"])] = "released"
    why[moved] = "moved between currencies or environments"
    return changes.assign(why=why, change=changes["monthly_cost"]).sort_values(
        "changed_at", ascending=False, kind="stable"
    )


def most_expensive(numbers: pd.DataFrame, most: int) -> pd.DataFrame:
    """The `most` expensive of `current_numbers`, group by group."""
    groups = {group: place for place, group in enumerate(numbers["group"].unique())}
    priced = numbers.dropna(subset="monthly_cost")
    by_cost = priced.sort_values("monthly_cost", ascending=False, kind="stable")
    return by_cost.groupby("group").head(most).sort_values("group", key=lambda group: group.map(groups), kind="stable")


def by_cost(costs: pd.DataFrame, column: str, most: int = 8) -> pd.DataFrame:
    """One row a group and value of `column` of `cost_by_group`, most expensive first; beyond `most`, the rest."""
    rows = []
    for group, members in costs.groupby("group", sort=False):
        values = members.groupby(column, observed=True).agg(
            numbers=("numbers", "sum"), monthly_cost=("monthly_cost", total)
        )
        values = values.sort_values(["monthly_cost", "numbers"], ascending=False).reset_index(names="label")
        values["label"] = values["label"].astype("string")
        if len(values) > most:
            rest = values.iloc[most - 1 :]
            other = {
                "label": f"{len(rest)} others",
                "numbers": rest["numbers"].sum(),
                "monthly_cost": total(rest["monthly_cost"]),
            }
            values = pd.concat([values.iloc[: most - 1], pd.DataFrame([other])], ignore_index=True)
        rows.append(values.assign(group=group, currency=members["currency"].iloc[0]))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"group": []})


def cash_by_day(renewals: pd.DataFrame, days: int) -> pd.DataFrame:
    """The rows of `renewals_by_day` of the next `days` on which something is to be paid. Not what is overdue."""
    due = renewals[(renewals["bucket"] == "renews") & renewals["cash"].notna()]
    today = pd.Timestamp.now("UTC").tz_localize(None).normalize()
    return due[due["renews_on"] < today + pd.Timedelta(days=days)]


def cash_by_month(renewals: pd.DataFrame) -> pd.DataFrame:
    """One row a group and month of `renewals_by_day` in which something is to be paid. Not what is overdue."""
    due = renewals[(renewals["bucket"] == "renews") & renewals["cash"].notna()]
    return due.groupby(["group", "month"], sort=False, as_index=False).agg(
        currency=("currency", "first"), numbers=("numbers", "sum"), cash=("cash", total)
    )


def of_months(costs: pd.DataFrame, column: str, most: int = 6) -> pd.DataFrame:
    """One row a group, month and `label`, the value of `column`; the `most` expensive now, and the rest together."""
    rows = []
    for group, members in costs.groupby("group", sort=False):
        now = members[members["month"] == members["month"].max()].sort_values("monthly_cost", ascending=False)
        labels = now[column].astype("string")
        named = list(labels if len(labels) <= most else labels[: most - 1])
        label = members[column].astype("string")
        rows.append(
            members.assign(label=label.where(label.isin(named), "others"))
            .groupby(["month", "label"], as_index=False)
            .agg(monthly_cost=("monthly_cost", total))
            .assign(group=group, currency=members["currency"].iloc[0])
        )
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"group": []})


def total(costs: pd.Series) -> Decimal:
    """The exact sum of what is known."""
    return Decimal(costs.dropna().sum())
