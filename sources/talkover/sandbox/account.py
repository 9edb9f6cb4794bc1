"""A made-up account that lives: numbers are bought, repriced, suspended, reassigned and given back.

The same seed and size give the same account, and a day has the same state in however many steps it is reached.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone
from functools import cached_property
from random import Random
from typing import Any

from .calls import Holding, Party, a_call, as_of, calls_of_a_day, label_of, person
from .chance import iso, new_id, weighted
from .market import AGENTS, CAPABILITIES, COUNTRIES, OFFERS, OUTCOMES, REASONS, REJECTIONS, STATUSES

Json = dict[str, Any]
SECRET = "sk-never-load-this"
"""In whatever of an agent must never be loaded."""


DAY = timedelta(days=1)

# How often things happen, a number and day.
BOUGHT = 0.0017
ASKED_BACK = 0.0019
RESTATUSED = 0.0012
REASSIGNED = 0.0040
# How often a carrier changes the prices of a country and type, a day.
REPRICED = 0.03


class Account:
    """The numbers, release requests, agents and calls of one `environment`, as rows of the API.

    `numbers` and `requests` are by id, in the order they are listed; both may be changed by hand. `size` numbers are
    there on the day it is `founded`; `advance` lets it live. `calls` are by day, in UTC, as they ended: those of a day
    are made when `calls_on` is asked for it, about `calls_a_number`, and may be changed by hand from then on. Numbers
    that came by hand have none, and those that left so, not by `release`, go on having some.
    """

    def __init__(
        self,
        seed: int = 1,
        size: int = 60,
        founded: date | None = None,
        *,
        calls_a_number: float = 2.0,
        environment: str = "Production",
    ) -> None:
        self.seed = seed
        self.environment = environment
        self.today = founded or datetime.now(timezone.utc).date()
        self.numbers: dict[str, Json] = {}
        self.requests: dict[str, Json] = {}
        self.calls: dict[date, list[Json]] = {}
        self.calls_a_number = calls_a_number
        self._size = size
        self._held: dict[str, Holding] = {}
        self._more = 0
        self._expiring: set[str] = set()
        self._asked_back: set[str] = set()
        self._to_settle: list[tuple[date, str, str]] = []
        self._to_release: list[tuple[date, str]] = []
        chance = Random(f"{seed}/founded")
        self._agents = [
            {"id": new_id(chance), "name": f"{AGENTS[n % len(AGENTS)]} {n // len(AGENTS) + 1}"}
            for n in range(max(3, size // 15))
        ]
        for _ in range(size):
            self._buy(chance, self.today - timedelta(days=chance.randrange(1, 900)))
        ids = list(self.numbers)
        for _ in range(round(size * 0.08)):
            self._remember_a_request(chance, ids)
        for _ in range(round(size * 0.05)):
            self._ask_back(chance, self.today - timedelta(days=chance.randrange(1, 12)), ids)
        self._count_down()

    @property
    def agents(self) -> list[Json]:
        """The rows of GET /agents, with what must never be loaded: keys of other services, prompts and trainings."""
        return [self._agent(agent) for agent in self._agents]

    def advance(self, to: date) -> None:
        """Lives day by day up to `to`."""
        while self.today < to:
            self.today += timedelta(days=1)
            self._live_a_day(Random(f"{self.seed}/{self.today}"))
        self._count_down()

    def release(self, id: str, day: date | None = None) -> None:
        """The number leaves the list, today or on an earlier day."""
        self.numbers.pop(id, None)
        self._expiring.discard(id)
        if id in self._held:
            self._held[id].released = day or self.today

    def dismiss(self, agent_id: str) -> None:
        """The agent leaves the list."""
        self._agents = [agent for agent in self._agents if agent["id"] != agent_id]

    def hire(self, *, is_first: bool = False) -> None:
        """An agent more, at the end of the list or before it."""
        chance = self._chance_of_one_more("agent")
        agent = {"id": new_id(chance), "name": f"{chance.choice(AGENTS)} {len(self._agents) + 1}"}
        self._agents = [agent, *self._agents] if is_first else [*self._agents, agent]

    def calls_on(self, day: date) -> list[Json]:
        """The calls that began on that day, newest first and as they ended; none after today."""
        if day > self.today:
            return []
        if day not in self.calls:
            held = [holding for holding in self._held.values() if holding.covers(day)]
            chance = Random(f"{self.seed}/calls/{day}")
            self.calls[day] = calls_of_a_day(
                day, chance, a_number=self.calls_a_number, held=held, unlisted=self._unlisted, people=self._people
            )
        return self.calls[day]

    def calls_between(self, first: date | None, last: date | None, hours_ahead: int = 0) -> list[Json]:
        """The calls of those days and all between, newest first and as they are today: whether they have ended yet.

        The days are those of a zone that many hours ahead of UTC. Without a first or last one there is no bound.
        """
        began = min([*self.calls, *(holding.bought for holding in self._held.values())], default=self.today)
        ahead = timedelta(hours=hours_ahead)
        start = _midnight(max(first or began - DAY, began - DAY)) - ahead
        end = _midnight(min(last or self.today + DAY, self.today + DAY) + DAY) - ahead
        listed: list[Json] = []
        day = min((end - timedelta(seconds=1)).date(), self.today)
        while day >= max(start.date(), began):
            calls = self.calls_on(day)
            listed += [as_of(call, self.today) for call in calls] if day == self.today else calls
            day -= DAY
        if not hours_ahead:
            return listed
        begin, finish = iso(start), iso(end)
        return [call for call in listed if begin <= call["created_at"] < finish]

    def add_call(self, beside: str, *, is_after: bool = False) -> None:
        """A call more, begun when the one with the id `beside` was, and listed before or after it."""
        day, place = self._place_of(beside)
        chance = self._chance_of_one_more("call")
        began = datetime.fromisoformat(self.calls[day][place]["created_at"].replace("Z", "+00:00"))
        called = [holding for holding in self._held.values() if holding.covers(day) and holding.use] or self._unlisted
        self.calls[day].insert(place + is_after, a_call(chance, began, chance.choice(called), self._people))

    def lose_call(self, id: str) -> None:
        """The call leaves the list."""
        day, place = self._place_of(id)
        del self.calls[day][place]

    def buy(self) -> Json:
        """A number more, at the end of the list."""
        return self._buy(Random(f"{self.seed}/bought/{len(self.numbers)}/{self.today}"), self.today)

    def _live_a_day(self, chance: Random) -> None:
        for _ in range(self._happen(chance, BOUGHT)):
            self._buy(chance, self.today)
        for _ in range(self._happen(chance, ASKED_BACK)):
            self._ask_back(chance, self.today, list(self.numbers))
        for number in self._some(chance, RESTATUSED):
            number["current_status"] = weighted(chance, STATUSES)
            self._touch(number)
        for number in self._some(chance, REASSIGNED):
            number["agents"] = self._assign(chance)  # and `updated_at` stands still
        if chance.random() < REPRICED:
            self._reprice(chance)
        self._settle(chance)
        for day, id in [due for due in self._to_release if due[0] <= self.today]:
            self._to_release.remove((day, id))
            self.release(id)
        for id in sorted(
            id for id in self._expiring if date.fromisoformat(self.numbers[id]["renewal_date"]) < self.today
        ):
            self.release(id)

    def _buy(self, chance: Random, day: date) -> Json:
        country = chance.choices(COUNTRIES, [country.weight for country in COUNTRIES])[0]
        type, capabilities, multiple, _ = chance.choices(OFFERS, [offer[3] for offer in OFFERS])[0]
        # A few were bought at an old price, and a few come from a SIP trunk, for which nothing is charged or reported.
        old_price = 2.5 if chance.random() < 0.03 else 1.0
        is_trunk = chance.random() < 0.02
        price = None if is_trunk else round(country.price * multiple * old_price, 2)
        local = country.local_number(chance)
        bought = datetime.combine(day, time(chance.randrange(7, 20), chance.randrange(60)), timezone.utc)
        number: Json = {
            "id": new_id(chance),
            "number": f"+{country.calling_code}{local}",
            "country_code": country.code,
            "formatted_number": f"({local[:3]}) {local[3:6]}-{local[6:]}",
            "international_number": country.international(local),
            "type": type,
            **{f"has_{name}": None if is_trunk else name in capabilities for name in CAPABILITIES},
            "current_status": weighted(chance, STATUSES),
            "is_sandbox": chance.random() < 0.03,
            "current_price": price,
            "currency": None if is_trunk else country.currency,
            "renewal_date": None,
            "auto_renewal": chance.random() < 0.96,
            "created_at": iso(bought),
            "updated_at": iso(bought),
            "monthly_renewal_cost": price,
            "days_until_monthly_renewal": None,
            "is_due_for_monthly_renewal": None,
            "environment": {"id": f"env-{self.seed}", "name": self.environment},
            "agents": self._assign(chance),
        }
        if not number["auto_renewal"]:
            # It ends at its next renewal, up to a year from now.
            ends = _months_after(bought.date(), _months_between(bought.date(), self.today) + chance.randrange(1, 13))
            number["renewal_date"] = ends.isoformat()
            self._expiring.add(number["id"])
        self.numbers[number["id"]] = number
        self._held[number["id"]] = Holding(
            number["id"],
            Party(number["number"], number["international_number"]),
            bought=day,
            agents=tuple(number["agents"] or ()),
            takes_calls=number["has_voice"] is not False,
        )
        return number

    def _ask_back(self, chance: Random, day: date, ids: Sequence[str]) -> None:
        if not ids:
            return
        number = self.numbers[chance.choice(ids)]
        if number["id"] in self._asked_back:
            return
        request = self._request(chance, number, day)
        wait = min(1 + int(chance.expovariate(0.3)), 25)
        due = max(day + timedelta(days=wait), self.today + timedelta(days=1))
        self._to_settle.append((due, request["id"], weighted(chance, OUTCOMES)))

    def _remember_a_request(self, chance: Random, ids: Sequence[str]) -> None:
        """A request that was settled before the account was founded."""
        outcome = weighted(chance, OUTCOMES)
        day = self.today - timedelta(days=chance.randrange(40, 300))
        is_gone = outcome == "approved" or not ids
        number = self._buy(chance, day) if is_gone else self.numbers[chance.choice(ids)]
        request = self._request(chance, number, day)
        decided = day + timedelta(days=chance.randrange(1, 20))
        self._decide(chance, request, outcome, decided)
        if is_gone:
            self.release(number["id"], decided)

    def _request(self, chance: Random, number: Json, day: date) -> Json:
        request: Json = {
            "id": new_id(chance),
            "phone_number_id": number["id"],
            "phone_number": number["number"],
            "reason": chance.choice(REASONS),
            "status": "pending",
            "requested_at": iso(
                datetime.combine(day, time(chance.randrange(8, 15), chance.randrange(60)), timezone.utc)
            ),
        }
        self.requests[request["id"]] = request
        self._asked_back.add(number["id"])
        return request

    def _settle(self, chance: Random) -> None:
        for due in [due for due in self._to_settle if due[0] <= self.today]:
            self._to_settle.remove(due)
            _, id, outcome = due
            self._decide(chance, self.requests[id], outcome, self.today)
            if outcome == "approved":
                # Most leave within days; a few are forgotten, and go on being paid.
                delay = chance.randrange(30, 75) if chance.random() < 0.15 else chance.randrange(6)
                self._to_release.append((self.today + timedelta(days=delay), self.requests[id]["phone_number_id"]))

    def _decide(self, chance: Random, request: Json, outcome: str, day: date) -> None:
        request["status"] = outcome
        self._asked_back.discard(request["phone_number_id"])
        if outcome != "cancelled":
            request["resolved_at"] = iso(datetime.combine(day, time(16, chance.randrange(60)), timezone.utc))
        if outcome == "rejected":
            request["rejection_reason"] = chance.choice(REJECTIONS)

    def _reprice(self, chance: Random) -> None:
        country = chance.choice(COUNTRIES).code
        type = weighted(chance, (("voice", 3), ("sms", 1), ("whatsapp", 1)))
        factor = chance.choice((0.95, 1.04, 1.06, 1.1))
        for number in self.numbers.values():
            if (number["country_code"], number["type"]) == (country, type) and number["current_price"] is not None:
                number["current_price"] = number["monthly_renewal_cost"] = round(number["current_price"] * factor, 2)
                self._touch(number)

    def _assign(self, chance: Random) -> list[Json] | None:
        how_many = weighted(chance, ((1, 60), (0, 25), (2, 8), (None, 7)))
        return None if how_many is None else chance.sample(self._agents, min(how_many, len(self._agents)))

    def _agent(self, agent: Json) -> Json:
        names = ("id", "number", "country_code", "formatted_number", "international_number", "current_status")
        on = [number for number in self.numbers.values() if agent in (number.get("agents") or ())]
        return agent | {
            "label": label_of(agent),
            "description": f"Answers as {agent['name']}",
            "language": "pt-BR",
            "direction": "inbound",
            "current_status": "published",
            "is_sandbox": False,
            "is_ready_to_publish": True,
            "created_at": "2024-12-01T09:00:00Z",
            "updated_at": "2024-12-01T09:00:00Z",
            "prompt": f"{SECRET} prompt",
            "trainings": [{"content": f"{SECRET} training"}],
            "actions": [{"url": "https://example.com", "config": {"headers": {"Authorization": f"Bearer {SECRET}"}}}],
            "phone_numbers": [{name: number.get(name) for name in names} for number in on],
        }

    @cached_property
    def _people(self) -> list[Party]:
        """Who calls and is called again and again."""
        chance = Random(f"{self.seed}/people")
        return [person(chance) for _ in range(max(20, 3 * self._size))]

    @cached_property
    def _unlisted(self) -> list[Holding]:
        """Numbers that have calls and are never listed."""
        chance = Random(f"{self.seed}/unlisted")
        return [Holding(new_id(chance), person(chance), date.min) for _ in range(3)]

    def _chance_of_one_more(self, what: str) -> Random:
        self._more += 1
        return Random(f"{self.seed}/one more {what}/{self._more}/{self.today}")

    def _place_of(self, call_id: str) -> tuple[date, int]:
        return next(
            (day, place)
            for day, calls in self.calls.items()
            for place, call in enumerate(calls)
            if call["id"] == call_id
        )

    def _touch(self, number: Json) -> None:
        number["updated_at"] = iso(datetime.combine(self.today, time(3), timezone.utc))

    def _happen(self, chance: Random, rate: float) -> int:
        """How many events of a rate a number happen today."""
        expected = rate * len(self.numbers)
        return int(expected) + (chance.random() < expected % 1)

    def _some(self, chance: Random, rate: float) -> list[Json]:
        ids = list(self.numbers)
        return [self.numbers[chance.choice(ids)] for _ in range(self._happen(chance, rate))] if ids else []

    def _count_down(self) -> None:
        """What the server computes when it is asked: the next renewal, and the days until then."""
        for number in self.numbers.values():
            if number["auto_renewal"]:
                bought = date.fromisoformat(number["created_at"][:10])
                renewal = _months_after(bought, _months_between(bought, self.today) + 1)
                number["renewal_date"] = renewal.isoformat()
            days = (date.fromisoformat(number["renewal_date"]) - self.today).days
            number["days_until_monthly_renewal"] = days
            number["is_due_for_monthly_renewal"] = days <= 0


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), timezone.utc)


def _months_between(start: date, end: date) -> int:
    """Whole months from `start` to `end`, by the day of the month."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months if _months_after(start, months) <= end else months - 1


def _months_after(day: date, months: int) -> date:
    """The same day some months on, or the last of that month."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
