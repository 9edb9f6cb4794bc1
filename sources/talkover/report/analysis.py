"""What the notebooks and the report work out from the views: pandas in, pandas out, nothing drawn.

Every frame has a column `group`: the currency, with the environment before it where an account has several. Nothing is
ever added up across groups. Money stays `Decimal`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import pandas as pd

from ..errors import ConfigurationError
from ..load.pipeline import PIPELINE
from ..money import NOT_TOLD, money
from .read import read_view

MONTHS = 12
CAPABILITIES = ("fax", "mms", "sms", "voice", "whatsapp")
FLOWS = ("added", "removed", "repriced")


@dataclass(frozen=True)
class Account:
    """The views of an account, or of one of its environments, and the months to look at.

    `since` is a month such as 2026-01; the last twelve months unless given. Raises ConfigurationError for a month or an
    environment that is not there, NothingLoaded where nothing was loaded yet.
    """

    environment: str | None = None
    since: str | None = None
    pipeline_name: str = PIPELINE
    destination: Any = None
    dataset: str | None = None
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.since is not None and not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", str(self.since)):
            raise ConfigurationError(f"since={self.since!r} is no month: write it as 2026-01")
        there = self._there  # read at once, so that an account without data says so here
        if self.environment is not None and self.environment not in there:
            raise ConfigurationError(f"environment {self.environment!r} was never loaded. There are {', '.join(there)}")

    @property
    def _where(self) -> dict[str, Any]:
        return {"pipeline_name": self.pipeline_name, "destination": self.destination, "dataset": self.dataset}

    def view(self, name: str) -> pd.DataFrame:
        """A view, read once, with its `group`; groups of many numbers come first, months in order."""
        if name not in self._frames:
            frame = read_view(name, environment=self.environment, **self._where)
            frame["group"] = self._groups(frame)
            held = frame if name == "current_numbers" else self.view("current_numbers")
            rank = {group: place for place, group in enumerate(held["group"].value_counts().index)}
            frame["rank"] = frame["group"].map(lambda group: rank.get(group, len(rank)))
            order = [column for column in ("rank", "group", "month") if column in frame]
            self._frames[name] = frame.sort_values(order, kind="stable", ignore_index=True).drop(columns="rank")
        return self._frames[name].copy()

    def _groups(self, frame: pd.DataFrame) -> pd.Series:
        environments = frame["environment_key"].astype("string")
        if "currency" not in frame:
            return environments
        currencies = frame["currency"].astype("string").replace(NOT_TOLD, "no currency told")
        return currencies if len(self.environments) == 1 else environments + " · " + currencies

    @property
    def environments(self) -> list[str]:
        """Names of the environments that are looked at."""
        return self._there if self.environment is None else [self.environment]

    @cached_property
    def _there(self) -> list[str]:
        return sorted(read_view("data_health", **self._where)["environment_key"].unique())

    @cached_property
    def months(self) -> list[pd.Timestamp]:
        """The months to look at, oldest first; the last is the current one."""
        there = sorted(self.view("monthly_cost")["month"].unique())
        if self.since is None:
            return there[-MONTHS:]
        chosen = [month for month in there if f"{month:%Y-%m}" >= self.since]
        if there and not chosen:
            raise ConfigurationError(f"since={self.since!r} is after the last month, {there[-1]:%Y-%m}")
        return chosen

    @cached_property
    def first_months(self) -> dict[str, pd.Timestamp]:
        """The month of each environment's first load: it only brings what was there already."""
        return dict(self.view("monthly_cost").groupby("environment_key", observed=True)["month"].min())

    def recent(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of `months`."""
        return frame[frame["month"].isin(self.months)]


def run_rate(numbers: pd.DataFrame) -> pd.DataFrame:
    """One row a group of `current_numbers`: numbers, those without a cost, and the cost a month."""
    return numbers.groupby("group", sort=False, as_index=False).agg(
        currency=("currency", "first"),
        numbers=("id", "size"),
        without_cost=("monthly_renewal_cost", lambda cost: int(cost.isna().sum())),
        monthly_cost=("monthly_renewal_cost", total),
    )


def with_money(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows of groups that have any money in `column`: a bar of nothing says nothing."""
    has_money = frame[column].map(lambda amount: not pd.isna(amount) and amount != 0).astype(bool)
    return frame[frame["group"].isin(frame[has_money]["group"].unique())]


def bridge(monthly: pd.DataFrame, first_months: Mapping[str, pd.Timestamp]) -> pd.DataFrame:
    """One row a group of `monthly_cost`: opening, added, removed, repriced and closing cost of all its months together.

    An environment's first month (see `Account`) is left out where others follow.
    """
    first = monthly["environment_key"].astype("string").map(first_months)
    rest = monthly[(monthly["month"] != first) | (first == monthly["month"].max())]
    return rest.groupby("group", sort=False, as_index=False).agg(
        since=("month", "first"),
        opening=("opening_cost", "first"),
        **{flow: (f"{flow}_cost", total) for flow in FLOWS},
        closing=("closing_cost", "last"),
        currency=("currency", "first"),
    )


def explained(changes: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """`cost_changes`, newest first, each with a `why`; `requests` is `release_request_flow`."""
    approved = set(requests[requests["status"] == "approved"]["phone_number_id"])
    # Removed and added at the same instant: it never left.
    moved = changes.duplicated(["phone_number_id", "changed_at"], keep=False)

    def why(kind: str, phone_number_id: str, cost: Decimal, is_move: bool) -> str:
        if is_move:
            return "moved between currencies or environments"
        if kind == "added":
            return "new in the list"
        if kind == "removed":
            return "given back" if phone_number_id in approved else "left the list, no approved request"
        return "price went up" if cost > 0 else "price went down"

    said = [
        why(*row)
        for row in zip(changes["kind"], changes["phone_number_id"], changes["monthly_cost"], moved, strict=True)
    ]
    return changes.assign(why=said).sort_values("changed_at", ascending=False, kind="stable")


def dearest(numbers: pd.DataFrame, most: int) -> pd.DataFrame:
    """The `most` dearest of `current_numbers`, group by group."""
    by_group = [
        members.sort_values("monthly_renewal_cost", ascending=False, kind="stable").head(most)
        for _, members in numbers.dropna(subset="monthly_renewal_cost").groupby("group", sort=False)
    ]
    return pd.concat(by_group) if by_group else numbers


def by_cost(numbers: pd.DataFrame, column: str, most: int = 8) -> pd.DataFrame:
    """One row a group and value of `column`, dearest first: numbers and cost; from `most` on, the rest together."""
    rows = []
    for group, members in numbers.groupby("group", sort=False):
        costs = members.groupby(column, observed=True).agg(
            numbers=("id", "size"), monthly_cost=("monthly_renewal_cost", total)
        )
        costs = costs.sort_values(["monthly_cost", "numbers"], ascending=False).reset_index(names="label")
        costs["label"] = costs["label"].astype("string")
        if len(costs) > most:
            rest = costs.iloc[most - 1 :]
            other = {
                "label": f"{len(rest)} others",
                "numbers": rest["numbers"].sum(),
                "monthly_cost": total(rest["monthly_cost"]),
            }
            costs = pd.concat([costs.iloc[: most - 1], pd.DataFrame([other])], ignore_index=True)
        rows.append(costs.assign(group=group, currency=members["currency"].iloc[0]))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"group": []})


def cash_by_day(renewals: pd.DataFrame) -> pd.DataFrame:
    """One row a group and day of `renewal_calendar` on which something renews: cash, numbers. Not what is overdue."""
    due = renewals[(renewals["bucket"] == "renews") & renewals["cash"].notna()]
    return due.groupby(["group", "month", "renews_on"], sort=False, as_index=False).agg(
        cash=("cash", total), numbers=("phone_number_id", "size"), currency=("currency", "first")
    )


def as_of(history: pd.DataFrame, month: pd.Timestamp) -> pd.DataFrame:
    """The versions of a history view that held at the end of `month`, or that hold now."""
    end = month.tz_localize("UTC") + pd.offsets.MonthBegin(1)
    return history[(history["valid_from"] < end) & (history["valid_to"].isna() | (history["valid_to"] >= end))]


def mix_by_month(history: pd.DataFrame, months: Sequence[pd.Timestamp], most: int = 6) -> pd.DataFrame:
    """One row a month, environment and capability set of `phone_number_history`: numbers and their share.

    Sets beyond the `most` that are commonest now are taken together.
    """
    if not months:
        return pd.DataFrame(columns=["environment_key", "month", "capability_set", "numbers", "group", "share"])
    held = pd.concat([as_of(history, month).assign(month=month) for month in months], ignore_index=True)
    sets = held["capability_set"].astype("string")
    commonest = sets[held["month"] == months[-1]].value_counts()
    if len(commonest) > most:
        sets = sets.where(sets.isin(commonest.index[: most - 1]), "other sets")
    counts = (
        held.assign(capability_set=sets).groupby(["environment_key", "month", "capability_set"], observed=True).size()
    )
    whole = counts.unstack(fill_value=0).stack().rename("numbers").reset_index()
    whole["group"] = whole["capability_set"]
    if whole["environment_key"].nunique() > 1:
        whole["group"] = whole["environment_key"].astype("string") + " · " + whole["capability_set"]
    whole["share"] = whole["numbers"] / whole.groupby(["environment_key", "month"], observed=True)["numbers"].transform(
        "sum"
    )
    return whole


def sets_by_country(numbers: pd.DataFrame, most: int = 6) -> pd.DataFrame:
    """One row an environment and country: how many numbers have each capability set; the rarest sets together."""
    sets = numbers["capability_set"].astype("string")
    commonest = sets.value_counts()
    if len(commonest) > most:
        sets = sets.where(sets.isin(commonest.index[: most - 1]), "other sets")
    counted = numbers.assign(set=sets).pivot_table(
        index=["environment_key", "country_code"],
        columns="set",
        values="id",
        aggfunc="size",
        fill_value=0,
        observed=True,
    )
    order = counted.sum().sort_values(ascending=False).index
    rows = counted.sum(axis="columns").sort_values(ascending=False, kind="stable").index
    return counted.loc[rows, order].reset_index()


def cost_of_capabilities(numbers: pd.DataFrame, least: int = 2) -> pd.DataFrame:
    """One row a group, country and capability: the mean cost of numbers with it and without it, most numbers first.

    Only where `least` numbers stand on each side: one number is no mean. Numbers that tell no capability are left out.
    """
    told = numbers[(numbers["capability_set"] != NOT_TOLD) & numbers["monthly_renewal_cost"].notna()]
    rows = []
    for (group, country), members in told.groupby(["group", "country_code"], observed=True, sort=False):
        sets = members["capability_set"].astype("string").str.split("+")
        for capability in CAPABILITIES:
            has = sets.map(lambda names, capability=capability: capability in names).astype(bool)
            with_it, without = members[has]["monthly_renewal_cost"], members[~has]["monthly_renewal_cost"]
            if min(len(with_it), len(without)) >= least:
                rows.append(
                    {
                        "group": group,
                        "currency": members["currency"].iloc[0],
                        "label": f"{capability}, {country}",
                        "numbers_with": len(with_it),
                        "numbers_without": len(without),
                        "mean_with": float(total(with_it) / len(with_it)),
                        "mean_without": float(total(without) / len(without)),
                    }
                )
    columns = ["group", "currency", "label", "numbers_with", "numbers_without", "mean_with", "mean_without"]
    return pd.DataFrame(rows, columns=columns).sort_values("numbers_with", ascending=False, ignore_index=True)


def backlog_by_month(history: pd.DataFrame, months: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """One row a month and environment of `release_request_history`: requests pending at its end, or now."""
    rows = [
        {
            "month": month,
            "environment_key": environment,
            "group": environment,
            "pending": int((as_of(requests, month)["status"] == "pending").sum()),
        }
        for environment, requests in history.groupby("environment_key", observed=True)
        for month in months
    ]
    return pd.DataFrame(rows, columns=["month", "environment_key", "group", "pending"])


def decisions_by_month(times: pd.DataFrame, months: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """One row a month and environment of `release_lead_times`: approvals and rejections, also of months with none."""
    counts = times.astype({"outcome": "string"}).pivot_table(
        index=["environment_key", "month"], columns="outcome", values="requests", aggfunc="sum", observed=True
    )
    environments = times["environment_key"].unique()
    every = pd.MultiIndex.from_product([environments, months], names=["environment_key", "month"])
    counts = counts.reindex(index=every, columns=["approved", "rejected"], fill_value=0).fillna(0).astype("int64")
    return counts.reset_index().assign(group=lambda frame: frame["environment_key"])


def costs_at_stake(requests: pd.DataFrame, status: str) -> list[str]:
    """What the numbers of `release_request_flow` in that status cost a month, a text a currency; each number once."""
    at_stake = requests[(requests["status"] == status) & requests["cost_at_stake"].notna()]
    return [
        money(total(costs["cost_at_stake"]), str(costs["currency"].iloc[0]))
        for _, costs in at_stake.groupby("group", sort=False)
    ]


def total(costs: pd.Series) -> Decimal:
    """The exact sum of what was told."""
    return sum(costs.dropna(), Decimal(0))
