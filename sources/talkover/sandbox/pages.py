"""What the sandbox answers with: the rows that were requested, and a page of them that announces others in some way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta
from typing import Literal

from .calls import CALL_STATUSES, DIRECTIONS
from .faults import Answer, Json

NUMBER_TYPES = ("voice", "sms", "whatsapp", "mms", "fax")
Pagination = Literal[
    "meta", "pagination", "links", "simple", "size", "more", "total", "nested", "wrapped", "cursor", "silent", "none"
]


def filtered(rows: list[Json], query: Mapping[str, str]) -> tuple[list[Json], Answer | None]:
    if (type := query.get("type")) is not None:
        if type not in NUMBER_TYPES:
            return [], invalid("type", "The selected type is invalid.")
        rows = [row for row in rows if row["type"] == type]
    for name in ("has_voice", "has_whatsapp"):
        if (wanted := query.get(name)) is not None:
            if wanted not in ("true", "false"):
                return [], invalid(name, f"The {name.replace('_', ' ')} field must be true or false.")
            rows = [row for row in rows if row[name] is (wanted == "true")]
    if search := query.get("search"):
        rows = [row for row in rows if search in (row["number"] or "") or search == row["id"]]
    return rows, None


def filtered_calls(rows: list[Json], query: Mapping[str, str]) -> tuple[list[Json], Answer | None]:
    for name, known in (("status", CALL_STATUSES), ("direction", DIRECTIONS)):
        if (wanted := query.get(name)) is not None:
            if wanted not in known:
                return [], invalid(name, f"The selected {name} is invalid.")
            rows = [row for row in rows if row.get(name) == wanted]
    if agent_id := query.get("agent_id"):
        rows = [row for row in rows if (row.get("agent") or {}).get("id") == agent_id]
    return rows, None


def asked_days(query: Mapping[str, str], *, until_excluded: bool) -> tuple[date | None, date | None, Answer | None]:
    """The first and the last day that are asked for; `until_excluded`: the last is the one before date_to."""
    days: dict[str, date] = {}
    for name in ("date_from", "date_to"):
        if (text := query.get(name)) is not None:
            day = _day(text)
            if day is None:
                return None, None, invalid(name, f"The {name.replace('_', ' ')} must match the format Y-m-d.")
            days[name] = day
    last = days.get("date_to")
    return days.get("date_from"), last - timedelta(days=1) if last and until_excluded else last, None


def _day(text: str) -> date | None:
    """None unless it is written in full: newer versions of Python read 20260315 as well."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None


def invalid(parameter: str, message: str) -> Answer:
    body = {"success": False, "message": "The given data was invalid.", "errors": {parameter: [message]}}
    return Answer(422, body)


def page_of(
    rows: list[Json],
    page: int,
    size: int,
    *,
    extra: int,
    pagination: Pagination,
    url: str,
    without: Collection[str] = (),
) -> Json:
    """The body of that page, `pagination` being how it announces others; the total is `extra` too high.

    Its rows are `without` some fields.
    """
    shown = rows if pagination == "none" else rows[(page - 1) * size : page * size]
    if without:
        shown = [{name: value for name, value in row.items() if name not in without} for row in shown]
    body: Json = {"success": True, "data": shown}
    if pagination == "none":
        return body
    last_page = max(-(-len(rows) // size), 1)
    if pagination == "links":
        following = f"{url}?page={page + 1}" if page < last_page else None
        return body | {"links": {"next": following}, "meta": {"current_page": page, "per_page": size}}
    meta = {"current_page": page, "per_page": size, "total": len(rows) + extra, "last_page": last_page}
    following = f"{url}?page={page + 1}" if page < last_page else None
    announced: dict[str, Json] = {
        "meta": {"meta": meta},
        "pagination": {
            "pagination": {
                "current_page": page,
                "per_page": size,
                "total": len(rows) + extra,
                "last_page": last_page,
                "from": (page - 1) * size + 1,
                "to": min(page * size, len(rows)),
            }
        },
        "simple": {"current_page": page, "next_page_url": following},
        "size": {"meta": {"current_page": page, "per_page": size}},
        "more": {"meta": {"has_more": page < last_page}},
        "total": {"meta": {"total": len(rows)}},
        "wrapped": {"data": meta | {"data": body["data"], "next_page_url": following}},
        "cursor": {"meta": {"next_cursor": f"after-{page}" if page < last_page else None}},
        "silent": {},
        "nested": {"meta": {"pagination": {"total": len(rows), "per_page": size, "total_pages": last_page}}},
    }
    return body | announced[pagination]
