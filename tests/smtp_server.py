"""A real mail server on loopback, which takes mails or does what a test asks it to."""

from __future__ import annotations

import ssl
from asyncio import SelectorEventLoop
from asyncio.base_events import Server
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
USER, PASSWORD = "gateway@example.com", "p@ss:w/ord é"


@dataclass(frozen=True)
class Taken:
    """A mail as the server got it."""

    sender: str | None
    recipients: list[str]
    raw: bytes
    encrypted: bool
    signed_in: bool
    greeted_as: str | None
    options: list[str]

    @property
    def mail(self) -> EmailMessage:
        mail = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        return mail

    def part(self, kind: str) -> str:
        """The decoded text of the `plain` or `html` part, as a mail program shows it."""
        (found,) = [each for each in self.mail.iter_parts() if each.get_content_subtype() == kind]
        assert isinstance(found, EmailMessage)
        text: str = found.get_content()
        return text.replace("\r\n", "\n")


@dataclass
class MailServer:
    """What came in; `refuse_…` are answers given instead of "250", each used once, in order."""

    taken: list[Taken] = field(default_factory=list)
    refuse_sender: list[str] = field(default_factory=list)
    refuse_recipient: list[str] = field(default_factory=list)
    refuse_text: list[str] = field(default_factory=list)
    on_text: Callable[[Any], None] | None = None
    """Called with the server's side of the line when a whole mail is there, before it is confirmed."""
    asked: list[str] = field(default_factory=list)
    """Recipients named, also those refused."""
    most_open_at_once: int = 0
    """Mails under way at the same time, from their sender to their confirmation."""
    port: int = 0
    _open: int = 0

    async def handle_MAIL(  # the server's name for it
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refuse_sender:
            return self.refuse_sender.pop(0)
        self._open += 1
        self.most_open_at_once = max(self.most_open_at_once, self._open)
        envelope.mail_from, envelope.mail_options = address, options
        return "250 OK"

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked.append(address)
        if self.refuse_recipient:
            return self.refuse_recipient.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        self._open -= 1
        if self.on_text is not None:
            self.on_text(server.transport)
        if self.refuse_text:
            return self.refuse_text.pop(0)
        assert isinstance(envelope.content, bytes)
        self.taken.append(
            Taken(
                sender=envelope.mail_from,
                recipients=list(envelope.rcpt_tos),
                raw=envelope.content,
                encrypted=session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
                signed_in=bool(session.authenticated),
                greeted_as=session.host_name,
                options=envelope.mail_options,
            )
        )
        return "250 OK"


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=known, handled=False)


class _OnAnyPort(Controller):
    """Learns the port that it was given before it calls itself there."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(
    *, smtps: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, sign_in: bool = False, **more: Any
) -> Iterator[MailServer]:
    """Starts a server on a port of its own; `smtps` encrypts from the start, `starttls` when asked."""
    server = MailServer()
    if sign_in:
        more |= {"authenticator": _authenticate, "auth_require_tls": bool(starttls)}
    controller = _OnAnyPort(
        server,
        hostname=HOST,
        port=0,
        loop=SelectorEventLoop(),  # whichever loop the test itself runs in
        ssl_context=smtps,
        tls_context=starttls,
        server_hostname="mx.test",
        **more,
    )
    controller.start()
    server.port = controller.port
    try:
        yield server
    finally:
        controller.stop()


@contextmanager
def silent_server(answer: bytes = b"") -> Iterator[int]:
    """Takes connections, says `answer` to each, and nothing more. Gives its port."""
    lines: list[socket] = []
    with socket(AF_INET, SOCK_STREAM) as listener:
        listener.bind((HOST, 0))
        listener.listen()

        def accept() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    line, _ = listener.accept()
                    lines.append(line)
                    line.sendall(answer)

        Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(2)
    for line in lines:
        line.close()


def refused_port() -> int:
    """A port of loopback where nothing listens."""
    with socket(AF_INET, SOCK_STREAM) as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    return port


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate of our own for 127.0.0.1: the server's side, and a client's side that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    return server, trusting
