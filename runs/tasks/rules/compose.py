"""Rules on docker-compose files: what in them opens the sandbox to the machine it runs on."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from runs.formats.task_directory import compose_file_in
from runs.formats.yaml_text import YamlInvalid, parse_yaml
from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources

INVALID: Final = Rule("compose-invalid", "error", "a compose file that cannot be read")
PRIVILEGED: Final = Rule("compose-privileged", "error", "a container with all rights over the machine")
HOST_NAMESPACE: Final = Rule("compose-host-namespace", "error", "a container in the machine's own network or processes")
DOCKER_SOCKET: Final = Rule("compose-docker-socket", "error", "a container that commands the Docker engine")
CAPABILITIES: Final = Rule("compose-capabilities", "warning", "added capabilities or devices")
EXTERNAL_MOUNT: Final = Rule("compose-external-mount", "warning", "a mount of something outside the task")
WRITABLE_MOUNT: Final = Rule("compose-writable-mount", "warning", "a mount through which a trial changes the task")

RULES: Final = (INVALID, PRIVILEGED, HOST_NAMESPACE, DOCKER_SOCKET, CAPABILITIES, EXTERNAL_MOUNT, WRITABLE_MOUNT)

_NAMESPACES: Final = ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup")
_SOCKETS: Final = frozenset({"docker.sock", "podman.sock", "containerd.sock"})


def check_compose(sources: TaskSources) -> Iterator[Finding]:
    """Every compose file of the task, service by service."""
    for folder in (sources.task.environment_dir, *sources.test_folders()):
        path = compose_file_in(folder)
        if path is None:
            continue
        file, text = sources.relative(path), sources.text(path)
        try:
            document = parse_yaml(text or "")
        except YamlInvalid as error:
            yield INVALID.at(file, None, str(error))
            continue
        services = document.get("services") if isinstance(document, dict) else None
        if not isinstance(services, dict):
            yield INVALID.at(file, None, "a compose file needs a table 'services'")
            continue
        for name, service in services.items():
            if isinstance(service, dict):
                yield from _judge(file, _line_of(text or "", str(name)), str(name)[:60], service, folder)


def _judge(file: str, line: int | None, name: str, service: dict[Any, Any], folder: Path) -> Iterator[Finding]:
    if service.get("privileged") not in (None, False, "false"):
        yield PRIVILEGED.at(file, line, f"the service {name!r} is privileged: it is no sandbox any more")
    for key in _NAMESPACES:
        if service.get(key) == "host":
            yield HOST_NAMESPACE.at(file, line, f"the service {name!r} has {key}: host: it is no sandbox any more")
    added = [f"{key}: {_listed(service[key])}" for key in ("cap_add", "devices", "security_opt") if service.get(key)]
    if added:
        yield CAPABILITIES.at(file, line, f"the service {name!r} asks for {'; '.join(added)}")
    volumes = service.get("volumes")
    for volume in volumes if isinstance(volumes, list) else []:
        yield from _judge_mount(file, line, name, volume, folder)


def _judge_mount(file: str, line: int | None, name: str, volume: Any, folder: Path) -> Iterator[Finding]:
    source, is_read_only = _bind(volume)
    if source is None:
        return
    if PurePosixPath(source).name in _SOCKETS:
        yield DOCKER_SOCKET.at(file, line, f"the service {name!r} mounts {source}: it commands the engine")
    elif not _is_inside(folder, source):
        yield EXTERNAL_MOUNT.at(
            file, line, f"the service {name!r} mounts {source[:200]}, which is not part of the task"
        )
    elif not is_read_only:
        yield WRITABLE_MOUNT.at(file, line, f"the service {name!r} can write to {source[:200]}: add :ro")


def _bind(volume: Any) -> tuple[str | None, bool]:
    """The path on the machine that a volume mounts, and whether only for reading; None for named volumes."""
    if isinstance(volume, str):
        source, _, rest = volume.partition(":")
        is_path = source.startswith((".", "/", "~", "$")) and bool(rest)
        return (source if is_path else None), "ro" in rest.partition(":")[2].split(",")
    if isinstance(volume, dict) and volume.get("type") == "bind" and isinstance(volume.get("source"), str):
        return volume["source"], volume.get("read_only") is True
    return None, False


def _is_inside(folder: Path, source: str) -> bool:
    if source.startswith(("/", "~", "$")):
        return False
    try:
        return (folder / source).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):
        return False


def _listed(value: Any) -> str:
    return ", ".join(str(item)[:60] for item in value[:5]) if isinstance(value, list) else str(value)[:60]


def _line_of(text: str, service: str) -> int | None:
    """The first line that begins with the service's name, which is where it is nearly always defined."""
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if line.strip().rstrip(":").strip("\"'") == service), None)


CHECKS: Final = (check_compose,)
