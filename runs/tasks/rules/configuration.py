"""Rules on task.toml itself: what is not understood, misspelt, spelt the old way, or left unsaid.

What is understood and yet not done by the runner is `support`'s business.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from runs.formats.task import EnvironmentSection, TaskConfig, VerifierSection
from runs.formats.task_directory import TASK_FILE, verifier_is_separate
from runs.formats.task_keys import danger_of
from runs.formats.template import redact
from runs.formats.validation import problems_of, unknown_keys
from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources
from runs.tasks.toml_lines import TomlLines

INVALID_TASK: Final = Rule("invalid-task", "error", "the task cannot be loaded: a missing file, a wrong value")
DANGEROUS_KEY: Final = Rule(
    "dangerous-key", "error", "an unknown key that may be meant to close the network or to choose a user"
)
UNKNOWN_KEY: Final = Rule("unknown-key", "warning", "a key of task.toml that nothing reads")
UNQUALIFIED_NAME: Final = Rule("unqualified-name", "warning", "a name without an organisation, accepted on request")
LEGACY_KEY: Final = Rule("legacy-key", "warning", "an older spelling of a key")
MISSING_TIMEOUT: Final = Rule("missing-timeout", "warning", "an agent that may run without end")
IMPLICIT_NETWORK: Final = Rule("implicit-network", "warning", "a network that is open because nothing is said of it")
LITERAL_SECRET: Final = Rule("literal-secret", "warning", "a credential written into task.toml")

RULES: Final = (
    INVALID_TASK,
    DANGEROUS_KEY,
    UNKNOWN_KEY,
    UNQUALIFIED_NAME,
    LEGACY_KEY,
    MISSING_TIMEOUT,
    IMPLICIT_NETWORK,
    LITERAL_SECRET,
)

_LEGACY: Final = {
    "memory": "memory_mb = 2048 for 2G",
    "storage": "storage_mb = 10240 for 10G",
    "allow_internet": 'network_mode = "no-network" or "public"',
}


def check_keys(data: Mapping[str, Any], lines: TomlLines, *, lenient_names: bool) -> Iterator[Finding]:
    """All that is wrong with the values of a task.toml, whether or not it can be loaded in spite of it."""
    for unknown in unknown_keys(TaskConfig, data):
        line, danger = lines.line_of(unknown.path), danger_of(unknown)
        if danger:
            yield DANGEROUS_KEY.at(TASK_FILE, line, f"{unknown.sentence()}; it is refused, because {danger}")
        else:
            yield UNKNOWN_KEY.at(TASK_FILE, line, unknown.sentence())
    try:
        TaskConfig.model_validate(data, context={"lenient_names": lenient_names})
    except ValidationError as error:
        for problem in problems_of(error):
            yield INVALID_TASK.at(TASK_FILE, lines.line_of(problem.partition(": ")[0]), problem)


def check_name(sources: TaskSources) -> Iterator[Finding]:
    """A name that only lenient reading accepts."""
    package = sources.task.config.task
    if package and not package.package_name:
        yield UNQUALIFIED_NAME.at(
            TASK_FILE,
            sources.lines.line_of("task.name"),
            f'[task].name is not of the form "organisation/name": the folder\'s name {sources.task.name!r} is used',
        )


def check_spelling(sources: TaskSources) -> Iterator[Finding]:
    """Older spellings that are still read."""
    for place in _environments(sources):
        for old, new in _LEGACY.items():
            if sources.lines.has(f"{place}.{old}"):
                line = sources.lines.line_of(f"{place}.{old}")
                yield LEGACY_KEY.at(TASK_FILE, line, f"{place}.{old} is an older spelling: write {new}")


def check_timeouts(sources: TaskSources) -> Iterator[Finding]:
    """Agents without a limit of time."""
    config = sources.task.config
    if config.agent.timeout_sec is not None:
        return
    unlimited = [step.name for step in sources.task.steps if step.config.agent.timeout_sec is None]
    if unlimited or not sources.task.steps:
        where = f" in step {', '.join(unlimited)}" if unlimited else ""
        line = sources.lines.line_of("agent") if not sources.task.steps else sources.lines.line_of("steps[0]")
        yield MISSING_TIMEOUT.at(TASK_FILE, line, f"the agent has no timeout_sec{where}: it may run without end")


def check_network_is_said(sources: TaskSources) -> Iterator[Finding]:
    """Phases whose network is open by default, not by anybody's word."""
    spoken = sources.task.config.environment
    if spoken.network_mode is not None or spoken.allow_internet is not None:
        return
    silent = sorted({phase for phase in ("agent", "verifier") if _is_silent(sources, phase)})
    if silent:
        yield IMPLICIT_NETWORK.at(
            TASK_FILE,
            sources.lines.line_of("environment"),
            f"nothing is said about the network of the {' and the '.join(silent)}, so it is open: "
            'write network_mode = "no-network" or "public"',
        )


def check_secrets(sources: TaskSources) -> Iterator[Finding]:
    """Values of env tables that would be masked wherever they are shown."""
    for place, table in _env_tables(sources):
        for name, value in table.items():
            if redact({name: value}, {})[name] != value:
                yield LITERAL_SECRET.at(
                    TASK_FILE,
                    sources.lines.line_of(f"{place}.{name}"),
                    f"{place}.{name} holds what looks like a credential: write ${{NAME}} and set it where jobs are run",
                )


def _is_silent(sources: TaskSources, phase: str) -> bool:
    """Whether some stage's phase takes its network from the default."""
    config = sources.task.config
    for step in sources.stages():
        if phase == "agent":
            sections: list[Any] = [step and step.config.agent, config.agent]
        else:
            verifiers: list[VerifierSection] = [config.verifier, *([step.config.verifier] if step else [])]
            environments = [section.environment for section in verifiers]
            sections = [*verifiers, *(environments if verifier_is_separate(sources.task, step) else [])]
        if not any(_speaks(section) for section in sections if section):
            return True
    return False


def _speaks(section: Any) -> bool:
    return section.network_mode is not None or getattr(section, "allow_internet", None) is not None


def _environments(sources: TaskSources) -> dict[str, EnvironmentSection]:
    """The environment tables of a task under their paths."""
    config = sources.task.config
    tables: dict[str, EnvironmentSection | None] = {
        "environment": config.environment,
        "verifier.environment": config.verifier.environment,
    }
    for number, step in enumerate(config.steps or []):
        tables[f"steps[{number}].verifier.environment"] = step.verifier.environment
    return {place: table for place, table in tables.items() if table}


def _env_tables(sources: TaskSources) -> Iterator[tuple[str, dict[str, str]]]:
    config = sources.task.config
    for place, table in _environments(sources).items():
        yield f"{place}.env", table.env
    yield "verifier.env", config.verifier.env
    yield "solution.env", config.solution.env
    for number, step in enumerate(config.steps or []):
        yield f"steps[{number}].verifier.env", step.verifier.env


CHECKS: Final = (check_name, check_spelling, check_timeouts, check_network_is_said, check_secrets)
