"""What the notebooks work out of capabilities: frames of `Account.view` in, frames out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..money import UNKNOWN
from .costs import total

CAPABILITIES = ("fax", "mms", "sms", "voice", "whatsapp")
OTHERS = "other sets"


def mix_by_month(mix: pd.DataFrame, months: Sequence[pd.Timestamp], most: int = 6) -> pd.DataFrame:
    """One row a month, environment and capability set of `capability_mix_by_month`: numbers and their share.

    Sets beyond the `most` that are commonest now are taken together.
    """
    held = mix[mix["month"].isin(months)].astype({"capability_set": "string"})
    common = commonest(held[(held["month"] == months[-1]) & (held["numbers"] > 0)], most)
    held["capability_set"] = held["capability_set"].where(held["capability_set"].isin(common), OTHERS)
    keys = ["environment", "month", "capability_set"]
    whole = held.groupby(keys, observed=True, as_index=False)["numbers"].sum()
    whole = whole[whole.groupby(["environment", "capability_set"], observed=True)["numbers"].transform("max") > 0]
    whole["group"] = whole["capability_set"]
    if whole["environment"].nunique() > 1:
        whole["group"] = whole["environment"].astype("string") + " · " + whole["capability_set"]
    of_month = whole.groupby(["environment", "month"], observed=True)["numbers"].transform("sum")
    return whole.assign(share=whole["numbers"] / of_month.where(of_month > 0, 1))


def commonest(counts: pd.DataFrame, most: int) -> Sequence[str]:
    """The capability sets of most numbers, the commonest first; one fewer than `most` where there are more."""
    sets = counts["capability_set"].astype("string")
    numbers = counts["numbers"].groupby(sets).sum().sort_values(ascending=False, kind="stable")
    return list(numbers.index if len(numbers) <= most else numbers.index[: most - 1])


def sets_by_country(mix: pd.DataFrame, most: int = 6) -> pd.DataFrame:
    """One row an environment and country of `capability_mix_by_country`: how many numbers have each capability set.

    The rarest sets together, the commonest first, as are the countries.
    """
    sets = mix["capability_set"].astype("string")
    counted = mix.assign(set=sets.where(sets.isin(commonest(mix, most)), OTHERS)).pivot_table(
        index=["environment", "country_code"],
        columns="set",
        values="numbers",
        aggfunc="sum",
        fill_value=0,
        observed=True,
    )
    order = counted.sum().sort_values(ascending=False).index
    rows = counted.sum(axis="columns").sort_values(ascending=False, kind="stable").index
    return counted.loc[rows, order].reset_index()


def cost_of_capabilities(mix: pd.DataFrame, least: int = 2) -> pd.DataFrame:
    """One row a group, country and capability: the mean cost of numbers with it and without it, most numbers first.

    Of `capability_mix_by_country`, only where `least` numbers stand on each side: one number is no mean. Numbers
    without a known capability or cost are left out.
    """
    known = mix[mix["capability_set"] != UNKNOWN].assign(priced=mix["numbers"] - mix["numbers_without_cost"])
    rows = []
    for (group, country), members in known.groupby(["group", "country_code"], observed=True, sort=False):
        sets = members["capability_set"].astype("string").str.split("+")
        for capability in CAPABILITIES:
            has = sets.map(lambda names, capability=capability: capability in names).astype(bool)
            numbers_with, numbers_without = int(members[has]["priced"].sum()), int(members[~has]["priced"].sum())
            if min(numbers_with, numbers_without) >= least:
                rows.append(
                    {
                        "group": group,
                        "currency": members["currency"].iloc[0],
                        "label": f"{capability}, {country}",
                        "numbers_with": numbers_with,
                        "numbers_without": numbers_without,
                        "mean_with": float(total(members[has]["monthly_cost"]) / numbers_with),
                        "mean_without": float(total(members[~has]["monthly_cost"]) / numbers_without),
                    }
                )
    columns = ["group", "currency", "label", "numbers_with", "numbers_without", "mean_with", "mean_without"]
    return pd.DataFrame(rows, columns=columns).sort_values("numbers_with", ascending=False, ignore_index=True)
