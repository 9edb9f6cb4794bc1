"""Who is on a call: the account's own number, and the other party, who is a person.

    from, to, direction → phone_number, party_country_code, party_hash, party_number

The API names both as text. Ours is `from` of an outbound call and `to` of an inbound one (inferred from the vendor's
examples), so a number that the account is known to hold goes before that.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dlt
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import ConfigurationError

KEY_FILE = "talkover_caller_key"
SHORTEST_KEY = 16
HASH_BYTES = 8
NO_DIGITS = r"[^0-9]+"
_IS_NUMBER = re.compile(r"[1-9][0-9]{6,14}").fullmatch
REGIONS: Mapping[int, Sequence[str]] = phonenumbers.COUNTRY_CODE_TO_REGION_CODE

log = logging.getLogger("talkover")


@dataclass(frozen=True)
class CallerKey:
    """The secret that hashes telephone numbers: without it a hash is soon reversed, since there are few numbers."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Tells this key from others, and nothing else."""
        return self._mac("key")

    def hash(self, digits: str) -> str:
        """The same for the same number, however it is written: `digits` are those of its E.164 form."""
        return self._mac(f"number {digits}")

    def _mac(self, text: str) -> str:
        return hmac.digest(self.secret, text.encode(), "sha256")[:HASH_BYTES].hex()


def caller_key(configured: str | None, *, make: bool = True) -> CallerKey:
    """The key that is configured; else the one that the first run made, in a file of dlt's data folder.

    Raises ConfigurationError where that file cannot be read, or is not there and may not, or cannot, be made.
    """
    if configured is not None:
        return CallerKey(configured.encode())
    file = Path(dlt.current.run_context().data_dir) / KEY_FILE
    if not make and not file.exists():
        raise ConfigurationError(f"caller_key is not set, and no run has made a key here ({file})")
    try:
        return CallerKey(_kept_in(file).encode())
    except OSError as error:
        raise ConfigurationError(
            f"calls need a key that hashes telephone numbers, and {file} cannot be read or made ({error.strerror}): "
            "set caller_key (SOURCES__TALKOVER__CALLER_KEY) to a random text of your own"
        ) from None


def _kept_in(file: Path) -> str:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as new:
            new.write(secrets.token_hex(32))
        log.warning(
            "made a key that hashes telephone numbers, %s: keep it, or set caller_key, since another machine cannot go "
            "on without it",
            file,
        )
    except FileExistsError:
        pass
    kept = file.read_text().strip()
    if len(kept) < SHORTEST_KEY:
        raise ConfigurationError(f"{file} holds no key: delete it, and the next run makes one")
    return kept


def digits_of(number: str) -> str:
    """What is hashed of a number: its digits, however it is written."""
    return re.sub(NO_DIGITS, "", number)


def with_parties(calls: pa.Table, held: pa.ChunkedArray, key: CallerKey, *, keep: bool) -> pa.Table:
    """`calls` with the two sides told apart, instead of `from` and `to`. `held` are numbers that the account holds.

    Whose side is not known is neither: its text may be a person's number, and is not kept.
    """
    sender, receiver = calls["from"].combine_chunks(), calls["to"].combine_chunks()
    digits_held = _digits(held)
    is_ours = _is_ours(calls["direction"].combine_chunks(), _among(sender, digits_held), _among(receiver, digits_held))
    # both are null where it is not known
    ours, party = pc.if_else(is_ours, sender, receiver), pc.if_else(is_ours, receiver, sender)
    as_listed = held.take(pc.index_in(_digits(ours), digits_held))
    return (
        calls.drop_columns(["from", "to"])
        .append_column("phone_number", pc.coalesce(as_listed, ours))
        .append_column("party_country_code", _of_each(party, _country_of))
        .append_column("party_hash", _of_each(_digits(party), lambda digits: key.hash(digits) if digits else None))
        .append_column("party_number", party if keep else pa.nulls(len(party), pa.string()))
    )


def _is_ours(direction: pa.Array, sender_is_held: pa.Array, receiver_is_held: pa.Array) -> pa.Array:
    """Whether the sender is ours, or the receiver (false); null where neither is known to be."""
    is_known = pc.is_in(direction, pa.array(["inbound", "outbound"]))
    by_direction = pc.if_else(is_known, pc.equal(direction, "outbound"), None)
    return pc.if_else(pc.equal(sender_is_held, receiver_is_held), by_direction, sender_is_held)


def _digits(numbers: Any) -> Any:
    return pc.replace_substring_regex(numbers, NO_DIGITS, "")


def _among(numbers: pa.Array, digits_held: pa.ChunkedArray) -> pa.Array:
    """Whether each is held, however it is written."""
    digits = _digits(numbers)
    return pc.and_(pc.is_in(digits, digits_held), pc.not_equal(pc.fill_null(digits, ""), ""))


def _of_each(texts: pa.Array, what: Callable[[str], str | None]) -> pa.Array:
    """`what` of each text, made once for the same text; null stays null."""
    coded = texts.dictionary_encode()
    made = pa.array([what(text) for text in coded.dictionary.to_pylist()], pa.string())
    return made.take(coded.indices)


def _country_of(number: str) -> str | None:
    """The ISO code of a number's country; None where it has none, such as a withheld or a freephone number."""
    regions = _regions_of(number)
    region = regions[0] if len(regions) == 1 else None
    if region is None:
        try:
            region = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{number.lstrip('+')}"))
        except phonenumbers.NumberParseException:
            return None
    return region if region and region.isalpha() else None


def _regions_of(number: str) -> Sequence[str]:
    """The countries of a calling code: where it is of one alone, the number itself need not be looked at."""
    digits = number.lstrip("+")
    if not _IS_NUMBER(digits):
        return ()
    return next(filter(None, (REGIONS.get(int(digits[:length])) for length in (1, 2, 3))), ())
