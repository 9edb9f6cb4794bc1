"""What the notebooks work out of calls: frames of `Account.view` in, frames out, money exact.

They are counts of views, by agent, country and the account's own number: no call is read, and nobody else's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
from babel.numbers import get_currency_precision

from ..money import UNKNOWN, money
from ..text import markdown
from ..views.thresholds import configured_thresholds
from .account import STALE_DAYS, Account
from .costs import total
from .findings import most_expensive_of_each_group
from .first_screen import savings
from .wording import count, listed

UNUSED = ("no_calls", "still_receives_calls", "no_agent")
"""The findings of numbers that the account could do without."""
USUAL_LAG_DAYS = 3
"""A day is complete once it has passed in every time zone."""
KNOWN_DAYS = 5
"""As in the view `findings`, which calls no number unused where the last complete day is longer ago."""
PRICE = pa.decimal128(18, 4)


def coverage(account: Account) -> str:
    """How far the calls of each environment are complete, and what is wrong with them: a paragraph, or a list."""
    spans, health = account.view("call_spans"), account.view("data_health", where={"resource": "calls"})
    texts = []
    for row in account.view("call_coverage").itertuples():
        of_it = [frame[frame["environment_key"] == row.environment_key] for frame in (spans, health)]
        name = f"- **{markdown(row.environment)}**: " if len(account.environments) > 1 else ""
        texts.append(name + " ".join(_sentences(row, *of_it)))
    return "\n".join(texts) or "No calls are loaded: `talkover load --with calls` brings them."


def _sentences(row: Any, spans: pd.DataFrame, health: pd.DataFrame) -> list[str]:
    """What `row` of call_coverage says, with the complete days and the data health of its environment."""
    today = pd.Timestamp.now("UTC").normalize()
    age = (today - row.last_read_at.normalize()).days
    sentences = [_complete_days(row)]
    earlier = spans[spans["complete_until"] < row.complete_from]["complete_until"]
    if len(earlier):
        gap = _day(earlier.max() + pd.Timedelta(days=1)), _day(row.complete_from - pd.Timedelta(days=1))
        sentences.append(f"**Before them calls are missing: the days from {gap[0]} to {gap[1]} are not complete.**")
    lag = None if pd.isna(row.complete_until) else (row.last_read_at.tz_localize(None) - row.complete_until).days
    was_complete = bool(health["last_listing_was_complete"].fillna(False).all())
    if lag is not None and (lag > USUAL_LAG_DAYS or not was_complete):
        sentences.append("**The days after them were read, but not completely: calls may be missing.**")
    if age > STALE_DAYS:
        sentences.append(
            f"**Calls were last read {count(age, 'day')} ago: check whether the scheduled load still runs.**"
        )
    known_days = configured_thresholds().get("known_days", KNOWN_DAYS)
    if lag is None or (today.tz_localize(None) - row.complete_until).days > known_days:
        sentences.append("So no number is said to be without calls.")
    strangers = int(health["without_known_number"].fillna(0).sum())
    if strangers:
        sentences.append(f"Calls on numbers that no list names: {strangers:,} of {row.calls:,}.")
    return sentences


def _complete_days(row: Any) -> str:
    if pd.isna(row.complete_until):
        return f"**No day is complete yet.** Loaded so far: {count(row.calls, 'call')}; others may be missing."
    return (
        f"Every call from **{_day(row.complete_from)}** to **{_day(row.complete_until)}** is loaded, "
        "and of later days what was there when they were read."
    )


def _day(day: pd.Timestamp) -> str:
    return f"{day.day} {day:%B %Y}"


def shown_months(account: Account) -> dict[str, pd.Timestamp]:
    """Of each environment that has calls the month to show: the last complete one, else the newest. By key."""
    return {
        key: next((month for month in reversed(account.months) if _is_complete(account, key, month)), newest)
        for key, newest in last_read_months(account).items()
    }


def last_read_months(account: Account) -> dict[str, pd.Timestamp]:
    """The last of the account's months in which the calls of each environment were read. By key."""
    read = account.view("call_coverage").set_index("environment_key")["last_read_at"].dt.tz_localize(None)
    return {
        str(key): max([month for month in account.months if month <= instant], default=account.months[-1])
        for key, instant in read.items()
    }


def _is_complete(account: Account, environment_key: str, month: pd.Timestamp) -> bool:
    """Whether every call of the month is loaded; as `is_complete` of the view number_usage."""
    spans = account.view("call_spans", where={"environment_key": environment_key})
    last_day = month + pd.offsets.MonthEnd(0)
    return bool(((spans["complete_from"] <= month) & (spans["complete_until"] >= last_day)).any())


def in_words(account: Account, months: Mapping[str, pd.Timestamp]) -> str:
    """`October 2026`, or the month of each environment where they differ."""
    names = {
        account.names[key]: f"{month:%B %Y}" + ("" if _is_complete(account, key, month) else ", as far as it is loaded")
        for key, month in months.items()
    }
    if len(set(names.values())) < 2:
        return next(iter(names.values()), f"{account.months[-1]:%B %Y}")
    return listed(f"{month} ({environment})" for environment, month in names.items())


def read_months(account: Account, name: str, months: Mapping[str, pd.Timestamp]) -> pd.DataFrame:
    """The rows of view `name` of those months, which alone are read."""
    asked = sorted(set(months.values())) or account.months[-1:]
    frames = [account.view(name, where={"month": month.date()}) for month in asked]
    return of_months(pd.concat(frames, ignore_index=True), months)


def of_months(frame: pd.DataFrame, months: Mapping[str, pd.Timestamp]) -> pd.DataFrame:
    """The rows of the month of each environment, with all their `calls`, those of tests left out."""
    keys = zip(frame["environment_key"].astype("string"), frame["month"], strict=True)
    return with_calls(frame.loc[[months.get(key) == month for key, month in keys]])


def with_calls(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(calls=frame["calls_in"] + frame["calls_out"] + frame["calls_unknown_direction"])


def held_now(usage: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """The rows of `number_usage` of `numbers`, which are held now under the same text."""
    key = ["environment_key", "phone_number_id", "phone_number"]
    return usage.merge(numbers[key].drop_duplicates(), on=key)


def costs_of(usage: pd.DataFrame) -> list[str]:
    """What the numbers of those rows of `number_usage` cost a month, a text a currency."""
    costs = usage.groupby("currency", observed=True, sort=False)["monthly_cost"].agg(total)
    return [money(cost, str(currency)) for currency, cost in costs.items() if cost]


def by_price(usage: pd.DataFrame, most: int) -> pd.DataFrame:
    """`number_usage`, the most expensive per answered call first: the first `most` rows are of all groups, those
    of each together; the last ones are of numbers without an answered call or a cost.
    """
    groups = {group: place for place, group in enumerate(usage["group"].unique())}
    by_cost = usage.sort_values(["cost_per_answered_call", "monthly_cost"], ascending=False, kind="stable")
    ordered = by_cost.sort_values("group", key=lambda group: group.map(groups), kind="stable")
    has_price = ordered["cost_per_answered_call"].notna()
    priced, others = ordered[has_price], ordered[~has_price]
    of_each = max(most // max(priced["group"].nunique(), 1), 1)
    places = priced.groupby("group").cumcount()
    rest = priced.loc[places[places >= of_each].sort_values(kind="stable").index]
    return rounded(pd.concat([priced[places < of_each], rest, others], ignore_index=True))


def price_by_group(usage: pd.DataFrame) -> pd.DataFrame:
    """One row a group of `number_usage`: its numbers of known cost, their calls, and what these cost together."""
    priced = usage[usage["monthly_cost"].notna()].assign(numbers=1)
    sums = priced.groupby("group", sort=False, as_index=False).agg(
        currency=("currency", "first"),
        **{name: (name, "sum") for name in ("numbers", "calls", "answered")},
        minutes=("minutes", total),
        monthly_cost=("monthly_cost", total),
    )
    prices = {
        price: [_quotient(cost, uses) for cost, uses in zip(sums["monthly_cost"], sums[of], strict=True)]
        for price, of in (("cost_per_answered_call", "answered"), ("cost_per_minute", "minutes"))
    }
    return rounded(sums.assign(**prices))


def _quotient(cost: Decimal, uses: Any) -> Decimal | None:
    return cost / Decimal(str(uses)) if uses else None


def rounded(usage: pd.DataFrame) -> pd.DataFrame:
    """With minutes and prices as they are shown."""
    currencies = usage["currency"].astype("string")
    prices = {
        name: pd.Series(
            [_rounded_price(*price) for price in zip(usage[name], currencies, strict=True)],
            index=usage.index,
            dtype=pd.ArrowDtype(PRICE),
        )
        for name in ("cost_per_answered_call", "cost_per_minute")
    }
    return usage.assign(minutes=usage["minutes"].astype("float64").round().astype("Int64"), **prices)


def _rounded_price(price: Decimal | None, currency: str) -> Decimal | None:
    """In the digits of its currency, and in two more where they would leave less than two of it: `2.04`, `0.0847`."""
    if price is None or pd.isna(price):
        return None
    places = get_currency_precision(currency)
    if price < Decimal(10) ** (1 - places):
        places = min(places + 2, PRICE.scale)
    return round(price, places)


def by_calls(usage: pd.DataFrame, column: str, most: int = 8) -> pd.DataFrame:
    """One row a group and `label`, a value of `column`: its calls and how many were answered, most called first; beyond
    `most`, the rest.
    """
    labels = usage[column].astype("string").fillna(UNKNOWN)
    sums = (
        usage.assign(label=labels).groupby(["group", "label"], sort=False, as_index=False)[["calls", "answered"]].sum()
    )
    rows = []
    for group, members in sums[sums["calls"] > 0].groupby("group", sort=False):
        values = members.sort_values("calls", ascending=False, kind="stable")
        if len(values) > most:
            rest = values.iloc[most - 1 :]
            others = {"group": group, "label": f"{len(rest)} others", **rest[["calls", "answered"]].sum()}
            values = pd.concat([values.iloc[: most - 1], pd.DataFrame([others])], ignore_index=True)
        rows.append(values)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame({"group": []})


def named_agents(usage: pd.DataFrame) -> pd.DataFrame:
    """`agent_usage` with what to call each `agent`."""
    names = usage["agent_name"].fillna(usage["agent_id"]).fillna("no agent named")
    return usage.assign(agent=names)


def by_hour(mix: pd.DataFrame) -> pd.DataFrame:
    """One row a group and hour of the day of `call_mix`, also of hours without calls."""
    sums = mix.groupby(["group", "hour_of_day"], sort=False)["calls"].sum()
    every = pd.MultiIndex.from_product([mix["group"].unique(), range(24)], names=["group", "hour_of_day"])
    return sums.reindex(every, fill_value=0).reset_index()


def by_month(account: Account, mix: pd.DataFrame) -> pd.DataFrame:
    """One row a group and month of `call_mix`, from the first with calls to the last in which calls were read, newest
    last: `calls`, those `answered` and `unanswered`, `share_answered`, `minutes` and whether all of it is `loaded`.
    """
    sums = with_calls(mix).groupby(["environment_key", "month"], observed=True)[["calls", "answered", "minutes"]].sum()
    rows: list[dict[str, Any]] = []
    for key, last in last_read_months(account).items():
        there = [month for of_it, month in sums.index if of_it == key]
        for month in account.months:
            if there and min(there) <= month <= last:
                figures = sums.loc[(key, month)] if month in there else dict.fromkeys(sums.columns, 0)
                loaded = "all" if _is_complete(account, key, month) else "in part"
                rows.append({"group": account.names[key], "month": month, **figures, "loaded": loaded})
    frame = pd.DataFrame(rows, columns=["group", "month", "calls", "answered", "minutes", "loaded"])
    calls, answered = frame["calls"].astype("int64"), frame["answered"].astype("int64")
    return frame.assign(
        month=pd.to_datetime(frame["month"]),
        calls=calls,
        answered=answered,
        unanswered=calls - answered,
        share_answered=answered / calls.where(calls > 0),
        minutes=frame["minutes"].astype("float64").round().astype("int64"),
    )


def unused(findings: pd.DataFrame) -> pd.DataFrame:
    """The findings of numbers that the account could do without."""
    return findings[findings["finding"].isin(UNUSED)]


def kinds_of_unused(found: pd.DataFrame) -> pd.DataFrame:
    """One row a kind of `unused`: how many numbers, and what is saved by them."""
    rows = [
        {
            "description": description,
            "action": action,
            "numbers": len(members),
            "saving": listed(savings(members) or ["nothing"]),
        }
        for finding in UNUSED
        for (description, action), members in found[found["finding"] == finding].groupby(["description", "action"])
    ]
    return pd.DataFrame(rows, columns=["description", "action", "numbers", "saving"])


def without_calls(found: pd.DataFrame) -> pd.DataFrame:
    """The numbers of `unused` that had no calls, with what the other findings say of them, most expensive first."""
    no_agent = set(found[found["finding"] == "no_agent"]["phone_number_id"])
    quiet = most_expensive_of_each_group(found[found["finding"] == "no_calls"])
    return quiet.assign(agent=["none" if id in no_agent else "" for id in quiet["phone_number_id"]])
