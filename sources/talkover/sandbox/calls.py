"""The calls of a day: on which numbers, with whom, and how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from .chance import iso, new_id, weighted
from .market import COUNTRIES

Json = dict[str, Any]

IN_PROGRESS = ("ringing", "in-progress")
# Two are of calls that nothing more was heard of; those in progress come to others, see `as_of`.
ENDINGS = (("completed", 74), ("no-answer", 12), ("busy", 5), ("failed", 4), ("answered", 3), ("initiated", 2))
MISSED = (("no-answer", 7), ("busy", 2), ("failed", 1))
NEVER_ENDED = ("answered", "initiated")
CALL_STATUSES = (*(status for status, _ in ENDINGS), *IN_PROGRESS)
DIRECTIONS = ("inbound", "outbound")

INBOUND = 0.7
TESTING = 0.02
WITHHELD = 0.04
ONE_TIME = 0.25
UNLISTED = 0.03
"""The share of calls on numbers that the account never lists."""

# Against the average day, from Monday on; and in every hour of it.
PACE = (1.2, 1.25, 1.2, 1.2, 1.15, 0.6, 0.4)
HOURS = (1, 1, 1, 1, 1, 1, 2, 4, 9, 13, 14, 13, 10, 12, 14, 13, 12, 9, 6, 4, 3, 2, 2, 1)
LATE = "16"
"""The hour from which a call of today has not ended yet."""


class Party(NamedTuple):
    """A number on a call, and how it is written."""

    number: str
    formatted: str


ANONYMOUS = Party("anonymous", "anonymous")


@dataclass
class Holding:
    """A number, the days when the account had it, and the agents that it was bought for."""

    id: str
    party: Party
    bought: date
    released: date | None = None
    agents: tuple[Json, ...] = ()
    takes_calls: bool = True

    def covers(self, day: date) -> bool:
        return self.bought <= day and (self.released is None or day <= self.released)

    @property
    def use(self) -> float:
        """How often it is called, against others: one number in eight never is."""
        if not self.takes_calls or self._lot % 8 == 0:
            return 0
        return 0.1 + 3.6 * (self._lot / 2**32) ** 3

    @property
    def is_answered(self) -> bool:
        """One number in twenty is not."""
        return (self._lot >> 8) % 20 > 0

    @property
    def _lot(self) -> int:
        return crc32(self.id.encode())


def person(chance: Random) -> Party:
    """Anyone, anywhere."""
    country = chance.choices(COUNTRIES, [country.weight for country in COUNTRIES])[0]
    local = country.local_number(chance)
    if country.area_codes:
        local = chance.choice(country.area_codes) + local[:1] + local[4:]
    return Party(f"+{country.calling_code}{local}", country.international(local))


def calls_of_a_day(
    day: date,
    chance: Random,
    *,
    a_number: float,
    held: Sequence[Holding],
    unlisted: Sequence[Holding],
    people: Sequence[Party],
) -> list[Json]:
    """The calls on the numbers `held` that day, about so many `a_number`, newest first and as they ended."""
    uses = [holding.use for holding in held]
    if not any(uses):
        return []
    expected = a_number * len(held) * PACE[day.weekday()] * chance.uniform(0.85, 1.15)
    how_many = int(expected) + (chance.random() < expected % 1)
    hours = chance.choices(range(24), HOURS, k=how_many)
    begun = sorted((3600 * hour + chance.randrange(3600) for hour in hours), reverse=True)
    midnight = datetime.combine(day, time(), timezone.utc)
    return [
        a_call(
            chance,
            midnight + timedelta(seconds=seconds),
            chance.choice(unlisted) if chance.random() < UNLISTED else holding,
            people,
        )
        for seconds, holding in zip(begun, chance.choices(held, uses, k=how_many), strict=True)
    ]


def a_call(chance: Random, began: datetime, holding: Holding, people: Sequence[Party]) -> Json:
    """One of `people`, or somebody who calls once, on that number: the row of GET /calls, as it ended."""
    is_inbound = chance.random() < INBOUND
    other = person(chance) if chance.random() < ONE_TIME else people[int(len(people) * chance.random() ** 2)]
    if is_inbound and chance.random() < WITHHELD:
        other = ANONYMOUS
    caller, called = (other, holding.party) if is_inbound else (holding.party, other)
    status = weighted(chance, MISSED if is_inbound and not holding.is_answered else ENDINGS)
    duration = min(5 + int(chance.lognormvariate(4.6, 1.0)), 7200) if status == "completed" else 0
    last_heard = began + timedelta(seconds=chance.randrange(3, 45) + duration)
    agent = chance.choice(holding.agents) if holding.agents else None
    row: Json = {
        "id": new_id(chance),
        "sid": f"CA{chance.getrandbits(128):032x}",
        "to": called.number,
        "to_formatted": called.formatted,
        "from": caller.number,
        "from_formatted": caller.formatted,
        "is_testing": chance.random() < TESTING,
        "direction": "inbound" if is_inbound else "outbound",
        "status": status,
        "agent": agent and {"id": agent["id"], "name": agent["name"], "label": label_of(agent)},
        "created_at": iso(began),
        "updated_at": iso(last_heard),
    }
    if status == "completed" or chance.random() < 0.5:
        row["duration"] = duration
    if status not in NEVER_ENDED:
        row["ended_at"] = iso(last_heard)
    return row


def label_of(agent: Json) -> str:
    return str(agent["name"].split()[0].lower())


def as_of(call: Json, today: date) -> Json:
    """The call as it is listed `today`: one that began late on that very day is still in progress."""
    began = str(call.get("created_at"))
    if began[:10] != today.isoformat() or began[11:13] < LATE:
        return call
    so_far = {name: value for name, value in call.items() if name not in ("duration", "ended_at")}
    return so_far | {"status": IN_PROGRESS[crc32(str(call.get("id")).encode()) % 2], "updated_at": call["created_at"]}
