"""What a task's compose file asks for, understood whole: its services, in an order in which they can start."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

MAIN: Final = "main"
"""The service in which the agent works, as Harbor names it."""

MAIN_IMAGE: Final = "pier-site/main"
"""Stands for the image of `main` where a file says ${MAIN_IMAGE_NAME}."""

DEFAULT_NETWORK: Final = "default"

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True, slots=True)
class Build:
    """An image to be built from a folder inside the task's environment/."""

    context: Path
    dockerfile: str = "Dockerfile"
    args: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Dependency:
    """What must be true of another service before this one starts."""

    service: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class Check:
    """A health check; `argv` is empty where the file switches off the one that the image has."""

    argv: tuple[str, ...]
    interval_sec: float = 30.0
    timeout_sec: float = 30.0
    start_period_sec: float = 0.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class ServiceMount:
    """Something that a service sees at `target`.

    `source` is the name of a volume, a path relative to the folder of the compose file, or empty (anonymous).
    """

    kind: Literal["volume", "folder", "file", "anonymous"]
    source: str
    target: str
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Attachment:
    """A network that a service is on, and the names by which it is found there beside its own."""

    network: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """One container. None leaves what the image says; `dropped` are capabilities."""

    name: str
    image: str | None = None
    build: Build | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: dict[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    dependencies: tuple[Dependency, ...] = ()
    check: Check | None = None
    mounts: tuple[ServiceMount, ...] = ()
    networks: tuple[Attachment, ...] = (Attachment(DEFAULT_NETWORK),)
    tmpfs: tuple[tuple[str, str], ...] = ()
    hostname: str | None = None
    extra_hosts: tuple[tuple[str, str], ...] = ()
    has_init: bool = False
    is_read_only: bool = False
    dropped: tuple[str, ...] = ()
    cpus: float | None = None
    memory_bytes: int | None = None
    shm_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file that was understood whole.

    `services` are in an order in which each comes after those it waits for; `main` is among them. `internal` are the
    networks that the file itself closes. `host_variables` are names that were looked up on this machine.
    """

    path: Path
    services: tuple[Service, ...]
    networks: tuple[str, ...]
    internal: frozenset[str]
    volumes: tuple[str, ...]
    warnings: tuple[str, ...]
    host_variables: tuple[str, ...]

    @property
    def main(self) -> Service:
        return self.service(MAIN)

    def service(self, name: str) -> Service:
        """The service of this name. Raises KeyError."""
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def reaches_out(self, service: Service) -> bool:
        """Whether the file puts the service on a network that it doesn't close."""
        return any(attachment.network not in self.internal for attachment in service.networks)
