"""The fields of the API's rows: name, kind and meaning, each defined here and nowhere else.

Fields and meanings are those of the vendor's reference pages "List phone numbers" and "List release requests"; what
differs on its other pages (`country` for `country_code`, `environment` and `agents` null or left out) is taken too. A
field's meaning is its column's description in every destination and in the docs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .kinds import CURRENCY, DAY, DAYS, FLAG, ID, INSTANT, MONEY, REFERENCE, SECONDS, TEXT, Kind

PHONE_NUMBERS = "phone-numbers"
RELEASE_REQUESTS = "phone-numbers/release-requests"
AGENTS = "agents"
CALLS = "calls"


@dataclass(frozen=True)
class Field:
    """A field of a row. `other_name` is what some pages call it. What `is_personal` is quoted in no error.

    `values` are those that the pages list, of a text that may have others one day.
    """

    name: str
    kind: Kind
    meaning: str
    other_name: str | None = None
    is_personal: bool = False
    values: tuple[str, ...] = ()


def one_of(name: str, *values: str, note: str = "may grow", other_name: str | None = None) -> Field:
    """A text of which the pages list the values."""
    return Field(name, TEXT, f"{', '.join(values)}; {note}", other_name, values=values)


@dataclass(frozen=True)
class Resource:
    """What the rows of an endpoint, or objects within them, hold.

    `objects` become columns of the row, by dlt's convention of two underscores: `environment__id`. `lists` become one
    column of JSON each, which `meaning` describes. Of a resource that `may_hold_secrets` no other field is read.
    `often_absent` are those that a page leaves out, or has in some rows alone; `not_loaded` what pages have besides.
    """

    fields: tuple[Field, ...]
    objects: Mapping[str, Resource] = field(default_factory=dict)
    lists: Mapping[str, Resource] = field(default_factory=dict)
    meaning: str = ""
    may_hold_secrets: bool = False
    often_absent: frozenset[str] = frozenset()
    not_loaded: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row, without those of fields that no page documents."""
        own = [field.name for field in self.fields]
        of_objects = [f"{name}__{column}" for name, within in self.objects.items() for column in within.columns]
        return (*own, *of_objects, *self.lists)


AGENT_ON_NUMBER = Resource(
    (
        Field("id", ID, "Talkover's id of the agent"),
        Field("name", TEXT, "name of the agent"),
    ),
    meaning="agents on the number; null is unknown, not none",
    may_hold_secrets=True,
)
"""An AI agent that answers on a number. The API documents the list, not the fields: they may be those of GET /agents,
whose `actions` can hold credentials for other services, and whose `trainings` and prompts are business secrets.
"""

NUMBER_OF_AGENT = Resource(
    (Field("id", ID, "Talkover's id of the number"),),
    meaning="numbers that the agent answers on; null is unknown, not none",
    may_hold_secrets=True,
    not_loaded=frozenset({"number", "country_code", "formatted_number", "international_number", "current_status"}),
)
"""A number that an agent answers on, as the English page of GET /agents has it; other pages leave the list out."""

AGENT = Resource(
    (
        Field("id", ID, "Talkover's id of the agent"),
        Field("name", TEXT, "name of the agent"),
        Field("label", TEXT, "its label"),
        Field("language", TEXT, "language it speaks"),
        one_of("direction", "inbound", "outbound"),
        one_of("current_status", "draft", "published", "unpublished", other_name="status"),
        Field("is_sandbox", FLAG, "is a sandbox agent"),
        Field("is_ready_to_publish", FLAG, "has all that it needs"),
        Field("created_at", INSTANT, "created, UTC"),
        Field("updated_at", INSTANT, "last updated, UTC"),
    ),
    lists={"phone_numbers": NUMBER_OF_AGENT},
    may_hold_secrets=True,
    often_absent=frozenset({"phone_numbers"}),
    not_loaded=frozenset({"description", "trainings", "actions"}),
)
"""An AI agent: `GET /agents`. Its description, voice, prompts, `trainings` and `actions` are not read."""

AGENT_ON_CALL = Resource(
    (
        Field("id", REFERENCE, "Talkover's id of the agent; null is unknown"),
        Field("name", TEXT, "name of the agent"),
        Field("label", TEXT, "its label"),
    ),
    may_hold_secrets=True,
)
"""The agent that took or made a call; the Portuguese page has it as optional."""

CALL = Resource(
    (
        Field("id", ID, "Talkover's id of the call"),
        Field("sid", TEXT, "the carrier's id of the call"),
        Field("from", REFERENCE, "who called, in E.164 form", is_personal=True),
        Field("to", REFERENCE, "who was called, in E.164 form", is_personal=True),
        one_of("direction", "inbound", "outbound", note="null is unknown"),
        one_of("status", "initiated", "ringing", "in-progress", "answered", "completed", "failed", "busy", "no-answer"),
        Field("duration", SECONDS, "seconds; 0 or null where it was not completed"),
        Field("is_testing", FLAG, "is a test call"),
        Field("created_at", INSTANT, "began, UTC"),
        Field("updated_at", INSTANT, "last updated, UTC"),
        Field("ended_at", INSTANT, "ended, UTC"),
    ),
    objects={"agent": AGENT_ON_CALL},
    may_hold_secrets=True,
    often_absent=frozenset({"direction", "duration", "agent", "updated_at", "ended_at"}),
    not_loaded=frozenset({"to_formatted", "from_formatted"}),
)
"""A call: `GET /calls`. It names numbers as text alone. No other field is read: what is said on a call is personal."""

ENVIRONMENT = Resource(
    (
        Field("id", REFERENCE, "Talkover's id of the environment"),
        Field("name", TEXT, "name of the environment"),
    )
)
"""The Talkover environment of a number, returned only "when loaded"."""

PHONE_NUMBER = Resource(
    (
        Field("id", ID, "Talkover's id of the number"),
        Field("number", TEXT, "the number in E.164 form"),
        Field("country_code", TEXT, "ISO country code", other_name="country"),
        Field("formatted_number", TEXT, "the number as written in its country"),
        Field("international_number", TEXT, "the number in international form"),
        one_of("type", "voice", "sms", "whatsapp", "mms", "fax"),
        Field("has_voice", FLAG, "can take and make calls"),
        Field("has_sms", FLAG, "can send and receive SMS"),
        Field("has_mms", FLAG, "can send and receive MMS"),
        Field("has_fax", FLAG, "can send and receive fax"),
        Field("has_whatsapp", FLAG, "is a WhatsApp number"),
        one_of("current_status", "active", "inactive", "pending", "suspended"),
        Field("is_sandbox", FLAG, "is a sandbox number"),
        Field("current_price", MONEY, "price now, in currency"),
        Field("currency", CURRENCY, "ISO currency of both prices"),
        Field("renewal_date", DAY, "next renewal, a plain day"),
        Field("auto_renewal", FLAG, "renews by itself"),
        Field("created_at", INSTANT, "bought, UTC"),
        Field("updated_at", INSTANT, "last updated, UTC; does not move with countdowns or agents"),
        Field("monthly_renewal_cost", MONEY, "cost of a month, in currency"),
        Field("days_until_monthly_renewal", DAYS, "whole days, counted by the server when it answers"),
        Field("is_due_for_monthly_renewal", FLAG, "is due, by the server when it answers"),
    ),
    objects={"environment": ENVIRONMENT},
    lists={"agents": AGENT_ON_NUMBER},
    often_absent=frozenset({"environment", "agents"}),
)
"""A number the account holds: `GET /phone-numbers`."""

RELEASE_REQUEST = Resource(
    (
        Field("id", ID, "Talkover's id of the request"),
        Field("phone_number_id", REFERENCE, "the number to give back"),
        Field("phone_number", TEXT, "that number in E.164 form"),
        Field("reason", TEXT, "why, 10 to 500 characters"),
        one_of("status", "pending", "approved", "rejected", "cancelled"),
        Field("requested_at", INSTANT, "submitted, UTC"),
        Field("resolved_at", INSTANT, "settled, UTC; a cancelled one may have none"),
        Field("rejection_reason", TEXT, "why it was rejected"),
    ),
    often_absent=frozenset({"resolved_at", "rejection_reason"}),
)
"""A request to give a number back: `GET /phone-numbers/release-requests`."""

COUNTDOWNS = frozenset({"days_until_monthly_renewal", "is_due_for_monthly_renewal"})
"""Computed by the server when it answers: they change from day to day though nothing happened."""
