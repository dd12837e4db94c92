"""What a trial finds out while it runs: times, outcomes, exceptions, log lines; and how that becomes result.json."""

import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast

from runs.errors import Cause, PierError
from runs.formats.result import AgentContext, ExceptionInfo, FinalState, StepResult, Timing, VerifierResult
from runs.indexing.causes import cause_of
from runs.models import Phase
from runs.sandboxes.base import ResolvedImage
from runs.trial.directory import TrialDirectory
from runs.trial.plan import TrialPlan

OnPhase = Callable[[Phase, str], Awaitable[None]]


def now() -> datetime:
    """The time as results have it: UTC, with its zone."""
    return datetime.now(UTC)


@dataclass(slots=True)
class StageRecord:
    """What one stage gave. A stage is the whole of a single-step task, or one TaskStep of a multi-step one."""

    task_step: str | None
    timings: dict[Phase, Timing] = field(default_factory=dict)
    agent_result: AgentContext | None = None
    verifier_result: VerifierResult | None = None
    exception: ExceptionInfo | None = None
    final_state: FinalState | None = None

    @property
    def rewards(self) -> dict[str, float] | None:
        return self.verifier_result.rewards if self.verifier_result else None

    def as_step_result(self) -> StepResult:
        return StepResult(
            step_name=self.task_step or "",
            agent_result=self.agent_result,
            verifier_result=self.verifier_result,
            exception_info=self.exception,
            agent_execution=self.timings.get(Phase.AGENT_EXECUTION),
            verifier=self.timings.get(Phase.VERIFIER),
            final_state=self.final_state,
        )


class TrialRecord:
    """Collects what happens; nothing here decides anything."""

    def __init__(self, plan: TrialPlan, on_phase: OnPhase) -> None:
        self.plan = plan
        self.directory = TrialDirectory(plan.directory)
        self.started_at = now()
        self._began = time.monotonic()
        self.timings: dict[Phase, Timing] = {}
        self.stages: list[StageRecord] = []
        self.exception: ExceptionInfo | None = None
        self.task_name = plan.task_path.name
        self.task_checksum = ""
        self.agent_version = ""
        self.verifier_mode: Literal["shared", "separate"] | None = None
        self.reward_strategy: Literal["mean", "final"] = "mean"
        self.warnings: list[str] = []
        self.image: ResolvedImage | None = None
        self._on_phase = on_phase

    def now(self) -> datetime:
        """The time by a clock that runs evenly since the trial began: setting the machine's bends no duration."""
        return self.started_at + timedelta(seconds=time.monotonic() - self._began)

    def log(self, message: str) -> None:
        """Add a line to trial.log."""
        with self.directory.log.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{now():%Y-%m-%dT%H:%M:%S.%fZ} {message}\n")

    def warn(self, message: str) -> None:
        """Note what everybody who reads the result should know."""
        self.warnings.append(message)
        self.log(f"warning: {message}")

    @asynccontextmanager
    async def phase(self, phase: Phase, stage: StageRecord | None = None) -> AsyncIterator[None]:
        """Time the body as `phase`, of the stage if one is given, and tell who watches that it began."""
        timing = Timing(started_at=self.now())
        (stage.timings if stage else self.timings)[phase] = timing
        detail = stage.task_step or "" if stage else ""
        self.log(f"phase {phase}{f' of step {detail}' if detail else ''}")
        await self._on_phase(phase, detail)
        try:
            yield
        finally:
            timing.finished_at = self.now()

    def fail(self, error: BaseException, stage: StageRecord | None = None) -> None:
        """Record what ended the trial or the stage. The first exception of each is the one that counts."""
        info = exception_info(error)
        self.log(f"{info.exception_type}: {info.exception_message}")
        if stage and stage.exception is None:
            stage.exception = info
        if self.exception is None:
            self.exception = info
            write_traceback(self.directory.exception, info)


def exception_info(error: BaseException) -> ExceptionInfo:
    """An exception as results have it. The type is the class's name, which peers' tools match on."""
    if isinstance(error, PierError):
        cause: Cause = error.cause
    elif isinstance(error, OSError):
        cause = "infrastructure"
    else:
        cause = cast("Cause", cause_of(type(error).__name__).value)
    return ExceptionInfo(
        exception_type=type(error).__name__,
        exception_message=str(error),
        exception_traceback="".join(traceback.format_exception(error)),
        occurred_at=now(),
        cause=cause,
    )


def write_traceback(path: Path, info: ExceptionInfo) -> None:
    """Write exception.txt."""
    path.write_text(info.exception_traceback, encoding="utf-8", errors="replace")
