"""The pictures of the notebooks and the report."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes

from ..money import digits, money, signed, signed_mean
from .costs import total
from .drawing import BLUE, GREEN, GREY, ORANGE, PALE, Chart, draw, hide_x, label_months, legend
from .wording import Words, count

TITLE_LETTERS = 54
"""On a line, of a title that holds names of the account."""


def run_rate_by_month(monthly: pd.DataFrame) -> Chart | Words:
    """`monthly_cost`: the monthly cost at the end of each month."""

    def panel(axes: Axes, months: pd.DataFrame) -> None:
        costs = months["closing_cost"].astype(float).to_numpy()
        axes.bar(range(len(costs)), costs, color=[PALE] * (len(costs) - 1) + [BLUE], width=0.8)
        first, last = months.iloc[0], months.iloc[-1]
        now, then = (digits(month["closing_cost"], last["currency"]) for month in (last, first))
        since = f", {then} in {first['month']:%B %Y}" if len(costs) > 1 else ""
        axes.set_title(f"{last['group']}: {now} now{since}")
        axes.set_xlim(-0.6, max(len(costs), 6) - 0.4)
        axes.set_ylim(min(0, costs.min()), max(costs.max(), 0.01) * 1.05)
        axes.set_yticks([])
        label_months(axes, months["month"])

    return draw("Monthly cost at the end of each month.", monthly, panel, lambda _: 1.2)


def bridge_of_costs(flows: pd.DataFrame) -> Chart | Words:
    """The bridge from the opening to the closing cost: what was added, removed and repriced in between."""

    def panel(axes: Axes, group: pd.DataFrame) -> None:
        row = group.iloc[0]
        removed = -row["removed"]
        steps = [row["added"], removed, row["repriced"]]
        names = [f"before {row['since']:%b %Y}", "added", "removed", "repriced", "now"]
        level = row["opening"]
        bars = [(0, level, GREY, money(level, row["currency"]))]
        for step in steps:
            bars.append((level, step, ORANGE if step > 0 else GREEN, signed(step, row["currency"])))
            level += step
        bars.append((0, row["closing"], BLUE, money(row["closing"], row["currency"])))
        ends = [float(left) + float(width) for left, width, _, _ in bars]
        reach = max(*ends, *(float(left) for left, *_ in bars), 0.01)
        for place, (left, width, colour, text) in enumerate(bars):
            axes.barh(place, float(width), left=float(left), color=colour, height=0.7)
            axes.text(max(float(left), float(left + width)) + reach * 0.015, place, text, va="center")
        axes.set_yticks(range(len(bars)), names)
        axes.invert_yaxis()
        axes.set_xlim(min(0, *ends), reach * 1.25)
        hide_x(axes)

    return draw("Monthly cost bridge.", flows, panel, lambda _: 1.55)


def cost_by(costs: pd.DataFrame, message: str) -> Chart | Words:
    """`costs.by_cost`: the monthly cost of each value, most expensive first, with its count of numbers."""

    def panel(axes: Axes, values: pd.DataFrame) -> None:
        currency = str(values["currency"].iloc[0])
        texts = [
            f"{money(cost, currency)}, {count(numbers, 'number')}"
            for cost, numbers in zip(values["monthly_cost"], values["numbers"], strict=True)
        ]
        _bars(axes, values["label"], values["monthly_cost"].astype(float), texts)

    return draw(message, costs, panel, lambda values: 0.35 + 0.2 * max(len(values), 2))


def cash_of_months(months: pd.DataFrame) -> Chart | Words:
    """`costs.cash_by_month`: what is to be paid in each month."""

    def panel(axes: Axes, cash: pd.DataFrame) -> None:
        currency = str(cash["currency"].iloc[0])
        amounts = cash["cash"].astype(float)
        axes.bar(range(len(cash)), amounts, color=BLUE, width=0.8)
        highest = cash.loc[amounts.idxmax()]
        most = money(highest["cash"], currency)
        axes.set_title(f"{cash['group'].iloc[0]}: at most {most} in {highest['month']:%B %Y}")
        axes.set_xlim(-0.6, max(len(cash), 6) - 0.4)
        axes.set_ylim(0, max(amounts.max(), 0.01) * 1.05)
        axes.set_yticks([])
        label_months(axes, cash["month"])

    return draw("Renewals by month; the first and the last are parts of one.", months, panel, lambda _: 1.1)


def cash_of_days(days: pd.DataFrame, shown: int) -> Chart | Words:
    """`costs.cash_by_day`: what is to be paid on each day, today at the left."""
    today = pd.Timestamp.now("UTC").tz_localize(None).normalize()

    def panel(axes: Axes, cash: pd.DataFrame) -> None:
        currency = str(cash["currency"].iloc[0])
        amounts = cash["cash"].astype(float)
        axes.bar((cash["renews_on"] - today).dt.days, amounts, color=BLUE, width=0.8)
        highest = cash.loc[amounts.idxmax()]
        axes.set_title(
            f"{cash['group'].iloc[0]}: {money(total(cash['cash']), currency)}, at most "
            f"{money(highest['cash'], currency)} on {highest['renews_on'].day} {highest['renews_on']:%B}"
        )
        ticks = range(0, shown, 14)
        axes.set_xticks(ticks, [f"{today + pd.Timedelta(days=day):%d %b}" for day in ticks])
        axes.set_xlim(-1, shown)
        axes.set_ylim(0, max(amounts.max(), 0.01) * 1.05)
        axes.set_yticks([])

    return draw(f"Renewals of the next {shown} days.", days, panel, lambda _: 1.1)


def cost_by_month_and(costs: pd.DataFrame, message: str) -> Chart | Words:
    """`costs.of_months`: the monthly cost at the end of each month, stacked by `label`."""
    styles = [(BLUE, ""), (ORANGE, "///"), (GREEN, ""), (PALE, "..."), (GREY, ""), (PALE, "")]

    def panel(axes: Axes, rows: pd.DataFrame) -> None:
        by_month = rows.pivot(index="month", columns="label", values="monthly_cost").astype(float).fillna(0)
        labels = by_month.iloc[-1].sort_values(ascending=False, kind="stable").index
        below = pd.Series(0.0, index=by_month.index)
        for label, (colour, hatch) in zip(labels, styles, strict=False):
            places = range(len(by_month))
            axes.bar(places, by_month[label], bottom=below, color=colour, hatch=hatch, edgecolor="white", label=label)
            below = below + by_month[label]
        axes.set_xlim(-0.6, max(len(by_month), 6) - 0.4)
        axes.set_yticks([])
        label_months(axes, by_month.index.to_series())
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)

    return draw(message, costs, panel, lambda _: 1.5)


def shares(mix: pd.DataFrame) -> Chart | Words:
    """`capability_mix`: for each capability set its share of the numbers and of the cost."""

    def panel(axes: Axes, sets: pd.DataFrame) -> None:
        sets = sets.sort_values("numbers", ascending=False, kind="stable")
        places = range(len(sets))
        cost = sets["share_of_cost"].fillna(0)
        axes.barh(
            [place - 0.2 for place in places], sets["share_of_numbers"], height=0.36, color=BLUE, label="of the numbers"
        )
        axes.barh(
            [place + 0.2 for place in places],
            cost,
            height=0.36,
            color=ORANGE,
            hatch="///",
            edgecolor="white",
            label="of the cost",
        )
        for place, of_numbers, of_cost in zip(places, sets["share_of_numbers"], cost, strict=True):
            axes.text(of_numbers + 0.01, place - 0.2, f"{of_numbers:.0%}", va="center", fontsize=7)
            axes.text(of_cost + 0.01, place + 0.2, f"{of_cost:.0%}", va="center", fontsize=7)
        axes.set_yticks(places, list(sets["capability_set"]))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.08)
        hide_x(axes)
        legend(axes)

    return draw(
        "Capability sets: their share of the numbers and of the cost.",
        mix,
        panel,
        lambda sets: 0.45 + 0.27 * max(len(sets), 2),
    )


def mix_over_time(mix: pd.DataFrame) -> Chart | Words:
    """`capabilities.mix_by_month`: the share of each capability set, month by month, a small picture each."""
    months = sorted(mix["month"].unique())

    def panel(axes: Axes, share: pd.DataFrame) -> None:
        values = share.set_index("month")["share"].reindex(months, fill_value=0).to_numpy()
        axes.fill_between(range(len(values)), values, color=PALE, step="mid" if len(values) == 1 else None)
        axes.plot(range(len(values)), values, color=BLUE, marker="o", markersize=2.5, linewidth=1.2)
        axes.text(
            len(values) - 1 + len(values) * 0.02,
            values[-1],
            f"{values[-1]:.0%}",
            va="center",
            color=BLUE,
            weight="bold",
        )
        axes.set_ylim(0, max(mix["share"].max() * 1.15, 0.05))
        axes.set_xlim(-0.3, len(values) * 1.1)
        axes.set_yticks([])
        if axes.get_subplotspec().is_last_row():  # type: ignore[union-attr]
            label_months(axes, pd.Series(months))
        else:
            axes.set_xticks([])

    return draw("How the capability mix moved: share of the numbers, month by month.", mix, panel, lambda _: 0.75)


def with_and_without(means: pd.DataFrame, most: int = 12) -> Chart | Words:
    """`capabilities.cost_of_capabilities`: the mean cost with a capability (filled) and without it (hollow)."""

    def panel(axes: Axes, rows: pd.DataFrame) -> None:
        rows = rows.head(most)
        places = range(len(rows))
        axes.hlines(places, rows["mean_without"], rows["mean_with"], color=PALE, linewidth=3)
        axes.plot(
            rows["mean_without"], places, "o", markersize=6, color="white", markeredgecolor=GREY, label="without it"
        )
        axes.plot(rows["mean_with"], places, "o", markersize=6, color=BLUE, label="with it")
        reach = max(rows["mean_with"].max(), rows["mean_without"].max())
        for place, row in zip(places, rows.itertuples(), strict=True):
            end = max(row.mean_with, row.mean_without) + reach * 0.03
            axes.text(end, place, signed_mean(row.mean_with - row.mean_without, row.currency), va="center")
        axes.set_yticks(places, list(rows["label"]))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, reach * 1.25)
        legend(axes)

    message = "What a capability costs: mean monthly cost with it and without it, same country and currency."
    return draw(message, means, panel, lambda rows: 0.6 + 0.22 * min(len(rows), most))


def counts_by_month(counts: pd.DataFrame, message: str, columns: dict[str, str]) -> Chart | Words:
    """Stacked counts a month; `columns` gives each column its name in the legend."""
    styles = [(BLUE, ""), (ORANGE, "///"), (PALE, "")]

    def panel(axes: Axes, months: pd.DataFrame) -> None:
        below = pd.Series(0, index=months.index)
        for (column, name), (colour, hatch) in zip(columns.items(), styles, strict=False):
            places = range(len(months))
            axes.bar(places, months[column], bottom=below, color=colour, hatch=hatch, edgecolor="white", label=name)
            below = below + months[column]
        for place, number in enumerate(below):
            axes.text(place, number, f" {number:,} ", ha="center", va="bottom")
        axes.set_ylim(0, max(below.max(), 1) * 1.25)
        axes.set_yticks([])
        label_months(axes, months["month"])
        if len(columns) > 1:
            legend(axes)

    return draw(message, counts, panel, lambda _: 1.4)


def calls_by(calls: pd.DataFrame, message: str) -> Chart | Words:
    """`usage.by_calls`: the calls of each value, most called first, with the share that was answered."""

    def panel(axes: Axes, values: pd.DataFrame) -> None:
        whole, most = values["calls"].sum(), values.iloc[0]
        title = f"{most['group']}: {count(whole, 'call')}, most: {most['label']} ({most['calls'] / whole:.0%})"
        axes.set_title(fill(title, TITLE_LETTERS))
        texts = [
            f"{count(number, 'call')}, {answered / number:.0%} answered"
            for number, answered in zip(values["calls"], values["answered"], strict=True)
        ]
        _bars(axes, values["label"], values["calls"].astype(float), texts)

    return draw(message, calls, panel, lambda values: 0.35 + 0.2 * max(len(values), 2))


def calls_by_hour(calls: pd.DataFrame, message: str) -> Chart | Words:
    """`usage.by_hour`: the calls that began in each hour of the day."""

    def panel(axes: Axes, hours: pd.DataFrame) -> None:
        numbers = hours["calls"].astype(int)
        most = hours.loc[numbers.idxmax()]
        colours = [BLUE if hour == most["hour_of_day"] else PALE for hour in hours["hour_of_day"]]
        axes.bar(hours["hour_of_day"], numbers, color=colours, width=0.8)
        hour = most["hour_of_day"]
        title = f"{most['group']}: most from {hour}:00 to {hour}:59 UTC ({most['calls']:,})"
        axes.set_title(fill(title, TITLE_LETTERS))
        axes.set_xticks(range(0, 24, 3), [f"{hour}:00" for hour in range(0, 24, 3)])
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.6, 23.6)
        axes.set_ylim(0, max(numbers.max(), 1) * 1.05)
        axes.set_yticks([])

    return draw(message, calls, panel, lambda _: 1.2)


def lead_times(times: pd.DataFrame) -> Chart | Words:
    """`release_lead_times`: the median of each month, and a line up to what nine of ten took at most."""
    months = pd.date_range(times["month"].min(), times["month"].max(), freq="MS").to_series() if len(times) else []
    places = {month: place for place, month in enumerate(months)}

    def panel(axes: Axes, decided: pd.DataFrame) -> None:
        at = decided["month"].map(places)
        nine_of_ten = decided["p90_days"].astype(float)
        axes.vlines(at, decided["median_days"], nine_of_ten, color=ORANGE, linewidth=3, label="nine of ten within")
        axes.plot(at, decided["median_days"], "o", color=BLUE, label="half within")
        for place, days in zip(at, decided["median_days"], strict=True):
            axes.text(place + 0.15, days, f"{days:,.3g}", va="center", fontsize=8)
        axes.set_xlim(-0.6, max(len(places), 6) - 0.2)
        axes.set_ylim(0, max(nine_of_ten.max(), 1) * 1.2)
        axes.set_yticks([])
        label_months(axes, months)
        legend(axes)

    return draw("Days from a request to its decision, by the month of the decision.", times, panel, lambda _: 1.5)


def _bars(axes: Axes, names: pd.Series, lengths: pd.Series, texts: Sequence[str]) -> None:
    places = range(len(names))
    reach = max(lengths.max(), 0.01)
    axes.barh(places, lengths, color=BLUE, height=0.7)
    for place, length, text in zip(places, lengths, texts, strict=True):
        axes.text(max(length, 0) + reach * 0.015, place, text, va="center")
    axes.set_yticks(places, list(names))
    axes.set_ylim(max(len(places), 2) - 0.5, -0.5)
    axes.set_xlim(min(0, lengths.min()), reach * 1.75)
    hide_x(axes)
