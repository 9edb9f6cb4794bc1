"""What a value of JSON looks like, and never what it is: its type, how a text is spelled, how long it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

TRUE_OR_FALSE, WHOLE = "true or false", "whole number"
DAY, INSTANT, CURRENCY = "day", "instant with Z", "three capital letters"
TEXTS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("empty text", re.compile(r"\s*").fullmatch),
    ("UUID", re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch),
    ("zero date", re.compile(r"0000-00-00.*|-0.*").fullmatch),
    (DAY, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch),
    ("E.164", re.compile(r"\+[0-9]{5,15}").fullmatch),
    ("whole number in text", re.compile(r"-?[0-9]+").fullmatch),
    ("number in text", re.compile(r"-?[0-9]*[.,][0-9]+").fullmatch),
    ("two capital letters", re.compile(r"[A-Z]{2}").fullmatch),
    (CURRENCY, re.compile(r"[A-Z]{3}").fullmatch),
    ("e-mail address", re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+").fullmatch),
    ("web address", re.compile(r"https?://\S+").fullmatch),
)
"""Spellings of a text, the first that fits; `form_of` knows those of an instant."""
HIDDEN = "<key>"
OF_ANY_LENGTH = frozenset({"text", "E.164", "whole number in text", "e-mail address", "web address"})
LONGEST = 200
"""Of a text that is anything but text."""
MOST_DECIMALS = 9
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ])[0-9]{2}:[0-9]{2}(:[0-9]{2}(?:\.([0-9]{1,9}))?)?(?:([Zz])|([+-][0-9:]{2,5}))?"
).fullmatch
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}").fullmatch
"""What names of fields look like."""
DIGITS_OF_AN_ID = 4


def shown(key: str) -> str:
    """`key` where it is the name of a field; `<key>` where it may be data: an id, a number, an address, a sentence."""
    is_data = sum(map(str.isdigit, key)) >= DIGITS_OF_AN_ID or not _NAME(key)
    return HIDDEN if is_data else key


def describe(values: Sequence[Any]) -> str:
    """The forms of `values` but null, the most frequent first, each with how often where they are several; lengths."""
    there = [value for value in values if value is not None]
    forms = Counter(map(form_of, there)).most_common()
    said = "; ".join(form if len(forms) == 1 else f"{count} {form}" for form, count in forms)
    texts = [len(value) for value in there if isinstance(value, str) and _form_of_text(value) in OF_ANY_LENGTH]
    lists = [len(value) for value in there if isinstance(value, list)]
    said += f", {_range(texts)} long" if texts else ""
    return said + (f" of {_range(lists)}" if lists else "") or "null"


def form_of(value: Any) -> str:
    """`value` must not be null."""
    if isinstance(value, str):
        return _form_of_text(value)
    if isinstance(value, bool):
        return TRUE_OR_FALSE
    if isinstance(value, int):
        return WHOLE
    if isinstance(value, Decimal):
        return f"number with {_decimals(value)}"
    if isinstance(value, float):
        return "NaN or infinity"
    return "object" if isinstance(value, dict) else "list"


def _form_of_text(text: str) -> str:
    if found := _INSTANT(text) if len(text) <= LONGEST else None:
        space, _, fraction, utc, offset = found.groups()
        zone = "with Z" if utc else "with an offset" if offset else "without a zone"
        parts = [f"instant {zone}", "a space for T" if space == " " else "", _digits(fraction)]
        return ", ".join(filter(None, parts))
    return next((form for form, fits in TEXTS if len(text) <= LONGEST and fits(text)), "text")


def _digits(fraction: str | None) -> str:
    return f"{len(fraction)} digits of a second" if fraction else ""


def _decimals(value: Decimal) -> str:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 0:
        return "an exponent"
    if -exponent > MOST_DECIMALS:
        return f"over {MOST_DECIMALS} decimals"
    return f"{-exponent} decimal{'' if exponent == -1 else 's'}"


def _range(sizes: Sequence[int]) -> str:
    least, most = min(sizes), max(sizes)
    return str(least) if least == most else f"{least} to {most}"
