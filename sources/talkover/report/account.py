"""The account that the notebooks and the report look at: its views as data frames, and the months."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ..errors import ConfigurationError
from ..load.pipeline import PIPELINE
from ..money import NOT_TOLD
from .read import read_view

MONTHS = 12


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

    def view(
        self, name: str, *, columns: Sequence[str] | None = None, where: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """A view or table with its `group`, read once; groups of many numbers come first, months in order.

        `group` is the currency, with the environment before it where an account has several: nothing is ever added up
        across groups. `columns` and `where` are those of `read_view`; `environment_key` is to be among the columns.
        """
        asked = f"{name} {columns} {where}"
        if asked not in self._frames:
            frame = read_view(name, columns=columns, where=where, environment=self.environment, **self._where)
            frame["group"] = self._groups(frame)
            frame["rank"] = frame["group"].map(self._ranks).fillna(len(self._ranks))
            order = [column for column in ("rank", "group", "month") if column in frame]
            self._frames[asked] = frame.sort_values(order, kind="stable", ignore_index=True).drop(columns="rank")
        return self._frames[asked].copy(deep=False)

    def _groups(self, frame: pd.DataFrame) -> pd.Series:
        environments = frame["environment_key"].astype("string")
        if "currency" not in frame:
            return environments
        currencies = frame["currency"].astype("string").replace(NOT_TOLD, "no currency told")
        return currencies if len(self.environments) == 1 else environments + " · " + currencies

    @cached_property
    def _ranks(self) -> dict[str, int]:
        """The place of each group that holds numbers, by how many."""
        held = read_view("cost_by_group", environment=self.environment, **self._where)
        numbers = held.groupby(self._groups(held))["numbers"].sum().sort_values(ascending=False, kind="stable")
        return {group: place for place, group in enumerate(numbers.index)}

    @property
    def environments(self) -> list[str]:
        """Names of the environments that are looked at."""
        return self._there if self.environment is None else [self.environment]

    @property
    def _there(self) -> list[str]:
        return sorted(self._runs["environment_key"].unique())

    @cached_property
    def _runs(self) -> pd.DataFrame:
        return read_view("load_runs", columns=["environment_key", "observed_at"], **self._where)

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
        """The month of each environment's first load: it only brings what was there already."""
        return dict(self.view("monthly_cost").groupby("environment_key", observed=True)["month"].min())

    def recent(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of `months`."""
        return frame[frame["month"].isin(self.months)]
