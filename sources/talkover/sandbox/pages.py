"""What the sandbox answers with: the rows that were requested, and a page of them that announces others in some way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .faults import Answer, Json

NUMBER_TYPES = ("voice", "sms", "whatsapp", "mms", "fax")
Pagination = Literal[
    "meta", "links", "simple", "size", "more", "total", "nested", "wrapped", "cursor", "silent", "none"
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


def invalid(parameter: str, message: str) -> Answer:
    body = {"success": False, "message": "The given data was invalid.", "errors": {parameter: [message]}}
    return Answer(422, body)


def page_of(rows: list[Json], page: int, size: int, *, extra: int, pagination: Pagination, url: str) -> Json:
    """The body of that page, `pagination` being how it announces others; the total is `extra` too high."""
    if pagination == "none":
        return {"success": True, "data": rows}
    last_page = max(-(-len(rows) // size), 1)
    body: Json = {"success": True, "data": rows[(page - 1) * size : page * size]}
    if pagination == "links":
        following = f"{url}?page={page + 1}" if page < last_page else None
        return body | {"links": {"next": following}, "meta": {"current_page": page, "per_page": size}}
    meta = {"current_page": page, "per_page": size, "total": len(rows) + extra, "last_page": last_page}
    following = f"{url}?page={page + 1}" if page < last_page else None
    announced: dict[str, Json] = {
        "meta": {"meta": meta},
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
