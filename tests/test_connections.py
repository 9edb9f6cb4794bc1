"""Connections that end without an answer: load and check name who was asked, and the network's own cause."""

from __future__ import annotations

import http.server
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from talkover import ApiError, ConfigurationError
from talkover.api.transport import Transport
from talkover.cli import main

pytestmark = pytest.mark.duckdb  # the destination does not matter here

TLS = Path(__file__).parent / "fixtures/tls"
"""Made for these tests with openssl, good until 2126: an authority, and what it signed for `localhost` alone."""
AUTHORITY = str(TLS / "authority.pem")
TOKEN = "talq_secret"
TIMEOUT = 0.3

Handler = http.server.BaseHTTPRequestHandler


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith(("_proxy", "_ca_bundle")) or name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RUNTIME__REQUEST_TIMEOUT", str(TIMEOUT))
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("TALKOVER_TOKEN", TOKEN)


# Servers of a single behaviour each.


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    context: ssl.SSLContext | None = None
    connections = 0

    def get_request(self) -> Any:
        connection, address = super().get_request()
        self.connections += 1
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True)
        return connection, address


@contextmanager
def serving(answer: Callable[[Handler], None], certificate: str | None = None) -> Iterator[Server]:
    class Answering(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            answer(self)

        def do_CONNECT(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Answering) as server:
        if certificate:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(TLS / certificate)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def send(status: int, body: bytes = b"", /, **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in ({"Content_Length": str(len(body)), "Connection": "close"} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


EMPTY = send(200, b'{"data": []}')


@contextmanager
def plain(answer: Callable[[Handler], None]) -> Iterator[str]:
    with serving(answer) as server:
        yield f"http://127.0.0.1:{server.server_port}/api"


@contextmanager
def plain_as_https() -> Iterator[str]:
    with plain(EMPTY) as base_url:
        yield base_url.replace("http:", "https:")


def slow_body(handler: Handler) -> None:
    send(200, b'{"data": [', Content_Length="99")(handler)
    time.sleep(2 * TIMEOUT)


@contextmanager
def tls(certificate: str, host: str = "localhost", authority: str = "") -> Iterator[str]:
    with serving(EMPTY, certificate) as server, pytest.MonkeyPatch.context() as environment:
        environment.setenv("REQUESTS_CA_BUNDLE", authority)
        yield f"https://{host}:{server.server_port}/api"


@contextmanager
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and nobody listens
        yield bound.getsockname()[1]


@contextmanager
def refused() -> Iterator[str]:
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}/api"


@contextmanager
def unknown_host() -> Iterator[str]:
    yield "https://nowhere.invalid:443/api"


@contextmanager
def through_proxy(proxy: str) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HTTPS_PROXY", proxy)
        yield "https://app.example:443/api"


@contextmanager
def dead_proxy() -> Iterator[str]:
    with closed_port() as port, through_proxy(f"http://user:password@127.0.0.1:{port}/") as base_url:
        yield base_url


@contextmanager
def strict_proxy() -> Iterator[str]:
    with (
        serving(send(407)) as server,
        through_proxy(f"http://user:password@127.0.0.1:{server.server_port}") as base_url,
    ):
        yield base_url


LOST: dict[str, tuple[Callable[[], AbstractContextManager[str]], str]] = {
    "refused": (refused, r"\[Errno \d+\] Connection refused"),
    "unknown host": (unknown_host, r"\[Errno -?\d+\] .*(not known|name resolution)"),
    "untrusted certificate": (
        lambda: tls("server.pem"),
        r"\[SSL: CERTIFICATE_VERIFY_FAILED\] certificate verify failed: unable to get local issuer certificate",
    ),
    "expired certificate": (lambda: tls("expired.pem", authority=AUTHORITY), "certificate has expired"),
    "certificate of another host": (
        lambda: tls("server.pem", "127.0.0.1", AUTHORITY),
        "IP address mismatch, certificate is not valid for '127.0.0.1'",
    ),
    "no TLS": (plain_as_https, r"\[SSL: (WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE)\]"),
    "dead proxy": (dead_proxy, r"\[Errno \d+\] Connection refused"),
    "proxy that wants a password": (strict_proxy, "Tunnel connection failed: 407 Proxy Authentication Required"),
    "proxy of an unknown kind": (lambda: through_proxy("foo://user:password@127.0.0.1:9"), "unsupported scheme foo"),
    "false gzip": (
        lambda: plain(send(200, b'{"data": []}', Content_Encoding="gzip")),
        "Received response with content-encoding: gzip, but failed to decode it.",
    ),
    "redirect loop": (lambda: plain(send(302, Location="/api/phone-numbers")), "Exceeded 30 redirects."),
    "redirect to nowhere": (
        lambda: plain(send(302, Location="http://[bad")),
        "redirects to what is no address: Invalid IPv6 URL",
    ),
    "closed in the middle": (
        lambda: plain(send(200, b'{"data": [', Content_Length="99")),
        r"IncompleteRead\(10 bytes read, 89 more expected\)",
    ),
    "closed without an answer": (lambda: plain(lambda _: None), "Remote end closed connection without response"),
    "read timeout": (lambda: plain(lambda _: time.sleep(2 * TIMEOUT)), "timed out"),
    "timeout in the body": (lambda: plain(slow_body), "timed out"),
}
"""A way to lose a connection to the address it gives, and the network's words for it."""
ASKED_ONCE = (
    "untrusted certificate",
    "expired certificate",
    "certificate of another host",
    "proxy of an unknown kind",
    "redirect loop",
    "redirect to nowhere",
)
"""What is no better the next time."""


@pytest.mark.parametrize("way", LOST)
def test_a_lost_connection_names_who_was_asked_and_why_there_was_no_answer(way: str) -> None:
    lose, cause = LOST[way]
    with (
        lose() as base_url,
        closing(Transport(TOKEN, base_url, timeout=TIMEOUT, max_attempts=1)) as transport,
        pytest.raises(ApiError) as lost,
    ):
        transport.get("phone-numbers", {})
    said = str(lost.value)
    host = re.escape(base_url.split("/")[2])
    through = r" through the proxy 127\.0\.0\.1:\d+" if "proxy" in way else ""
    expected = rf"GET /phone-numbers \(environment 'default'\): no complete answer from {host}{through} \(.*{cause}"
    assert re.match(expected, said), said
    assert "password" not in said


@pytest.mark.parametrize("command", ["load", "check"])
@pytest.mark.parametrize("way", ["refused", "dead proxy", "closed in the middle"])
def test_a_command_ends_on_what_the_network_said(
    way: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lose, cause = LOST[way]
    with lose() as base_url:
        monkeypatch.setenv("SOURCES__TALKOVER__BASE_URL", base_url)
        assert main([command]) == 1
    out, err = capsys.readouterr()
    said = err.splitlines()[-1] if command == "load" else out.splitlines()[0]
    assert re.search(rf"GET /phone-numbers .*: no complete answer from .* \(.*{cause}", said), said
    assert "StopIteration" not in err
    assert "password" not in out + err


@pytest.mark.parametrize("way", LOST)
def test_only_what_may_pass_is_asked_again(way: str) -> None:
    lose, _ = LOST[way]
    with (
        lose() as base_url,
        closing(Transport(TOKEN, base_url, timeout=TIMEOUT, max_attempts=2, backoff=0.01)) as transport,
        pytest.raises(ApiError),
    ):
        transport.get("phone-numbers", {})
    assert transport.pace.requests == (1 if way in ASKED_ONCE else 2)


def test_a_cause_is_not_looked_for_in_what_the_caller_handles() -> None:
    """dlt iterates while it handles the end of another iterator, and Python links that to every new error."""
    with refused() as base_url, closing(Transport(TOKEN, base_url, max_attempts=1)) as transport:
        try:
            next(iter(()))
        except StopIteration:
            with pytest.raises(ApiError, match="Connection refused"):
                transport.get("phone-numbers", {})


def test_a_body_that_drips_ends_when_another_page_has_failed() -> None:
    is_asked = threading.Event()

    def drip(handler: Handler) -> None:
        send(200, Content_Length="9999")(handler)
        is_asked.set()
        with suppress(OSError):  # the client goes away
            for _ in range(200):
                handler.wfile.write(b" ")
                time.sleep(0.05)

    with (
        plain(drip) as base_url,
        closing(Transport(TOKEN, base_url, timeout=9)) as transport,
        ThreadPoolExecutor() as pool,
    ):
        page = pool.submit(transport.get, "phone-numbers", {})
        assert is_asked.wait(5)
        transport.cancel()
        with pytest.raises(ApiError, match="cancelled: another request of this run failed"):
            page.result(timeout=5)


# Certificates.


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_an_authority_that_the_environment_names_is_trusted(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls("server.pem") as base_url:
        monkeypatch.setenv(variable, AUTHORITY)
        with closing(Transport(TOKEN, base_url)) as transport:
            assert transport.get("phone-numbers", {}) == {"data": []}


def test_an_untrusted_certificate_says_where_to_name_the_authority() -> None:
    with (
        tls("server.pem") as base_url,
        closing(Transport(TOKEN, base_url)) as transport,
        pytest.raises(ApiError, match="name its certificate's file in REQUESTS_CA_BUNDLE$"),
    ):
        transport.get("phone-numbers", {})


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("path", ["/no/such/file", __file__])
def test_a_file_without_certificates_is_wrong_configuration(
    path: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, path)
    with pytest.raises(ConfigurationError, match=f"^{variable} names '{path}', which holds no certificates: "):
        Transport(TOKEN, "https://app.example")


def test_what_the_machine_trusts_does_not_matter_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    with plain(EMPTY) as base_url, closing(Transport(TOKEN, base_url)) as transport:
        assert transport.get("phone-numbers", {}) == {"data": []}
