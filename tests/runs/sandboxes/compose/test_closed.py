"""The network of several containers: they reach each other, and where it is closed nobody else."""

import asyncio
import socket
from pathlib import Path

import pytest

from runs.errors import SandboxFailed
from runs.formats.network import CLOSED, OPEN, NetworkMode, NetworkPolicy
from runs.sandboxes.base import Sandbox
from runs.sandboxes.compose import networks, proof
from runs.sandboxes.compose.group import ComposeSandbox
from runs.sandboxes.egress.namespace import NamespaceClosedToUs
from tests.runs.sandboxes.compose.conftest import Start, said_by
from tests.runs.sandboxes.compose.tasks import make_compose_task
from tests.support.internet import web_server

pytestmark = pytest.mark.docker

CONNECT = """python3 - <<'END'
import socket
for address in {addresses!r}:
    try:
        socket.create_connection(address, 1).close()
        print("reached", *address)
    except OSError:
        pass
END"""


async def reached(sandbox: Sandbox, *addresses: tuple[str, int]) -> str:
    """Which of the addresses can be connected to from a container."""
    return await said_by(sandbox, CONNECT.format(addresses=list(addresses)))


def address_of(sandbox: ComposeSandbox, service: str) -> str:
    container = sandbox.services[service]
    inspected = container.api.inspect_container(container.container_id or "")
    return str(next(iter(inspected["NetworkSettings"]["Networks"].values()))["IPAddress"])


def machine(sandbox: ComposeSandbox) -> list[str]:
    """Every address at which a container might find the machine."""
    bridge = sandbox.api.inspect_network("bridge")
    own = sandbox.api.inspect_network(sandbox.networks.name_of("default"))
    return [own["IPAM"]["Config"][0]["Gateway"].partition("/")[0], *proof.machine_addresses(bridge)]


async def test_nothing_but_the_services_is_reached_from_main_or_from_a_service(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    with socket.create_server(("0.0.0.0", 0)) as listening:
        port = listening.getsockname()[1]
        suspects = [*((address, port) for address in machine(sandbox)), ("1.1.1.1", 443), ("169.254.169.254", 80)]
        for part in ("main", "web"):
            assert await reached(sandbox.part(part), ("web", 8000), *suspects) == "reached web 8000\n"


SHOUT = """python3 - <<'END'
import socket
caller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
caller.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for address in ("255.255.255.255", "224.0.0.1"):
    caller.sendto(b"hear me", (address, {port}))
END"""


async def test_the_machine_hears_no_broadcast(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("0.0.0.0", 0))
        ear.settimeout(0.5)
        port = ear.getsockname()[1]
        assert await said_by(sandbox, SHOUT.format(port=port)) == ""
        with pytest.raises(TimeoutError):
            ear.recv(9)


async def test_a_machine_that_hears_broadcasts_is_refused(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave(*_: object) -> None:
        """The filter as the kernel has it."""

    every = Path("/proc/sys/net/ipv4/conf/all/rp_filter")
    if every.read_text().strip() != "0" or Path("/proc/sys/net/ipv4/conf/default/rp_filter").read_text().strip() != "0":
        pytest.skip("this machine filters every interface")
    monkeypatch.setattr(networks, "shut_ears", leave)
    with pytest.raises(SandboxFailed, match="the machine hears its broadcasts"):
        await start(make_compose_task(tmp_path))


async def test_no_container_may_forge_packets_or_change_its_network(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    net_admin, net_raw = 1 << 12, 1 << 13
    for part in ("main", "web"):
        [bounding] = [
            int(line.split()[1], 16)
            for line in (await said_by(sandbox.part(part), "cat /proc/self/status")).splitlines()
            if line.startswith("CapBnd")
        ]
        assert bounding & (net_admin | net_raw) == 0


async def test_names_of_the_internet_are_asked_of_nobody(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    for part in ("main", "web"):
        container = sandbox.part(part)
        assert "web" in await said_by(container, "getent hosts web")
        assert await said_by(container, "getent hosts example.com; echo $?") == "2\n"
        inspected = sandbox.api.inspect_container(getattr(container, "container_id", ""))
        assert inspected["HostConfig"]["Dns"] == [networks.NO_NAME_SERVER]


async def test_the_services_of_another_trial_are_out_of_reach(tmp_path: Path, start: Start) -> None:
    first = await start(make_compose_task(tmp_path))
    other = await start(make_compose_task(tmp_path, name="other"))
    place = (address_of(other, "web"), 8000)
    assert await reached(other, place) == f"reached {place[0]} 8000\n"
    assert await reached(first, place) == ""
    assert await reached(first.part("web"), place) == ""


@pytest.mark.parametrize("may_enter", [True, False])
async def test_an_engine_that_leaves_the_machine_reachable_is_refused(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, may_enter: bool
) -> None:
    """An internal network as the engine makes it by itself: the machine has an address on it."""
    monkeypatch.setattr(networks, "CLOSED_OPTIONS", {})
    if not may_enter:
        refuse_to_enter(monkeypatch)
    with pytest.raises(SandboxFailed, match=r"service 'web': .*leaves a way out: the machine answers at"):
        await start(make_compose_task(tmp_path))


async def test_a_runner_that_may_not_enter_the_network_looks_from_beside(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_enter(monkeypatch)
    sandbox = await start(make_compose_task(tmp_path))
    assert await reached(sandbox, ("web", 8000)) == "reached web 8000\n"


def refuse_to_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise NamespaceClosedToUs("not here")

    monkeypatch.setattr(proof, "inside", refuse)


async def test_an_allowlist_is_for_main_alone_and_not_for_the_services_names(tmp_path: Path, start: Start) -> None:
    async with web_server("model") as server:
        policy = NetworkPolicy(NetworkMode.ALLOWLIST, (f"host.docker.internal:{server.port}",))
        sandbox = await start(make_compose_task(tmp_path), policy)
        fetch = (
            "import urllib.request as u; print(u.urlopen('http://{}/', timeout=5).read().decode().strip()[:20])"
        ).format
        model = f'python3 -c "{fetch(f"host.docker.internal:{server.port}")}"'
        assert "hello from" in await said_by(sandbox, model)
        assert "hello from web" in await said_by(sandbox, f'python3 -c "{fetch("web:8000")}"')
        assert "hello" not in await said_by(sandbox.part("web"), model)
        await sandbox.end_processes()
        assert "hello from" in await said_by(sandbox, model)
    assert len(server.requests) == 2


async def test_programs_that_ask_no_proxy_find_services_and_allowed_names(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path), NetworkPolicy(NetworkMode.ALLOWLIST, ("allowed.test",)))
    look_up = 'for name in web allowed.test other.test; do getent hosts $name | sed "s/^[^1].*//; s/ .* / /"; done'
    found = (await said_by(sandbox, look_up)).splitlines()
    assert found == [f"{address_of(sandbox, 'web')} web", "127.0.0.1 allowed.test"]
    assert await said_by(sandbox.part("web"), "getent hosts allowed.test; echo $?") == "2\n"


async def test_a_network_that_closes_takes_main_and_services_off_the_outside(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path), OPEN)
    parts = [sandbox.part("main"), sandbox.part("web")]
    interfaces = "ls /sys/class/net | wc -l"
    assert [await said_by(part, interfaces) for part in parts] == ["3\n", "3\n"]
    with socket.create_server(("0.0.0.0", 0)) as listening:
        places = [(address, listening.getsockname()[1]) for address in machine(sandbox)[1:]]
        assert "reached" in await reached(sandbox, *places)
        await sandbox.set_network(CLOSED)
        assert [await said_by(part, interfaces) for part in parts] == ["2\n", "2\n"]
        assert [await reached(part, *places) for part in parts] == ["", ""]
        assert await reached(sandbox, ("web", 8000)) == "reached web 8000\n"
        await sandbox.set_network(OPEN)
        assert "reached" in await reached(sandbox, *places)


async def test_a_task_that_begins_closed_may_open_later(tmp_path: Path, start: Start) -> None:
    sandbox = await start(make_compose_task(tmp_path))
    await sandbox.set_network(OPEN)
    with socket.create_server(("0.0.0.0", 0)) as listening:
        places = [(address, listening.getsockname()[1]) for address in machine(sandbox)[1:]]
        assert "reached" in await reached(sandbox, *places)
    expected = networks.resolver_text(networks.name_servers_of_the_machine())
    assert await said_by(sandbox, "cat /etc/resolv.conf") == expected
    await sandbox.end_processes()
    assert await said_by(sandbox, "cat /etc/resolv.conf") == expected
    assert "web" in await said_by(sandbox, "getent hosts web")
    await sandbox.set_network(CLOSED)
    assert await said_by(sandbox, "cat /etc/resolv.conf") == networks.resolver_text([])


async def test_a_network_that_the_file_closes_is_closed_whatever_the_policy(tmp_path: Path, start: Start) -> None:
    task = make_compose_task(tmp_path, more="networks: {default: {internal: true}}")
    sandbox = await start(task, OPEN)
    assert await said_by(sandbox, "ls /sys/class/net | wc -l") == "2\n"
    with socket.create_server(("0.0.0.0", 0)) as listening:
        places = [(address, listening.getsockname()[1]) for address in machine(sandbox)]
        assert await reached(sandbox, ("web", 8000), *places) == "reached web 8000\n"


async def test_networks_of_the_file_keep_services_apart(tmp_path: Path, start: Start) -> None:
    base = "image: python:3.11-slim-bookworm, command: [python3, -m, http.server, '80'], init: true"
    services = f"""
  main: {{networks: [front]}}
  proxy: {{{base}, networks: [front, back]}}
  store: {{{base}, networks: [back]}}
"""
    sandbox = await start(make_compose_task(tmp_path, services, more="networks: {front: , back: }"))
    store = (address_of(sandbox, "store"), 80)
    await asyncio.sleep(1.0)
    assert await reached(sandbox, ("proxy", 80), ("store", 80), store) == "reached proxy 80\n"
    assert await reached(sandbox.part("proxy"), ("store", 80)) == "reached store 80\n"
