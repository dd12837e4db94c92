"""A Docker engine of a test's own, which may be ended and started again: its own data, sockets and network namespace.

It has no bridge, so its containers have no network but loopback; the engine of the machine is not touched.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker import APIClient

START_SEC = 60.0


@dataclass(slots=True)
class SecondEngine:
    """The engine below one folder; the path of its socket must be short."""

    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def address(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.folder}/engine.sock"

    def client(self) -> APIClient:
        """A client; the caller closes it."""
        return docker.APIClient(self.address, timeout=60)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "engine.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--net", "dockerd", "--host", self.address, "--bridge=none", "--iptables=false"),
                    *("--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec"),
                    *("--pidfile", f"{self.folder}/pid"),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SEC
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "engine.log").read_text()[-2000:])
            time.sleep(0.1)

    def _answers(self) -> bool:
        # The SDK leaves sockets open that it could not connect.
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.settimeout(10)
                connection.connect(f"{self.folder}/engine.sock")
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    def end(self) -> None:
        """End it as a service manager does, and wait; it stops its containers first."""
        if self._process:
            self._process.terminate()
            self._process.wait(30)

    def clean(self) -> None:
        """End all that belongs to it, and remove its files."""
        with suppress(RuntimeError):
            if not self._answers():
                self.start()
        client = self.client()
        for item in client.containers(all=True):
            client.remove_container(item["Id"], force=True)
        client.close()
        self.end()
        for mount in sorted(_mounts_below(self.folder), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _mounts_below(folder: Path) -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        place = line.split(" ")[1]
        if place.startswith(f"{folder}/"):
            yield place


@contextmanager
def second_engine(image: str) -> Iterator[SecondEngine]:
    """One that has an image of the machine's engine. Root only; 130 MB are copied."""
    # A socket's path may not be long.
    folder = Path(f"/tmp/pier-engine-{os.getpid()}")
    folder.mkdir(mode=0o700)
    engine = SecondEngine(folder)
    try:
        engine.start()
        first, second = docker.APIClient(timeout=120), engine.client()
        second.timeout = 120
        list(second.load_image(first.get_image(image)))  # type: ignore[no-untyped-call] # the stubs lack its types
        first.close()
        second.close()
        yield engine
    finally:
        engine.clean()
