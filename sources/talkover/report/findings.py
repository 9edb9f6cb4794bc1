"""The findings of a report, kind by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pandas as pd

from ..money import money
from .costs import total
from .wording import Table

SHOWN = 5


@dataclass(frozen=True)
class Kind:
    """All findings of one kind, as the report shows them. `at_stake` is an amount a currency, if any.

    `id` is the finding; where one comes in several descriptions, that of the first.
    """

    id: str
    description: str
    action: str
    numbers: str
    at_stake: list[str]
    table: Table


def kinds_of_findings(findings: pd.DataFrame) -> list[Kind]:
    """The kinds of `findings`, those with money first, then those of most numbers."""
    kinds = []
    for (code, description, action), members in findings.groupby(["finding", "description", "action"], observed=True):
        by_currency = members.groupby("currency", observed=True, sort=False)["monthly_cost"].agg(total)
        at_stake = [money(cost, str(currency)) for currency, cost in by_currency.items() if cost]
        titles = {
            "phone_number": "number",
            "country_code": "country",
            "type": "type",
            "evidence": "evidence",
            "monthly_cost": "monthly cost",
        }
        table = Table(most_expensive_of_each_group(members), titles, caption=description, most=SHOWN)
        kinds.append(
            (not at_stake, -len(members), Kind(code, description, action, f"{len(members):,}", at_stake, table))
        )
    in_order = [kind for *_, kind in sorted(kinds, key=lambda kind: kind[:2])]
    seen: Counter[str] = Counter()
    for place, kind in enumerate(in_order):
        seen[kind.id] += 1
        if seen[kind.id] > 1:
            in_order[place] = replace(kind, id=f"{kind.id}-{seen[kind.id]}")
    return in_order


def most_expensive_of_each_group(findings: pd.DataFrame) -> pd.DataFrame:
    """The most expensive of every currency, before the second most expensive of any."""
    by_cost = findings.sort_values("monthly_cost", ascending=False, kind="stable")
    place = by_cost.groupby("group").cumcount()
    return by_cost.loc[place.sort_values(kind="stable").index]
