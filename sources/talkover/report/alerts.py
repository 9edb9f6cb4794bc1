"""What is open now: the findings of the report, prices that the last load found changed, and lists that are stale.

from talkover import open_findings

for finding in open_findings(): print(finding.description, finding.action)
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from html import escape
from typing import Any, Optional

import dlt
from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.runtime.slack import send_slack_message
from requests import RequestException

from ..errors import ConfigurationError, TalkoverError
from ..load.failures import translate_errors
from ..load.pipeline import PIPELINE
from ..load.settings import defaults
from ..load.summary import how_to_end
from ..money import UNKNOWN, money, signed
from ..sync.calls import SAME_RUN
from ..sync.settings import configured_more, configured_without
from ..sync.tables import MORE_RESOURCES
from ..text import visible
from ..views.thresholds import MOST, SECTION
from .read import read_arrow

PRICE_CHANGED, STALE_DATA = "price_changed", "stale_data"
OF_THE_VIEW = (
    "approved_still_listed",
    "pending_renews_first",
    "out_of_service_renews",
    "no_agent",
    "no_calls",
    "still_receives_calls",
    "sandbox_costs",
    "price_outlier",
    "missing_cost",
    "missing_currency",
)
KINDS = (*OF_THE_VIEW, PRICE_CHANGED, STALE_DATA)
ALERTS = ("approved_still_listed", "pending_renews_first", PRICE_CHANGED, STALE_DATA)
"""What somebody is to be woken for, unless it is configured otherwise."""
STALE_HOURS = 26
"""A day between loads, and time for their retries."""


@configspec
class AlertsConfiguration(BaseConfiguration):
    """`[talkover.findings]`, or TALKOVER__FINDINGS__ALERTS and TALKOVER__FINDINGS__STALE_HOURS."""

    alerts: Optional[list[str]] = None
    stale_hours: int = STALE_HOURS


@dataclass(frozen=True)
class OpenFinding:
    """One thing that is open. `monthly_cost` is at stake, or by how much a price moved; None where there is none.

    `finding` is one of KINDS, `phone_number` None where it is not about one.
    """

    finding: str
    environment_key: str
    phone_number: str | None
    currency: str | None
    monthly_cost: Decimal | None
    description: str
    action: str
    evidence: str

    def __str__(self) -> str:
        what = [self.phone_number, f"in {self.environment_key}"]
        if self.monthly_cost is not None:
            what.append(money(self.monthly_cost, self.currency))
        says = f"{self.description} {self.action} ({self.evidence})"
        return visible(f"{self.finding} {' '.join(filter(None, what))}: {says}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON: money as text, so that it stays exact."""
        return asdict(self) | {"monthly_cost": None if self.monthly_cost is None else f"{self.monthly_cost:f}"}


def open_findings(
    kinds: Collection[str] | None = None,
    *,
    destination: Any = None,
    dataset: str | None = None,
    pipeline_name: str = PIPELINE,
) -> list[OpenFinding]:
    """What is open in what was loaded, kind by kind, the most expensive first.

    Args:
        kinds: those to look for, of KINDS; unless given those that are configured as `alerts`, else ALERTS.
        destination, dataset, pipeline_name: as for `load_account`.

    Raises:
        ConfigurationError: there is no such kind.
        NothingLoaded: there is nothing to look at yet.
        LoadError: the destination does not answer.
    """
    with translate_errors(), defaults:
        settings = resolve_configuration(AlertsConfiguration(), sections=SECTION)
        alerts = ALERTS if settings.alerts is None else settings.alerts
        wanted = _known(kinds, "kinds") if kinds is not None else _known(alerts, "alerts")
        limit = timedelta(hours=configured_stale_hours())
        left_out = configured_without() | (set(MORE_RESOURCES) - configured_more())
        where = {"destination": destination, "dataset": dataset, "pipeline_name": pipeline_name}
        found: list[OpenFinding] = []
        if wanted & {*OF_THE_VIEW}:
            found += _of_the_view(wanted, where)
        if PRICE_CHANGED in wanted:
            found += _price_changes(where)
        if STALE_DATA in wanted:
            found += _stale_lists(limit, left_out, where)
    return sorted(found, key=_place)


def configured_stale_hours() -> int:
    """How old the last complete list may be. Raises ConfigurationError for a number that cannot be."""
    hours = resolve_configuration(AlertsConfiguration(), sections=SECTION).stale_hours
    if not 1 <= hours <= MOST:
        raise ConfigurationError(f"stale_hours must be 1 to {MOST:,}, and is {hours}")
    return hours


def tell_slack(text: str) -> None:
    """Posts `text` where dlt's setting `slack_incoming_hook` is. Raises TalkoverError where it is not taken there."""
    with translate_errors(), defaults:
        hook = dlt.current.run_context().runtime_config.slack_incoming_hook
    if not hook:
        return
    log = logging.getLogger("urllib3")
    level = log.level
    log.setLevel(logging.INFO)  # below it every address is logged, and the hook is a secret
    try:
        send_slack_message(hook, escape(text, quote=False))  # else a name could call everybody, or hide a link
    except RequestException as error:  # its text has the hook, too
        status = f" {error.response.status_code}" if error.response is not None else ""
        raise TalkoverError(
            f"the findings are printed, but the Slack hook did not take them: {type(error).__name__}{status}"
        ) from None
    finally:
        log.setLevel(level)


def _known(kinds: Collection[str], what: str) -> frozenset[str]:
    names = frozenset([kinds] if isinstance(kinds, str) else kinds)
    if not names:
        raise ConfigurationError(f"{what} names no kind of finding. There are {', '.join(KINDS)}")
    if strange := sorted(map(str, names.difference(KINDS))):
        raise ConfigurationError(f"{what}: {strange[0]!r} is no kind of finding. There are {', '.join(KINDS)}")
    return names


def _place(finding: OpenFinding) -> tuple[Any, ...]:
    cost = finding.monthly_cost
    of_kind = (finding.environment_key, finding.currency or "", -cost if cost is not None else Decimal("Infinity"))
    return KINDS.index(finding.finding), *of_kind, finding.phone_number or "", finding.evidence


def _of_the_view(kinds: Collection[str], where: dict[str, Any]) -> Iterator[OpenFinding]:
    names = list(OpenFinding.__dataclass_fields__)
    for row in read_arrow("findings", columns=names, **where).to_pylist():
        if row["finding"] in kinds:
            yield OpenFinding(**row | {"currency": _currency(row)})


def _currency(row: Mapping[str, Any]) -> str | None:
    return None if row["currency"] == UNKNOWN else row["currency"]


def _price_changes(where: dict[str, Any]) -> Iterator[OpenFinding]:
    """Those that the last load of each environment found. It is no change that a number is new or gone."""
    last_loads: dict[str, datetime] = {}
    for run in read_arrow("load_runs", **where).to_pylist():
        if run["phone_numbers_listed_at"] is not None:
            key = run["environment_key"]
            last_loads[key] = max(run["observed_at"], last_loads.get(key, run["observed_at"]))
    for key, last_load in last_loads.items():
        columns = ["phone_number", "currency", "monthly_cost", "change_type", "changed_at"]
        month = last_load.date().replace(day=1)
        changes = read_arrow("cost_changes", columns=columns, where={"environment_key": key, "month": month}, **where)
        for change in changes.to_pylist():
            if change["change_type"] == "repriced" and abs(change["changed_at"] - last_load) < SAME_RUN:
                yield _price_change(key, change)


def _price_change(environment_key: str, change: dict[str, Any]) -> OpenFinding:
    by, currency = change["monthly_cost"], _currency(change)
    return OpenFinding(
        PRICE_CHANGED,
        environment_key,
        change["phone_number"],
        currency,
        by,
        "Its price changed with the last load.",
        "Compare it with what was agreed.",
        f"{signed(by, currency)} a month since {change['changed_at']:%Y-%m-%d}",
    )


def _stale_lists(limit: timedelta, left_out: Collection[str], where: dict[str, Any]) -> Iterator[OpenFinding]:
    """Lists that are to be loaded and were not listed completely for so long, or never."""
    now = datetime.now(timezone.utc)
    for row in read_arrow("data_health", **where).to_pylist():
        listed_at = row["last_complete_listing_at"]
        if row["resource"] in left_out or (listed_at is not None and now - listed_at <= limit):
            continue
        ever = f"{listed_at:%Y-%m-%d %H:%M} UTC" if listed_at else "never"
        yield OpenFinding(
            STALE_DATA,
            row["environment_key"],
            None,
            None,
            None,
            f"Not listed completely for more than {limit // timedelta(hours=1)} hours.",
            "Check whether the scheduled load still runs, and how it ended."
            if row["was_in_last_load"]
            else f"It is not part of the loads any more: load it, or {how_to_end(row['environment_key'])}.",
            f"{row['resource']}: last complete listing {ever}",
        )
