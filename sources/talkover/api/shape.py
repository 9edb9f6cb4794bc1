"""The shape of an answer beside what the vendor's pages promise: structure alone, never a value of a row.

Keys come from the server, too, and an object may be a map whose keys are data: `shown` and `_by_key` leave those out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from decimal import Decimal
from typing import Any

from . import kinds
from .fields import Field, Resource
from .forms import CURRENCY, DAY, HIDDEN, INSTANT, TRUE_OR_FALSE, WHOLE, describe, form_of, shown
from .kinds import Kind
from .reading import Json

DIFFERS, UNREADABLE = "!", "!!"
"""Marks of what is not as documented, and of what a load would refuse besides."""
NOT_DOCUMENTED = "not documented"
MAX_DEPTH = 5


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is(form: str) -> Callable[[Any], bool]:
    return lambda value: form_of(value) == form


PROMISES: Mapping[Kind, tuple[str, Callable[[Any], bool]]] = {
    kinds.ID: ("text, never null", _is_text),
    kinds.REFERENCE: ("text", _is_text),
    kinds.TEXT: ("text", _is_text),
    kinds.CURRENCY: (CURRENCY, _is(CURRENCY)),
    kinds.FLAG: (TRUE_OR_FALSE, _is(TRUE_OR_FALSE)),
    kinds.MONEY: ("number", lambda value: isinstance(value, Decimal) or form_of(value) == WHOLE),
    kinds.DAYS: (WHOLE, _is(WHOLE)),
    kinds.SECONDS: (WHOLE, _is(WHOLE)),
    kinds.DAY: (DAY, _is(DAY)),
    kinds.INSTANT: (INSTANT, _is(INSTANT)),
}
"""What the pages show of each kind, and whether a value that is not null looks so."""
PAGES = ("current_page", "last_page", "per_page", "total")
ENVELOPE: Mapping[str, str] = {
    "success": TRUE_OR_FALSE,
    "data": "list",
    "meta": "object",
    "pagination": "object",
    **{f"{part}.{name}": WHOLE for part in ("meta", "pagination") for name in PAGES},
    "pagination.from": WHOLE,
    "pagination.to": WHOLE,
}
"""What the pages show around the rows; they disagree about `meta` and `pagination`."""


@dataclass(frozen=True)
class Line:
    """A key: how it differs, if so; what came under it, how often null and how often absent; what is documented."""

    mark: str
    key: str
    came: str
    null: int
    absent: int
    documented: str


def shape_of_rows(rows: Sequence[Json], resource: Resource, zone: tzinfo, prefix: str = "") -> Iterator[Line]:
    """A line for each key of `rows`, which are objects of `resource`: the documented ones first."""
    came = _by_key(rows)
    for field in resource.fields:
        names = [name for name in (field.name, field.other_name) if name in came]
        for name in names:
            yield _line_of_field(field, prefix + str(name), came.pop(name), len(rows), zone)
        if not names:
            yield _missing(resource, field.name, prefix, PROMISES[field.kind][0], len(rows))
    for name, within in (*resource.objects.items(), *resource.lists.items()):
        form = "object" if name in resource.objects else "list"
        if name not in came:
            yield _missing(resource, name, prefix, f"{form} or null", len(rows))
            continue
        values = came.pop(name)
        is_promised = all(value is None or form_of(value) == form for value in values)
        yield _line("" if is_promised else DIFFERS, prefix + name, values, len(rows), f"{form} or null")
        if objects := _objects_in(values):
            yield from shape_of_rows(objects, within, zone, prefix + name + _step(values))
    yield from _undocumented(came, resource, prefix, len(rows))


def shape_of_envelope(body: Any, rows: Sequence[Json]) -> Iterator[Line]:
    """A line for each key of a listing's answer but those of its `rows`."""
    if not isinstance(body, dict):
        yield _line(DIFFERS, "(the whole)", [body], 1, "object")
    if isinstance(body, dict) and "data" not in body:
        yield Line(DIFFERS, "data", "missing", 0, 1, "list")
    for key, values, of_how_many in _inside([body], "", rows):
        documented = ENVELOPE.get(key, NOT_DOCUMENTED)
        is_promised = all(form_of(value) == documented for value in values if value is not None)
        yield _line("" if is_promised else DIFFERS, key, values, of_how_many, documented)


def shape_of_refusal(body: Any) -> Iterator[Line]:
    """A line for each key of any other answer."""
    yield _line("", "(the whole)", [body], 1, "")
    for key, values, of_how_many in _inside([body], ""):
        yield _line("", key, values, of_how_many, "")


def _line_of_field(field: Field, key: str, values: Sequence[Any], rows: int, zone: tzinfo) -> Line:
    promise, is_promised = PROMISES[field.kind]
    refused = sum(_is_refused(field.kind, value, zone) for value in values)
    others = sum(value not in field.values for value in values if _is_text(value)) if field.values else 0
    is_odd = others or not all(value is None or is_promised(value) for value in values)
    documented = promise if key.endswith(field.name) else f"{promise}; elsewhere {field.name}"
    line = _line(UNREADABLE if refused else DIFFERS if is_odd else "", key, values, rows, documented)
    notes = [f"{refused} cannot be loaded"] if refused else []
    if field.values and any(map(_is_text, values)):
        notes.append(f"{others} of no documented value" if others else "documented values alone")
    return replace(line, came="; ".join([line.came, *notes]))


def _is_refused(kind: Kind, value: Any, zone: tzinfo) -> bool:
    if value is None:
        return kind is kinds.ID
    try:
        kind.read(value, zone)
    except ValueError:
        return True
    return False


def _missing(resource: Resource, name: str, prefix: str, promise: str, rows: int) -> Line:
    is_free = name in resource.often_absent
    documented = f"{promise}; not on every page" if is_free else promise
    return Line("" if is_free else DIFFERS, prefix + name, "missing", 0, rows, documented)


def _undocumented(came: Mapping[str, list[Any]], resource: Resource, prefix: str, rows: int) -> Iterator[Line]:
    """Of what may hold secrets nothing within is looked at."""
    for name, values in came.items():
        if name in resource.not_loaded:
            yield _line("", prefix + name, values, rows, "documented; never loaded")
            continue
        yield _line(DIFFERS, prefix + name, values, rows, NOT_DOCUMENTED)
        if not resource.may_hold_secrets:
            for key, inner, of_how_many in _inside(values, prefix + name, is_free=True):
                yield _line(DIFFERS, key, inner, of_how_many, NOT_DOCUMENTED)


def _line(mark: str, key: str, values: Sequence[Any], of_how_many: int, documented: str) -> Line:
    return Line(mark, key, describe(values), list(values).count(None), max(of_how_many - len(values), 0), documented)


def _inside(
    values: Sequence[Any], path: str, rows: Sequence[Json] = (), *, is_free: bool = False, depth: int = 0
) -> Iterator[tuple[str, list[Any], int]]:
    """Each key of the objects in `values` and below, not of `rows`: its path, its values, and of how many objects."""
    objects = _objects_in(values)
    if depth == MAX_DEPTH or (rows and objects and objects[0] is rows[0]):
        return
    for key, inner in _by_key(objects, is_free=is_free).items():
        below = f"{path}{_step(values)}{key}" if path else key
        yield below, inner, len(objects)
        yield from _inside(inner, below, rows, is_free=is_free, depth=depth + 1)


def _objects_in(values: Sequence[Any]) -> list[Json]:
    """The objects that `values` are or list; PHP may write a list as an object with numeric keys."""
    parts = [part for value in values for part in (_listed(value) if _is_list(value) else [value])]
    return [part for part in parts if isinstance(part, dict)]


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, dict) and all(key.isdecimal() for key in value))


def _listed(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)


def _step(values: Sequence[Any]) -> str:
    return "[]." if any(map(_is_list, values)) else "."


def _by_key(objects: Sequence[Json], *, is_free: bool = False) -> dict[str, list[Any]]:
    """The values under each key, in the order that they came; under `<key>` those of keys that may be data.

    Where whoever filled an object was `is_free` to name its keys, a key is shown that most of several objects have.
    """
    found: dict[str, list[Any]] = {}
    for each in objects:
        is_map = _is_map(each)
        for key, value in each.items():
            found.setdefault(HIDDEN if is_map else shown(key), []).append(value)
    if not is_free:
        return found
    by_key: dict[str, list[Any]] = {}
    for key, values in found.items():
        is_common = len(values) > 1 and 2 * len(values) > len(objects)
        by_key.setdefault(key if is_common else HIDDEN, []).extend(values)
    return by_key


def _is_map(value: Json) -> bool:
    """Whether it holds several objects that are alike, each under a key of its own."""
    parts = list(value.values())
    if len(parts) < 2 or not all(isinstance(part, dict) and part for part in parts):
        return False
    return all(part.keys() == parts[0].keys() for part in parts)
