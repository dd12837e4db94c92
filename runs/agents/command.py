"""Any command line as an agent: files laid, set-up commands run, started with the variables that HarborEnv agents know.

It may write its own /logs/agent/trajectory.json; else its output is the trajectory, or what a known CLI's logs say.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any, Final

from runs.agents.arguments import AgentArgumentInvalid, Argument
from runs.agents.base import AgentRun
from runs.agents.conversion.base import ConversionContext, Converter, LogSource, instruction_step
from runs.agents.conversion.directory import TRAJECTORY
from runs.agents.conversion.draft import CallDraft, ResultDraft, StepDraft, Thread
from runs.agents.conversion.images import ImageStore
from runs.agents.conversion.lines import Record
from runs.agents.installed import InstalledAgent, Launch
from runs.agents.providers import Provider, runner_variables
from runs.errors import AgentFailed
from runs.formats.result import AgentContext
from runs.sandboxes.base import Sandbox, first_bytes

TASK_FOLDER: Final = "/task"
# What is shown of the output in the trajectory; command.txt has all of it.
SHOWN_CHARS: Final = 256 * 1024
IN_BASH: Final = 'if command -v bash >/dev/null; then exec bash -c "$1"; else exec sh -c "$1"; fi'
LOGS_OF: Final = (
    "antigravity-sdk",
    "claude-code",
    "codex",
    "copilot-cli",
    "cursor-cli",
    "gemini-cli",
    "mini-swe-agent",
    "opencode",
)
CALL_ID: Final = "command"
PROVIDERS: Final = [Provider((f"{name}_API_KEY",), base_urls=(f"{name}_BASE_URL",)) for name in ("OPENAI", "ANTHROPIC")]
# What HarborEnv gives the clients of its agents, whose answers come when they come.
CLIENT_TIMEOUTS: Final = dict.fromkeys(("OPENAI_TIMEOUT", "OPENAI_REQUEST_TIMEOUT", "HTTPX_TIMEOUT"), "3600")


class OutputConverter(Converter):
    """One step: the command as a call, what it printed as the result."""

    agent_name = "command"
    sources = (LogSource("stdout", ("command.txt",), is_text=True),)

    def __init__(self, context: ConversionContext | None = None, *, images: ImageStore | None = None) -> None:
        super().__init__(context, images=images)
        self._thread = Thread("main")
        first = instruction_step(self.context)
        if first:
            self._thread.add(first)
        self._step = self._thread.add(StepDraft("agent", llm_call_count=0))
        self._result = ResultDraft(content="")
        self._n_left = SHOWN_CHARS

    def start(self, command: str) -> None:
        """Say which command it is."""
        self._thread.add_call(self._step, CallDraft(CALL_ID, "bash", {"command": command}, results=[self._result]))

    def text(self, source: LogSource, path: str, line: str) -> None:
        """Take a line of output."""
        shown = f"{line}\n"[: self._n_left]
        self._n_left -= len(shown)
        if shown:
            self._result.content = f"{self._result.content}{shown}"
            self._thread.touch(self._step)

    def record(self, source: LogSource, path: str, record: Record) -> None:
        """Nothing: lines of output are text, whatever they hold."""
        return

    def threads(self) -> Sequence[Thread]:
        """The one."""
        return [self._thread]


class Command(InstalledAgent):
    """A command line of the job's own."""

    name = "command"
    title = "any command line in the sandbox"
    tested_version = "1"
    stdout_log = "command.txt"
    converter_type = OutputConverter
    arguments = (
        Argument("command", "text", "The command line, run by bash (sh where there is none) in the working directory."),
        Argument("files", "object", "Files and folders to lay into the sandbox first: its path to the runner's path."),
        Argument("setup", "lines", "Command lines that are run as root before, in order; each must succeed."),
        Argument(
            "logs_of",
            "choice",
            "The agent whose logs the command leaves below /logs/agent: they become the trajectory, live.",
            choices=LOGS_OF,
        ),
    )
    variables = tuple(name for provider in PROVIDERS for name in provider.variables)

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        super().__init__(model_name=model_name, kwargs=kwargs)
        if not self.values["command"]:
            raise AgentArgumentInvalid(self.name, "command", "it says what to run, and must be given")
        self._workdir = ""
        for target, source in (self.values["files"] or {}).items():
            if not target.startswith("/") or not isinstance(source, str) or not Path(source).exists():
                raise AgentArgumentInvalid(
                    self.name, "files", f"{target!r}: {source!r} is no absolute path and its file"
                )

    def install(self) -> None:
        """Nothing: the task's image, or `setup`, has what the command needs."""
        return

    async def setup(self, sandbox: Sandbox) -> None:
        """Lay the files, then run the set-up commands."""
        for target, source in (self.values["files"] or {}).items():
            await sandbox.upload(Path(source), target)
        for command in self.values["setup"] or ():
            output = bytearray()
            result = await sandbox.exec(command, user="root", on_output=first_bytes(output))
            if result.exit_code:
                words = bytes(output[-1000:]).decode(errors="replace").strip()
                raise AgentFailed(f"the set-up command `{command}` ended with {result.exit_code}: {words}")

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The job's variables, and the runner's of a provider of which the job gives none."""
        wanted = runner_variables(PROVIDERS, env)
        return {name: value for name, value in super().environment(env).items() if name in env or name in wanted}

    def hosts(self, env: Mapping[str, str]) -> list[str]:
        """Those of the base URLs that the command is given."""
        known = self.environment(env)
        return [host for provider in PROVIDERS for host in provider.hosts_of(known)]

    def converter(self, instruction: str | None, images: Path | None = None) -> Converter:
        """Of the agent whose logs it leaves, else of its output."""
        if self.values["logs_of"]:
            from runs.agents.registry import converter_of

            return converter_of(self.values["logs_of"])(self.context(instruction), images=ImageStore(images))
        converter = OutputConverter(self.context(instruction), images=ImageStore(images))
        converter.start(self.values["command"])
        return converter

    async def run(self, run: AgentRun) -> AgentContext:
        """Lay the task's folder, then run the command to its end; its exit code is kept where it is not 0."""
        with TemporaryDirectory() as folder:
            (Path(folder) / "instruction.md").write_text(run.instruction)
            if run.task_config:
                copy(run.task_config, folder)
            await run.sandbox.upload(Path(folder), TASK_FOLDER)
        self._workdir = await run.sandbox.working_directory()
        return await super().run(run)

    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """The command, with what HarborEnv tells its agents."""
        known = {
            "HARBOR_TASK_NAME": run.task_name,
            "HARBOR_TASK_DIR": TASK_FOLDER,
            "HARBOR_INSTRUCTION_PATH": f"{TASK_FOLDER}/instruction.md",
            "AGENT_WORKDIR": self._workdir,
            "OPENAI_MODEL": self.model_name or "",
            **CLIENT_TIMEOUTS,
            **{f"HARBOR_MCP_{_in_variable(server.name)}_URL": server.url or "" for server in run.mcp_servers},
        }
        return Launch(
            argv=("/bin/sh", "-c", IN_BASH, "sh", self.values["command"]),
            env={name: value for name, value in known.items() if value and name not in env},
            uploads=tuple((skill, f"{TASK_FOLDER}/skills/{skill.name}") for skill in run.skills),
        )

    def finish(self, run: AgentRun) -> AgentContext | None:
        """The command's own trajectory.json where it left one, else one of its output or its logs."""
        if (run.logs / TRAJECTORY).is_file():
            return None
        return super().finish(run)

    def own_logs(self) -> tuple[str, ...]:
        """What the command prints."""
        return (self.stdout_log,)


def _in_variable(name: str) -> str:
    return name.upper().replace("-", "_")
