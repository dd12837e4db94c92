"""Whether what a finished trial left can be judged again, and what of it. Only reads; the source is never changed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from runs.errors import FileUnreadable, InputInvalid, TaskInvalid
from runs.formats.job import TrialConfig
from runs.formats.reading import read_json
from runs.formats.result import ExceptionInfo, FinalState, RegradedFrom, StepResult, TrialResult
from runs.formats.task_directory import Task, TaskStep, load_task, verifier_is_separate
from runs.formats.template import MASK
from runs.formats.validation import first_problem
from runs.indexing.causes import cause_of, told_cause
from runs.models import Cause
from runs.sandboxes.base import ARTIFACTS
from runs.sandboxes.compose.model import MAIN
from runs.sandboxes.compose.reader import read_compose
from runs.trial.agent import keeps_processes
from runs.trial.artifacts import Collected
from runs.trial.directory import PATCH, WORKSPACE, Folders, TrialDirectory
from runs.trial.final_state import is_setting
from runs.trial.regrade_artifacts import has_all, has_other_hooks, recorded_artifacts
from runs.trial.regrade_patch import FileChange, PatchInvalid, changes_in

MAX_RESULT_BYTES = 64 * 1024 * 1024
MAX_PATCH_BYTES = 64 * 1024 * 1024
# Failures of the agent's own time; others happened while it was judged, and another judgement replaces them.
OF_THE_AGENT = (Cause.AGENT, Cause.BUDGET, Cause.PROVIDER)


class NotRegradable(InputInvalid):
    """What is left of a trial is not enough to judge it again; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Source:
    """A finished trial, the task that judges it now, and what there is of its agent's work.

    `step` is the last TaskStep that was run. With `state` "workspace", `outside` are the changes of single files that
    lie elsewhere; with "artifacts" a separate verifier gets what was `collected` then. `notes` are for its result.
    """

    directory: TrialDirectory
    result: TrialResult
    result_digest: str
    config: TrialConfig
    task: Task
    step: TaskStep | None
    state: Literal["workspace", "artifacts"]
    final_state: FinalState | None
    outside: Sequence[FileChange]
    collected: Sequence[Collected]
    notes: Sequence[str]

    @property
    def folders(self) -> Folders:
        """Of the stage that is judged again."""
        return self.directory.folders(self.step.name if self.step else None)

    @property
    def agent_exception(self) -> ExceptionInfo | None:
        """How the agent ended, where that was not as planned; what its verifier did then is not in it."""
        return of_agent(self.result.exception_info)

    @property
    def earlier_steps(self) -> list[StepResult]:
        """The TaskSteps before the one that is judged again."""
        return (self.result.step_results or [])[:-1]

    def digest_of_state(self) -> str:
        """Of what is judged again. Reads all of it."""
        if self.state == "workspace":
            return _digest([self.directory.root / WORKSPACE, self.folders.root / PATCH])
        found = (path for path in self.folders.artifacts.rglob("*") if path.is_file() and not path.is_symlink())
        return _digest(sorted(found))

    def origin(self, state_digest: str | None) -> RegradedFrom:
        """What the new result says of where it comes from."""
        return RegradedFrom(
            job=self.directory.root.parent.name,
            trial=self.directory.root.name,
            directory=str(self.directory.root),
            result_digest=self.result_digest,
            state=self.state,
            state_digest=state_digest,
            task_checksum=self.result.task_checksum,
            rewards=self.result.rewards,
            exception_info=self.result.exception_info,
        )


class TaskOf:
    """Where the task lies that judges a trial now: where it lay then, or the one of its name at `path`."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __call__(self, result: TrialResult, config: TrialConfig) -> Path:
        """The task's directory. Raises NotRegradable."""
        then = config.task.path
        if self._path is None:
            found = then
        elif (self._path / "task.toml").is_file():
            found = self._path
            if self._path.resolve().name != then.name and _name_of(self._path) != result.task_name:
                raise NotRegradable(f"its task is {result.task_name}, and {self._path} is another")
        else:
            found = self._path / then.name
        if not found.is_dir():
            raise NotRegradable(f"its task is not at {found}: say where it is with --tasks")
        return found.resolve()


def read_source(directory: Path, task_of: TaskOf) -> Source:
    """A trial that can be judged again. Raises NotRegradable or TaskInvalid, each with what stands in the way."""
    found = _read(directory, task_of)
    _refuse_lost_variables(found.config)
    task, step, config = found.task, found.step, found.config
    declared = [*task.config.artifacts, *config.artifacts, *(step.config.artifacts if step else [])]
    is_separate = verifier_is_separate(task, step)
    if is_separate and has_all(found.collected, declared) and not has_other_hooks(task, step, found.result):
        wanted = {(item.source, item.service) for item in declared} | {(ARTIFACTS, MAIN)}
        collected = [line for line in found.collected if (line.source, line.service) in wanted]
        return replace(found, state="artifacts", collected=collected)
    return _with_workspace(found)


def read_final_state(directory: Path, task_of: TaskOf) -> Source:
    """A trial whose working directory was kept, however it is judged; its job's variables may be lost.

    Raises as `read_source`.
    """
    return _with_workspace(_read(directory, task_of))


def _read(directory: Path, task_of: TaskOf) -> Source:
    """What is known of the trial, before it is looked at what of its state is there."""
    place = TrialDirectory(directory.resolve())
    result, digest = _result(place)
    config = _config(result)
    task = load_task(task_of(result, config), lenient_names=config.lenient_names)
    step, final_state = _stage(result, task)
    recorded = list(recorded_artifacts(place.folders(step.name if step else None)))
    return Source(place, result, digest, config, task, step, "workspace", final_state, (), recorded, ())


def _with_workspace(found: Source) -> Source:
    """With what there is of the working directory and around it. Raises NotRegradable where that is not whole."""
    _refuse_lost_services(found.task)
    notes: list[str] = []
    outside = _outside(found.directory, found.folders, found.final_state, found.collected, notes)
    return replace(found, outside=outside, notes=notes)


def _name_of(path: Path) -> str:
    try:
        return load_task(path, verification=False, lenient_names=True).name
    except TaskInvalid:
        return ""


def _result(place: TrialDirectory) -> tuple[TrialResult, str]:
    """The result and the digest of its file. Raises NotRegradable."""
    if not place.result.is_file():
        raise NotRegradable("it has no result yet")
    try:
        data = read_json(place.result, max_bytes=MAX_RESULT_BYTES, within=place.root)
        return TrialResult.model_validate(data), _digest([place.result])
    except FileUnreadable as error:
        raise NotRegradable(f"its result cannot be read: {error.reason}") from None
    except ValidationError as error:
        raise NotRegradable(f"its result is not one of Pier Site: {first_problem(error)}") from None


def _config(result: TrialResult) -> TrialConfig:
    try:
        return TrialConfig.model_validate(result.config)
    except ValidationError as error:
        raise NotRegradable(f"its configuration is not one of Pier Site: {first_problem(error)}") from None


def _refuse_lost_variables(config: TrialConfig) -> None:
    for place, table in (("environment", config.environment.env), ("verifier", config.verifier.env)):
        lost = [name for name, value in table.items() if MASK in value]
        if lost:
            raise NotRegradable(f"the value of {place}.env.{lost[0]} was a secret and is not kept")


def _stage(result: TrialResult, task: Task) -> tuple[TaskStep | None, FinalState | None]:
    """Which TaskStep is judged again, and the state at its end. Raises NotRegradable."""
    if result.regraded_from:
        raise NotRegradable(f"it was regraded itself: regrade {result.regraded_from.directory}")
    if not result.step_results:
        if task.steps:
            raise NotRegradable("its task has steps now, and the trial has no step that was run")
        return None, result.final_state
    last = result.step_results[-1]
    step = next((step for step in task.steps if step.name == last.step_name), None)
    if step is None:
        raise NotRegradable(f"the last step that was run is {last.step_name!r}, and the task has no such step now")
    return step, last.final_state


def _refuse_lost_services(task: Task) -> None:
    compose = read_compose(task)
    services = [service.name for service in compose.services if service.name != MAIN] if compose else []
    if services:
        raise NotRegradable(f"what its services held ({', '.join(services)}) is not kept")
    if keeps_processes(task):
        raise NotRegradable("its task judges what runs (keep_processes), and no process is kept")


def _outside(
    place: TrialDirectory,
    folders: Folders,
    state: FinalState | None,
    recorded: Sequence[Collected],
    notes: list[str],
) -> list[FileChange]:
    """The changes outside the working directory. Raises NotRegradable where the state is not whole."""
    if state is None or state.workdir is None:
        raise NotRegradable(f"no final state was kept{_why(state)}")
    workspace = place.root / WORKSPACE
    if state.workspace_size_bytes is None or workspace.is_symlink() or not workspace.is_file():
        raise NotRegradable(f"its working directory was not kept, or was removed since ({WORKSPACE}){_why(state)}")
    if workspace.stat().st_size != state.workspace_size_bytes:
        raise NotRegradable(f"{WORKSPACE} is not of the size that its result names")
    if state.patch_base != "filesystem":
        _note_unknown(state, notes)
        return []
    if state.is_cut or state.n_left_out:
        raise NotRegradable(f"its {PATCH} is not whole: {state.n_left_out} changed files were left out")
    inside = f"{state.workdir.rstrip('/')}/"
    changes = [change for change in _changes(folders.root / PATCH) if not change.path.startswith(inside)]
    lost = [change for change in changes if change.is_binary and not change.is_deleted]
    settings = [change for change in lost if is_setting(change.path)]
    kept_apart = [line.source.rstrip("/") for line in recorded if line.status == "ok" and line.service == MAIN]
    for change in lost:
        if change not in settings and not any(f"{change.path}/".startswith(f"{path}/") for path in kept_apart):
            raise NotRegradable(f"what became of {change.path}, outside of {state.workdir}, is not kept: it is no text")
    if settings:
        notes.append(f"not restored: {', '.join(change.path for change in settings)}")
    return [change for change in changes if change not in lost]


def _note_unknown(state: FinalState, notes: list[str]) -> None:
    if state.n_changed_outside:
        raise NotRegradable(
            f"the agent changed {state.n_changed_outside} files outside of {state.workdir}, and they are not kept"
        )
    if state.n_changed_outside is None:
        notes.append(f"what the agent may have changed outside of {state.workdir} is not known, and not restored")


def _why(state: FinalState | None) -> str:
    return f": {'; '.join(state.notes)}" if state and state.notes else ""


def _changes(path: Path) -> list[FileChange]:
    if path.is_symlink() or not path.is_file():
        raise NotRegradable(f"its {PATCH} was removed")
    if path.stat().st_size > MAX_PATCH_BYTES:
        raise NotRegradable(f"its {PATCH} has more than {MAX_PATCH_BYTES} bytes")
    try:
        return changes_in(path.read_bytes())
    except PatchInvalid as error:
        raise NotRegradable(f"its {PATCH} cannot be read: {error}") from None


def of_agent(told: ExceptionInfo | None) -> ExceptionInfo | None:
    """The exception, where it is how an agent ended."""
    is_agents = told and (told_cause(told.cause) or cause_of(told.exception_type)) in OF_THE_AGENT
    return told if is_agents else None


def _digest(paths: Sequence[Path]) -> str:
    """Over the files' names and contents, in this order; those that are not there are passed over."""
    digest = hashlib.sha256()
    for path in paths:
        if path.is_file():
            digest.update(f"{path.name}\0".encode(errors="surrogateescape"))
            with path.open("rb") as file:
                while chunk := file.read(1024 * 1024):
                    digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
