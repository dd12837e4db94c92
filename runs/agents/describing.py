"""What `pieragent` prints: the agents there are, and all that one of them declares."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from runs.agents.arguments import Argument
from runs.agents.base import Agent
from runs.agents.installed import COMMON, InstalledAgent
from runs.agents.registry import AGENTS, agent_class
from runs.errors import InputInvalid


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent of the list. `version` is the tested one, empty where an agent has none of its own."""

    name: str
    title: str
    version: str


@dataclass(frozen=True, slots=True)
class AgentPage:
    """All that an agent declares: what is installed, which arguments and variables it takes, where its logs are."""

    name: str
    title: str
    version: str
    packages: tuple[str, ...]
    arguments: tuple[Argument, ...]
    common_arguments: tuple[Argument, ...]
    variables: tuple[str, ...]
    hosts: tuple[str, ...]
    logs: tuple[str, ...]


def list_agents() -> list[AgentLine]:
    """Every agent that a job can name."""
    return [_line(name, agent_class(name)) for name in sorted(AGENTS)]


def describe_agent(name: str) -> AgentPage:
    """One agent. Raises UnknownAgent."""
    kind = agent_class(name)
    line = _line(name, kind)
    if not issubclass(kind, InstalledAgent):
        return AgentPage(name, line.title, line.version, (), (), (), (), (), ())
    packages: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    try:
        agent = kind(model_name=None, kwargs={})
        install = agent.install()
        packages = tuple(getattr(install.method, "packages", ())) if install else ()
        hosts = tuple(agent.hosts({}))
    except InputInvalid:
        pass  # it needs a model or an argument to say so
    logs = tuple(dict.fromkeys(source.patterns[0] for source in kind.converter_type.sources))
    return AgentPage(
        name, line.title, line.version, packages, kind.arguments, COMMON, tuple(kind.variables), hosts, logs
    )


def lines_of(page: AgentPage) -> Iterator[str]:
    """The page as text for a terminal."""
    yield f"{page.name}: {page.title}"
    if page.version:
        yield f"tested version {page.version}{f', installed as {", ".join(page.packages)}' if page.packages else ''}"
    if page.hosts:
        yield f"reaches by default: {', '.join(page.hosts)}"
    if page.variables:
        yield f"variables it takes from the runner: {', '.join(page.variables)}"
    if page.logs:
        yield f"logs, below agent/: {', '.join(page.logs)}"
    for heading, arguments in (("arguments", page.arguments), ("arguments of every CLI", page.common_arguments)):
        if arguments:
            yield ""
            yield f"{heading} (kwargs in a job, --ak NAME=VALUE for pierrun):"
            for argument in arguments:
                yield f"  {argument.name} ({_kind(argument)}): {argument.meaning}{_extras(argument)}"


def as_json(page: AgentPage) -> dict[str, Any]:
    """The page as JSON."""
    return asdict(page)


def _line(name: str, kind: type[Agent]) -> AgentLine:
    if issubclass(kind, InstalledAgent):
        return AgentLine(name, kind.title, kind.tested_version)
    return AgentLine(name, (kind.__doc__ or "").partition("\n")[0].rstrip("."), "")


def _kind(argument: Argument) -> str:
    return f"one of {', '.join(argument.choices)}" if argument.choices else argument.kind


def _extras(argument: Argument) -> str:
    extras = [
        f"default {argument.default}" if argument.default not in (None, False) else "",
        f"flag {argument.flag}" if argument.flag else "",
        f"else the variable {argument.variable}" if argument.variable else "",
    ]
    told = "; ".join(extra for extra in extras if extra)
    return f" [{told}]" if told else ""
