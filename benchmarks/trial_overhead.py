"""What a trial costs beside the task's own commands: wall time of a trivial trial minus time inside the sandbox."""

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from uuid import uuid4

from runs.formats.job import AgentConfig, EnvironmentConfig, TaskSource, TrialConfig
from runs.formats.result import TrialResult
from runs.models import Phase
from runs.trial.lifecycle import run_trial
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import OpenSandbox, sandbox_opener

REPETITIONS = 7
CONCURRENT = (8, 16)  # trials at once, trials in all

TASK_TOML = """schema_version = "1.3"
[agent]
network_mode = "no-network"
[verifier]
network_mode = "no-network"
"""
# Each script notes when it began and ended, on the clock of the sandbox.
SCRIPT = '#!/bin/bash\nbegin=$(date +%s.%N)\n{body}\necho "$(date +%s.%N) - $begin" > {log}/inside\n'


def write_task(folder: Path) -> Path:
    """A task whose solution writes a file and whose test looks for it."""
    for name in ("environment", "solution", "tests"):
        (folder / name).mkdir(parents=True)
    (folder / "task.toml").write_text(TASK_TOML)
    (folder / "instruction.md").write_text("Write answer.txt.")
    (folder / "environment" / "Dockerfile").write_text("FROM python:3.11-slim-bookworm\nWORKDIR /app\n")
    (folder / "solution" / "solve.sh").write_text(SCRIPT.format(body="touch answer.txt", log="/logs/agent"))
    test = "[ -f answer.txt ] && echo 1 > /logs/verifier/reward.txt"
    (folder / "tests" / "test.sh").write_text(SCRIPT.format(body=test, log="/logs/verifier"))
    return folder


def seconds_inside(trial: Path) -> float:
    """How long the task's own commands took."""
    total = 0.0
    for path in (trial / "agent" / "inside", trial / "verifier" / "inside"):
        end, begin = path.read_text().split(" - ")
        total += float(end) - float(begin)
    return total


async def run_one(task: Path, jobs: Path, name: str, open_sandbox: OpenSandbox) -> tuple[float, dict[str, float]]:
    """Overhead of one trial and the seconds that each phase took, both in seconds."""
    config = TrialConfig(
        task=TaskSource(path=task), trial_name=name, trials_dir=jobs, agent=AgentConfig(name="oracle"), job_id=uuid4()
    )
    phases: list[tuple[str, float]] = []

    async def on_phase(phase: Phase, _: str) -> None:
        phases.append((phase.value, time.perf_counter()))

    start = time.perf_counter()
    result: TrialResult = await run_trial(TrialPlan(config, attempt=1), open_sandbox, on_phase)
    end = time.perf_counter()
    if result.rewards != {"reward": 1.0}:
        raise SystemExit(f"the trial did not get its reward: {result.exception_info}")
    ends = [moment for _, moment in phases[1:]] + [end]
    spans = {name: until - since for (name, since), until in zip(phases, ends, strict=True)}
    return end - start - seconds_inside(config.trials_dir / name), spans


async def measure(task: Path, jobs: Path, open_sandbox: OpenSandbox) -> None:
    """Trials one after the other, then several at once."""
    await run_one(task, jobs, "warm-up", open_sandbox)
    overheads, spans = [], defaultdict(list)
    for number in range(REPETITIONS):
        overhead, phases = await run_one(task, jobs, f"single-{number}", open_sandbox)
        overheads.append(overhead)
        for phase, seconds in phases.items():
            spans[phase].append(seconds)
    print(f"one trivial oracle trial: overhead median {statistics.median(overheads):.2f} s (best {min(overheads):.2f})")
    print("  wall by phase: " + ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in spans.items()))
    at_once, total = CONCURRENT
    gate = asyncio.Semaphore(at_once)

    async def gated(number: int) -> None:
        async with gate:
            await run_one(task, jobs, f"many-{number}", open_sandbox)

    start = time.perf_counter()
    await asyncio.gather(*(gated(number) for number in range(total)))
    print(f"{total} trials, {at_once} at once: {time.perf_counter() - start:.1f} s")


def main() -> None:
    """Measure with the Docker engine."""
    open_sandbox, close = sandbox_opener(EnvironmentConfig(type="docker"))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(write_task(Path(folder) / "trivial"), Path(folder) / "jobs", open_sandbox))
    close()
