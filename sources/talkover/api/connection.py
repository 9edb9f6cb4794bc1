"""How the API is reached: its address, the token, which is a Bearer header, certificates, redirects and proxies."""

from __future__ import annotations

import os
import re
import ssl
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import InvalidURL
from requests.utils import get_environ_proxies, select_proxy
from urllib3.exceptions import DecodeError

from ..errors import ApiError, ConfigurationError

AUTHORITY_IS_UNKNOWN = frozenset({18, 19, 20, 21})
"""OpenSSL's codes of a certificate that nobody whom we trust has signed."""


def checked_token(token: str | None, environment: str = "default") -> str:
    """`token` without white space around it. Raises ConfigurationError where it cannot be one; never quotes it."""
    token = (token or "").strip()
    if not token:
        raise ConfigurationError(
            f"no API token for environment {environment!r}: set TALKOVER_TOKEN, SOURCES__TALKOVER__API_TOKEN "
            "or api_token under [sources.talkover] in .dlt/secrets.toml"
        )
    if not re.fullmatch(r"[!-~]+", token):
        raise ConfigurationError(
            f"the API token of environment {environment!r} holds spaces, line breaks or letters that no token has: "
            "give the token alone, without 'Bearer'"
        )
    return token


def checked_base_url(base_url: str) -> str:
    """`base_url` without a slash at its end. Raises ConfigurationError unless it is https, or http to loopback."""
    try:
        url = urlsplit(base_url.strip())
        _ = url.port  # is parsed, and refused, no earlier than here
    except ValueError as error:
        raise ConfigurationError(f"base_url {base_url!r} is not an https URL: {error}") from None
    if url.scheme not in ("https", "http") or not url.hostname:
        raise ConfigurationError(f"base_url {base_url!r} is not an https URL")
    if url.username or url.password or url.query or url.fragment:
        raise ConfigurationError("base_url must be an address alone, without user, password, query or fragment")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ConfigurationError(
            f"base_url {base_url!r} is plain http: the token would travel in clear. Use https; http is for loopback"
        )
    return base_url.strip().rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class _Bearer(AuthBase):
    """Sets the header itself: a .netrc entry would otherwise replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Session(requests.Session):
    """Follows redirects within one origin only."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        try:
            target = super().get_redirect_target(resp)
            here, there = urlsplit(resp.url), urlsplit(urljoin(resp.url, target))
        except ValueError as error:
            resp.close()
            raise InvalidURL(f"redirects to what is no address: {error}") from None
        if target is None:
            return None
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            resp.close()
            raise ApiError(
                f"{here.scheme}://{here.netloc} redirects to {there.scheme}://{there.netloc}: not followed, "
                "the token would go there. If that is right, set base_url to it",
                resp.status_code,
            )
        return target


def open_session(token: str, base_url: str, connections: int) -> requests.Session:
    """A session that sends `token` to `base_url` alone. Raises ConfigurationError for authorities that are none."""
    session = _Session()
    session.auth = _Bearer(token)
    session.headers.update({"Accept": "application/json", "User-Agent": "talkover-dlt"})
    session.mount(base_url, HTTPAdapter(pool_maxsize=connections))
    # A proxy from the environment would get the token in clear; plain http is for loopback alone.
    session.trust_env = urlsplit(base_url).scheme != "http"
    session.verify = trusted_authorities(base_url)
    return session


def trusted_authorities(base_url: str) -> str | bool:
    """The file of the authorities to trust; of the variables that name one, requests knows the first two.

    Raises ConfigurationError for a file that holds none.
    """
    if urlsplit(base_url).scheme == "http":
        return True
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if path := os.environ.get(variable):
            try:
                place = {"capath" if os.path.isdir(path) else "cafile": path}
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**place)
            except OSError as error:
                reason = error.strerror or str(error)
                raise ConfigurationError(f"{variable} names {path!r}, which holds no certificates: {reason}") from None
            return path
    return True


def proxy_of(session: requests.Session, base_url: str) -> str | None:
    """The proxy that the environment names for the API."""
    if not session.trust_env:
        return None
    proxy: str | None = select_proxy(base_url, get_environ_proxies(base_url))
    return proxy


def innermost(error: BaseException) -> BaseException:
    """The first cause of a network error, which requests and urllib3 wrap as an argument, a reason or a cause.

    Not by `__context__`: that goes on to what the caller was handling, such as the end of another iterator.
    """
    while not isinstance(error, DecodeError):  # zlib's own words do not say what was to be unpacked
        wrapped = (error.__cause__, getattr(error, "reason", None), *error.args)
        inner = next((part for part in wrapped if isinstance(part, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error


def asked_host(url: str) -> str:
    """Host and port."""
    parts = urlsplit(url)
    return parts.netloc if parts.port else f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"


def without_password(proxy: str) -> str:
    """Host and port of a proxy: its address may hold a user's name and password."""
    return proxy.rpartition("@")[2].rpartition("//")[2].rstrip("/")
