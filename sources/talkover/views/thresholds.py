"""What the view `findings` goes by, where a user sets it: `[talkover.findings]`, or TALKOVER__FINDINGS__…

What is not set stands at the top of findings.sql.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from dlt.common.configuration import configspec, resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from sqlglot import exp

from ..errors import ConfigurationError

SECTION = ("talkover", "findings")
QUIET_DAYS = "quiet_days"
STEP, STEP_OF_QUIET_DAYS = "thresholds", "quiet_times"
LOWEST: Mapping[str, float] = {
    "grace_days": 0,
    "usual_days": 0,
    "price_factor": 1,
    "group_size": 1,
    "known_days": 0,
    QUIET_DAYS: 1,
}
MOST = 100_000
"""Days of which no calendar knows the end would be an error of the destination's."""

Thresholds = Mapping[str, Any]
"""Name to a number, of `quiet_days` to a list of them."""


@configspec
class ThresholdsConfiguration(BaseConfiguration):
    """The columns of the steps `thresholds` and `quiet_times` of findings.sql, by name."""

    grace_days: Optional[int] = None
    usual_days: Optional[int] = None
    price_factor: Optional[float] = None
    group_size: Optional[int] = None
    known_days: Optional[int] = None
    quiet_days: Optional[list[int]] = None


def configured_thresholds() -> Thresholds:
    """Those that are set. Raises ConfigurationError for one that cannot work."""
    found = resolve_configuration(ThresholdsConfiguration(), sections=SECTION)
    chosen = {name: found[name] for name in LOWEST if found[name] is not None}
    for name, value in chosen.items():
        values = value if name == QUIET_DAYS else [value]
        if not values:
            raise ConfigurationError(f"{name} names no days: give a list such as [30, 60, 90]")
        if not all(isinstance(each, (int, float)) and LOWEST[name] <= each <= MOST for each in values):
            raise ConfigurationError(f"{name} must be {LOWEST[name]} to {MOST:,}, and is {value}")
    return chosen


def with_thresholds(query: exp.Expression, thresholds: Thresholds) -> exp.Expression:
    """`query` with these values in place of its own."""
    for step in query.find_all(exp.CTE):
        if step.alias == STEP:
            for column in step.this.expressions:
                if column.alias in thresholds:
                    column.set("this", exp.Literal.number(str(thresholds[column.alias])))
        elif step.alias == STEP_OF_QUIET_DAYS and QUIET_DAYS in thresholds:
            days = sorted(set(thresholds[QUIET_DAYS]))
            selects = [exp.select(f"{day} as {QUIET_DAYS}") for day in days]
            step.set("this", exp.union(*selects, distinct=False) if len(selects) > 1 else selects[0])
    return query
