"""A task's compose file, read whole or refused by name: file, service and key. Nothing is built or started here."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from runs.errors import FileUnreadable, InputInvalid, TaskInvalid
from runs.formats.reading import read_text
from runs.formats.task_directory import Task
from runs.formats.template import resolve
from runs.formats.yaml_text import MAX_YAML_BYTES, YamlInvalid, parse_yaml
from runs.sandboxes.base import AGENT_LOGS, ARTIFACTS, TESTS, VERIFIER_LOGS
from runs.sandboxes.compose import parts, values
from runs.sandboxes.compose.keys import IGNORED_OF_FILE, IGNORED_OF_NETWORK, IGNORED_OF_VOLUME
from runs.sandboxes.compose.model import DEFAULT_NETWORK, MAIN, MAIN_IMAGE, ComposeFile, Service
from runs.sandboxes.compose.service_reader import read_service
from runs.sandboxes.compose.substitution import Lookup, Substitution, SubstitutionInvalid

MAX_SERVICES: Final = 20
MAX_NETWORKS: Final = 8
MAX_VOLUMES: Final = 50
# The folders of the machine that log mounts of older tasks name; such mounts are left out.
_HOST_LOGS: Final = "/pier-site/logs"


def read_compose(task: Task) -> ComposeFile | None:
    """The task's compose file, or None where it has none. Raises TaskInvalid."""
    path = task.compose_file
    if path is None:
        return None
    try:
        text = read_text(path, MAX_YAML_BYTES, within=task.path)
    except FileUnreadable as error:
        raise TaskInvalid(error.path, error.reason) from None
    return parse_compose(text, path=path, variables=_variables(task))


def parse_compose(text: str, *, path: Path, variables: Lookup = lambda _: None) -> ComposeFile:
    """A compose file whose paths are relative to the folder of `path`. Raises TaskInvalid, and nothing else."""
    try:
        return _Reader(path, variables).read(text)
    except YamlInvalid as error:
        raise TaskInvalid(path, str(error)) from None
    except (SubstitutionInvalid, ValueError) as error:
        raise TaskInvalid(path, f"{error}") from None


class _Reader:
    """One reading of one file."""

    def __init__(self, path: Path, variables: Lookup) -> None:
        self.path = path
        self.asked: dict[str, None] = {}
        self.warnings: list[str] = []
        self._substitution = Substitution(self._asking(variables))

    def _asking(self, variables: Lookup) -> Callable[[str], str | None]:
        def lookup(name: str) -> str | None:
            self.asked[name] = None
            return variables(name)

        return lookup

    def read(self, text: str) -> ComposeFile:
        document = values.table(self._substitution.tree(parse_yaml(text)))
        parts.refuse_unknown(document, IGNORED_OF_FILE | {"services", "networks", "volumes"}, "")
        unset = ", ".join(self._substitution.unset)
        if unset:
            self.warnings.append(f"variables that are not set are empty: {unset[:300]}")
        services = self._services(document.get("services"))
        networks = _tables("networks", document.get("networks"), MAX_NETWORKS)
        internal = frozenset(name for name, said in networks.items() if _is_internal(name, said))
        volumes = _tables("volumes", document.get("volumes"), MAX_VOLUMES)
        for name, said in volumes.items():
            _refuse(said, IGNORED_OF_VOLUME, f"volumes.{name}.", driver="local")
        known_networks = {*networks, DEFAULT_NETWORK}
        for service in services:
            _check_names(service, "network", [item.network for item in service.networks], known_networks)
            named = [mount.source for mount in service.mounts if mount.kind == "volume"]
            _check_names(service, "volume", named, set(volumes))
        used = {item.network for service in services for item in service.networks}
        return ComposeFile(
            path=self.path,
            services=tuple(in_starting_order(services)),
            networks=tuple(sorted(used)),
            internal=internal,
            volumes=tuple(sorted({m.source for service in services for m in service.mounts if m.kind == "volume"})),
            warnings=tuple(self.warnings),
            host_variables=tuple(self.asked),
        )

    def _services(self, value: Any) -> list[Service]:
        said = values.table(value)
        if not said:
            raise ValueError("a compose file needs a table 'services'")
        if len(said) > MAX_SERVICES:
            raise ValueError(f"has more than {MAX_SERVICES} services")
        found = []
        for name, item in said.items():
            try:
                found.append(read_service(values.name(name), item, folder=self.path.parent, warnings=self.warnings))
            except ValueError as error:
                raise ValueError(f"service {name[:60]!r}: {error}") from None
        if MAIN not in said:
            found.append(Service(name=MAIN))
        return found


def _tables(key: str, value: Any, limit: int) -> dict[str, dict[str, Any]]:
    try:
        found = {values.name(name): values.table(item) for name, item in values.table(value).items()}
    except ValueError as error:
        raise ValueError(f"{key!r}: {error}") from None
    if len(found) > limit:
        raise ValueError(f"has more than {limit} {key}")
    return found


def _is_internal(name: str, said: dict[str, Any]) -> bool:
    place = f"networks.{name}."
    _refuse(said, IGNORED_OF_NETWORK | {"internal"}, place, driver="bridge")
    try:
        return values.boolean(said.get("internal") or False)
    except ValueError as error:
        raise ValueError(f"'{place}internal': {error}") from None


def _refuse(said: dict[str, Any], known: frozenset[str], place: str, *, driver: str) -> None:
    parts.refuse_unknown(said, known, place)
    if said.get("driver") not in (None, driver):
        raise parts.Unsupported(f"{place}driver", f"only {driver!r} is understood")


def _check_names(service: Service, kind: str, names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"service {service.name!r}: the {kind} {name[:60]!r} is not declared in the file")


def in_starting_order(services: list[Service]) -> list[Service]:
    """Each service after those it waits for, else as they are written. Raises ValueError for circles and no-ones."""
    by_name = {service.name: service for service in services}
    ordered: dict[str, Service] = {}
    waiting: dict[str, None] = {}

    def add(service: Service) -> None:
        if service.name in ordered:
            return
        if service.name in waiting:
            raise ValueError(f"the services {', '.join(waiting)} wait for each other")
        waiting[service.name] = None
        for dependency in service.dependencies:
            if dependency.service not in by_name:
                missing = dependency.service[:60]
                raise ValueError(f"service {service.name!r}: 'depends_on': there is no service {missing!r}")
            add(by_name[dependency.service])
        del waiting[service.name]
        ordered[service.name] = service

    for service in services:
        add(service)
    return list(ordered.values())


def _variables(task: Task) -> Lookup:
    """What a reference stands for: Harbor's own names, then the task's env table, then the machine's variables."""
    section = task.config.environment
    own = {
        "MAIN_IMAGE_NAME": MAIN_IMAGE,
        "PREBUILT_IMAGE_NAME": section.docker_image or "",
        "CONTEXT_DIR": ".",
        "TEST_DIR": TESTS,
        "CPUS": f"{section.cpus or 1:g}",
        "MEMORY": f"{section.memory_mb or 2048}M",
    }
    for name, target in (("AGENT_LOGS", AGENT_LOGS), ("VERIFIER_LOGS", VERIFIER_LOGS), ("ARTIFACTS", ARTIFACTS)):
        own |= {f"ENV_{name}_PATH": target, f"HOST_{name}_PATH": f"{_HOST_LOGS}/{name.lower()}"}

    def lookup(name: str) -> str | None:
        if name in own:
            return own[name]
        said = section.env.get(name)
        if said is None:
            return os.environ.get(name)
        try:
            return resolve(said, os.environ)
        except InputInvalid:  # which ends the trial where the env table itself is resolved
            return None

    return lookup


def host_variables(task: Task) -> list[str]:
    """The variables of this machine that the task's compose file asks for. A file that cannot be read asks for none."""
    try:
        compose = read_compose(task)
    except TaskInvalid:
        return []
    given = task.config.environment.env
    return [name for name in compose.host_variables if name in os.environ and name not in given] if compose else []
