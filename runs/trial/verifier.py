"""Judging what the agent left: tests come in only now, run under their timeout, and their reward is read strictly."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runs.errors import EnvironmentStartTimeoutError, TaskInvalid, VerifierFailed, VerifierTimeoutError
from runs.formats.job import VerifierConfig
from runs.formats.result import VerifierResult
from runs.formats.reward import (
    MAX_REWARD_BYTES,
    REWARD_KEY,
    RewardFileEmptyError,
    RewardFileNotFoundError,
    is_crash_sentinel,
    parse_reward_json,
    parse_reward_text,
)
from runs.formats.task import VerifierSection
from runs.formats.task_directory import Task, TaskStep, script_in, verifier_environment
from runs.formats.template import resolve_all
from runs.sandboxes.base import TESTS, VERIFIER_LOGS, Sandbox, Stream
from runs.sandboxes.extraction import ExtractionLimitReached
from runs.trial.artifacts import Collected, restore_artifacts
from runs.trial.deadlines import deadline, environment_seconds, verifier_seconds
from runs.trial.directory import Folders
from runs.trial.plan import TrialPlan
from runs.trial.record import TrialRecord
from runs.trial.sandbox import (
    OpenSandbox,
    build_log_writer,
    opened,
    verifier_context,
    verifier_network,
    verifier_spec,
    wait_until_healthy,
    waiting_told,
)

SCRIPT = "test.sh"
OUTPUT = "test-stdout.txt"
# Longer output is cut: a test script that prints without end must not fill the disk.
MAX_OUTPUT_BYTES = 64 * 1024 * 1024


class VerifierCrashedError(VerifierFailed):
    """The verifier left only its crash sentinel (-1 in reward.txt): that is not a score."""


async def verify_shared(
    sandbox: Sandbox, plan: TrialPlan, task: Task, step: TaskStep | None, folders: Folders, record: TrialRecord
) -> VerifierResult:
    """Verify in the sandbox where the agent worked, after its processes have ended."""
    await sandbox.set_network(verifier_network(plan, task, step))
    await lay_tests(sandbox, task, step)
    return await _run_tests(sandbox, plan, task, step, folders, record)


async def lay_tests(sandbox: Sandbox, task: Task, step: TaskStep | None) -> None:
    """Bring the tests in. Whatever was planted in their place while the agent worked is gone before."""
    await sandbox.empty(TESTS, VERIFIER_LOGS)
    for tests in _tests(task, step):
        await sandbox.upload(tests, TESTS)


async def verify_separate(
    open_sandbox: OpenSandbox,
    plan: TrialPlan,
    task: Task,
    step: TaskStep | None,
    folders: Folders,
    record: TrialRecord,
    collected: Sequence[Collected],
) -> VerifierResult:
    """Verify in a fresh sandbox that gets the collected artifacts and nothing else of the agent's."""
    spec = verifier_spec(plan, task, step)
    section = verifier_environment(task, step)
    seconds = environment_seconds(plan, section.build_timeout_sec)
    async with opened(open_sandbox(spec), record.log) as sandbox:
        late = deadline(seconds, EnvironmentStartTimeoutError, "starting the verifier's sandbox")
        async with waiting_told(sandbox), late:
            await sandbox.start(log=build_log_writer(record.directory.build_log))
            # The agent's environment may have a check of services that this image lacks.
            if section.healthcheck and section is not task.config.environment:
                await wait_until_healthy(sandbox, section.healthcheck)
        await restore_artifacts(sandbox, collected, folders.artifacts)
        if verifier_context(task, step) is None or sandbox.kind == "host":
            for tests in _tests(task, step):
                await sandbox.upload(tests, TESTS)
        return await _run_tests(sandbox, plan, task, step, folders, record)


def _tests(task: Task, step: TaskStep | None) -> list[Path]:
    """The folders that make up /tests, later ones over earlier ones: the task's shared tests, then the step's."""
    folders = [task.tests_dir, *([step.directory / "tests"] if step else [])]
    present = [folder for folder in folders if folder.is_dir()]
    if not any(script_in(folder, "test") for folder in present):
        raise TaskInvalid(task.path, f"there is no tests/{SCRIPT}")
    return present


async def _run_tests(
    sandbox: Sandbox, plan: TrialPlan, task: Task, step: TaskStep | None, folders: Folders, record: TrialRecord
) -> VerifierResult:
    section = verifier_section(task, step)
    seconds = verifier_seconds(plan, section)
    env = resolve_all(_verifier_env(plan, task, step), os.environ)
    output = _BoundedOutput(folders.verifier / OUTPUT)
    try:
        async with deadline(seconds, VerifierTimeoutError, "the verifier"):
            result = await sandbox.exec(f"{TESTS}/{SCRIPT}", env=env, user=section.user, on_output=output.write)
    finally:
        output.close()
        await _fetch_logs(sandbox, folders, record)
    rewards = _judged(folders.verifier, plan.config.verifier, exit_code=result.exit_code, record=record)
    return VerifierResult(rewards=rewards, exit_code=result.exit_code)


def verifier_section(task: Task, step: TaskStep | None) -> VerifierSection:
    """The step's [verifier] where it says something of its own, else the task's."""
    if step and step.config.verifier.model_fields_set:
        merged = {
            **task.config.verifier.model_dump(exclude_unset=True),
            **step.config.verifier.model_dump(exclude_unset=True),
        }
        return VerifierSection.model_validate(merged)
    return task.config.verifier


def _verifier_env(plan: TrialPlan, task: Task, step: TaskStep | None) -> Mapping[str, str]:
    return {**task.config.verifier.env, **(step.config.verifier.env if step else {}), **plan.config.verifier.env}


async def _fetch_logs(sandbox: Sandbox, folders: Folders, record: TrialRecord) -> None:
    """Copy /logs/verifier; the output that was captured here stays, whatever a file of the same name says."""
    captured = (folders.verifier / OUTPUT).rename(folders.root / f".{OUTPUT}")
    try:
        try:
            extraction = await sandbox.download(VERIFIER_LOGS, folders.verifier)
        except ExtractionLimitReached as error:
            raise VerifierFailed(f"the verifier's logs: {error}") from error
        for refused in extraction.refused:
            record.log(f"verifier log {refused.name!r} refused: {refused.reason}")
    finally:
        captured.replace(folders.verifier / OUTPUT)


def _judged(directory: Path, rules: VerifierConfig, *, exit_code: int, record: TrialRecord) -> dict[str, float]:
    """The rewards, by the job's rules; a missing one counts as 0 only where the job says so, and that is noted."""
    try:
        return read_rewards(directory, rules, exit_code=exit_code, warn=record.warn)
    except (RewardFileNotFoundError, RewardFileEmptyError) as error:
        if rules.missing_reward == "error":
            raise
        record.warn(f"counted as reward 0, as the job says: {error}")
        return {rules.headline_reward or REWARD_KEY: 0.0}


def read_rewards(
    directory: Path, rules: VerifierConfig, *, exit_code: int, warn: Callable[[str], None]
) -> dict[str, float]:
    """The rewards in a verifier's log folder. Of two files the first in the job's order counts: reward.txt as in Pier,
    or reward.json as in Harbor.

    Raises RewardFileNotFoundError, RewardFileEmptyError, VerifierOutputParseError or VerifierCrashedError. The test
    script's exit code only explains a missing reward; it never changes one that was written.
    """
    text, json_text = _read(directory / "reward.txt"), _read(directory / "reward.json")
    if text is None and json_text is None:
        raise RewardFileNotFoundError(
            f"the verifier wrote neither reward.txt nor reward.json; its script ended with {exit_code}"
        )
    if text is None:
        return parse_reward_json(json_text or "")
    if json_text is None:
        rewards = parse_reward_text(text)
        if is_crash_sentinel(rewards):
            raise VerifierCrashedError(f"the verifier crashed: it wrote only -1 and ended with {exit_code}")
        return rewards
    return _of_two(text, json_text, rules, warn)


def _of_two(text: str, json_text: str, rules: VerifierConfig, warn: Callable[[str], None]) -> dict[str, float]:
    """The rewards when both files are there. The one that does not count is only compared, and may be broken."""
    first, parse_first, second, parse_second = (text, parse_reward_text, json_text, parse_reward_json)
    if rules.reward_order == "json-first":
        first, parse_first, second, parse_second = second, parse_second, first, parse_first
    rewards = parse_first(first)
    try:
        other = parse_second(second)
    except VerifierFailed as error:
        warn(f"of two reward files the one that does not count is broken: {error}")
        return rewards
    if first is text and is_crash_sentinel(rewards):
        return other
    if rewards.get(REWARD_KEY) != other.get(REWARD_KEY):
        names = ("reward.txt", "reward.json") if first is text else ("reward.json", "reward.txt")
        warn(f"{names[0]} and {names[1]} differ: {names[0]} counts")
    return rewards


def _read(path: Path) -> str | None:
    """A reward file's text; one byte more than allowed is read, so that the parser refuses it for its size."""
    if path.is_symlink() or not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_REWARD_BYTES + 1).decode("utf-8", errors="replace")


class _BoundedOutput:
    """The test script's output, stdout and stderr together as they come, up to a limit."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._left = MAX_OUTPUT_BYTES

    def write(self, _: Stream, data: bytes) -> None:
        if self._left <= 0:
            return
        self._file.write(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            self._file.write(f"\n[cut: more than {MAX_OUTPUT_BYTES} bytes]\n".encode())
        self._file.flush()

    def close(self) -> None:
        self._file.close()
