"""The first screen of a report: the monthly cost, against last month and a year ago, why it changed, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from ..money import UNKNOWN, money, signed
from .account import Account
from .costs import total
from .rates import Rates
from .wording import count, listed

NOTHING_TO_COMPARE = "n/a"
ACTIONS = 3


@dataclass(frozen=True)
class Line:
    """A currency, all environments together, in the words of the page."""

    currency: str
    label: str
    cost: str
    numbers: str
    against_month: str
    against_year: str
    split: str
    why: str


@dataclass(frozen=True)
class Change:
    """What changed in some currencies this month, in a sentence."""

    currencies: str
    why: str


def changes(lines: Sequence[Line]) -> list[Change]:
    """A sentence for each currency; those of the same words, such as `no change`, share one."""
    sentences: dict[str, list[str]] = {}
    for line in lines:
        sentences.setdefault(line.why, []).append(line.label)
    return [Change(listed(currencies), why) for why, currencies in sentences.items()]


def lines(account: Account) -> list[Line]:
    """A line for each currency that has numbers or had any this month, that of most numbers first."""
    monthly = account.view("monthly_cost")
    rows = [
        _line(str(currency), of_currency, account)
        for currency, of_currency in monthly.groupby("currency", observed=True, sort=False)
    ]
    return [line for _, line in sorted(filter(None, rows), key=lambda row: -row[0])]


def bill(account: Account) -> dict[str, Decimal]:
    """The monthly cost now, by currency, of those that cost anything."""
    monthly = account.view("monthly_cost")
    now = monthly[monthly["month"] == account.months[-1]]
    costs = {
        str(currency): total(rows["closing_cost"])
        for currency, rows in now.groupby("currency", observed=True, sort=False)
    }
    return {currency: cost for currency, cost in costs.items() if cost}


def _line(currency: str, monthly: pd.DataFrame, account: Account) -> tuple[int, Line] | None:
    """With how many numbers there are, to sort by."""
    now = account.months[-1]
    this_month = monthly[monthly["month"] == now]
    numbers = int(this_month["closing_numbers"].sum())
    sums = {name: total(this_month[name]) for name in this_month.columns if name.endswith("_cost")}
    if not numbers and not sums["opening_cost"]:
        return None
    is_cost_unknown = _is_cost_unknown(currency, account)
    year_ago = monthly[monthly["month"] == now - pd.DateOffset(years=1)]
    is_first = all(month == now for month in account.first_months.values())
    return numbers, Line(
        currency=currency,
        label="unknown currency" if currency == UNKNOWN else currency,
        cost=UNKNOWN if is_cost_unknown else money(sums["closing_cost"], currency),
        numbers=f"{numbers:,}",
        against_month=NOTHING_TO_COMPARE if is_first else _against(sums, sums["opening_cost"], currency),
        against_year=_against(sums, total(year_ago["closing_cost"]), currency) if len(year_ago) else NOTHING_TO_COMPARE,
        split="" if is_cost_unknown or len(account.environments) == 1 else _split(this_month, currency),
        why=_why(this_month, sums, currency, _first_load(account) if is_first else ""),
    )


def _against(sums: Mapping[str, Decimal], then: Decimal, currency: str) -> str:
    """The change from `then` to now, with its share: `+2.07 USD (+3.5%)`."""
    change = sums["closing_cost"] - then
    if not change:
        return "no change"
    return signed(change, currency) + (f" ({float(change / then):+.1%})" if then else "")


def _is_cost_unknown(currency: str, account: Account) -> bool:
    """Whether numbers are held in `currency`, and the cost of none of them is known."""
    groups = account.view("cost_by_group")
    groups = groups[groups["currency"] == currency]
    return bool(len(groups)) and bool((groups["numbers"] == groups["numbers_without_cost"]).all())


def _split(this_month: pd.DataFrame, currency: str) -> str:
    """The cost in each environment."""
    costs = zip(this_month["environment"], this_month["closing_cost"], strict=True)
    return " · ".join(f"{environment} {money(cost, currency)}" for environment, cost in costs)


def _why(this_month: pd.DataFrame, sums: Mapping[str, Decimal], currency: str, first_load: str) -> str:
    """What changed the cost this month, in a sentence."""
    added, removed = int(this_month["added_numbers"].sum()), int(this_month["removed_numbers"].sum())

    def of(amount: Decimal) -> str:
        return f" ({signed(amount, currency)})" if amount else ""

    parts = [
        f"{count(added, 'number')} added{of(sums['added_cost'])}" if added else "",
        f"{count(removed, 'number')} removed{of(-sums['removed_cost'])}" if removed else "",
        f"price changes {signed(sums['repriced_cost'], currency)}" if sums["repriced_cost"] else "",
    ]
    changed = ", ".join(part for part in parts if part)
    if first_load:
        return f"{first_load}; " + (f"since then {changed}" if changed else "nothing to compare yet")
    return changed or "no change"


def _first_load(account: Account) -> str:
    days = account.view("first_loads")["first_load_on"]
    return f"first load on {days.min().day} {days.min():%B %Y}"


def converted(account: Account, rates: Rates | None) -> str:
    """One total in the currency of `rates`, marked as converted; empty without rates."""
    if rates is None:
        return ""
    costs = {currency: cost for currency, cost in bill(account).items() if currency != UNKNOWN}
    amount = round(rates.total(costs), 2)
    return f"{money(amount, rates.currency)} in all, converted at the rates given for {rates.date:%d %B %Y}"


def savings(findings: pd.DataFrame) -> list[str]:
    """The open savings, a text a currency; each number once."""
    rows = findings[(findings["saving"] > 0).fillna(False).astype(bool)]
    return [
        f"{money(total(of_currency['saving']), str(currency))}"
        for currency, of_currency in rows.groupby("currency", observed=True, sort=False)
    ]


def actions(findings: pd.DataFrame, costs: Mapping[str, Decimal]) -> Sequence[Mapping[str, Any]]:
    """The actions worth most: what to do, for how many numbers, what it saves, and the finding that lists them.

    Currencies are not added up: an action counts by the share that it saves of the bill of each currency.
    """
    rows = findings[(findings["saving"] > 0).fillna(False).astype(bool)]
    found = []
    for (finding, action), members in rows.groupby(["finding", "action"], observed=True):
        by_currency = members.groupby("currency", observed=True, sort=False)["saving"].agg(total)
        shares = [saving / costs[str(name)] for name, saving in by_currency.items() if str(name) in costs]
        amounts = listed(money(saving, str(name)) for name, saving in by_currency.items())
        saves = f"({count(len(members), 'number')}): {amounts} a month"
        found.append((sum(shares, Decimal(0)), {"finding": finding, "action": action.rstrip("."), "saves": saves}))
    return [entry for _, entry in sorted(found, key=lambda pair: -pair[0])[:ACTIONS]]
