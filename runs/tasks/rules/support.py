"""Rules on what a task says and the runner does not do: refused, or read and without effect.

What is refused is asked of the runner itself, so that lint and a run say the same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runs.errors import TaskInvalid
from runs.formats.task import ArtifactConfig, EnvironmentSection, VerifierSection
from runs.formats.task_directory import TASK_FILE, compose_file_in, verifier_environment, verifier_is_separate
from runs.sandboxes.compose.model import MAIN, ComposeFile
from runs.sandboxes.compose.reader import read_compose
from runs.tasks.findings import Finding, Rule
from runs.tasks.sources import TaskSources
from runs.trial.sandbox import not_enforced, refuse_unsupported_task

UNSUPPORTED: Final = Rule("unsupported-feature", "error", "something that this version refuses to run")
NOT_HONOURED: Final = Rule("not-honoured", "warning", "something that is read and has no effect here")

RULES: Final = (UNSUPPORTED, NOT_HONOURED)


def check_refused(sources: TaskSources) -> Iterator[Finding]:
    """What ends a trial of this task before it starts."""
    task = sources.task
    sections: list[EnvironmentSection] = [task.config.environment]
    sections += [verifier_environment(task, step) for step in sources.stages() if verifier_is_separate(task, step)]
    reasons: dict[tuple[Path, str], None] = {}
    for section in sections:
        try:
            refuse_unsupported_task(task, section)
        except TaskInvalid as error:
            reasons[error.path, error.reason] = None
    for path, reason in reasons:
        if path == task.compose_file:
            yield UNSUPPORTED.at(sources.relative(path), None, reason)
        else:
            yield UNSUPPORTED.at(TASK_FILE, sources.lines.line_of("environment"), reason)


def check_not_honoured(sources: TaskSources) -> Iterator[Finding]:
    """Keys that are understood and then left alone."""
    task, lines = sources.task, sources.lines
    for sentence in not_enforced(task, "docker"):
        place = f"environment.{sentence.split(' ', 1)[0]}"
        written = place if lines.has(place) else place.removesuffix("_mb")
        yield NOT_HONOURED.at(TASK_FILE, lines.line_of(written), f"environment.{sentence}")
    for place, reason in _without_effect(sources):
        yield NOT_HONOURED.at(TASK_FILE, lines.line_of(place), f"{place} has no effect here: {reason}")
    if compose := _compose(sources):
        for warning in compose.warnings:
            yield NOT_HONOURED.at(sources.relative(compose.path), None, warning)
    for path, reason in _files_without_effect(sources):
        yield NOT_HONOURED.at(sources.relative(path), None, f"{sources.relative(path)} has no effect here: {reason}")


def _without_effect(sources: TaskSources) -> Iterator[tuple[str, str]]:
    config = sources.task.config
    if config.environment.gpu_types:
        yield "environment.gpu_types", "any GPU of the engine's will do"
    services = _services(sources)
    yield from _of_verifier("verifier", config.verifier, services)
    yield from _of_artifacts("artifacts", config.artifacts, services)
    for number, step in enumerate(config.steps or []):
        yield from _of_verifier(f"steps[{number}].verifier", step.verifier, services)
        yield from _of_artifacts(f"steps[{number}].artifacts", step.artifacts, services)


def _compose(sources: TaskSources) -> ComposeFile | None:
    """The task's compose file; one that is refused is told elsewhere."""
    try:
        return read_compose(sources.task)
    except TaskInvalid:
        return None


def _services(sources: TaskSources) -> frozenset[str]:
    """The services that a hook or an artifact may name."""
    compose = _compose(sources)
    return frozenset(service.name for service in compose.services) if compose else frozenset({MAIN})


def _of_verifier(place: str, verifier: VerifierSection, services: frozenset[str]) -> Iterator[tuple[str, str]]:
    for number, hook in enumerate(verifier.collect):
        if hook.service not in services:
            yield f"{place}.collect[{number}].service", f"there is no service {hook.service!r}, and the hook is skipped"


def _of_artifacts(place: str, artifacts: list[ArtifactConfig], services: frozenset[str]) -> Iterator[tuple[str, str]]:
    for number, artifact in enumerate(artifacts):
        if artifact.service not in services:
            reason = f"there is no service {artifact.service!r}, and {artifact.source} is not collected"
            yield f"{place}[{number}].service", reason


def _files_without_effect(sources: TaskSources) -> Iterator[tuple[Path, str]]:
    task = sources.task
    for folder in (task.path, *(step.directory for step in task.steps)):
        if (folder / "trajectory.json").is_file():
            yield folder / "trajectory.json", "no agent here continues a given trajectory"
    for folder in sources.test_folders():
        compose = compose_file_in(folder)
        if compose:
            yield compose, "a verifier's sandbox is one container"


CHECKS: Final = (check_refused, check_not_honoured)
