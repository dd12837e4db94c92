"""Steps of a real agent in the database while it works: within a second of its log, once each."""

import asyncio
import time
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from docker import DockerClient

from runs.formats.job import EnvironmentConfig
from runs.indexing.live import LiveIndex
from runs.models import Phase, Status, Step, Trajectory
from runs.trial.lifecycle import run_trial
from runs.trial.sandbox import sandbox_opener
from tests.agents.conftest import TASK, WORKDIR
from tests.agents.recipes import RECIPES
from tests.support.factories import make_job, make_trial
from tests.support.model_server import ModelServer
from tests.support.trials import make_plan

pytestmark = [pytest.mark.agents, pytest.mark.django_db(transaction=True)]


def agent_steps() -> list[int]:
    return list(Step.objects.filter(source="agent").values_list("index", flat=True))


async def test_each_answer_of_the_model_is_a_row_within_seconds_while_the_agent_still_works(
    tmp_path: Path, docker_engine: DockerClient
) -> None:
    trial = await sync_to_async(make_trial)(await sync_to_async(make_job)(), status=Status.RUNNING, owner="me")
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    seen: dict[int, float] = {}
    working = asyncio.Event()

    async def on_phase(phase: Phase, _: str) -> None:
        if phase is Phase.AGENT_EXECUTION:
            working.set()
        elif phase is Phase.ARTIFACTS:
            working.clear()

    async def look() -> None:
        await working.wait()
        while working.is_set():
            for index in await sync_to_async(agent_steps)():
                seen.setdefault(index, time.time())
            await asyncio.sleep(0.05)

    def open_index(path: str, task_step: str) -> LiveIndex:
        return LiveIndex(trial.pk, trial.execution, "me", path, task_step, "codex", "gpt")

    # A slow stream: the agent is at work for a while.
    with ModelServer(workdir=WORKDIR, delay_sec=0.03) as server:
        config = RECIPES["codex"].config(server.base_url("basic", "live"))
        plan = make_plan(TASK, tmp_path, agent=config, name=f"live-{tmp_path.name}")
        watching = asyncio.create_task(look())
        result = await run_trial(plan, opener, on_phase, open_index)
        await watching
        truth = server.truth("live")
    close()
    assert result.rewards == {"reward": 1.0}
    # All but the last answer were seen before the agent had ended.
    assert len(seen) >= len(truth.calls) - 1
    # An answer that is being streamed can't be a row before its end, so each is measured from the next one's start.
    delays = [seen_at - call.time for seen_at, call in zip(sorted(seen.values()), truth.calls[1:], strict=False)]
    assert max(delays) < 1.0, delays
    assert await sync_to_async(Trajectory.objects.count)() == 1
