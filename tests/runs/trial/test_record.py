"""What a trial records of time, on a machine whose clock is set meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, ClassVar

import pytest

from runs.errors import PierError
from runs.formats.job import TaskSource, TrialConfig
from runs.models import Phase
from runs.trial import record as record_module
from runs.trial.deadlines import deadline
from runs.trial.lifecycle import run_trial
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import sandbox_opener
from tests.support.tasks import make_task


class WrongClock(datetime):
    """The machine's clock, which somebody sets."""

    by: ClassVar = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return datetime.now(tz) + cls.by


@pytest.mark.parametrize("by", [timedelta(hours=-1), timedelta(hours=1)], ids=["back", "forward"])
async def test_durations_stay_right_when_the_clock_is_set_by_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: timedelta
) -> None:
    monkeypatch.setattr(record_module, "datetime", WrongClock)
    monkeypatch.setattr(WrongClock, "by", timedelta())
    task = make_task(tmp_path)
    config = TrialConfig.model_validate(
        {"task": TaskSource(path=task), "trial_name": "trial", "trials_dir": tmp_path, "environment": {"type": "host"}}
    )

    async def on_phase(phase: Phase, task_step: str) -> None:
        if phase is Phase.AGENT_EXECUTION:
            monkeypatch.setattr(WrongClock, "by", by)

    open_sandbox, close = sandbox_opener(config.environment)
    result = await run_trial(TrialPlan(config, attempt=1), open_sandbox, on_phase)
    close()
    assert result.rewards == {"reward": 1.0}
    timings = [result.environment_setup, result.agent_setup, result.agent_execution, result.verifier]
    seconds = [timing.duration_sec for timing in timings if timing]
    assert len(seconds) == 4
    assert all(second is not None and 0 <= second < 60 for second in seconds)
    assert result.started_at
    assert result.finished_at
    assert timedelta() <= result.finished_at - result.started_at < timedelta(minutes=1)


async def test_a_timeout_is_of_time_that_passes_and_not_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: datetime(2100, 1, 1, tzinfo=UTC).timestamp())
    async with deadline(30.0, PierError, "nothing"):
        await asyncio.sleep(0.01)
    with pytest.raises(PierError, match="longer than"):
        async with deadline(0.01, PierError, "nothing"):
            await asyncio.sleep(30)
