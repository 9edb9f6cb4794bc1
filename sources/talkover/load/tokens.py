"""Whether a token is that of its environment: what it lists, against what is loaded and what other tokens list.

A first page proves little: that of another account may share a number with what is loaded. So a list is read whole
where anything is loaded that it can be compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from ..api.client import READINGS, TalkoverClient
from ..api.page import Page
from ..api.reading import Json
from ..errors import IncompleteListing, LoadError, SuspiciousRemoval
from ..sync.changes import guard_account, guard_removal
from ..sync.held import last_runs
from ..sync.listed import ENDPOINTS
from .connection import connect
from .failures import translate_errors
from .pipeline import Place

Ids = Mapping[str, AbstractSet[str]]
"""Environment to ids."""


def read_ids(rows: Sequence[Json]) -> pa.Table:
    return pa.table({"id": pa.array([str(row.get("id")) for row in rows], pa.string())})


def loaded_ids(place: Place) -> Mapping[str, Ids | None]:
    """What the destination holds, by resource and environment; None where it cannot be read.

    Of an environment that was retired only history is left, which another one may list.
    """
    if place.is_missing:
        return {resource: {} for resource in ENDPOINTS}
    try:
        with translate_errors(), connect(place) as client:
            loaded = {resource: _ids_in(client, endpoint.current) for resource, endpoint in ENDPOINTS.items()}
            retired = _retired(client)
        return {name: {key: ids[key] for key in ids if key not in retired} for name, ids in loaded.items()}
    except LoadError:
        return dict.fromkeys(ENDPOINTS)


def _retired(client: Any) -> set[str]:
    try:
        return {key for key, last in last_runs(client).items() if last.is_retired}
    except DestinationUndefinedEntity:
        return set()


def _ids_in(client: Any, table: str) -> Ids:
    try:
        rows = client.execute_sql(
            f"select environment_key, id from {client.make_qualified_table_name(table)}"  # noqa: S608  our own name
        )
    except DestinationUndefinedEntity:
        return {}
    ids: dict[str, set[str]] = {}
    for key, id in rows or ():
        ids.setdefault(key, set()).add(id)
    return ids


@dataclass
class Compared:
    """The lists of a resource, one environment after the other. `rows` is what its rows are called.

    `loaded` are the ids that the destination holds, None where they cannot be read; `listed` those that came so far.
    """

    resource: str
    rows: str
    loaded: Ids | None
    listed: dict[str, AbstractSet[str]] = field(default_factory=dict)

    def compare(self, key: str, client: TalkoverClient, page: Page) -> str:
        """What is to be said of the list of environment `key`, which begins with `page`.

        Raises SuspiciousRemoval where it seems to be that of another environment or account, IncompleteListing where it
        never adds up, and what a client raises.
        """
        asked = client.transport.where(ENDPOINTS[self.resource].path)
        listed = self._listed_by(client, page)
        says = self._beside_others(asked, key, listed)
        self.listed[key] = listed
        if self.loaded is None:
            return f"; not compared with what is loaded, which cannot be read{says}"
        if not self.loaded:
            return says
        if not (held := self.loaded.get(key)):
            return f"; none of them is loaded under this name yet{says}"
        self._refuse_a_loss(asked, listed, held)
        return f"; among them {len(held & listed)} of the {len(held)} that are loaded{says}"

    def _listed_by(self, client: TalkoverClient, page: Page) -> AbstractSet[str]:
        """All of the list where it is compared with what is loaded, else its first page."""
        if not self.loaded or page.total == page.rows.num_rows:
            return set(page.rows["id"].to_pylist())
        endpoint = ENDPOINTS[self.resource].path
        listing = client.fetch(endpoint, read_ids)
        if listing.problem is not None:
            asked = client.transport.where(endpoint)
            raise IncompleteListing(f"{asked}: {listing.problem}, after {READINGS} attempts")
        return listing.seen

    def _beside_others(self, asked: str, key: str, listed: AbstractSet[str]) -> str:
        """Says what is another environment's, too. Raises SuspiciousRemoval where that is most of it."""
        says = ""
        for other, what, ids, all_of_it in self._others(key, len(listed)):
            shared = len(listed & ids)
            if 2 * shared > all_of_it:
                raise SuspiciousRemoval(
                    f"{asked} lists {len(listed)} {self.rows}, of which {shared} are {what} environment {other!r}: the "
                    "token may be that of the other one. Give each environment its own"
                )
            says += f"; also {what} environment {other!r}: {shared} of them" if shared else ""
        return says

    def _others(self, key: str, size: int) -> Iterator[tuple[str, str, AbstractSet[str], int]]:
        """Each other environment with what its ids are, and how many would be all of a list of that size."""
        for other, ids in (self.loaded or {}).items():
            if other != key:
                yield other, "loaded as", ids, size
        for other, ids in self.listed.items():
            yield other, "listed for", ids, min(size, len(ids))

    def _refuse_a_loss(self, asked: str, listed: AbstractSet[str], held: AbstractSet[str]) -> None:
        """Raises SuspiciousRemoval where a load would refuse the list, or most of several rows are not in it."""
        lost = len(held - listed)
        if self.resource == "phone_numbers":
            guard_account(asked, len(listed), len(held), lost)
        if self.resource != "release_requests":  # of which a load removes none
            guard_removal(asked, len(listed), len(held), lost)
        if len(held) > 1 and 2 * lost > len(held):
            raise SuspiciousRemoval(
                f"{asked} lists {len(listed)} {self.rows}, and {lost} of the {len(held)} that are loaded are not among "
                "them: the token may be that of another environment or account"
            )
