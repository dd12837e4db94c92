"""An agent CLI while it runs: its steps shown at once, its guards kept, its end understood."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from runs.agents.base import AgentRun
from runs.agents.conversion.base import Converter, LogSource, StepUpdate
from runs.agents.conversion.draft import StepDraft, Thread
from runs.agents.conversion.lines import Record
from runs.agents.conversion.usage import Totals, Usage
from runs.agents.watch import Guards, watch_agent
from runs.errors import (
    AgentCallLimitError,
    AgentCostLimitError,
    AgentFailed,
    AgentIdleError,
    AgentLingerError,
    NonZeroAgentExitCodeError,
    ProviderFailed,
)
from runs.formats.network import OPEN
from runs.formats.trajectory import Trajectory
from runs.sandboxes.base import Image, SandboxSpec
from runs.sandboxes.host import HostSandbox

pytestmark = pytest.mark.asyncio

STEP = '{"text": "step %s", "cost": 0.5}'


class OneLineAStep(Converter):
    """A log in which each line is one call of the model; `done` is the last, `error` what went wrong."""

    agent_name = "toy"
    sources = (LogSource("session", ("session.jsonl",)), LogSource("stdout", ("toy.txt",)))

    def __init__(self) -> None:
        super().__init__()
        self.thread = Thread("main")
        self.done = False
        self.error: str | None = None

    def record(self, source: LogSource, path: str, record: Record) -> None:
        self.done = bool(record.get("done"))
        self.error = record.get("error")
        if "text" in record:
            usage = Usage(uncached_tokens=10, output_tokens=1, cost_usd=record["cost"])
            self.thread.add(StepDraft("agent", texts=[record["text"]], usage=usage, llm_call_count=1))

    def threads(self) -> Sequence[Thread]:
        return [self.thread]

    @property
    def is_done(self) -> bool:
        return self.done

    def final_error(self) -> str | None:
        return self.error


class Shown:
    """What was shown while the agent ran, and when."""

    def __init__(self) -> None:
        self.texts: list[object] = []
        self.times: list[float] = []
        self.totals = Totals()

    async def take(self, updates: Sequence[StepUpdate], totals: Totals) -> None:
        self.totals = totals
        for update in updates:
            self.texts.append(update.step.message)
            self.times.append(time.time())

    def complete(self, trajectory: Trajectory) -> None:
        raise AssertionError("only after the end")


@pytest_asyncio.fixture
async def run(tmp_path: Path) -> AsyncIterator[AgentRun]:
    sandbox = HostSandbox(SandboxSpec(name="watched", image=Image(), network=OPEN))
    await sandbox.start(log=lambda *_: None)
    shown = Shown()
    yield AgentRun("do it", sandbox, tmp_path, {}, None, tmp_path, live=shown)
    await sandbox.stop()


async def watch(run: AgentRun, command: str, **guards: float) -> Shown:
    """Run the command as an agent under the guards; what was shown by its end."""
    made = Guards(**guards)  # type: ignore[arg-type] # the names are the guards' own
    await watch_agent(
        run, command=command, env={"TOKEN": "t"}, log_name="toy.txt", converter=OneLineAStep(), guards=made
    )
    assert isinstance(run.live, Shown)
    return run.live


async def test_steps_of_a_log_file_are_shown_within_a_second_of_being_written(run: AgentRun) -> None:
    line = '{"text": "%s", "cost": 0}'
    command = f"for i in 1 2 3; do printf '{line}\\n' $(date +%s.%N) >> /logs/agent/session.jsonl; sleep 0.8; done"
    shown = await watch(run, command)
    assert len(shown.texts) == 3
    delays = [at - float(str(text)) for text, at in zip(shown.texts, shown.times, strict=True)]
    assert max(delays) < 1.0, delays
    assert shown.totals.input_tokens == 30


async def test_what_the_agent_prints_is_kept_and_converted(run: AgentRun) -> None:
    shown = await watch(run, f"echo noise; echo '{STEP % 1}'; echo error >&2; printf 'no newline'")
    assert shown.texts == ["step 1"]
    assert (run.logs / "toy.txt").read_text().splitlines() == ["noise", STEP % 1, "error", "no newline"]


async def test_the_call_guard_stops_a_loop_at_the_very_number(run: AgentRun) -> None:
    endless = f"while :; do echo '{STEP % 0}'; sleep 0.5; done"
    with pytest.raises(AgentCallLimitError, match="after 2 calls"):
        await watch(run, endless, max_llm_calls=2)


async def test_the_cost_guard_stops_an_agent_that_has_spent_more(run: AgentRun) -> None:
    with pytest.raises(AgentCostLimitError, match=r"1\.5000 USD"):
        await watch(run, f"while :; do echo '{STEP % 0}'; sleep 0.5; done", max_cost_usd=1.2)


async def test_an_agent_that_stands_still_is_stopped(run: AgentRun) -> None:
    started = time.monotonic()
    with pytest.raises(AgentIdleError):
        await watch(run, f"echo '{STEP % 0}'; sleep 60", max_idle_sec=0.6)
    assert time.monotonic() - started < 10


async def test_a_process_that_outlives_its_final_message_is_ended_by_name(run: AgentRun) -> None:
    with pytest.raises(AgentLingerError):
        await watch(run, "echo '{\"done\": true}'; sleep 60", max_linger_sec=0.5)


async def test_a_bad_end_carries_the_last_words(run: AgentRun) -> None:
    with pytest.raises(NonZeroAgentExitCodeError, match="exit code 3: out of ideas"):
        await watch(run, "echo out of ideas; exit 3")


async def test_a_refusal_of_the_model_service_is_not_the_agents_failure(run: AgentRun) -> None:
    said = json.dumps({"error": "401 invalid x-api-key"})
    with pytest.raises(ProviderFailed, match="401 invalid"):
        await watch(run, f"echo '{said}'; exit 1")


async def test_numbers_that_merely_contain_a_status_blame_nobody_else(run: AgentRun) -> None:
    said = json.dumps({"error": "lost 4010 tokens"})
    with pytest.raises(NonZeroAgentExitCodeError):
        await watch(run, f"echo '{said}'; exit 1")


async def test_the_follower_that_the_agent_kills_comes_again_without_doubling_a_step(run: AgentRun) -> None:
    kill = "pkill -f '[f]ollow /logs/agent' || true"
    first, second = (f"echo '{STEP % i}' >> /logs/agent/session.jsonl; sleep 1; " for i in (1, 2))
    shown = await watch(run, f"{first}{kill}; {second}")
    assert shown.texts == ["step 1", "step 2"]


async def test_a_cancelled_run_leaves_no_process_and_all_it_printed(run: AgentRun) -> None:
    task = asyncio.create_task(watch(run, f"echo '{STEP % 1}'; sleep 60"))
    await asyncio.sleep(0.8)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (run.logs / "toy.txt").read_text().strip() == STEP % 1
    assert isinstance(run.live, Shown)
    assert run.live.texts == ["step 1"]


async def test_guards_are_failures_that_are_verified_all_the_same() -> None:
    from runs.trial.limits import VERIFIED_ALL_THE_SAME

    for failure in (AgentCallLimitError, AgentCostLimitError, AgentIdleError, AgentLingerError, ProviderFailed):
        assert issubclass(failure, AgentFailed)
        assert issubclass(failure, VERIFIED_ALL_THE_SAME)


async def test_a_log_that_is_too_much_for_the_converter_ends_no_trial(run: AgentRun) -> None:
    class Broken(OneLineAStep):
        def threads(self) -> Sequence[Thread]:
            raise RuntimeError("never thought of this")

    await watch_agent(
        run,
        command=f"echo '{STEP % 1}'; sleep 0.6",
        env={},
        log_name="toy.txt",
        converter=Broken(),
        guards=Guards(max_llm_calls=5, max_cost_usd=1.0),
    )
    assert isinstance(run.live, Shown)
    assert run.live.texts == []
