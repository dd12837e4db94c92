"""The attack table on the allowlist, from inside real containers, as root; and what it must not cost others."""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runs.errors import SandboxFailed
from runs.formats.network import CLOSED, OPEN, NetworkMode, NetworkPolicy
from runs.sandboxes.base import Image, MountSpec, SandboxSpec
from runs.sandboxes.docker import DockerSandbox
from runs.sandboxes.egress.doors import OutsideDoor
from runs.sandboxes.engine import Engine
from tests.support.internet import WebServer, make_authority, web_server
from tests.support.tasks import BASE_IMAGE

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_engine")]

# The machine, by the one name for it that no DNS is needed for.
MACHINE = "host.docker.internal"
ATTACKS = Path(__file__).with_name("attacks.py")


def allow(*hosts: str) -> NetworkPolicy:
    return CLOSED.with_hosts(hosts)


@asynccontextmanager
async def container(policy: NetworkPolicy, log: Path | None = None, **more: object) -> AsyncIterator[DockerSandbox]:
    engine = Engine.connect()
    spec = SandboxSpec(name="egress-test", image=Image(BASE_IMAGE), network=policy, network_log=log, **more)  # type: ignore[arg-type]
    sandbox = DockerSandbox(spec, engine)
    try:
        await sandbox.start(log=lambda *_: None)
        yield sandbox
    finally:
        await sandbox.stop()
        engine.close()


async def output_of(sandbox: DockerSandbox, command: str, **env: str) -> str:
    kept = bytearray()
    await sandbox.exec(command, env=env, on_output=lambda _, data: kept.extend(data))
    return kept.decode()


async def curl(sandbox: DockerSandbox, url: str, options: str = "") -> str:
    return (await output_of(sandbox, f"curl -sS -m 10 {options} {url} 2>&1")).strip()


async def attacked(sandbox: DockerSandbox, **facts: object) -> dict[str, str]:
    """What each attack of attacks.py reached, by its name."""
    kept = bytearray()
    facts["lan"] = own_address()
    command = f"cat > /attacks.py; python3 -I /attacks.py '{json.dumps(facts)}'"
    await sandbox.exec(command, stdin=ATTACKS.read_bytes(), on_output=lambda _, data: kept.extend(data))
    answers: dict[str, str] = json.loads(kept)
    return answers


def own_address() -> str:
    """The machine's address in its own network; the bridge's where it has none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "172.17.0.1"
        return str(probe.getsockname()[0])


def lines_of(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


@asynccontextmanager
async def tls_server(tmp_path: Path, name: str = MACHINE) -> AsyncIterator[tuple[WebServer, bytes]]:
    authority = make_authority(tmp_path)
    async with web_server(name, context=authority.context(name)) as server:
        yield server, authority.pem


async def test_an_allowed_host_is_reached_by_verified_https_and_everything_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "network.jsonl"
    async with tls_server(tmp_path) as (server, pem), container(allow(f"{MACHINE}:{server.port}"), log) as sandbox:
        await sandbox.exec("cat > /ca.pem", stdin=pem)
        assert await curl(sandbox, f"https://{MACHINE}:{server.port}/", "--cacert /ca.pem") == f"hello from {MACHINE}"
        token = sandbox.network.variables["https_proxy"].split(":")[2].split("@")[0]
    (line,) = lines_of(log)
    assert (line["host"], line["port"], line["verdict"]) == (MACHINE, server.port, "allowed")
    assert int(str(line["received_bytes"])) > 100
    assert token not in log.read_text()


async def test_an_allowed_host_is_reached_by_plain_http(tmp_path: Path) -> None:
    async with web_server("plain") as server, container(allow(f"{MACHINE}:{server.port}")) as sandbox:
        assert await curl(sandbox, f"http://{MACHINE.upper()}.:{server.port}/x?y=1") == "hello from plain"
        assert await curl(sandbox, f"http://{MACHINE}:{server.port}/x", "--proxytunnel") == "hello from plain"
    assert server.requests[0].startswith("GET /x?y=1 HTTP/1.1\r\n")
    assert "proxy" not in server.requests[0].lower()


async def test_a_service_of_the_machine_is_reached_by_its_loopback_address_and_only_at_its_port(tmp_path: Path) -> None:
    async with web_server("gateway") as gateway, web_server("django") as other:
        async with container(allow(f"127.0.0.1:{gateway.port}"), tmp_path / "log") as sandbox:
            assert await curl(sandbox, f"http://127.0.0.1:{gateway.port}/v1") == "hello from gateway"
            assert await curl(sandbox, f"http://localhost:{gateway.port}/v1") == "hello from gateway"
            assert "Failed to connect" in await curl(sandbox, f"http://127.0.0.1:{other.port}/")
            refused = await curl(sandbox, f"http://127.0.0.1:{other.port}/", "--noproxy ''")
    assert "is not allowed for this host" in refused
    assert other.connections == 0


async def test_programs_that_ask_no_proxy_reach_an_allowed_name_by_verified_tls_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "network.jsonl"
    authority = make_authority(tmp_path)
    async with (
        web_server(MACHINE, context=authority.context(MACHINE), port=443) as server,
        container(allow(f"{MACHINE}:443"), log) as sandbox,
    ):
        await sandbox.exec("cat > /ca.pem", stdin=authority.pem)
        options = "--noproxy '*' --cacert /ca.pem"
        assert await curl(sandbox, f"https://{MACHINE}/x", options) == f"hello from {MACHINE}"
        assert "Could not resolve host" in await curl(sandbox, "https://evil.test/", options)
        assert "curl: (35)" in await curl(sandbox, "https://evil.test/", f"{options} --resolve evil.test:443:127.0.0.1")
        assert (len(server.requests), server.connections) == (1, 1)
        await sandbox.end_processes()
        assert await curl(sandbox, f"https://{MACHINE}/y", options) == f"hello from {MACHINE}"
        await sandbox.set_network(allow("a.test"))
        await sandbox.set_network(OPEN)
        assert "127.0.0.1" not in await output_of(sandbox, "cat /etc/resolv.conf")
        assert "nameserver" in await output_of(sandbox, "cat /etc/resolv.conf")
    told = [(line["method"], line["host"], line["port"], line["verdict"], line["reason"]) for line in lines_of(log)]
    assert told == [
        ("TLS", MACHINE, 443, "allowed", ""),
        ("TLS", "evil.test", 443, "refused", "the host is not on the allowlist"),
        ("TLS", MACHINE, 443, "allowed", ""),
    ]


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
async def test_a_service_that_has_the_ports_of_direct_tls_keeps_them_and_the_proxy_is_served(kind: str) -> None:
    program = f"import socket, time; s = socket.socket(type=socket.{kind}); s.bind(('', 443 if s.type == 1 else 53)); "
    program += "s.type == 1 and s.listen(); time.sleep(99)"
    async with web_server("plain") as server, container(CLOSED) as sandbox:
        await sandbox.exec(f'setsid python3 -c "{program}" >/dev/null 2>&1 & sleep 0.5')
        await sandbox.set_network(allow(f"{MACHINE}:{server.port}"))
        assert await curl(sandbox, f"http://{MACHINE}:{server.port}/") == "hello from plain"
        assert await output_of(sandbox, "cat /etc/resolv.conf") == ""


async def test_no_attack_of_the_table_gets_out(tmp_path: Path) -> None:
    async with (
        tls_server(tmp_path) as (server, _),
        web_server("secret", host="0.0.0.0") as secret,
        container(allow(f"{MACHINE}:{server.port}", "localhost", "8.8.8.8"), tmp_path / "log") as sandbox,
    ):
        reached = await attacked(sandbox, machine=MACHINE, port=server.port, secret=secret.port)
    assert len(reached) > 25
    assert {name: answer for name, answer in reached.items() if answer.startswith("REACHED")} == {}
    assert {reached[name][:3] for name in reached if name.startswith("refused by rule")} == {"403"}
    assert {reached[name][:3] for name in reached if name.startswith("refused for its form")} == {"400"}
    assert {reached[name][:3] for name in reached if name.startswith("refused without a token")} == {"407"}
    assert {reached[name] for name in reached if name.startswith("closed")} == {"closed"}
    assert {reached[name].split(":")[0] for name in reached if name.startswith("direct")} == {"unreachable"}
    assert reached["interfaces"] == "lo"
    assert reached["name servers"] == "nameserver 127.0.0.1"
    assert secret.connections == 0
    assert server.requests == []


async def test_a_closed_network_serves_nothing_and_knows_no_name_server() -> None:
    async with web_server("secret", host="0.0.0.0") as secret, container(CLOSED) as sandbox:
        reached = await attacked(sandbox, machine=MACHINE, port=secret.port, secret=secret.port)
        assert await output_of(sandbox, "env | grep -i proxy") == ""
    assert (reached.pop("interfaces"), reached.pop("name servers")) == ("lo", "")
    assert {answer.split(":")[0] for answer in reached.values()} == {"unreachable"}
    assert len(reached) > 10
    assert secret.connections == 0


async def test_the_token_of_one_trial_is_refused_by_the_proxy_of_another() -> None:
    async with web_server("plain") as server:
        policy = allow(f"{MACHINE}:{server.port}")
        async with container(policy) as one, container(policy) as other:
            foreign = dict(one.network.variables)
            command = f"curl -sS -m 10 -o /dev/null -w '%{{http_code}}' http://{MACHINE}:{server.port}/"
            assert await output_of(other, command, **foreign) == "407"
            assert await output_of(one, command) == "200"


async def test_the_listener_comes_back_with_a_new_token_after_the_processes_were_ended() -> None:
    async with web_server("plain") as server, container(allow(f"{MACHINE}:{server.port}")) as sandbox:
        first = sandbox.network.variables["http_proxy"]
        await sandbox.end_processes()
        assert await curl(sandbox, f"http://{MACHINE}:{server.port}/") == "hello from plain"
        assert sandbox.network.variables["http_proxy"] != first
        assert await output_of(sandbox, "cat /etc/resolv.conf") == "nameserver 127.0.0.1\n"


async def test_each_phase_has_its_own_network(tmp_path: Path) -> None:
    async with web_server("plain") as server, container(allow(f"{MACHINE}:{server.port}")) as sandbox:
        url = f"http://{MACHINE}:{server.port}/"
        await sandbox.set_network(CLOSED)
        assert await output_of(sandbox, "env | grep -i proxy") == ""
        assert "Could not resolve" in await curl(sandbox, url)
        await sandbox.end_processes()
        await sandbox.set_network(OPEN)
        assert (await output_of(sandbox, "ls /sys/class/net")).split() == ["eth0", "lo"]
        assert "nameserver" in await output_of(sandbox, "cat /etc/resolv.conf")
        await sandbox.set_network(allow(f"{MACHINE}:{server.port}"))
        assert (await output_of(sandbox, "ls /sys/class/net")).split() == ["lo"]
        assert await output_of(sandbox, "cat /etc/resolv.conf") == "nameserver 127.0.0.1\n"
        assert await curl(sandbox, url) == "hello from plain"
        await sandbox.set_network(CLOSED)
        await sandbox.set_network(OPEN)
        assert "nameserver" in await output_of(sandbox, "cat /etc/resolv.conf")


async def test_a_proxy_that_ends_fails_closed_and_is_the_fault_of_the_sandbox() -> None:
    async with web_server("plain") as server, container(allow(f"{MACHINE}:{server.port}")) as sandbox:
        await sandbox.network._listeners[0].close()
        with pytest.raises(SandboxFailed, match="no longer served"):
            await curl(sandbox, f"http://{MACHINE}:{server.port}/")
        assert server.connections == 0


async def test_a_flood_of_connections_of_one_trial_does_not_slow_another() -> None:
    async with web_server("plain") as server:
        policy = allow(f"{MACHINE}:{server.port}")
        async with container(policy) as noisy, container(policy) as calm:
            url = f"http://{MACHINE}:{server.port}/"
            assert await curl(calm, url) == "hello from plain"
            quiet = await best_of_three(calm, url)
            flood = (
                "import socket,time\nheld=[]\n"
                "for _ in range(1000):\n"
                "  s=socket.socket(); s.setblocking(False); s.connect_ex(('127.0.0.1',3128)); held.append(s)\n"
                "time.sleep(30)\n"
            )
            task = asyncio.create_task(noisy.exec("python3 -I -", stdin=flood.encode()))
            await asyncio.sleep(1.0)
            loud = await best_of_three(calm, url)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert loud < 2 * quiet + 0.1, f"{quiet * 1000:.0f} ms became {loud * 1000:.0f} ms"


async def best_of_three(sandbox: DockerSandbox, url: str) -> float:
    times = []
    for _ in range(3):
        started = time.monotonic()
        await curl(sandbox, url)
        times.append(time.monotonic() - started)
    return min(times)


async def test_a_handler_of_our_own_is_served_inside_whatever_the_network_is() -> None:
    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngateway")
        await writer.drain()

    for policy in (CLOSED, OPEN):
        async with container(policy) as sandbox:
            assert await sandbox.serve_inside(8800, hello) == 8800
            assert await curl(sandbox, "http://127.0.0.1:8800/") == "gateway"
            await sandbox.end_processes()
            assert await curl(sandbox, "http://127.0.0.1:8800/") == "gateway"


async def test_an_open_network_is_left_alone() -> None:
    async with container(OPEN) as sandbox:
        assert sandbox.network.variables == {}
        assert (await output_of(sandbox, "ls /sys/class/net")).split() == ["eth0", "lo"]
        assert "nameserver" in await output_of(sandbox, "cat /etc/resolv.conf")


async def test_a_way_out_that_the_engine_leaves_fails_the_start() -> None:
    async with container(OPEN) as sandbox:
        sandbox.network.policy = NetworkPolicy(NetworkMode.CLOSED)
        with pytest.raises(SandboxFailed, match=r"a way out: interface eth0, a route by eth0"):
            await sandbox.end_processes()


async def test_a_runner_that_may_not_enter_sees_by_a_command_that_the_network_is_closed() -> None:
    async with container(CLOSED) as shut, container(OPEN) as wide:
        doors = [OutsideDoor(sandbox.engine, str(sandbox.container_id), {}) for sandbox in (shut, wide)]
        await doors[0].prove_closed()
        with pytest.raises(SandboxFailed, match="a way out: interface eth0, a route by eth0"):
            await doors[1].prove_closed()


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner as an ordinary user: the kernel lets it into no namespace."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "setns", refuse)


@pytest.mark.usefixtures("no_namespaces")
async def test_an_ordinary_user_s_allowlist_is_carried_by_a_relay_that_goes_with_the_sandbox(tmp_path: Path) -> None:
    async with tls_server(tmp_path) as (server, pem), web_server("gateway") as gateway:
        policy = allow(f"{MACHINE}:{server.port}", f"127.0.0.1:{gateway.port}")
        async with container(policy, tmp_path / "log", labels={"egress": tmp_path.name}) as sandbox:
            await sandbox.exec("cat > /ca.pem", stdin=pem)
            url = f"https://{MACHINE}:{server.port}/"
            assert await curl(sandbox, url, "--cacert /ca.pem") == f"hello from {MACHINE}"
            assert await curl(sandbox, f"http://127.0.0.1:{gateway.port}/") == "hello from gateway"
            reached = await attacked(sandbox, machine=MACHINE, port=server.port, secret=1)
            assert {name: answer for name, answer in reached.items() if answer.startswith("REACHED")} == {}
            assert {reached[name] for name in reached if name.startswith("closed in the tunnel")} == {"closed"}
            await sandbox.end_processes()
            assert await curl(sandbox, url, "--cacert /ca.pem") == f"hello from {MACHINE}"
            assert len(containers_labelled(sandbox.engine, tmp_path.name)) == 2
            await sandbox.set_network(CLOSED)
            assert len(containers_labelled(sandbox.engine, tmp_path.name)) == 1
            assert await output_of(sandbox, "cat /etc/resolv.conf") == ""
            await sandbox.set_network(OPEN)
            assert "nameserver" in await output_of(sandbox, "cat /etc/resolv.conf")
        engine = Engine.connect()
        assert containers_labelled(engine, tmp_path.name) == []
        engine.close()


def containers_labelled(engine: Engine, value: str) -> list[object]:
    return list(engine.api.containers(all=True, filters={"label": f"egress={value}"}))


@pytest.mark.usefixtures("no_namespaces")
async def test_bytes_pass_a_relay_whole_and_side_by_side() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    program = (
        "import hashlib, os, socket, threading\n"
        "silent = [socket.create_connection(('127.0.0.1', 8800)) for _ in range(20)]\n"
        "stuck = socket.create_connection(('127.0.0.1', 8800)); stuck.setblocking(False)\n"
        "try:\n"
        "  while stuck.send(bytes(65536)): pass\n"
        "except BlockingIOError: pass\n"
        "def both_ways(seed):\n"
        "  data = os.urandom(1000) * 3000; s = socket.create_connection(('127.0.0.1', 8800)); got = b''\n"
        "  t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))); t.start()\n"
        "  while part := s.recv(65536): got += part\n"
        "  print(got == data, flush=True)\n"
        "threads = [threading.Thread(target=both_ways, args=(n,)) for n in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    async with container(CLOSED) as sandbox:
        await sandbox.serve_inside(8800, echo)
        kept = bytearray()
        async with asyncio.timeout(60):
            await sandbox.exec("python3 -I -", stdin=program.encode(), on_output=lambda _, data: kept.extend(data))
    assert kept.decode().split() == ["True"] * 4


@pytest.mark.usefixtures("no_namespaces")
async def test_a_relay_that_is_killed_fails_closed_and_is_the_fault_of_the_sandbox(tmp_path: Path) -> None:
    async with container(allow("a.test"), labels={"egress": tmp_path.name}) as sandbox:
        for found in sandbox.engine.api.containers(filters={"label": f"egress={tmp_path.name}"}):
            if found["Id"] != sandbox.container_id:
                sandbox.engine.api.kill(found["Id"])
        await asyncio.sleep(0.5)
        with pytest.raises(SandboxFailed, match="its relay ended"):
            await sandbox.exec("true")


@pytest.mark.usefixtures("no_namespaces")
async def test_a_missing_relay_image_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIER_RELAY_IMAGE", "no-such-image:1")
    with pytest.raises(SandboxFailed, match=r"no-such-image:1.*PIER_RELAY_IMAGE"):
        async with container(allow("a.test")):
            pass


async def test_the_socket_of_the_engine_is_refused_with_a_closed_network() -> None:
    mount = MountSpec("bind", "/var/run/docker.sock", "/docker.sock", read_only=True)
    with pytest.raises(SandboxFailed, match="would open it"):
        async with container(CLOSED, mounts=(mount,)):
            pass


async def test_settling_a_closed_network_costs_milliseconds() -> None:
    async with container(CLOSED) as sandbox:
        assert sandbox.container_id
        times = []
        for _ in range(5):
            started = time.monotonic()
            await sandbox.network.up(sandbox.container_id)
            times.append(time.monotonic() - started)
    assert min(times) < 0.05, times
