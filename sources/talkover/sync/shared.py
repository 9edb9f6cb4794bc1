"""What the steps of a run share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone, tzinfo

from dlt.common.schema import Schema

from ..api.client import TalkoverClient
from .database import Database
from .held import Held


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


@dataclass(frozen=True)
class Shared:
    """What the steps of a run share."""

    clients: Mapping[str, TalkoverClient]
    options: Options
    schema: Schema
    held: Held
    database: Database
    observed_at: datetime
