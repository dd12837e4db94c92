"""Small job directories of every generation, written by functions."""

import json
import os
import time
from pathlib import Path
from typing import Any

AN_HOUR = 3600.0


def write(path: Path, value: Any) -> Path:
    """Write JSON, or text as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def trial_result(**changes: Any) -> dict[str, Any]:
    """A trial's result.json as Pier writes it."""
    return {
        "id": "7d7c0f4e-0000-4000-8000-000000000001",
        "task_name": "demo/fix-it",
        "trial_name": "fix-it__abc1234",
        "task_id": {"path": "tasks/fix-it"},
        "source": "tasks",
        "task_checksum": "ab" * 32,
        "agent_info": {
            "name": "codex",
            "version": "0.52.0",
            "model_info": {"name": "gpt-5", "provider": "openai"},
        },
        "agent_result": {"n_input_tokens": 100, "n_cache_tokens": 40, "n_output_tokens": 7, "cost_usd": 0.5},
        "verifier_result": {"rewards": {"reward": 1.0}},
        "exception_info": None,
        "started_at": "2026-08-01T10:00:00Z",
        "finished_at": "2026-08-01T10:01:00Z",
        "agent_execution": {"started_at": "2026-08-01T10:00:10Z", "finished_at": "2026-08-01T10:00:50.500000Z"},
        "step_results": None,
        **changes,
    }


def step(step_id: int, source: str = "agent", **changes: Any) -> dict[str, Any]:
    """A step of an ATIF document."""
    return {"step_id": step_id, "source": source, "message": f"step {step_id}", **changes}


def trajectory(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An ATIF document; two steps unless some are given."""
    return {
        "schema_version": "ATIF-v1.7",
        "session_id": "s",
        "agent": {"name": "codex", "version": "0.52.0"},
        "steps": list(steps) or [step(1, "user"), step(2)],
        **changes,
    }


def job_config(**changes: Any) -> dict[str, Any]:
    """A job's config.json."""
    return {"job_name": "night", "n_attempts": 1, "agents": [{"name": "codex"}], "tasks": [], **changes}


def job_result(**changes: Any) -> dict[str, Any]:
    """A finished job's result.json."""
    return {
        "id": "11111111-0000-4000-8000-000000000001",
        "started_at": "2026-08-01T10:00:00",
        "finished_at": "2026-08-01T10:02:00",
        "n_total_trials": 1,
        "stats": {},
        **changes,
    }


def make_trial(job: Path, name: str = "fix-it__abc1234", *, steps: int = 2, **changes: Any) -> Path:
    """A finished trial with a trajectory."""
    trial = job / name
    write(trial / "config.json", {"trial_name": name, "task": {"path": "tasks/fix-it"}, "agent": {"name": "codex"}})
    write(trial / "result.json", trial_result(trial_name=name, **changes))
    write(trial / "agent/trajectory.json", trajectory(*[step(n) for n in range(1, steps + 1)]))
    return trial


def make_job(root: Path, name: str = "night", *, trials: int = 1, lock: dict[str, Any] | None = None) -> Path:
    """A finished Pier job."""
    job = root / name
    write(job / "config.json", job_config(job_name=name))
    write(job / "result.json", job_result(n_total_trials=trials))
    write(job / "lock.json", {"pier": {"version": "0.3.1"}} if lock is None else lock)
    write(job / "job.log", "")
    for number in range(trials):
        make_trial(job, f"fix-it__{number:07d}")
    return job


def age(directory: Path, seconds: float = AN_HOUR) -> None:
    """Make everything in a directory look older."""
    then = time.time() - seconds
    for path in [directory, *directory.rglob("*")]:
        os.utime(path, (then, then), follow_symlinks=False)
