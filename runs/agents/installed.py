"""What all agent CLIs have in common: installed below /opt/pier, started once, followed, turned into a trajectory.

What differs is declared by a subclass; its life while it runs is `watch.py`'s.
"""

import asyncio
import os
import shlex
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from runs.agents.arguments import AgentArgumentInvalid, Argument, flags_of, read_arguments
from runs.agents.base import Agent, AgentRun
from runs.agents.conversion.base import ConversionContext, Converter
from runs.agents.conversion.directory import TRAJECTORY, context_of, write_final_trajectory
from runs.agents.conversion.images import FOLDER as IMAGES
from runs.agents.conversion.images import ImageStore
from runs.agents.install import Install
from runs.agents.skills import all_skills
from runs.agents.watch import Guards, watch_agent
from runs.errors import AgentFailed, SandboxFailed
from runs.formats.reading import read_text
from runs.formats.result import AgentContext
from runs.prices.table import PriceTable, list_prices
from runs.prices.timing import write_call_log

MAX_TEMPLATE_BYTES = 1024 * 1024
# Who cancels a job waits for this.
CLEAR_SEC = 5.0

COMMON = (
    Argument("version", "text", "The version to install; without it the tested one."),
    Argument("prompt_template_path", "text", "A Jinja2 file that is given `instruction` and makes the prompt of it."),
    Argument(
        "pricing",
        "text",
        "A price table (LiteLLM's registry format) that goes before the list prices where the agent tells no cost.",
        variable="LITELLM_MODEL_REGISTRY_PATH",
    ),
    Argument("max_cost_usd", "number", "Stop the agent once its calls cost more than this.", least=0),
    Argument("max_llm_calls", "integer", "Stop the agent at this many calls of the model.", least=1),
    Argument("max_idle_sec", "number", "Stop the agent when its log has not grown for this long.", least=1),
    Argument(
        "max_linger_sec",
        "number",
        "End the agent's process when it lives on for this long after its final message.",
        default=60.0,
        least=0,
    ),
)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that the CLI reads. `path` is absolute or begins with `~/`; it belongs to the agent's user, mode 600.

    One that `is_secret` is removed as soon as the agent has ended.
    """

    path: str
    text: str
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of the CLI: its argv, what is added to its environment, its files, and what is run in sh before it.

    `uploads` are folders of this machine and the absolute paths where their contents go, after `prepare` ran.
    `stdin` is what it reads: for CLIs that take the prompt there, so that it is exact and of any length.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[ConfigFile, ...] = ()
    prepare: str = ""
    uploads: tuple[tuple[Path, str], ...] = ()
    stdin: bytes = b""


class InstalledAgent(Agent):
    """An agent CLI. A subclass declares its data and says how it is launched."""

    tested_version: ClassVar[str]
    """The version that is installed unless the job names another."""
    title: ClassVar[str]
    """What it is, in a few words, for lists."""
    arguments: ClassVar[tuple[Argument, ...]] = ()
    variables: ClassVar[tuple[str, ...]] = ()
    """Environment variables of the runner that reach the agent's process where they are set, beside the job's own."""
    stdout_log: ClassVar[str]
    """The file below the log folder that gets all that the CLI prints."""
    converter_type: ClassVar[type[Converter]]

    def __init__(self, *, model_name: str | None, kwargs: Mapping[str, Any]) -> None:
        self.values = read_arguments(self.name, (*COMMON, *self.arguments), kwargs, os.environ)
        own = self.values["pricing"]
        self.prices = list_prices().with_table(PriceTable.read(Path(own)) if own else None)
        super().__init__(model_name=model_name, kwargs={})

    @property
    def version(self) -> str:
        """The version that is installed."""
        return self.values["version"] or self.tested_version

    @abstractmethod
    def install(self) -> Install | None:
        """What the sandbox has once it is started."""

    @abstractmethod
    def launch(self, run: AgentRun, instruction: str, env: Mapping[str, str]) -> Launch:
        """How the CLI is started on an instruction. `env` is what the job and the runner give; it goes in anyway."""

    def flags(self) -> list[str]:
        """The flags of the arguments that are merely passed on."""
        return flags_of(self.arguments, self.values)

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The runner's variables that the agent reads, and the job's on top; empty ones are dropped."""
        found = {name: os.environ[name] for name in self.variables if os.environ.get(name)}
        return {name: value for name, value in {**found, **env}.items() if value}

    def context(self, instruction: str | None = None) -> ConversionContext:
        """What the converter is told beside the logs."""
        effort = self.values.get("reasoning_effort")
        return ConversionContext(instruction, self.model_name, self.version, effort, self.prices)

    def converter(self, instruction: str | None, images: Path | None = None) -> Converter:
        """A fresh converter of this agent's logs; images go below the folder `images`, or nowhere."""
        return self.converter_type(self.context(instruction), images=ImageStore(images))

    async def run(self, run: AgentRun) -> AgentContext:
        """Start the CLI and follow it to its end. Raises AgentFailed and what limits and guards raise."""
        instruction = self._prompt(run.instruction)
        env = self.environment(run.env)
        with TemporaryDirectory() as folder:
            skills = await all_skills(run, Path(folder))
            launch = self.launch(replace(run, skills=skills), instruction, env)
            try:
                await self._prepare(run, launch)
                await self._watch(run, launch, env)
            finally:
                # A sandbox that is lost has said so already, and keeps no secret.
                with suppress(SandboxFailed, TimeoutError):
                    async with asyncio.timeout(CLEAR_SEC):
                        await self._clear(run, launch)
        return AgentContext()

    async def _watch(self, run: AgentRun, launch: Launch, env: Mapping[str, str]) -> None:
        await watch_agent(
            run,
            command=shlex.join(launch.argv),
            env={**env, **launch.env},
            stdin=launch.stdin,
            log_name=self.stdout_log,
            converter=self.converter(run.instruction),
            guards=Guards.of(self.values),
        )

    def finish(self, run: AgentRun) -> AgentContext | None:
        """Write trajectory.json of all that is in the log folder, and sum what was used."""
        converter = self.converter(run.instruction, run.logs)
        trajectory = write_final_trajectory(run.logs, converter)
        if trajectory is None:
            return None
        write_call_log(run.logs, trajectory)
        if run.live:
            run.live.complete(trajectory)
        return context_of(converter, trajectory)

    def own_logs(self) -> tuple[str, ...]:
        """What the CLI prints, and the trajectory."""
        return (self.stdout_log, TRAJECTORY, IMAGES)

    def _prompt(self, instruction: str) -> str:
        place = self.values["prompt_template_path"]
        if not place:
            return instruction
        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        try:
            template = environment.from_string(read_text(Path(place), MAX_TEMPLATE_BYTES))
            prompt = template.render(instruction=instruction)
        except TemplateError as error:
            raise AgentArgumentInvalid(self.name, "prompt_template_path", f"{place}: {error}") from None
        if instruction not in prompt:
            raise AgentArgumentInvalid(self.name, "prompt_template_path", f"{place} does not use `instruction`")
        return prompt

    async def _prepare(self, run: AgentRun, launch: Launch) -> None:
        for file in launch.files:
            place = in_shell(file.path)
            folder = in_shell(str(PurePosixPath(file.path).parent))
            command = f"umask 077; mkdir -p {folder} && cat > {place}"
            result = await run.sandbox.exec(command, user=run.user, stdin=file.text.encode())
            if result.exit_code:
                raise AgentFailed(f"{file.path}, which {self.name} reads, could not be written in the sandbox")
        if launch.prepare and (await run.sandbox.exec(launch.prepare, user=run.user)).exit_code:
            raise AgentFailed(f"{self.name} could not be prepared in the sandbox")
        for source, target in launch.uploads:
            await run.sandbox.upload(source, target)

    async def _clear(self, run: AgentRun, launch: Launch) -> None:
        secrets = " ".join(in_shell(file.path) for file in launch.files if file.is_secret)
        if secrets:
            await run.sandbox.exec(f"rm -f {secrets}", user=run.user)


def in_shell(path: str) -> str:
    """A path quoted for a shell, its leading `~/` as the user's home."""
    return f'"$HOME"/{shlex.quote(path.removeprefix("~/"))}' if path.startswith("~/") else shlex.quote(path)
