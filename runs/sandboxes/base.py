"""What every sandbox can do: start, exec, upload, download, end its processes, stop. Its errors never blame agents."""

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from runs.agents.install import Install
from runs.errors import SandboxFailed
from runs.formats.network import NetworkPolicy
from runs.sandboxes.compose.model import MAIN, ComposeFile
from runs.sandboxes.egress.listener import Handler
from runs.sandboxes.extraction import Extraction, ExtractionLimits
from runs.sandboxes.trees import Change, FileEntry, Receive

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], None]

# Where every sandbox keeps what passes between it and the runner.
AGENT_LOGS = "/logs/agent"
VERIFIER_LOGS = "/logs/verifier"
ARTIFACTS = "/logs/artifacts"
LOG_FOLDERS = (AGENT_LOGS, VERIFIER_LOGS, ARTIFACTS)
TESTS = "/tests"
SOLUTION = "/solution"


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of a sandbox; None leaves the engine's own default."""

    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """Where a sandbox's file system comes from: a ready image, or a Dockerfile in its build context.

    `dockerfile` is its path in the context; `build_args` are names and values for its ARG instructions.
    """

    reference: str | None = None
    context: Path | None = None
    force_build: bool = False
    dockerfile: str = "Dockerfile"
    build_args: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """The image that a sandbox was started from.

    `digest` is the registry's, None for what was built here; `workdir` is where commands run by default.
    """

    reference: str
    id: str
    digest: str | None
    platform: str
    origin: Literal["prebuilt", "built"]
    workdir: str


@dataclass(frozen=True, slots=True)
class MountSpec:
    """Something of the machine that is visible in the sandbox: a folder or file (bind), or a named volume."""

    kind: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """All that is needed to start a sandbox. `name` is unique to one execution of one trial.

    `network` is the policy at the start. What an allowlist lets through and refuses is added to `network_log`.
    `install` is what the agent needs: it is there when `start` has ended, also where the network is closed.
    `compose` names the containers beside this one; what they write is kept in the folder `service_logs`.
    """

    name: str
    image: Image
    network: NetworkPolicy
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    resources: Resources = Resources()
    mounts: tuple[MountSpec, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    network_log: Path | None = None
    install: Install | None = None
    compose: ComposeFile | None = None
    service_logs: Path | None = None


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How a command ended; its output went to the caller's `on_output` while it ran."""

    exit_code: int


# A folder may be a mount point, so it is emptied and not removed; what stands in its place is removed.
EMPTY_FOLDERS = """
for folder; do
  if [ -L "$folder" ] || [ ! -d "$folder" ]; then rm -rf "$folder"; fi
  mkdir -p "$folder" && rm -rf "$folder"/..?* "$folder"/.[!.]* "$folder"/* && chmod 777 "$folder" || exit 1
done
"""


class Sandbox(ABC):
    """An isolated place for one trial. Every method may raise SandboxFailed; exec also ends with the caller's timeout.

    When the task that awaits `exec` is cancelled (a timeout of the phase included), every process that the command
    started and that still carries its mark is killed before the cancellation goes on.
    """

    kind: str
    """The name of the sandbox in job files and pages: docker, modal, host."""

    spec: SandboxSpec

    image: ResolvedImage | None = None
    """Known after the start, where there is one."""

    n_memory_kills: int = 0
    """How often processes were killed for want of memory, up to the last command that ended with an error."""

    waiting_for: str = ""
    """What the start waits for, where there is more than one container."""

    @abstractmethod
    async def start(self, *, log: OnOutput) -> None:
        """Resolve or build the image and start; then LOG_FOLDERS exist and anybody may write there.

        The network is then proven to be as closed as the spec asks; if it cannot be, SandboxFailed is raised.
        Build output goes to `log`.
        """

    @abstractmethod
    async def exec(
        self,
        command: str,
        *,
        env: Mapping[str, str] | None = None,
        user: str | int | None = None,
        cwd: str | None = None,
        stdin: bytes = b"",
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        """Run `command` with bash (sh where there is none), streaming stdout and stderr apart, and wait for its end.

        `env` goes to this process only and is never put into an argv. `cwd` defaults to the spec's workdir,
        then to the image's.
        """

    @abstractmethod
    async def upload(self, source: Path, target: str) -> None:
        """Put a file or a directory's contents at the absolute path `target`, making parents, owned by root."""

    @abstractmethod
    async def download(
        self, source: str, target: Path, *, limits: ExtractionLimits | None = None, exclude: Sequence[str] = ()
    ) -> Extraction:
        """Copy a file or a directory's contents from the absolute path `source` to `target`.

        `exclude` are patterns as tar's --exclude takes them. Raises SourceMissing when `source` does not exist.
        Members that could harm the reader's file system are refused and listed in the answer.
        """

    @abstractmethod
    async def set_network(self, policy: NetworkPolicy) -> None:
        """Change what the sandbox may reach from now on. Raises SandboxFailed if the policy cannot be enforced.

        While an allowlist is in force, every command gets the variables that lead programs to its proxy.
        """

    @abstractmethod
    async def serve_inside(self, port: int, handler: Handler) -> int:
        """Have `handler` serve connections to 127.0.0.1:`port` inside the sandbox until that stops.

        The network policy doesn't matter, and it goes on after `end_processes` and `set_network`. The answer is the
        port, which is another one only where the sandbox shares its loopback with the machine. May be called before
        `start`. Raises SandboxFailed.
        """

    @abstractmethod
    async def end_processes(self) -> None:
        """Kill every process that was started in the sandbox, daemons and double forks included. Files stay."""

    def part(self, service: str) -> "Sandbox":
        """The container of one service of the task's compose file. Raises SandboxFailed where there is none."""
        if service == MAIN:
            return self
        raise SandboxFailed(f"there is no service {service!r}: the task has one container")

    async def troubles(self) -> list[str]:
        """What went wrong beside the agent while it worked, for the result's warnings."""
        return []

    async def written_bytes(self) -> int | None:
        """How much was written in the sandbox since its start, or None where that cannot be told."""
        return None

    async def working_directory(self) -> str:
        """The directory in which commands run when nothing else is said."""
        if self.spec.workdir:
            return self.spec.workdir
        output = bytearray()
        await self.exec("pwd", on_output=lambda stream, data: output.extend(data) if stream == "stdout" else None)
        return bytes(output).decode(errors="replace").strip()

    async def save(self, source: str, receive: Receive) -> None:
        """Stream the directory `source` as a tar, links as links, until its end or until `receive` has enough."""
        place = PurePosixPath(source)
        command = f"tar -C {shlex.quote(str(place.parent))} -cf - -- {shlex.quote(place.name)}"

        def on_output(stream: Stream, data: bytes) -> None:
            if stream == "stdout":
                receive(data)

        if (await self.exec(command, user="root", cwd="/", on_output=on_output)).exit_code:
            raise SandboxFailed(f"{source} could not be read")

    async def changes(self) -> list[Change] | None:
        """What differs from the file system at the start, or None where that cannot be told."""
        return None

    async def originals(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """The files at these absolute paths, and those below, as they were at the start, as far as they were there."""
        return {}

    async def files(self, paths: Sequence[str]) -> dict[str, FileEntry]:
        """The same as they are now."""
        return {}

    async def empty(self, *folders: str) -> None:
        """Leave each folder there, empty, and writable by anybody; links in their places are not followed."""
        result = await self.exec(f"set -- {' '.join(map(shlex.quote, folders))}\n{EMPTY_FOLDERS}", user="root", cwd="/")
        if result.exit_code:
            raise SandboxFailed(f"{', '.join(folders)} could not be emptied")

    @abstractmethod
    async def stop(self) -> None:
        """Remove the sandbox and all that it holds. Safe to call twice, and after a failed start."""


def first_bytes(kept: bytearray, limit: int = 4000) -> OnOutput:
    """Keeps the beginning of a command's output, for a log line."""

    def keep(_: Stream, data: bytes) -> None:
        kept.extend(data[: max(0, limit - len(kept))])

    return keep
