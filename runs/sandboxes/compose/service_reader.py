"""One service of a compose file: every key is understood, known to change nothing, or refused by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from runs.sandboxes.compose import parts, values
from runs.sandboxes.compose.keys import IGNORED, reason_against
from runs.sandboxes.compose.model import MAIN, MAIN_IMAGE, Attachment, Service
from runs.sandboxes.compose.parts import Unsupported

# Key in the file: field of Service, and how its value is read.
_FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "command": ("command", values.words),
    "entrypoint": ("entrypoint", values.words),
    "environment": ("env", parts.environment),
    "working_dir": ("workdir", values.absolute_path),
    "user": ("user", values.text),
    "depends_on": ("dependencies", parts.dependencies),
    "healthcheck": ("check", parts.check),
    "networks": ("networks", parts.networks),
    "hostname": ("hostname", values.host_name),
    "extra_hosts": ("extra_hosts", parts.extra_hosts),
    "init": ("has_init", values.boolean),
    "read_only": ("is_read_only", values.boolean),
    "cap_drop": ("dropped", parts.capabilities),
    "cpus": ("cpus", values.number),
    "mem_limit": ("memory_bytes", values.size_bytes),
    "shm_size": ("shm_bytes", values.size_bytes),
}
_KNOWN: Final = (
    frozenset(_FIELDS) | IGNORED | {"image", "build", "volumes", "tmpfs", "deploy", "security_opt", "privileged"}
)


def read_service(name: str, value: Any, *, folder: Path, warnings: list[str]) -> Service:
    """The service. `folder` is the task's environment/, outside of which nothing is built or mounted.

    Raises ValueError with the key and the reason; what has no effect is added to `warnings`.
    """
    said = {key: item for key, item in values.table(value).items() if item is not None}
    parts.refuse_unknown(said, _KNOWN, "")
    fields: dict[str, Any] = {}
    for key, item in said.items():
        try:
            fields.update(_fields_of(key, item, name, folder))
        except Unsupported:
            raise
        except ValueError as error:
            raise ValueError(f"{key!r}: {error}") from None
    memory_folders = (*fields.pop("in_memory", ()), *fields.pop("tmpfs", ()))
    service = Service(name=name, tmpfs=memory_folders, **fields)
    if service.image is None and service.build is None and name != MAIN:
        raise ValueError("it needs 'image' or 'build'")
    warnings += [f"service {name!r}: {words}" for words in _without_effect(said)]
    return _with_container_name(service, said.get("container_name"))


def _fields_of(key: str, item: Any, name: str, folder: Path) -> dict[str, Any]:
    """What one key says, as fields of a Service; `in_memory` are volumes of the kind tmpfs."""
    if key in _FIELDS:
        field, read = _FIELDS[key]
        return {field: read(item)}
    match key:
        case "image":
            image = values.text(item)
            return {} if image == MAIN_IMAGE and name == MAIN else {"image": image or None}
        case "build":
            return {"build": parts.build(item, folder)}
        case "volumes":
            mounts, in_memory = parts.mounts(item, folder, name)
            return {"mounts": mounts, "in_memory": in_memory}
        case "tmpfs":
            return {"tmpfs": parts.tmpfs(item)}
        case "deploy":
            return parts.limits(item)
        case "security_opt":
            parts.refuse_security(item)
        case "privileged" if values.boolean(item):
            raise Unsupported(key, reason_against(key))
    return {}


def _without_effect(said: dict[str, Any]) -> list[str]:
    """What somebody may count on and does not get."""
    found = []
    if said.get("ports"):
        found.append("'ports' has no effect: no port is published on the machine")
    if said.get("restart") not in (None, False, "no"):
        found.append("'restart' has no effect: a service that ends stays ended")
    return found


def _with_container_name(service: Service, said: Any) -> Service:
    """Containers get names of their own, and are found by the one in the file too, where it can be one."""
    if said is None:
        return service
    try:
        alias = values.name(said)
    except ValueError:
        return service
    networks = tuple(Attachment(item.network, (*item.aliases, alias)) for item in service.networks)
    return replace(service, networks=networks)
