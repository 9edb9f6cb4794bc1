"""What can go wrong with an answer of the API, on request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

UNAUTHORIZED: Json = {"success": False, "message": "Unauthorized"}
TOO_MANY: Json = {"success": False, "message": "Too many requests. Please try again later."}
TOO_MANY_WITH_CODE: Json = {
    "success": False,
    "error": {"code": "RATE_LIMIT_EXCEEDED", "message": "Rate limit exceeded.", "details": {}},
}
TOKEN_EXPIRED: Json = {"error": "TOKEN_EXPIRED", "message": "The token has expired.", "status_code": 401}
FORBIDDEN: Json = {
    "success": False,
    "error": {"code": "INSUFFICIENT_PERMISSIONS", "message": "This token may not read phone numbers.", "details": {}},
}
SERVER_ERROR: Json = {"success": False, "message": "Internal server error."}
HTML = "<!DOCTYPE html><html><head><title>Server Error</title></head><body>Whoops, something went wrong.</body></html>"


@dataclass(frozen=True)
class Answer:
    """A canned answer: `body` is sent as JSON unless it is text."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    wait: Literal["", "seconds", "date", "reset", "epoch"] = ""
    """How a 429 says when to come back."""


Behaviour = Literal["cut", "drop", "hang", "shrinking", "growing", "swapping", "wrong-total"]

FAULTS: dict[str, Answer | Behaviour] = {
    "429-seconds": Answer(429, TOO_MANY, wait="seconds"),
    "429-date": Answer(429, TOO_MANY, wait="date"),
    "429-reset": Answer(429, TOO_MANY_WITH_CODE, wait="reset"),
    "429-epoch": Answer(429, TOO_MANY_WITH_CODE, wait="epoch"),
    "429-bare": Answer(429, TOO_MANY),
    "400": Answer(400, {"success": False, "message": "Bad request."}),
    "401": Answer(401, UNAUTHORIZED),
    "401-expired": Answer(401, TOKEN_EXPIRED),
    "403": Answer(403, FORBIDDEN),
    "404": Answer(404, {"success": False, "message": "Not found."}),
    "408": Answer(408, ""),
    "500": Answer(500, SERVER_ERROR),
    "502": Answer(502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"),
    "503": Answer(503, SERVER_ERROR),
    "html": Answer(200, HTML),
    "empty": Answer(200, ""),
    "success-false": Answer(200, {"success": False, "message": "The environment is being migrated."}),
    "no-data": Answer(200, {"success": True}),
    "null-data": Answer(200, {"success": True, "data": None}),
    "cut": "cut",
    "drop": "drop",
    "hang": "hang",
    "shrinking": "shrinking",
    "growing": "growing",
    "swapping": "swapping",
    "wrong-total": "wrong-total",
}
"""By name, what `--fault` takes. Those without a canned answer are done by the server to a right one: it cuts the body,
drops the connection, never answers, takes the first row out of the list before answering, puts one in before it, does
both (the new one last, so that the total stays right), or reports a total that is one too high. The list that moves is
that of calls or agents where those are asked for, else that of numbers."""


@dataclass
class Fault:
    """A fault and where it strikes: the first `times` requests for `endpoint`, `page` and `date_from`, where given.

    `text` for the command line: `KIND[,endpoint=NAME][,page=N][,times=N]`.
    """

    kind: str
    endpoint: str | None = None
    page: int | None = None
    times: int = 1
    answer: Answer | None = None
    date_from: str | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Raises ValueError that says what is wrong."""
        kind, *settings = text.split(",")
        if kind not in FAULTS:
            raise ValueError(f"unknown fault {kind!r}: one of {', '.join(FAULTS)}")
        given: dict[str, Any] = {}
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in ("endpoint", "page", "times") or not value:
                raise ValueError(f"{setting!r} in fault {text!r} is not endpoint=NAME, page=N or times=N")
            given[name] = value if name == "endpoint" else int(value)
        return cls(kind, **given)

    def strikes(self, endpoint: str, page: int, date_from: str | None) -> bool:
        """Whether this request is hit; counts down `times` if so."""
        wanted = ((self.endpoint, endpoint), (self.page, page), (self.date_from, date_from))
        if self.times < 1 or any(given not in (None, asked) for given, asked in wanted):
            return False
        self.times -= 1
        return True
