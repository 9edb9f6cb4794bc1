"""The fields of the API's rows: name, kind and meaning, each defined here and nowhere else.

Fields and meanings are those of the vendor's reference pages "List phone numbers" and "List release requests"; what
differs on its other pages (`country` for `country_code`, `environment` and `agents` null or left out) is taken too. A
field's meaning is its column's description in every destination and in the docs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .kinds import CURRENCY, DAY, DAYS, FLAG, ID, INSTANT, MONEY, REFERENCE, TEXT, Kind

PHONE_NUMBERS = "phone-numbers"
RELEASE_REQUESTS = "phone-numbers/release-requests"


@dataclass(frozen=True)
class Field:
    """A field of a row. `other_name` is what some pages call it."""

    name: str
    kind: Kind
    meaning: str
    other_name: str | None = None


@dataclass(frozen=True)
class Resource:
    """What the rows of an endpoint, or objects within them, hold.

    `objects` become columns of the row, by dlt's convention of two underscores: `environment__id`. `lists` become one
    column of JSON each.
    """

    fields: tuple[Field, ...]
    objects: Mapping[str, Resource] = field(default_factory=dict)
    lists: Mapping[str, Resource] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row, without those of fields that no page documents."""
        own = [field.name for field in self.fields]
        of_objects = [f"{name}__{column}" for name, within in self.objects.items() for column in within.columns]
        return (*own, *of_objects, *self.lists)


AGENT = Resource(
    (
        Field("id", ID, "Talkover's id of the agent"),
        Field("name", TEXT, "name of the agent"),
    )
)
"""An AI agent that answers on a number. The API documents the list, not the fields."""

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
        Field("type", TEXT, "voice, sms, whatsapp, mms, fax; may grow"),
        Field("has_voice", FLAG, "can take and make calls"),
        Field("has_sms", FLAG, "can send and receive SMS"),
        Field("has_mms", FLAG, "can send and receive MMS"),
        Field("has_fax", FLAG, "can send and receive fax"),
        Field("has_whatsapp", FLAG, "is a WhatsApp number"),
        Field("current_status", TEXT, "active, inactive, pending, suspended; may grow"),
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
    lists={"agents": AGENT},
)
"""A number the account holds: `GET /phone-numbers`."""

AGENTS_MEANING = "agents on the number; null is unknown, not none"

RELEASE_REQUEST = Resource(
    (
        Field("id", ID, "Talkover's id of the request"),
        Field("phone_number_id", REFERENCE, "the number to give back"),
        Field("phone_number", TEXT, "that number in E.164 form"),
        Field("reason", TEXT, "why, 10 to 500 characters"),
        Field("status", TEXT, "pending, approved, rejected, cancelled; may grow"),
        Field("requested_at", INSTANT, "submitted, UTC"),
        Field("resolved_at", INSTANT, "settled, UTC; a cancelled one may have none"),
        Field("rejection_reason", TEXT, "why it was rejected"),
    )
)
"""A request to give a number back: `GET /phone-numbers/release-requests`."""

COUNTDOWNS = frozenset({"days_until_monthly_renewal", "is_due_for_monthly_renewal"})
"""Computed by the server when it answers: they change from day to day though nothing happened."""
