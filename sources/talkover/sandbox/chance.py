"""What is drawn by lot for the made-up account, and how its instants are written."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID


def weighted(chance: Random, options: tuple[tuple[Any, int], ...]) -> Any:
    return chance.choices([value for value, _ in options], [weight for _, weight in options])[0]


def new_id(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


def iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
