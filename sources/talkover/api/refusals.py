"""What an answer says that is no listing, and what to do about it.

Errors of the API come in nine body shapes, all of them JSON objects, so that a refusal of another kind is somebody
else's; a PHP back end can print an HTML page with status 200.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .fields import AGENTS, CALLS

RETRYABLE_STATUS = frozenset({408, 425, 429})
FOLDED_LENGTH = 100_000
"""Characters of a text that are examined."""

ADVICE = {
    401: "The token is wrong, expired or missing: each Talkover environment has its own",
    403: "The token is known, but may not read {rows}: give it that permission. To load the rest meanwhile: {rest}",
    404: "Either base_url is wrong, or the API of this account has no {rows}. To load the rest: {rest}",
}
"""What the API's own refusals want; those of a firewall say nothing of the token."""
REST = "`talkover load --without {resource}`"
REST_OF_MORE = "leave {resource} out of `--with`"
NOT_THE_API = "That is not the API, but something on the way to {host} (a firewall, a proxy), or base_url is wrong"


def read_answer(body: bytes) -> Any:
    """The JSON of an answer that is no listing; None where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_passing(status: int) -> bool:
    """Whether the API may answer otherwise the next time."""
    return status in RETRYABLE_STATUS or status >= 500


def what_it_says(status: int, answer: Any, body: bytes) -> str | None:
    """What a refusal says, of which `answer` is the JSON; None where that is nothing, or nothing to be quoted."""
    if said := server_message(answer) or describe_page(body):
        return said
    if answer is None and status < 500:  # the text of a crash could hold data
        return f"text ({one_line(body.decode('utf-8', 'replace'))!r})"
    return None


def advice_on(endpoint: str, status: int, is_of_the_api: bool, host: str) -> str | None:
    """What to do about a refusal of `host`; None where its own words are all there is to say."""
    if not is_of_the_api:
        return None if is_passing(status) else NOT_THE_API.format(host=host)
    name = endpoint.rpartition("/")[2]
    resource, rows = name.replace("-", "_"), name.replace("-", " ")
    rest = (REST_OF_MORE if endpoint in (AGENTS, CALLS) else REST).format(resource=resource)
    return ADVICE[status].format(rows=rows, rest=rest) if status in ADVICE else None


def server_message(answer: Any) -> str | None:
    """What the server said, from any of the documented error shapes, on one line; None where it said nothing.

    `{"message"}`, `{"error": {"code", "message"}}`, `{"error": "CODE", "message"}`, `{"message", "code": "CODE"}` and
    `{"message", "errors": {…}}`, each also with other fields beside it.
    """
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    nested = error if isinstance(error, dict) else {"code": error}
    codes = [code for code in (nested.get("code"), answer.get("code")) if isinstance(code, str)]
    message = nested.get("message") or answer.get("message")
    parts = list(dict.fromkeys(str(part) for part in (*codes, message) if part))
    errors = answer.get("errors")
    for name, texts in errors.items() if isinstance(errors, dict) else ():
        parts.append(f"{name}: {' '.join(map(str, texts)) if isinstance(texts, list) else texts}")
    return one_line("; ".join(parts)) or None


def describe_page(body: bytes) -> str | None:
    """Says what a body is that should have been JSON, without quoting it."""
    if not body.strip():
        return "an empty body"
    if body.lstrip()[:1] == b"<":
        title = re.search(rb"<title[^>]*>(.*?)</title>", body[:4096], re.IGNORECASE | re.DOTALL)
        name = one_line(title[1].decode("utf-8", "replace")) if title else ""
        return f"an HTML page ({name!r})" if name else "an HTML page"
    return None


def one_line(text: str) -> str:
    """`text` with white space folded and control characters gone."""
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in text[:FOLDED_LENGTH]).split())
