"""What `talkover sandbox` serves: its accounts, and how to load them in another shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone

from ..api.connection import checked_token
from ..errors import ConfigurationError
from ..text import visible
from .account import Account
from .server import Sandbox

DAYS = 30
"""How long before today the accounts begin: what they can live while they are served."""
EARLIEST = date(2000, 1, 1)

Environments = Mapping[str, Sequence[str]]
"""Name to the tokens that it takes."""


def environments_of(given: Sequence[str]) -> Environments:
    """Of texts `NAME=TOKEN`, in their order. Raises ConfigurationError, which quotes no token."""
    environments: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for text in given:
        name, _, token = text.partition("=")
        if not name.strip() or not token.strip():
            raise ConfigurationError("--environment must be NAME=TOKEN, such as production=talq_a")
        token = checked_token(token, name)
        if token in names:
            raise ConfigurationError(
                f"--environment gives one token to {names[token]!r} and to {name!r}: each token is of one environment"
                if names[token] != name
                else f"--environment gives {name!r} the same token twice"
            )
        names[token] = name
        environments.setdefault(name, []).append(token)
    return environments


def accounts_of(
    environments: Environments, *, seed: int, size: int, since: date | None
) -> Account | dict[str, Account]:
    """Token to account, one account an environment; one alone where none is named. Raises ConfigurationError."""
    today = datetime.now(timezone.utc).date()
    since = since or today - timedelta(days=DAYS)
    if not EARLIEST <= since <= today:
        raise ConfigurationError(
            f"--since {since} must be a day from {EARLIEST} to today, since no load is dated later"
        )
    if not environments:
        return Account(seed, size, since)
    accounts: dict[str, Account] = {}
    for place, (name, tokens) in enumerate(environments.items()):
        accounts |= dict.fromkeys(tokens, Account(seed + place, size, since, environment=name))
    return accounts


def how_to_use(sandbox: Sandbox, numbers: int, environments: Environments) -> Iterator[str]:
    """The lines that a user copies. Of an environment with several tokens the first is the one to begin with."""
    each = visible(f" in each of {', '.join(environments)}") if environments else ""
    yield f"serving {numbers} numbers and their calls{each} as of {sandbox.today}; Ctrl-C ends it. In another shell:"
    setting = f"TALKOVER_TOKEN={sandbox.token}"
    if environments:
        first = json.dumps({name: tokens[0] for name, tokens in environments.items()})
        setting = f"SOURCES__TALKOVER__ENVIRONMENTS={shlex.quote(first)}"
    yield f"  export SOURCES__TALKOVER__BASE_URL={sandbox.base_url} {setting}"
    yield f"  {sandbox.load_command}"
    if days := min(sandbox.days_left, DAYS):
        address = f"http://127.0.0.1:{sandbox.port}/sandbox/advance"
        yield f"  curl -X POST '{address}?days={days}'  # lives {days} days, and says how to load them"
    for name, (_, *others) in environments.items():
        for token in others:
            yield visible(f"  {name} takes {token}, too")
