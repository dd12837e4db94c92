"""A job with trials of given lengths and realistic sizes, which Pier, Harbor and this site all list. By seed."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

JOB = "long-trials"
# In the agent's first step and nowhere else on a page: seeing it means that reading can begin.
FIRST_WORDS = "Ostrich-first-step"
# In the last step and nowhere else: a search for it has looked everywhere.
LAST_WORDS = "Walrus-last-step"
START = datetime(2026, 1, 5, 8, tzinfo=UTC)
WORDS = (  # noqa: SIM905 - reads as one text
    "parse cache token index buffer module resolve handler config session commit retry stream worker layout cursor "
    "schema render symbol lookup filter cluster quota router socket digest vector bundle shard lease probe anchor"
).split()
OUTPUT_CHARS = 2_000


class Writer:
    """Makes up what agents say and tools print: listings, greps, test runs, coloured lines."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pool = "\n".join(self._line() for _ in range(12_000))

    def word(self) -> str:
        """One word of a code base."""
        return self.chance.choice(WORDS)

    def prose(self, least: int, most: int) -> str:
        """A sentence of so many words."""
        return " ".join(self.word() for _ in range(self.chance.randrange(least, most))).capitalize() + "."

    def output(self) -> str:
        """What a tool printed: around OUTPUT_CHARS, now and then far more."""
        size = int(min(32_000, max(200, self.chance.lognormvariate(0, 0.9) * OUTPUT_CHARS)))
        start = self.chance.randrange(len(self.pool) - size)
        return self.pool[start : start + size]

    def _line(self) -> str:
        word, kind = self.word, self.chance.random()
        if kind < 0.35:
            return f"{'    ' * self.chance.randrange(4)}{word()}_{word()} = {word()}.{word()}({word()}, {word()}=1)"
        if kind < 0.6:
            return (
                f"src/{word()}/{word()}.py:{self.chance.randrange(999)}:    def {word()}(self, {word()}: str) -> None:"
            )
        if kind < 0.8:
            return f"tests/test_{word()}.py::test_{word()}_{word()} PASSED  [{self.chance.randrange(100):3d}%]"
        if kind < 0.97:
            return f'{word()} <{word()}> & "{word()}" {word()} {word()} {word()} {word()}'
        return f"\x1b[3{self.chance.randrange(1, 7)}m{word()}\x1b[0m \u2713 caf\u00e9"

    def call(self, name: str) -> dict[str, Any]:
        """A call as Claude Code writes it: three shells, an edit, a read."""
        kind = self.chance.random()
        path = f"/app/src/{self.word()}/{self.word()}.py"
        if kind < 0.6:
            tool, arguments = "Bash", {"command": f"cd /app && grep -rn '{self.word()}' src | head -20"}
        elif kind < 0.8:
            lines = [self._line() for _ in range(self.chance.randrange(3, 12))]
            changed = [*lines[:2], self._line(), *lines[3:]]
            tool, arguments = "Edit", {"file_path": path} | {
                "old_string": "\n".join(lines), "new_string": "\n".join(changed)
            }  # fmt: skip
        else:
            tool, arguments = "Read", {"file_path": path}
        return {"tool_call_id": name, "function_name": tool, "arguments": arguments}


def steps_of(n_steps: int, writer: Writer) -> list[dict[str, Any]]:
    """ATIF steps: one of the user, then the agent's, each but the last with a call or two."""
    steps: list[dict[str, Any]] = [{"source": "user", "message": writer.prose(60, 120)}]
    for number in range(2, n_steps + 1):
        step: dict[str, Any] = {"source": "agent", "model_name": "claude-opus-4-7", "message": ""}
        step["metrics"] = {"prompt_tokens": 6_000 + 15 * number, "completion_tokens": 300, "cost_usd": 0.01}
        if writer.chance.random() < 0.6 or number == n_steps:
            step["message"] = writer.prose(8, 60)
        if number == 2:
            step["message"] = f"{FIRST_WORDS}: {writer.prose(20, 40)}"
        if number == n_steps:
            step["message"] += f" {LAST_WORDS}."
        if writer.chance.random() < 0.5:
            step["reasoning_content"] = writer.prose(20, 120)
        if number < n_steps:
            calls = [writer.call(f"call-{number}-{n}") for n in range(1 if writer.chance.random() < 0.85 else 2)]
            step["tool_calls"] = calls
            results = [{"source_call_id": call["tool_call_id"], "content": writer.output()} for call in calls]
            step["observation"] = {"results": results}
        steps.append(step)
    times = ((START + timedelta(seconds=4 * n)).isoformat() for n in range(n_steps))
    return [{"step_id": n + 1, "timestamp": at, **step} for n, (at, step) in enumerate(zip(times, steps, strict=True))]


def write_job(folder: Path, lengths: tuple[int, ...]) -> dict[int, Path]:
    """The job directory `folder/JOB`; gives the trial directories by their number of steps."""
    job = folder / JOB
    trials = {length: _write_trial(job, length) for length in lengths}
    agent = {"name": "claude-code", "model_name": "anthropic/claude-opus-4-7", "kwargs": {}, "env": {}}
    _dump(job / "config.json", {"job_name": JOB, "jobs_dir": "jobs", "agents": [agent], "datasets": [], "tasks": []})
    stats = {"n_completed_trials": len(trials), "n_errored_trials": 0, "evals": {}}
    ended = {"started_at": START.isoformat(), "finished_at": (START + timedelta(days=1)).isoformat()}
    _dump(job / "result.json", {"id": str(UUID(int=1)), **ended, "n_total_trials": len(trials), "stats": stats})
    return trials


def _write_trial(job: Path, n_steps: int) -> Path:
    trial = job / f"read-{n_steps}__abcdefg"
    end = START + timedelta(seconds=4 * n_steps)
    agent = {"name": "claude-code", "model_name": "anthropic/claude-opus-4-7", "kwargs": {}, "env": {}}
    task = {"path": f"tasks/read-{n_steps}", "source": "tasks"}
    config = {"task": task, "trial_name": trial.name, "trials_dir": f"jobs/{JOB}", "agent": agent,
              "environment": {"type": "docker"}, "verifier": {}, "job_id": str(UUID(int=1))}  # fmt: skip
    span = {"started_at": START.isoformat(), "finished_at": end.isoformat()}
    _dump(trial / "config.json", config)
    _dump(
        trial / "result.json",
        {
            "id": str(UUID(int=n_steps)), "task_name": f"bench/read-{n_steps}", "trial_name": trial.name,
            "trial_uri": f"file:///jobs/{JOB}/{trial.name}", "task_id": {"path": task["path"]}, "source": "tasks",
            "task_checksum": "0" * 64, "config": config, "exception_info": None,
            "agent_info": {"name": "claude-code", "version": "2.0.14",
                           "model_info": {"name": "claude-opus-4-7", "provider": "anthropic"}},
            "agent_result": {"n_input_tokens": 1000 * n_steps, "n_output_tokens": 300 * n_steps, "cost_usd": 1.0},
            "verifier_result": {"rewards": {"reward": 1.0}}, **span,
            "environment_setup": span, "agent_setup": span, "agent_execution": span, "verifier": span,
        },
    )  # fmt: skip
    named = {"name": "claude-code", "version": "2.0.14", "model_name": "claude-opus-4-7"}
    steps = steps_of(n_steps, Writer(n_steps))
    document = {"schema_version": "ATIF-v1.7", "session_id": "bench", "agent": named, "steps": steps}
    _dump(trial / "agent" / "trajectory.json", document)
    return trial


def _dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
