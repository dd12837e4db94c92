"""Find a Docker engine that answers, or start one when we may; never stop one that we did not start."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pier_site.bootstrap import packages
from pier_site.bootstrap.terminal import VAR, SetupFailed, say

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
START_TIMEOUT_SEC = 60
STOP_TIMEOUT_SEC = 30


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answered at `address`; `process` is set when this process started it."""

    address: str
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Stop the engine if it is ours; give it time to stop its containers."""
        if self.process is None or self.process.poll() is not None:
            return
        say("stopping the Docker engine that was started for this command")
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_SEC)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def answers(address: str) -> bool:
    """Whether an engine answers there within a few seconds."""
    import docker
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    if not listens(address or os.environ.get("DOCKER_HOST", "")):
        return False
    try:
        client = docker.DockerClient(base_url=address, timeout=5) if address else docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except (DockerException, RequestException, OSError, ValueError):
        return False


def listens(address: str) -> bool:
    """Whether a Unix socket accepts connections; any other address is left to the SDK to try.

    The SDK leaks a socket when it cannot connect, so it is asked only where somebody listens.
    """
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address.removeprefix("unix://"))
        except OSError:
            return False
    return True


def candidate_addresses(environ: dict[str, str], home: Path) -> list[str]:
    """Where an engine may listen, the most wanted first. DOCKER_HOST, when set, is the only one.

    An empty address means "as the environment says", with its TLS settings.
    """
    if environ.get("DOCKER_HOST"):
        return [""]
    sockets = [f"{environ['XDG_RUNTIME_DIR']}/docker.sock"] if environ.get("XDG_RUNTIME_DIR") else []
    sockets += [str(home / ".docker/run/docker.sock"), str(home / ".docker/desktop/docker.sock")]
    found = [f"unix://{path}" for path in sockets if Path(path).exists()]
    context = context_address(home / ".docker")
    return list(dict.fromkeys([*([context] if context else []), DEFAULT_SOCKET, *found]))


def context_address(config_dir: Path) -> str | None:
    """The address of the context that `docker context use` chose, if there is one that can be read."""
    try:
        name = json.loads((config_dir / "config.json").read_text())["currentContext"]
        folder = sha256(name.encode()).hexdigest()
        meta = json.loads((config_dir / "contexts/meta" / folder / "meta.json").read_text())
        address = meta["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return address if isinstance(address, str) and address.startswith(("unix://", "tcp://")) else None


def running_engine() -> Engine | None:
    """The first engine that answers; children find it too, through DOCKER_HOST."""
    for address in candidate_addresses(dict(os.environ), Path.home()):
        if not answers(address):
            continue
        if address not in {"", DEFAULT_SOCKET}:
            os.environ["DOCKER_HOST"] = address
            say(f"using the Docker engine at {address} (in other shells: export DOCKER_HOST={address})")
        return Engine(address or os.environ["DOCKER_HOST"])
    return None


def ensure_engine() -> Engine:
    """An engine that answers: the running one, else one that is started (as root), else `SetupFailed`."""
    engine = running_engine()
    if engine:
        return engine
    if os.environ.get("DOCKER_HOST"):
        raise SetupFailed(f"no Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}: start it, or unset it")
    installed = shutil.which("dockerd", path=packages.search_path()) is not None
    if os.geteuid() != 0 or not (installed or packages.can_install()):
        raise SetupFailed(advice(installed=installed))
    needed = ["docker.io", "iptables", "ca-certificates"]
    dockerd = packages.need_program("dockerd", packages=needed, why="running tasks in sandboxes")
    # Where systemd is in charge, the package has started the engine.
    return running_engine() or start(dockerd)


def advice(*, installed: bool) -> str:
    """What a person has to do when we may not do it."""
    if Path("/var/run/docker.sock").exists() and not os.access("/var/run/docker.sock", os.W_OK):
        return (
            "this account may not use the Docker engine's socket:"
            " sudo usermod -aG docker $USER, log in again, then try again"
        )
    if installed:
        return "no Docker engine answers: start it (sudo systemctl start docker), then try again"
    return "no Docker engine: install Docker (https://docs.docker.com/engine/install/), start it, then try again"


def start(dockerd: str, *, arguments: tuple[str, ...] = (), address: str = DEFAULT_SOCKET) -> Engine:
    """Start dockerd in a session of its own, so that Ctrl-C here does not reach it, and wait until it answers."""
    VAR.mkdir(exist_ok=True)
    log = VAR / "dockerd.log"
    say(f"starting dockerd: tasks run in Docker and no engine answered (log: {log})")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [dockerd, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    engine = Engine(address, process)
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SetupFailed(f"dockerd stopped at once: {last_words(log)} (all of it: {log})")
        if answers(address):
            return engine
        time.sleep(0.3)
    engine.stop()
    raise SetupFailed(f"dockerd did not answer within {START_TIMEOUT_SEC} s: {last_words(log)} (all of it: {log})")


def last_words(log: Path) -> str:
    """Why the daemon stopped, as the end of its log says it, on one line; dockerd's reasons may have several."""
    text = log.read_text(errors="replace").strip()
    _, found, reason = text.rpartition("failed to start daemon: ")
    lines = (reason if found else text).splitlines() or ["it wrote nothing"]
    return " ".join(" ".join(lines if found else lines[-1:]).split())[:400]


@contextmanager
def engine_for_a_while() -> Iterator[Engine]:
    """An engine for the time of the block; one that was started here is stopped at its end, whatever happened."""
    engine = ensure_engine()
    try:
        yield engine
    finally:
        engine.stop()
