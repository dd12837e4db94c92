"""Parts of a service in a compose file that are more than one value. Each reader raises ValueError with a reason."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from runs.sandboxes.base import LOG_FOLDERS, SOLUTION, TESTS
from runs.sandboxes.compose import values
from runs.sandboxes.compose.keys import IGNORED_OF_BUILD, reason_against
from runs.sandboxes.compose.model import (
    DEFAULT_NETWORK,
    MAIN,
    Attachment,
    Build,
    Check,
    Condition,
    Dependency,
    ServiceMount,
)

# Who shares one of these with main could judge in the verifier's place.
KEPT_FREE: Final = (*LOG_FOLDERS, TESTS, SOLUTION)
_TMPFS_OPTIONS: Final = re.compile(r"[a-z0-9=,]*")
_CONDITIONS: Final[dict[str, Condition]] = {
    "service_started": "service_started",
    "service_healthy": "service_healthy",
    "service_completed_successfully": "service_completed_successfully",
}
_HARMLESS_SECURITY: Final = frozenset({"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"})
_CHECK_KEYS: Final = frozenset({"test", "interval", "timeout", "start_period", "start_interval", "retries", "disable"})
_NOTHING: Final[tuple[Any, ...]] = (None, [], {}, False)


class Unsupported(ValueError):
    """A key that cannot be honoured; the message names it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key[:80]!r} is refused: {reason}")


def refuse_unknown(found: dict[str, Any], known: frozenset[str], place: str) -> None:
    """Raise Unsupported for a key that says something and is not known."""
    for key, value in found.items():
        if key not in known and not key.startswith("x-") and value not in _NOTHING:
            raise Unsupported(f"{place}{key}", reason_against(key))


def environment(value: Any) -> dict[str, str]:
    """Variables; each has a value."""
    found = values.pairs(value)
    # A name alone takes the machine's variable in compose; here that has to be written.
    bare = [name for name, said in found.items() if said is None]
    if bare:
        raise ValueError(f"{bare[0][:60]} has no value: write {bare[0][:60]}=${{{bare[0][:60]}}} to take the machine's")
    if any(not name or "=" in name or "\0" in name for name in found):
        raise ValueError("a variable has no proper name")
    return {name: said for name, said in found.items() if said is not None}


def build(value: Any, folder: Path) -> Build:
    """A build context inside of `folder`, with its Dockerfile in it."""
    said = {"context": value} if isinstance(value, str) else values.table(value)
    refuse_unknown(said, frozenset({"context", "dockerfile", "args"}) | IGNORED_OF_BUILD, "build.")
    context = inside(values.text(said.get("context") or "."), folder)
    dockerfile = PurePosixPath(values.text(said.get("dockerfile") or "Dockerfile"))
    if dockerfile.is_absolute() or ".." in dockerfile.parts:
        raise ValueError(f"the Dockerfile {str(dockerfile)[:200]!r} is not in its build context")
    if not (context / dockerfile).is_file():
        shown = context.relative_to(folder.resolve()).as_posix()
        raise ValueError(f"environment/{shown} has no {str(dockerfile)[:200]}")
    args = values.pairs(said.get("args"))
    given = tuple((name, text) for name, text in args.items() if text is not None)
    return Build(context, str(dockerfile), given)


def inside(path: str, folder: Path) -> Path:
    """A path relative to `folder` as a real one. Raises ValueError for one that leads out of it."""
    try:
        found = (folder / path).resolve()
    except (OSError, ValueError, RuntimeError):
        raise ValueError(f"{path[:200]!r} is no path") from None
    if not found.is_relative_to(folder.resolve()):
        raise ValueError(f"{path[:200]!r} is outside of the task's environment/")
    return found


def dependencies(value: Any) -> tuple[Dependency, ...]:
    """What a service waits for, as a list of names or as a table with conditions."""
    said = {values.name(item): None for item in values.items(value)} if isinstance(value, list) else values.table(value)
    found = []
    for service, how in said.items():
        words = values.table(how)
        # `restart` is about services that are changed while they run; `required` about profiles.
        refuse_unknown(words, frozenset({"condition", "required", "restart"}), f"depends_on.{service}.")
        condition = values.text(words.get("condition", "service_started"))
        if condition not in _CONDITIONS:
            raise ValueError(f"{service}: the condition {condition[:60]!r} is not known")
        found.append(Dependency(service, _CONDITIONS[condition]))
    return tuple(found)


def check(value: Any) -> Check:
    """A health check."""
    said = values.table(value)
    refuse_unknown(said, _CHECK_KEYS, "healthcheck.")
    if values.boolean(said.get("disable") or False):
        return Check(())
    # None and zero leave the default, as in compose.
    durations = {
        f"{key}_sec": duration
        for key in ("interval", "timeout", "start_period")
        if said.get(key) is not None and (duration := values.seconds(said[key]))
    }
    retries = int(values.number(said["retries"])) if said.get("retries") else 3
    return Check(_check_argv(said.get("test")), retries=max(1, min(retries, 100_000)), **durations)


def _check_argv(test: Any) -> tuple[str, ...]:
    if isinstance(test, str):
        return ("/bin/sh", "-c", values.text(test))
    argv = [values.text(item) for item in values.items(test)]
    match argv[:1]:
        case ["NONE"]:
            return ()
        case ["CMD"] if len(argv) > 1:
            return tuple(argv[1:])
        case ["CMD-SHELL"] if len(argv) == 2:
            return ("/bin/sh", "-c", argv[1])
    raise ValueError("the test should be a text, or a list that begins with CMD, CMD-SHELL or NONE")


def networks(value: Any) -> tuple[Attachment, ...]:
    """The networks of a service; without any it is on the default one."""
    said = {values.name(item): None for item in values.items(value)} if isinstance(value, list) else values.table(value)
    found = []
    for network, how in said.items():
        words = values.table(how)
        refuse_unknown(words, frozenset({"aliases", "priority"}), f"networks.{network}.")
        aliases = tuple(values.name(alias) for alias in values.items(words.get("aliases") or []))
        found.append(Attachment(network, aliases))
    return tuple(found) or (Attachment(DEFAULT_NETWORK),)


def tmpfs(value: Any) -> tuple[tuple[str, str], ...]:
    """Folders in memory with their options."""
    found = []
    for entry in [value] if isinstance(value, str) else values.items(value):
        path, _, options = values.text(entry).partition(":")
        if not _TMPFS_OPTIONS.fullmatch(options):
            raise ValueError(f"the options {options[:60]!r} are not understood")
        target = values.absolute_path(path)
        _refuse_target(target)
        found.append((target, options))
    return tuple(found)


def extra_hosts(value: Any) -> tuple[tuple[str, str], ...]:
    """Names and their addresses."""
    found = []
    for host, address in values.pairs(value, separators="=:").items():
        if address == "host-gateway":
            raise ValueError(f"{host[:60]} would be the machine itself: host-gateway is a way out of the sandbox")
        if not address or not re.fullmatch(r"[0-9a-fA-F:.]{2,45}", address):
            raise ValueError(f"{host[:60]} needs an address")
        found.append((values.host_name(host), address))
    return tuple(found)


def capabilities(value: Any) -> tuple[str, ...]:
    """Capabilities that a service does without."""
    return tuple(values.name(item) for item in values.items(value))


def refuse_security(value: Any) -> None:
    """Raise Unsupported for options that loosen a sandbox."""
    if any(values.text(option) not in _HARMLESS_SECURITY for option in values.items(value)):
        raise Unsupported("security_opt", reason_against("security_opt"))


def limits(value: Any) -> dict[str, Any]:
    """The limits in `deploy`, as fields of a service."""
    said = values.table(value)
    refuse_unknown(said, frozenset({"resources", "restart_policy", "labels"}), "deploy.")
    resources = values.table(said.get("resources"))
    refuse_unknown(resources, frozenset({"limits", "reservations"}), "deploy.resources.")
    # What an engine should keep free means nothing on one machine, but devices would be given.
    refuse_unknown(
        values.table(resources.get("reservations")),
        frozenset({"cpus", "memory"}),
        "deploy.resources.reservations.",
    )
    limited = values.table(resources.get("limits"))
    refuse_unknown(limited, frozenset({"cpus", "memory", "pids"}), "deploy.resources.limits.")
    found: dict[str, Any] = {}
    if limited.get("cpus") is not None:
        found["cpus"] = values.number(limited["cpus"])
    if limited.get("memory") is not None:
        found["memory_bytes"] = values.size_bytes(limited["memory"])
    return found


def mounts(value: Any, folder: Path, service: str) -> tuple[tuple[ServiceMount, ...], tuple[tuple[str, str], ...]]:
    """The volumes of a service: its mounts, and those that are folders in memory."""
    found: dict[str, ServiceMount] = {}
    in_memory: list[tuple[str, str]] = []
    for entry in values.items(value):
        kind, source, target, is_read_only = _short(values.text(entry)) if isinstance(entry, str) else _long(entry)
        target = values.absolute_path(target)
        if target in LOG_FOLDERS and service == MAIN:
            # Tasks made for older runners restate the log folders, which are always there.
            continue
        _refuse_target(target)
        if target in found:
            raise ValueError(f"{target[:200]} is given twice")
        if kind == "tmpfs":
            in_memory.append((target, ""))
        else:
            found[target] = _mount(kind, source, target, is_read_only=is_read_only, folder=folder)
    return tuple(found.values()), tuple(in_memory)


def _refuse_target(target: str) -> None:
    wanted = PurePosixPath(target)
    if any(wanted.is_relative_to(place) or PurePosixPath(place).is_relative_to(wanted) for place in KEPT_FREE):
        raise ValueError(f"nothing can be mounted at {target[:200]}, where logs, tests and solution are")


def _mount(kind: str, source: str, target: str, *, is_read_only: bool, folder: Path) -> ServiceMount:
    if kind == "volume":
        return ServiceMount("volume" if source else "anonymous", source and values.name(source), target, is_read_only)
    path = inside(source, folder)
    relative = path.relative_to(folder.resolve()).as_posix()
    if path.is_dir():
        return ServiceMount("folder", relative, target, is_read_only)
    if path.is_file():
        return ServiceMount("file", relative, target, is_read_only)
    raise ValueError(f"{source[:200]!r} does not exist in the task's environment/")


def _short(entry: str) -> tuple[str, str, str, bool]:
    """`target`, `source:target` or `source:target:options`."""
    parts = entry.split(":")
    if len(parts) > 3:
        raise ValueError(f"{entry[:200]!r} is not source:target:options")
    if len(parts) == 1:
        return "volume", "", parts[0], False
    options = parts[2].split(",") if len(parts) == 3 else []
    if unknown := set(options) - {"ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent", ""}:
        raise ValueError(f"{entry[:200]!r}: the option {min(unknown)!r} is not understood")
    kind = "bind" if parts[0].startswith((".", "/", "~")) else "volume"
    return kind, parts[0], parts[1], "ro" in options


def _long(entry: Any) -> tuple[str, str, str, bool]:
    said = values.table(entry)
    known = frozenset({"type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency"})
    refuse_unknown(said, known, "volumes.")
    kind = values.text(said.get("type", "volume"))
    if kind not in ("bind", "volume", "tmpfs"):
        raise Unsupported(f"volumes.type {kind}", "mounts are folders, files, volumes and tmpfs")
    # Of these only what is about copies and labels of files is read over.
    refuse_unknown(values.table(said.get("bind")), frozenset({"create_host_path", "selinux"}), "volumes.bind.")
    refuse_unknown(values.table(said.get("volume")), frozenset({"nocopy"}), "volumes.volume.")
    refuse_unknown(values.table(said.get("tmpfs")), frozenset({"mode", "size"}), "volumes.tmpfs.")
    source, target = values.text(said.get("source") or ""), values.text(said.get("target") or "")
    return kind, source, target, values.boolean(said.get("read_only") or False)
