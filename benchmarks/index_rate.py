"""How fast ATIF steps become rows: a generated job, indexed into a new database. Aim: 8,000 steps of 3 KB a second."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MANAGE = Path(__file__).resolve().parent.parent / "manage.py"
TRIALS, STEPS = 20, 1000
WORDS = [
    "the",
    "parser",
    "reads",
    "each",
    "token",
    "and",
    "the",
    "test",
    "expects",
    "that",
    "an",
    "empty",
    "list",
    "is",
    "returned",
    "for",
    "unknown",
    "keys",
]


def write_job(job: Path) -> int:
    """A job directory with realistic step sizes; returns the bytes of its trajectories."""
    chance = random.Random(1)
    text = " ".join(chance.choices(WORDS, k=20_000))
    size = 0
    job.mkdir(parents=True)
    (job / "config.json").write_text(json.dumps({"job_name": job.name, "agents": [{"name": "codex"}]}))
    (job / "result.json").write_text(
        json.dumps({"id": "bench", "n_total_trials": TRIALS, "finished_at": "2026-01-01T00:00:00Z"})
    )
    for number in range(TRIALS):
        agent = job / f"task-{number}__abcdefg" / "agent"
        agent.mkdir(parents=True)
        result = {"task_name": f"task-{number}", "trial_name": agent.parent.name, "finished_at": "2026-01-01T00:00:00Z"}
        (agent.parent / "result.json").write_text(json.dumps(result))
        trajectory = json.dumps(
            {
                "schema_version": "ATIF-v1.7",
                "agent": {"name": "codex", "version": "1"},
                "steps": [_step(index, text, chance) for index in range(STEPS)],
            }
        )
        (agent / "trajectory.json").write_text(trajectory)
        size += len(trajectory)
    return size


def _step(index: int, text: str, chance: random.Random) -> dict[str, object]:
    start = chance.randrange(len(text) - 4000)
    call = {"tool_call_id": f"c{index}", "function_name": "bash", "arguments": {"command": text[start : start + 120]}}
    result = {"source_call_id": f"c{index}", "content": text[start : start + 2300]}
    return {
        "step_id": index + 1,
        "timestamp": f"2026-01-01T{index // 3600:02}:{index // 60 % 60:02}:{index % 60:02}Z",
        "source": "agent",
        "message": text[start + 2300 : start + 2600],
        "tool_calls": [call],
        "observation": {"results": [result]},
        "metrics": {"prompt_tokens": 1000 + index, "completion_tokens": 50},
    }


def main() -> None:
    """Print steps and bytes a second, process start included."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PIER_DATA_DIR": f"{folder}/var"}
        env.pop("DATABASE_URL", None)
        subprocess.run([sys.executable, str(MANAGE), "migrate", "-v0"], env=env, check=True)
        size = write_job(Path(folder) / "jobs" / "bench")
        for what in ("first time", "again, unchanged"):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, str(MANAGE), "pierjob", "index", f"{folder}/jobs"],
                env=env, check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            rate = f", {TRIALS * STEPS / seconds:,.0f} steps/s, {size / seconds / 1e6:.0f} MB/s"
            print(f"index {TRIALS * STEPS:,} steps ({size / 1e6:.0f} MB) {what}: {seconds:.2f} s{rate}")
