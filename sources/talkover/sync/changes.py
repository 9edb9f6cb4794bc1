"""What is new, different and gone: functions of tables alone, and the guards against a listing that cannot be right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pyarrow as pa

from ..errors import SuspiciousRemoval
from ..text import in_shell
from .database import Database

GUARD_FROM = 10
"""Of fewer numbers than this, any share may be removed, but not all."""

SAME = """
select count(*) from listed
inner join held
    on listed.id = held.id
    and listed.fingerprint = held.fingerprint
    and listed.environment_key = held.environment_key
"""
NEW = """
select listed.position from listed anti join held on listed.id = held.id
order by listed.position
"""
DIFFERENT = """
select listed.position from listed inner join held on listed.id = held.id
where listed.fingerprint <> held.fingerprint or listed.environment_key <> held.environment_key
order by listed.position
"""
GONE = """
select held.id, held.environment_key from held anti join listed on held.id = listed.id
"""


@dataclass(frozen=True)
class Changes:
    """What a run adds, changes and removes in a table.

    `added` and `changed` are places in the listing, `removed` has the id and environment of each row that goes.
    """

    added: pa.ChunkedArray
    changed: pa.ChunkedArray
    removed: pa.Table


def compare(database: Database, held: pa.Table, listed: pa.Table) -> Changes:
    """The rows `listed` (position, id, fingerprint, environment_key) against those `held` (the same without position).

    An id stands once in each. What is held and not listed counts as removed; whether it may go is decided elsewhere.
    """
    nowhere, nothing = listed["position"].slice(length=0), held.select(["id", "environment_key"]).slice(length=0)
    if not held.num_rows:
        return Changes(listed["position"], nowhere, nothing)
    if listed.num_rows == held.num_rows == database.rows(SAME, held=held, listed=listed)[0][0]:
        return Changes(nowhere, nowhere, nothing)
    return Changes(
        database.query(NEW, held=held, listed=listed)["position"],
        database.query(DIFFERENT, held=held, listed=listed)["position"],
        database.query(GONE, held=held, listed=listed),
    )


def count_by(environments: pa.ChunkedArray) -> Counter[str]:
    """How often each environment stands there."""
    return Counter({one["values"]: one["counts"] for one in environments.value_counts().to_pylist()})


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


def guard_environment(asked: str, key: str, listed: int, elsewhere: Mapping[str, int], *, is_new: bool) -> None:
    """Raises SuspiciousRemoval where most rows of a listing are held of another environment.

    `elsewhere`: how many of the rows are held of each environment that is not part of the run. A single one may move.
    `is_new`: nothing was loaded as `key` before, so it may be the other one's new name.
    """
    for other, held in elsewhere.items():
        if held > 1 and held > listed / 2:
            why, rename = "the token may be that one's", ""
            if is_new:
                why += f", or {key!r} its new name"
                rename = f"`talkover environment rename {in_shell(other, key)}` gives it this name, with its history. "
            raise SuspiciousRemoval(
                f"{asked} lists {listed} rows, and {held} of them are held of environment {other!r}, which is not part "
                f"of this run: {why}. Nothing was loaded. {rename}If the rows really moved, run once with "
                "--allow-mass-removal (allow_mass_removal=True)"
            )


def guard_fields(asked: str, listed: int, returned: Collection[str], held: Filled) -> None:
    """Raises SuspiciousRemoval where no row of a listing has a value that over half of ten or more held rows have.

    So it is when an API wraps its rows (`{"id": …, "attributes": {…}}`) or renames its fields. `returned`: the columns
    with a value in any row.
    """
    lost = [name for name, values in held.values.items() if values > held.rows / 2 and name not in returned]
    if listed and lost and held.rows >= GUARD_FROM:
        named = ", ".join(f"{name} ({held.values[name]} of {held.rows} held rows have one)" for name in lost[:3])
        more = f" and {len(lost) - 3} fields more" if len(lost) > 3 else ""
        raise SuspiciousRemoval(
            f"{asked} lists {listed} rows, none of them with a value of {named}{more}. Nothing was loaded. If the API "
            "really no longer returns them, run once with --allow-lost-fields (allow_lost_fields=True)"
        )
