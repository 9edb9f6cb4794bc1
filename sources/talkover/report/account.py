"""The account that the notebooks and the report look at: its views as data frames, and the months."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ..errors import ConfigurationError, NothingLoaded
from ..load.pipeline import PIPELINE
from ..money import UNKNOWN
from ..text import visible
from ..views.descriptions import key_of
from .read import read_view

MONTHS = 12
STALE_DAYS = 2
"""Loads are daily or more often: what is older says so."""


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
            raise ConfigurationError(f"since={self.since!r} is not a month: write it as 2026-01")
        there = self._there  # read at once, so that an account without data says so here
        if self.environment is not None and self.environment not in there:
            raise ConfigurationError(f"environment {self.environment!r} was never loaded. There are {', '.join(there)}")

    @property
    def _where(self) -> dict[str, Any]:
        return {"pipeline_name": self.pipeline_name, "destination": self.destination, "dataset": self.dataset}

    def view(
        self, name: str, *, columns: Sequence[str] | None = None, where: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """A view or table with `environment` and `group`, read once: groups of many numbers first, months in order, and
        by its key within them. A destination gives rows in any order, and no report may differ by that.

        `environment` is one of `names`. `group` is the currency, with the environment before it where an account has
        several: nothing is ever added up across groups. `columns` and `where` are those of `read_view`;
        `environment_key` is to be among the columns.
        """
        asked = f"{name} {columns} {where}"
        if asked not in self._frames:
            frame = self._read(name, columns=columns, where=where)
            frame["rank"] = frame["group"].map(self._ranks).fillna(len(self._ranks))
            order = [column for column in dict.fromkeys(("rank", "group", "month", *key_of(name))) if column in frame]
            self._frames[asked] = frame.sort_values(order, kind="stable", ignore_index=True).drop(columns="rank")
        return self._frames[asked].copy(deep=False)

    def _read(self, name: str, **chosen: Any) -> pd.DataFrame:
        frame = read_view(name, environment=self.environment, **chosen, **self._where)
        frame["environment"] = frame["environment_key"].astype("string").replace(self.names)
        return frame.assign(group=self._groups(frame))

    def _groups(self, frame: pd.DataFrame) -> pd.Series:
        if "currency" not in frame:
            return frame["environment"]
        currencies = frame["currency"].astype("string").replace(UNKNOWN, "unknown currency")
        return currencies if len(self.environments) == 1 else frame["environment"] + " · " + currencies

    @cached_property
    def _ranks(self) -> dict[str, int]:
        """The place of each group that holds numbers, by how many."""
        held = self._read("cost_by_group")
        numbers = held.groupby("group")["numbers"].sum().sort_values(ascending=False, kind="stable")
        return {group: place for place, group in enumerate(numbers.index)}

    @cached_property
    def names(self) -> dict[str, str]:
        """What Talkover calls each environment, by key; the key where that is unknown, keys where two share a name."""
        columns = ["environment_key", "environment__name"]
        numbers = read_view("phone_numbers", columns=columns, environment=self.environment, **self._where)
        named = numbers.dropna().sort_values("environment__name").drop_duplicates("environment_key")
        given = dict(zip(named["environment_key"], named["environment__name"], strict=True))
        names = {key: visible(str(given.get(key, key))) for key in self.environments}
        return names if len(set(names.values())) == len(names) else {key: key for key in names}

    @property
    def environments(self) -> list[str]:
        """Keys of the environments that are reported on."""
        return self._there if self.environment is None else [self.environment]

    @property
    def _there(self) -> list[str]:
        return sorted(self._runs["environment_key"].unique())

    @cached_property
    def _runs(self) -> pd.DataFrame:
        return read_view("load_runs", columns=["environment_key", "observed_at"], **self._where)

    @cached_property
    def has_calls(self) -> bool:
        """Whether calls were loaded of any of `environments`."""
        try:
            return len(self.view("call_coverage")) > 0
        except NothingLoaded:  # an earlier version made the views
            return False

    @cached_property
    def months(self) -> list[pd.Timestamp]:
        """The months to look at, oldest first; the last is the current one."""
        runs = self._runs[self._runs["environment_key"].isin(self.environments)]
        now = pd.Timestamp.now("UTC")
        first = min(now, runs["observed_at"].min()).tz_localize(None)
        there = list(pd.date_range(first.normalize().replace(day=1), now.tz_localize(None), freq="MS"))
        if self.since is None:
            return there[-MONTHS:]
        chosen = [month for month in there if f"{month:%Y-%m}" >= self.since]
        if not chosen:
            raise ConfigurationError(f"since={self.since!r} is after the last month, {there[-1]:%Y-%m}")
        return chosen

    @cached_property
    def first_months(self) -> dict[str, pd.Timestamp]:
        """The month of each environment's first load, by key."""
        first_loads = self.view("first_loads")
        return dict(zip(first_loads["environment_key"], first_loads["month"], strict=True))

    def recent(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of `months`."""
        return frame[frame["month"].isin(self.months)]
