"""Proof that a container's internal networks are closed: looked for from inside, at each start and each closing."""

import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors

from runs.errors import SandboxFailed
from runs.sandboxes.compose import canary
from runs.sandboxes.egress.namespace import NamespaceClosedToUs, inside
from runs.sandboxes.egress.relay import relay_image
from runs.sandboxes.engine import Engine

MAX_HEARD_BYTES = 64
# The kernel's check of where a packet may come from, of one interface or of all: 0 is none.
FILTER = "/proc/sys/net/ipv4/conf/{}/rp_filter"
BRIDGE_NAME = "com.docker.network.bridge.name"
# Datagrams to it are never sent: only the address that they would come from is asked for.
ELSEWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Where a container must find nobody: the addresses of its networks' gateways, and the machine's others."""

    gateways: tuple[str, ...]
    addresses: tuple[str, ...]
    asks_resolver: bool


async def prove_enclosed(engine: Engine, container_id: str, suspects: Suspects) -> None:
    """Raise SandboxFailed if a running container reaches more than the containers on its networks.

    What it calls out to everybody is heard here if the engine is on this machine.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("", 0))
        ear.setblocking(False)
        call = (int(ear.getsockname()[1]), secrets.token_hex(8).encode())
        found = await _ways_out(engine, container_id, suspects, call)
        if _hears(ear, call[1]):
            found.append("the machine hears its broadcasts")
    if found:
        raise SandboxFailed(f"the network should be closed, and this engine leaves a way out: {', '.join(found)}")


def _hears(ear: socket.socket, words: bytes) -> bool:
    with suppress(BlockingIOError):
        while heard := ear.recv(MAX_HEARD_BYTES):
            if heard == words:
                return True
    return False


async def _ways_out(engine: Engine, container_id: str, suspects: Suspects, call: tuple[int, bytes]) -> list[str]:
    state: dict[str, Any] = await engine.call(engine.api.inspect_container, container_id)
    pid = int(state["State"]["Pid"])
    if not pid:
        raise SandboxFailed("the container ended as soon as it had started")
    try:
        return await inside(
            pid,
            container_id,
            lambda: canary.ways_out(
                suspects.gateways, suspects.addresses, asks_resolver=suspects.asks_resolver, call=call
            ),
        )
    except NamespaceClosedToUs:
        arguments = [" ".join(suspects.gateways), " ".join(suspects.addresses), "1" if suspects.asks_resolver else ""]
        arguments += [str(call[0]), call[1].decode()]
        program = Path(canary.__file__).read_text(encoding="utf-8")
        mode, labels = f"container:{container_id}", state["Config"]["Labels"]
        said = await engine.call(_said_beside, engine, mode, ["-c", program, *arguments], labels)
        return said.splitlines()


async def shut_ears(engine: Engine, network: Mapping[str, Any], labels: Mapping[str, str]) -> None:
    """Have the machine drop what comes from a network on which it has no address: it takes broadcasts otherwise.

    Root of the engine's machine sets the filter of its bridge; else it must be set there. Raises SandboxFailed.
    """
    bridge = str((network.get("Options") or {}).get(BRIDGE_NAME) or f"br-{network['Id'][:12]}")
    own, of_all = (Path(FILTER.format(name)) for name in (bridge, "all"))
    if own.exists():
        with suppress(OSError):
            own.write_text("1")
        values = [own.read_text(), of_all.read_text()]
    else:
        read = f"for path in ({str(own)!r}, {str(of_all)!r}): print(open(path).read())"
        values = (await engine.call(_said_beside, engine, "host", ["-c", read], labels)).split()
    if all(value.strip() == "0" for value in values):
        raise SandboxFailed(
            "the network should be closed, and the engine's machine hears the broadcasts of its containers: "
            "run there as root, or set there `sysctl net.ipv4.conf.default.rp_filter=2`"
        )


def _said_beside(engine: Engine, mode: str, arguments: list[str], labels: Mapping[str, str]) -> str:
    """What a small Python program says in the network `mode`: for runners that may not enter it."""
    api, image = engine.api, relay_image()
    config = api.create_host_config(network_mode=mode, cap_drop=["ALL"], read_only=True, mem_limit="96m", pids_limit=16)
    program = ["python3", "-I", *arguments]
    try:
        made = api.create_container(image, entrypoint=program, labels=dict(labels), host_config=config)
    except docker.errors.ImageNotFound as error:
        raise SandboxFailed(
            f"the image {image}, which looks for ways out of a closed network, is not in the engine: "
            f"run `docker pull {image}`, or name another one with Python in PIER_RELAY_IMAGE"
        ) from error
    try:
        api.start(made["Id"])
        code = int(api.wait(made["Id"])["StatusCode"])
        said = bytes(api.logs(made["Id"])).decode(errors="replace")
    finally:
        with suppress(docker.errors.NotFound):
            api.remove_container(made["Id"], force=True, v=True)
    if code:
        raise SandboxFailed(f"the network of a service could not be looked at: {said.strip()[-300:]}")
    return said


def machine_addresses(bridge: Mapping[str, Any]) -> Sequence[str]:
    """Addresses at which a container could meet the machine: that of the default bridge, and this machine's own."""
    found = [part["Gateway"] for part in (bridge.get("IPAM") or {}).get("Config") or () if part.get("Gateway")]
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(ELSEWHERE)
        found.append(asked.getsockname()[0])
    return [address for address in dict.fromkeys(found) if ":" not in address]
