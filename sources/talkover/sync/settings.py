"""How the source is configured: by arguments, and by dlt's configuration where an argument is not given.

All of it is checked before any request is sent.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Annotated, Any, Optional
from zoneinfo import ZoneInfo

import dlt
from dlt.common.configuration import configspec, known_sections, resolve_configuration
from dlt.common.configuration.exceptions import ConfigValueCannotBeCoercedException
from dlt.common.configuration.specs import BaseConfiguration, RuntimeConfiguration
from dlt.common.typing import SecretSentinel, TSecretStrValue

from ..api.client import BASE_URL, TalkoverClient
from ..api.connection import checked_base_url, checked_token, trusted_authorities
from ..api.rate_limit import Pace
from ..api.transport import Transport
from ..dlt_internals import values_for_tables
from ..errors import ConfigurationError
from ..instants import read_instant
from ..text import is_name
from .parties import SHORTEST_KEY, caller_key, digits_of
from .shared import CallOptions
from .tables import MORE_RESOURCES, RESOURCES

WITH = "sources.talkover.with"
"""dlt's setting; its name is no name in Python, so that it can stand in no specification."""
ENVIRONMENT_VARIABLE = "TALKOVER_TOKEN"
"""Where the vendor's own documentation keeps the token."""
MOST_AT_ONCE = 1_000
"""Requests: urllib3 makes room for each connection beforehand."""
EARLIEST = date(2000, 1, 1)
"""No call is older."""
MOST_DAYS = 36_500
"""To look back: Python's dates go no further than 2,000 years."""
MOST_SECONDS = 86_400
"""To wait: no clock of the system counts those that a float may hold."""


@configspec
class TalkoverConfiguration(BaseConfiguration):
    """What dlt takes from `[sources.talkover]` or `SOURCES__TALKOVER__…` for arguments that are not given."""

    api_token: Optional[TSecretStrValue] = None
    # As a plain dict of secrets the tokens would stand in dlt's trace.
    environments: Optional[Annotated[dict[str, str], SecretSentinel]] = None
    base_url: str = BASE_URL
    per_page: int = 100
    max_concurrent_requests: int = 4
    environment_key: str = "default"
    time_zone: str = "UTC"
    without: Optional[list[str]] = None
    calls_since: Optional[Any] = None
    calls_lookback_days: int = 3
    calls_window_days: int = 14
    keep_callers: bool = False
    caller_key: Optional[TSecretStrValue] = None
    create_views: bool = True


def configured_clients() -> dict[str, TalkoverClient]:
    """The clients that `talkover_source()` would use. Raises ConfigurationError."""
    found = _configured()
    tokens = tokens_of(found.api_token, found.environments, found.environment_key)
    zone_of(found.time_zone)
    return Api.of(tokens, found.base_url, found.per_page, found.max_concurrent_requests).clients()


def configured_without() -> frozenset[str]:
    """The resources that `talkover_source()` would not request. Raises ConfigurationError."""
    return left_out_of(_configured().without)


def configured_more() -> frozenset[str]:
    """The resources that `talkover_source()` would load besides. Raises ConfigurationError."""
    return more_of(dict.fromkeys(MORE_RESOURCES))


def configured_environments() -> frozenset[str]:
    """The environments that `talkover_source()` would list, none where no token is configured."""
    found = _configured()
    tokens = tokens_of(found.api_token, found.environments, found.environment_key)
    return frozenset(key for key, token in tokens.items() if token)


def configured_create_views() -> bool:
    """Whether a load makes the views, where its caller does not say."""
    return _configured().create_views


def configured_zone() -> tzinfo:
    """The zone of the API's days that `talkover_source()` would use. Raises ConfigurationError."""
    return zone_of(_configured().time_zone)


def caller_hash(number: str) -> str:
    """The hash that calls with the telephone number `number` have as `party_hash`, however it is written.

    Under the key that is configured or was made on this machine; raises ConfigurationError where there is none.
    """
    return caller_key(_configured().caller_key, make=False).hash(digits_of(number))


def _configured() -> TalkoverConfiguration:
    return resolve_configuration(TalkoverConfiguration(), sections=(known_sections.SOURCES, "talkover"))


def left_out_of(without: Collection[str] | None) -> frozenset[str]:
    """The resources that are not to be requested. Raises ConfigurationError for another name, and for all of them."""
    require(Collection, "a list of names", without=without)
    left_out = frozenset([without] if isinstance(without, str) else without or ())
    both = " and ".join(RESOURCES)
    if strange := sorted(left_out.difference(RESOURCES)):
        raise ConfigurationError(f"without names {strange[0]!r}: it may leave out {both.replace(' and ', ' or ')}")
    if left_out.issuperset(RESOURCES):
        raise ConfigurationError(f"without names {both}: nothing would be left to load")
    return left_out


def more_of(given: Mapping[str, bool | None]) -> frozenset[str]:
    """The resources of MORE_RESOURCES to load: those `given` as True, and of those not given the ones that the setting
    `with` names. Raises ConfigurationError.
    """
    require(bool, "True or False", **given)
    names = set(_configured_with())
    if strange := sorted(map(str, names.difference(MORE_RESOURCES))):
        raise ConfigurationError(f"with names {strange[0]!r}: it may name {' and '.join(MORE_RESOURCES)}")
    return frozenset(name for name, wanted in given.items() if (name in names if wanted is None else wanted))


def _configured_with() -> Collection[Any]:
    try:
        configured = dlt.config.get(WITH, list)
    except ConfigValueCannotBeCoercedException:
        raise ConfigurationError('with must be a list of names, such as ["agents", "calls"]') from None
    return configured or ()


def tokens_of(api_token: str | None, environments: Mapping[str, str] | None, environment_key: str) -> Mapping[str, str]:
    """Environment to token. Raises ConfigurationError."""
    _refuse_values_for_tables()
    require(str, "text", api_token=api_token, environment_key=environment_key)
    require(Mapping, "names and the token of each", environments=environments)
    for key in (environment_key, *(environments or ())):
        if not is_name(key):
            raise ConfigurationError(f"{key!r} cannot be the name of an environment: give it a text")
    if environments and api_token:
        raise ConfigurationError(
            "api_token and environments are both set: several environments need environments alone"
        )
    if not environments:
        return {environment_key: api_token or os.environ.get(ENVIRONMENT_VARIABLE, "")}
    if strange := [key for key, token in environments.items() if not isinstance(token, str)]:
        raise ConfigurationError(f"environments: the token of {strange[0]!r} is not text")
    names = {token: key for key, token in environments.items()}
    if len(names) < len(environments):
        raise ConfigurationError("two environments have the same token: their numbers would be counted twice")
    return environments


@dataclass(frozen=True)
class Api:
    """How the API is called: environment to token, address, rows a page, concurrent requests. All of it is checked.

    `paces` count the requests of each environment over all runs.
    """

    tokens: Mapping[str, str] = field(repr=False)
    base_url: str
    per_page: int
    max_concurrent_requests: int
    paces: Mapping[str, Pace]

    @classmethod
    def of(cls, tokens: Mapping[str, str], base_url: str, per_page: int, max_concurrent_requests: int) -> Api:
        """Asks nothing. Raises ConfigurationError for what cannot work."""
        require(str, "text", base_url=base_url)
        require(int, "a whole number", per_page=per_page, max_concurrent_requests=max_concurrent_requests)
        if per_page < 1 or max_concurrent_requests < 1:
            raise ConfigurationError("per_page and max_concurrent_requests must be at least 1")
        if max_concurrent_requests > MOST_AT_ONCE:
            raise ConfigurationError(f"max_concurrent_requests must be at most {MOST_AT_ONCE:,}")
        base_url = checked_base_url(base_url)
        checked = {key: checked_token(token, key) for key, token in tokens.items()}
        trusted_authorities(base_url)
        return cls(checked, base_url, per_page, max_concurrent_requests, {key: Pace() for key in checked})

    def clients(self) -> dict[str, TalkoverClient]:
        """A client an environment, for one run, with dlt's own settings for requests (`RUNTIME__REQUEST_…`)."""
        runtime = _checked_runtime()
        clients = {}
        for key, token in self.tokens.items():
            transport = Transport(
                token,
                self.base_url,
                environment=key,
                connections=self.max_concurrent_requests,
                timeout=runtime.request_timeout,
                max_attempts=runtime.request_max_attempts,
                backoff=runtime.request_backoff_factor,
                max_wait=runtime.request_max_retry_delay,
                pace=self.paces[key],
            )
            clients[key] = TalkoverClient(
                transport,
                per_page=self.per_page,
                max_concurrent_requests=self.max_concurrent_requests,
                reading_pause=runtime.request_backoff_factor,
            )
        return clients


def _checked_runtime() -> RuntimeConfiguration:
    """dlt's own settings, of which it checks the type alone. Raises ConfigurationError."""
    runtime = dlt.current.run_context().runtime_config
    if runtime.request_max_attempts < 1:
        raise ConfigurationError(f"RUNTIME__REQUEST_MAX_ATTEMPTS must be at least 1: {runtime.request_max_attempts}")
    seconds = {
        "TIMEOUT": runtime.request_timeout,
        "BACKOFF_FACTOR": runtime.request_backoff_factor,
        "MAX_RETRY_DELAY": runtime.request_max_retry_delay,
    }
    for name, value in seconds.items():
        if not 0 < value <= MOST_SECONDS:
            raise ConfigurationError(f"RUNTIME__REQUEST_{name} must be above 0 and at most {MOST_SECONDS:,}: {value}")
    return runtime


def zone_of(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):  # not found, no name of a file, a folder, no text
        raise ConfigurationError(
            f'time_zone {name!r} is not known: give a name such as "UTC" or "America/Sao_Paulo"'
        ) from None


def filters_of(**given: str | bool | None) -> dict[str, str]:
    """The API's query parameters of the filters that are given. Raises ConfigurationError."""
    for name, value in given.items():
        kind, what = (bool, "True or False") if name.startswith("has_") else (str, "text")
        require(kind, what, **{name: value})
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
        if value is not None
    }


def call_options_of(
    *,
    since: date | datetime | str | None,
    lookback_days: int,
    window_days: int,
    most_windows: int | None,
    keep_callers: bool,
    caller_key: str | None,
) -> CallOptions:
    """Raises ConfigurationError."""
    require(int, "a whole number", calls_lookback_days=lookback_days, calls_window_days=window_days)
    require(int, "a whole number", calls_most_windows=most_windows)
    require(bool, "True or False", keep_callers=keep_callers)
    require(str, "text", caller_key=caller_key)
    if window_days < 1 or (most_windows is not None and most_windows < 1):
        raise ConfigurationError("calls_window_days and calls_most_windows must be at least 1")
    if not 0 <= lookback_days <= MOST_DAYS:
        raise ConfigurationError(f"calls_lookback_days must be at least 0 and at most {MOST_DAYS:,}")
    try:
        first_day = None if since is None else read_instant(since).date()
    except ValueError as error:
        raise ConfigurationError(f"calls_since: {error}") from None
    tomorrow = datetime.now(timezone.utc).date() + timedelta(days=1)  # somewhere it is tomorrow already
    if first_day is not None and not EARLIEST <= first_day <= tomorrow:
        raise ConfigurationError(f"calls_since: {first_day} is no day from {EARLIEST} to today")
    if caller_key is not None and len(caller_key) < SHORTEST_KEY:
        raise ConfigurationError(f"caller_key must have {SHORTEST_KEY} characters or more: make a random one")
    return CallOptions(first_day, lookback_days, window_days, most_windows, keep_callers, caller_key)


def aware(given: datetime | date | str | None) -> datetime | None:
    try:
        return None if given is None else read_instant(given)
    except ValueError as error:
        raise ConfigurationError(f"observed_at: {error}") from None


def _refuse_values_for_tables() -> None:
    for name, file in values_for_tables("sources", "talkover"):
        raise ConfigurationError(
            f"{name} in {file} is a value, but should be a table: write [sources.talkover] above settings"
        )


def require(kind: type, what: str, **given: Any) -> None:
    """Raises ConfigurationError for an argument of another type. It may be a secret, and is not quoted."""
    for name, value in given.items():
        if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise ConfigurationError(f"{name} must be {what}, but is of type {type(value).__name__}")
