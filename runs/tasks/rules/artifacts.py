"""Rules on the artifacts that a task declares."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from runs.formats.task import ArtifactConfig
from runs.formats.task_directory import TASK_FILE
from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources

OVERLAPPING: Final = Rule("overlapping-artifacts", "warning", "two artifacts that claim the same place")
IN_LOGS: Final = Rule("artifact-in-logs", "warning", "an artifact among the logs, which are kept anyway")

RULES: Final = (OVERLAPPING, IN_LOGS)

_LOGS: Final = ("/logs/agent", "/logs/verifier")


def check_artifacts(sources: TaskSources) -> Iterator[Finding]:
    """The task's artifacts, and those of each step together with them: they share one folder."""
    config = sources.task.config
    common = [(f"artifacts[{number}]", artifact) for number, artifact in enumerate(config.artifacts)]
    groups = [common]
    for number, step in enumerate(config.steps or []):
        own = [(f"steps[{number}].artifacts[{place}]", artifact) for place, artifact in enumerate(step.artifacts)]
        groups += [[*common, *own]] if own else []
    seen: set[tuple[str, str]] = set()
    for group in groups:
        for place, finding in _judge(sources, group):
            if (place, finding.rule) not in seen:
                seen.add((place, finding.rule))
                yield finding


def _judge(sources: TaskSources, group: list[tuple[str, ArtifactConfig]]) -> Iterator[tuple[str, Finding]]:
    taken: dict[str, str] = {}
    for place, artifact in group:
        line = sources.lines.line_of(place)
        if artifact.source.startswith(tuple(f"{folder}/" for folder in _LOGS)) or artifact.source in _LOGS:
            message = f"the artifact {artifact.source} lies among the logs, which are kept anyway; use /logs/artifacts"
            yield place, IN_LOGS.at(TASK_FILE, line, message)
        target = _target(artifact)
        if target in taken:
            message = f"the artifacts {taken[target]} and {artifact.source} both go to {target}: the second is skipped"
            yield place, OVERLAPPING.at(TASK_FILE, line, message)
        taken.setdefault(target, artifact.source)


def _target(artifact: ArtifactConfig) -> str:
    """Where it goes below artifacts/: what it says, else the last name of its source."""
    return str(PurePosixPath(artifact.destination or PurePosixPath(artifact.source).name))


CHECKS: Final = (check_artifacts,)
