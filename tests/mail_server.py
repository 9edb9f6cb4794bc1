"""An SMTP server on loopback that keeps the mails it is sent. It lets in who encrypts and knows the password."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import AuthResult

TLS = Path(__file__).parent / "fixtures/tls"
AUTHORITY = TLS / "authority.pem"
"""What signed the certificate of the server, which is called `localhost`."""
USER, PASSWORD = "talkover@example.com", "a secret of the mail"
UNKNOWN = "nobody@example.com"
"""A recipient that it refuses."""


class MailServer:
    """`mails` are what it took, `tries` the passwords that it was told, `recipients` whom the last mail was for."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.tries: list[str] = []

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, login: Any) -> AuthResult:
        self.tries.append(login.password.decode())
        return AuthResult(success=login.password.decode() == PASSWORD, handled=False)

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802  aiosmtpd's name
        if address == UNKNOWN:
            return "550 there is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.recipients = envelope.rcpt_tos
        return "250 OK"


def attachments(mail: EmailMessage) -> dict[str, bytes]:
    """Name to content."""
    return {str(part.get_filename()): part.get_payload(decode=True) for part in mail.iter_attachments()}


@contextmanager
def mail_server(*, encrypts: bool = True) -> Iterator[MailServer]:
    """A server that runs; one that does not encrypt takes the password all the same."""
    server = MailServer()
    context = None
    if encrypts:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "server.pem")
    loop = asyncio.new_event_loop()
    controller = UnthreadedController(
        server,
        hostname="127.0.0.1",
        port=0,
        loop=loop,
        tls_context=context,
        require_starttls=encrypts,
        authenticator=server.authenticate,
        auth_required=encrypts,
        auth_require_tls=encrypts,
    )
    controller.begin()
    server.port = controller.server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        controller.end()
        loop.close()
