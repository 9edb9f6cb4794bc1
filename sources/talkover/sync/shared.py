"""What the steps of a run share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone, tzinfo

from dlt.common.schema import Schema

from ..api.client import TalkoverClient
from .database import Database
from .held import Held, LastRun


@dataclass(frozen=True)
class CallOptions:
    """Which calls a run reads, and what it keeps of them; see `talkover_source`."""

    since: date | None = None
    lookback_days: int = 3
    window_days: int = 14
    most_windows: int | None = None
    keep_callers: bool = False
    caller_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Options:
    """What a caller may ask of a run; see `talkover_source`."""

    filters: Mapping[str, str] = field(default_factory=dict)
    time_zone: tzinfo = timezone.utc
    observed_at: datetime | None = None
    full_refresh: bool = False
    allow_mass_removal: bool = False
    allow_lost_fields: bool = False
    accept_incomplete: bool = False
    without: Collection[str] = ()
    calls: CallOptions = CallOptions()


@dataclass(frozen=True)
class Shared:
    """What the steps of a run share."""

    clients: Mapping[str, TalkoverClient]
    options: Options
    schema: Schema
    held: Held
    database: Database
    observed_at: datetime
    last_runs: Mapping[str, LastRun]
    """By environment, also of those that are no part of this run."""

    @property
    def hashed_as(self) -> Mapping[str, str]:
        """Environments that have another name by now, to the one under which their rows were hashed first."""
        return {key: last.hashed_as for key, last in self.last_runs.items() if last.hashed_as is not None}
