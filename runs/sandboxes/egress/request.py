"""The head of a request to the proxy, read strictly: what two programs could read differently is refused."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from runs.sandboxes.egress.rules import DEFAULT_PORTS, Scheme, normal_host

MAX_HEAD_BYTES: Final = 16 * 1024

_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#]+)(?::(?P<port>[0-9]{1,5}))?")
_FORBIDDEN: Final = re.compile(r"[\x00\r\n]")
# These concern the way to the proxy only. Without `Upgrade` and with `close` one connection is one request.
_OF_THE_HOP: Final = frozenset({"proxy-authorization", "proxy-connection", "connection", "keep-alive", "upgrade"})


class Refused(Exception):
    """A connection that goes nowhere: the HTTP status for the client, and the reason for the log.

    Without a status nothing is answered: a tunnel that was granted can only be closed.
    """

    def __init__(self, status: str, reason: str) -> None:
        self.status = status
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """What a client asks of the proxy: a tunnel (CONNECT), or one plain request whose `head` is ready to be sent on."""

    method: str
    host: str
    port: int
    head: bytes
    token: str | None

    @property
    def scheme(self) -> Scheme:
        return "https" if self.is_tunnel else "http"

    @property
    def is_tunnel(self) -> bool:
        return self.method == "CONNECT"


def parse_request(head: bytes) -> ProxyRequest:
    """Read a head up to and with its empty line. Raises Refused."""
    line, fields = _lines(head)
    method, target = _request_line(line)
    token = _token(fields)
    if method == "CONNECT":
        host, port = _authority(target, default_port=None)
        return ProxyRequest(method, host, port, b"", token)
    if not target.lower().startswith("http://"):
        raise _bad("neither CONNECT nor the absolute form of an http:// address")
    authority, path = _split_target(target[len("http://") :])
    host, port = _authority(authority, default_port=DEFAULT_PORTS["http"])
    _check_host_field(fields, host, port)
    _check_framing(fields)
    return ProxyRequest(method, host, port, _head_for_server(method, path, fields), token)


def parse_inner_request(head: bytes, host: str, port: int) -> None:
    """Check a plain request inside a tunnel: it must be meant for the tunnel's own host. Raises Refused."""
    line, fields = _lines(head)
    _, target = _request_line(line)
    if not target.startswith("/"):
        raise _bad("a request inside a tunnel without a path")
    _check_host_field(fields, host, port)
    _check_framing(fields)


def _bad(reason: str) -> Refused:
    return Refused("400 Bad Request", reason)


def _lines(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    if len(head) > MAX_HEAD_BYTES:
        raise Refused("431 Request Header Fields Too Large", "the request's head is too long")
    if not head.endswith(b"\r\n\r\n"):
        raise _bad("a torn request")
    line, *rest = head[:-4].decode("latin-1").split("\r\n")
    if any(_FORBIDDEN.search(part) for part in (line, *rest)):
        raise _bad("control characters in the request's head")
    fields = []
    for field in rest:
        name, colon, value = field.partition(":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise _bad("a header line that is none")
        fields.append((name, value.strip(" \t")))
    return line, fields


def _request_line(line: str) -> tuple[str, str]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise _bad("not an HTTP/1 request")
    if not _METHOD.fullmatch(parts[0]) or not _TARGET.fullmatch(parts[1]):
        raise _bad("not an HTTP/1 request")
    return parts[0], parts[1]


def _split_target(rest: str) -> tuple[str, str]:
    end = min((found for mark in "/?#" if (found := rest.find(mark)) >= 0), default=len(rest))
    path = rest[end:].partition("#")[0]
    return rest[:end], path if path.startswith("/") else f"/{path}"


def _authority(text: str, *, default_port: int | None) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(text)
    if not match:
        raise _bad("an address without a host")
    port = int(match["port"]) if match["port"] else default_port
    if port is None or not 0 < port <= 65535:
        raise _bad("an address without a port")
    try:
        return normal_host(match["host"]), port
    except ValueError as error:
        raise Refused("403 Forbidden", f"the host is no host: {error}") from None


def _check_host_field(fields: list[tuple[str, str]], host: str, port: int) -> None:
    hosts = [value for name, value in fields if name.lower() == "host"]
    if len(hosts) != 1:
        raise _bad("not exactly one Host header")
    if _authority(hosts[0], default_port=port) != (host, port):
        raise Refused("403 Forbidden", "the Host header names another host than the address")


def _check_framing(fields: list[tuple[str, str]]) -> None:
    names = [name.lower() for name, _ in fields]
    if names.count("content-length") + names.count("transfer-encoding") > 1:
        raise _bad("a body with two lengths")


def _head_for_server(method: str, path: str, fields: list[tuple[str, str]]) -> bytes:
    named = {
        part.strip().lower() for name, value in fields if name.lower() == "connection" for part in value.split(",")
    }
    dropped = _OF_THE_HOP | (named - {"host", "content-length", "transfer-encoding"})
    kept = [f"{name}: {value}" for name, value in fields if name.lower() not in dropped]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")


def _token(fields: list[tuple[str, str]]) -> str | None:
    """The password of Basic credentials; None where there are none that can be read."""
    values = [value for name, value in fields if name.lower() == "proxy-authorization"]
    if len(values) != 1:
        return None
    scheme, _, encoded = values[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")[2] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
