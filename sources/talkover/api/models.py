"""The shape of the API's rows: one model a resource, and the only place that knows field, type and meaning.

Fields and meanings are those of the vendor's reference pages "List phone numbers" and "List release requests"; what
differs on its other pages (`country` for `country_code`, `environment` and `agents` null or left out) is taken too, and
so is what a Laravel back end really sends: 0 and 1 for booleans, "1.00" for money, midnight of an instant for a date, a
fractional day count, microseconds, MySQL's zero date. Null and absent are the same, and so is an empty text where no
text belongs. Fields not known here are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from ..errors import InvalidRow

MONEY_PLACES = 4
MONEY_DIGITS = 18
"""Money is decimal(18,4): an amount that needs more is an error, not a rounding."""

MEANING = {"string_type": "must be text", "string_unicode": "holds half a character (a lone surrogate)"}
"""Pydantic's kinds of misfit in our words."""

MAX_DEPTH = 50
LARGEST_EXACT_DOUBLE = 2**53
EXACT_DIGITS_OF_A_DOUBLE = 15

UTC = timezone.utc
_CENT = Decimal(1).scaleb(-MONEY_PLACES)
_FLOAT_NOISE = Decimal("1e-15")
# Noise that reaches it, in amounts beyond 10 billion, cannot be told from a digit.
_FIFTH_PLACE = _CENT / 10
_IS_JSON_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?").fullmatch
_DAY = re.compile(r"(?!0000-00-00)[0-9]{4}-[0-9]{2}-[0-9]{2}")
_IS_DAY, _STARTS_WITH_DAY = _DAY.fullmatch, _DAY.match
# For PHP month 0 and day 0 of the year 0 are November 30 of the year before, in UTC the 29th in half of the world. It
# writes that year with four digits, Laravel with six.
_IS_NO_DATE = re.compile(r"(0000-00-00|-0+1-11-(29|30))([T ].*)?").fullmatch


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(MEANING["string_type"])
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(MEANING["string_unicode"]) from None
    return value


def _read_id(value: Any) -> str:
    if type(value) is int:
        return str(value)
    text = _read_text(value)
    if not text or text.isspace():
        raise ValueError("must not be empty")
    return text


def _read_reference(value: Any) -> str | None:
    return None if value == "" else _read_id(value)


def _read_flag(value: Any) -> bool | None:
    """True and false, or 0 and 1 as a database driver without booleans writes them."""
    if value is True or value is False:
        return bool(value)
    if value == "":
        return None
    if type(value) in (int, str) and value in (0, 1, "0", "1"):
        return value in (1, "1")
    raise ValueError("must be true or false")


def _read_money(value: Any) -> Decimal | None:
    if type(value) not in (int, str, Decimal) or (isinstance(value, str) and not _IS_JSON_NUMBER(value)):
        if value == "":
            return None
        raise ValueError("must be an amount")
    return _exact_money(value)


@lru_cache(maxsize=4096)
def _exact_money(value: int | str | Decimal) -> Decimal:
    """An exact amount; what a binary float adds behind its 15th digit (0.30000000000000004) is no money.

    PHP with `serialize_precision = 100` writes all the digits of a float: fifty and more.
    """
    amount = Decimal(value)
    if not amount.is_finite():
        raise ValueError("must be an amount")
    try:
        cents = amount.quantize(_CENT)
    except InvalidOperation:
        cents = None
    if cents is None or len(cents.as_tuple().digits) > MONEY_DIGITS:
        raise ValueError(f"has more than {MONEY_DIGITS - MONEY_PLACES} digits before the point")
    if amount != cents and not _is_float_noise(amount, cents):
        raise ValueError(f"has more than {MONEY_PLACES} digits after the point")
    return cents + 0  # -0 is 0


def _is_float_noise(amount: Decimal, cents: Decimal) -> bool:
    size = max(abs(amount), Decimal(1))
    return len(amount.as_tuple().digits) > EXACT_DIGITS_OF_A_DOUBLE and abs(amount - cents) < min(
        size * _FLOAT_NOISE, _FIFTH_PLACE
    )


def _read_days(value: Any) -> int | None:
    """Whole days: newer Laravel writes 14.37 where older wrote 14, and the count would change with every request."""
    if value == "":
        return None
    if type(value) not in (int, str, Decimal):
        raise ValueError("must be a number of days")
    try:
        days = Decimal(value)
        is_too_many = not -1_000_000 <= days <= 1_000_000
    except InvalidOperation:
        raise ValueError("must be a number of days") from None
    if is_too_many:
        raise ValueError("is more than a million days")  # never made an int: 1e999999999 would take hours
    return int(days)


def _read_iso(value: Any) -> str | None:
    """Pydantic would take digits for seconds since 1970: no API of this vendor writes them."""
    text = _read_text(value)
    if _STARTS_WITH_DAY(text):
        return text
    if not text or _IS_NO_DATE(text):
        return None
    raise ValueError("must be an ISO 8601 date")


def _read_day(value: Any, info: ValidationInfo[tzinfo]) -> date | None:
    """A plain day, or the instant at which it begins: Laravel has no plain days, and writes every instant in UTC."""
    if isinstance(value, str) and _IS_DAY(value):
        return date.fromisoformat(value)
    text = _read_iso(value)
    return None if text is None else _day_that_begins(_read_instant(text), info.context)


def _day_that_begins(instant: datetime, time_zone: tzinfo) -> date:
    """The day that begins at `instant`: by its own clock or, where it is in UTC, by that of `time_zone`."""
    if instant.time() == time.min and instant.utcoffset() != timedelta():
        return instant.date()
    instant = _in_utc(instant)
    try:
        there = instant.astimezone(time_zone)
        begins = datetime.combine(there, time.min, time_zone).astimezone(UTC)  # where clocks skip midnight, right after
    except OverflowError:
        raise ValueError("is out of range") from None
    if begins != instant:
        raise ValueError(
            f"must be a day, or midnight in the zone of the API's days (setting time_zone: {time_zone}, "
            f"where it is {there})"
        )
    return there.date()


def _read_unknown(value: Any) -> Any:
    """A value of a field that no page documents: what JSON holds, without nulls inside.

    A number becomes a double, since PHP writes 5.0 as 5 and a column must not change its type from row to row.
    """
    plain = _read_json(value)
    return float(plain) if type(plain) is int else plain


def _read_json(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return {_read_text(k): _read_json(v, depth + 1) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_read_json(v, depth + 1) for v in value]
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return _read_number(value)
    return value


def _read_number(value: int | Decimal) -> int | float | str:
    """The shortest spelling; text where a double would not be exact."""
    if not -LARGEST_EXACT_DOUBLE <= value <= LARGEST_EXACT_DOUBLE:
        return str(value)
    return int(value) if value == int(value) else float(value)


def _read_currency(value: Any) -> Any:
    return None if value == "" else value


def _read_environment(value: Any) -> Any:
    """PHP writes an object without members as an empty list."""
    return None if value in ([], "") else value


def _read_agents(value: Any) -> Any:
    """PHP writes a filtered list as an object with numeric keys."""
    if value == "":
        return None
    if isinstance(value, dict) and all(key.isdecimal() for key in value):
        return list(value.values())
    return value


def _in_utc(value: datetime) -> datetime:
    """The API states its instants in UTC; one without an offset is taken for that."""
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Id = Annotated[str, PlainValidator(_read_id)]
Reference = Annotated[str, PlainValidator(_read_reference)]
# Most values are plain: pydantic takes those itself, ten times as fast as a function of ours.
Text = Annotated[str, Field(strict=True, min_length=0)]  # with a length to look at it also sees half characters
Flag = Annotated[
    Annotated[bool, Field(strict=True)] | Annotated[bool, PlainValidator(_read_flag)],
    Field(union_mode="left_to_right"),
]
Money = Annotated[Decimal, PlainValidator(_read_money)]
Days = Annotated[int, PlainValidator(_read_days)]
Day = Annotated[date, PlainValidator(_read_day)]
Unknown = Annotated[Any, BeforeValidator(_read_unknown)]
Instant = Annotated[Annotated[datetime, AfterValidator(_in_utc)] | None, BeforeValidator(_read_iso)]
_read_instant = TypeAdapter(datetime).validate_python


class Resource(BaseModel):
    """Base of the models. A field's description is its column's description in every destination and in the docs."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Unknown] = Field(init=False)

    def row(self) -> dict[str, Any]:
        """Column to value, without nulls."""
        row = {name: value for name, value in self.__dict__.items() if value is not None}
        row.pop("__pydantic_extra__", None)  # declared for its type, pydantic keeps it among the fields too
        if self.__pydantic_extra__:
            row |= {name: value for name, value in self.__pydantic_extra__.items() if value is not None}
        return row


class Agent(Resource):
    """An AI agent that answers on a number. The API documents the list, not the fields."""

    id: Id = Field(description="Talkover's id of the agent")
    name: Text | None = Field(None, description="name of the agent")


class Environment(Resource):
    """The Talkover environment of a number, told only "when loaded"."""

    id: Reference | None = Field(None, description="Talkover's id of the environment")
    name: Text | None = Field(None, description="name of the environment")


class PhoneNumber(Resource):
    """A number the account holds: `GET /phone-numbers`."""

    id: Id = Field(description="Talkover's id of the number")
    number: Text | None = Field(None, description="the number in E.164 form")
    country_code: Text | None = Field(
        None, validation_alias=AliasChoices("country_code", "country"), description="ISO country code"
    )
    formatted_number: Text | None = Field(None, description="the number as written in its country")
    international_number: Text | None = Field(None, description="the number in international form")
    type: Text | None = Field(None, description="voice, sms, whatsapp, mms, fax; may grow")
    has_voice: Flag | None = Field(None, description="can take and make calls")
    has_sms: Flag | None = Field(None, description="can send and receive SMS")
    has_mms: Flag | None = Field(None, description="can send and receive MMS")
    has_fax: Flag | None = Field(None, description="can send and receive fax")
    has_whatsapp: Flag | None = Field(None, description="is a WhatsApp number")
    current_status: Text | None = Field(None, description="active, inactive, pending, suspended; may grow")
    is_sandbox: Flag | None = Field(None, description="is a sandbox number")
    current_price: Money | None = Field(None, description="price now, in currency")
    currency: Annotated[Text | None, BeforeValidator(_read_currency)] = Field(
        None, description="ISO currency of both prices"
    )
    renewal_date: Day | None = Field(None, description="next renewal, a plain day")
    auto_renewal: Flag | None = Field(None, description="renews by itself")
    created_at: Instant | None = Field(None, description="bought, UTC")
    updated_at: Instant | None = Field(None, description="touched, UTC; does not move with countdowns or agents")
    monthly_renewal_cost: Money | None = Field(None, description="cost of a month, in currency")
    days_until_monthly_renewal: Days | None = Field(None, description="whole days, counted by the server when asked")
    is_due_for_monthly_renewal: Flag | None = Field(None, description="is due, by the server when asked")
    environment: Annotated[Environment | None, BeforeValidator(_read_environment)] = Field(
        None, description="Talkover environment; null is not told"
    )
    agents: Annotated[list[Agent] | None, BeforeValidator(_read_agents)] = Field(
        None, description="agents on the number; null is not told, not none"
    )

    def row(self) -> dict[str, Any]:
        """Column to value, without nulls; `environment` as columns, `agents` in a fixed order."""
        row = super().row()
        if self.environment is not None:
            del row["environment"]
            row.update((f"environment__{name}", value) for name, value in self.environment.row().items())
        if self.agents is not None:
            row["agents"] = [agent.row() for agent in sorted(self.agents, key=lambda agent: agent.id)]
        return row


class ReleaseRequest(Resource):
    """A request to give a number back: `GET /phone-numbers/release-requests`."""

    id: Id = Field(description="Talkover's id of the request")
    phone_number_id: Reference | None = Field(None, description="the number to give back")
    phone_number: Text | None = Field(None, description="that number in E.164 form")
    reason: Text | None = Field(None, description="why, 10 to 500 characters")
    status: Text | None = Field(None, description="pending, approved, rejected, cancelled; may grow")
    requested_at: Instant | None = Field(None, description="asked, UTC")
    resolved_at: Instant | None = Field(None, description="settled, UTC; a cancelled one may have none")
    rejection_reason: Text | None = Field(None, description="why it was rejected")


COUNTDOWNS = frozenset({"days_until_monthly_renewal", "is_due_for_monthly_renewal"})
"""Computed by the server when asked: they change from day to day though nothing happened."""

Model = TypeVar("Model", bound=Resource)


@lru_cache
def _reader(model: type[Model]) -> TypeAdapter[list[Model]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def read_rows(model: type[Model], rows: Sequence[dict[str, Any]], asked: str, time_zone: tzinfo = UTC) -> list[Model]:
    """`rows` of the API as models; an instant for a day is midnight in `time_zone`.

    Raises InvalidRow that names `asked`, id, field and value of the first misfit.
    """
    try:
        return _reader(model).validate_python(rows, context=time_zone)
    except ValidationError as error:
        raise _invalid_row(rows, error, asked) from None


def _invalid_row(rows: Sequence[dict[str, Any]], error: ValidationError, asked: str) -> InvalidRow:
    # Of a flag two ways were tried, and the second says what is wrong.
    misfits = [misfit for misfit in error.errors(include_url=False) if misfit["type"] != "bool_type"]
    first = misfits[0]
    position, *path = first["loc"]
    row = rows[int(position)]
    names = [part for part in path if not str(part).startswith("function-plain[")]
    field = ".".join(part if isinstance(part, str) and part.isidentifier() else quote(part) for part in names)[:200]
    what = str(first.get("ctx", {}).get("error") or MEANING.get(first["type"]) or first["msg"])
    value = "missing" if first["type"] == "missing" else quote(first["input"])
    more = f" (and {len(misfits) - 1} more misfits)" if len(misfits) > 1 else ""
    return InvalidRow(
        f"{asked}: row {position} of a page, id {quote(row.get('id'))}: {field} {what}, but is {value}{more}. "
        "Nothing was loaded. If the API is right, please report this; the next good run loads everything"
    )


def quote(value: Any) -> str:
    """`value` as an error shows it: short, and on one line of ASCII whatever it holds."""
    text = str(value) if isinstance(value, Decimal) else ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
