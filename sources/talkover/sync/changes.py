"""What is new, different and gone: pure functions over rows and fingerprints. No dlt, no I/O.

A fingerprint stands for every value of a row. Its making must never change, or every number would be logged as changed:
the tests pin some.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import orjson

from ..errors import SuspiciousRemoval

FINGERPRINT_BYTES = 8
"""64 bits: a fingerprint is compared with the earlier one of the same row alone, so two rows never meet."""
GUARD_FROM = 10
"""Of fewer numbers than this, any share may be removed, but not all."""

Key = TypeVar("Key", bound=Hashable)


def canonical(row: Mapping[str, Any]) -> bytes:
    """`row` as JSON, the same for the same values: sorted by name, instants in UTC, money with all places."""
    return orjson.dumps(row, default=str, option=orjson.OPT_SORT_KEYS)


def fingerprint(*parts: bytes) -> str:
    """A hash of canonical rows."""
    digest = blake2b(digest_size=FINGERPRINT_BYTES)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True)
class Known(Generic[Key]):
    """What a table held before this run: a fingerprint and an environment a key."""

    fingerprints: Mapping[Key, str] = field(default_factory=dict)
    environments: Mapping[Key, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes(Generic[Key]):
    """The keys of a table that a run adds, changes and removes."""

    added: Sequence[Key]
    changed: Sequence[Key]
    removed: Sequence[Key]


def compare(
    known: Mapping[Key, str], seen: Mapping[Key, str], may_go: Callable[[Key], bool] = lambda _: False
) -> Changes[Key]:
    """The rows `seen` against those `known`, both fingerprints by key. Of the keys not seen, those that `may_go` go."""
    added = [key for key in seen if key not in known]
    changed = [key for key, mark in seen.items() if known.get(key, mark) != mark]
    removed = [key for key in known if key not in seen and may_go(key)]
    return Changes(added, changed, removed)


@dataclass(frozen=True)
class Filled:
    """How many rows an environment had, and in how many of them each column had a value."""

    rows: int
    values: Mapping[str, int]


def guard_removal(asked: str, listed: int, known: int, removed: int) -> None:
    """Raises SuspiciousRemoval where an empty listing would remove rows, or any one more than half of ten or more."""
    if removed and (listed == 0 or (known >= GUARD_FROM and removed > known / 2)):
        raise SuspiciousRemoval(
            f"{asked} lists {listed} rows where {known} were known: {removed} would be removed. Nothing was loaded. "
            "If the account really shrank, run once with --allow-mass-removal (allow_mass_removal=True)"
        )


def guard_account(asked: str, listed: int, known: int, removed: int) -> None:
    """Raises SuspiciousRemoval where a listing holds none of several numbers: it is of another account.

    A single number may be swapped for another one.
    """
    if listed and removed == known > 1:
        raise SuspiciousRemoval(
            f"{asked} lists {listed} rows, and none of the {known} numbers that are held of this environment is among "
            "them: the token may be that of another environment or account. Nothing was loaded. If the account really "
            "holds other numbers now, run once with --allow-mass-removal (allow_mass_removal=True)"
        )


def guard_fields(asked: str, listed: int, told: Collection[str], held: Filled) -> None:
    """Raises SuspiciousRemoval where no row of a listing has a value that over half of ten or more held rows have.

    So it is when an API wraps its rows (`{"id": …, "attributes": {…}}`) or renames its fields. `told` are the columns
    with a value in any row.
    """
    lost = [name for name, values in held.values.items() if values > held.rows / 2 and name not in told]
    if listed and lost and held.rows >= GUARD_FROM:
        named = ", ".join(f"{name} ({held.values[name]} of {held.rows} held rows have one)" for name in lost[:3])
        more = f" and {len(lost) - 3} fields more" if len(lost) > 3 else ""
        raise SuspiciousRemoval(
            f"{asked} lists {listed} rows, none of them with a value of {named}{more}. Nothing was loaded. If the API "
            "really does not tell them any more, run once with --allow-lost-fields (allow_lost_fields=True)"
        )
