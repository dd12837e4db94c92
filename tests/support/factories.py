"""Rows for tests: small functions that make one thing, with defaults that are valid and say nothing."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pier_site.accounts.models import Membership, Project, Role, User
from runs.formats.trajectory_reader import read_trajectory
from runs.indexing.payload import pack
from runs.indexing.step_rows import summary_of
from runs.models import Artifact, Job, Status, Step, Trajectory, Trial

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def make_user(name: str = "", **columns: Any) -> User:
    """A person who is a member of nothing."""
    return User.objects.create_user(username=name or f"person-{next(_numbers)}", **columns)


def make_project(**columns: Any) -> Project:
    """A project without members."""
    number = next(_numbers)
    return Project.objects.create(**{"name": f"Project {number}", "slug": f"project-{number}"} | columns)


def make_member(project: Project, role: Role = Role.OWNER) -> User:
    """A person with a role in `project`."""
    user = make_user()
    Membership.objects.create(project=project, user=user, role=role)
    return user


def make_job(project: Project | None = None, **columns: Any) -> Job:
    """A finished job; its directory does not exist unless it is given."""
    number = next(_numbers)
    defaults = {
        "project": project or make_project(),
        "directory": f"/nowhere/job-{number}",
        "name": f"job-{number}",
        "status": Status.FINISHED,
        "started_at": START,
        "finished_at": START + timedelta(minutes=5),
        "sorted_at": START + timedelta(seconds=number),
    }
    return Job.objects.create(**defaults | columns)


def make_trial(job: Job | None = None, **columns: Any) -> Trial:
    """A finished trial with reward 1."""
    number = next(_numbers)
    defaults = {
        "job": job or make_job(),
        "name": f"task__{number:07d}",
        "task_name": "fix-calculator",
        "agent_name": "oracle",
        "status": Status.FINISHED,
        "reward": 1.0,
        "rewards": {"reward": 1.0},
        "started_at": START,
        "finished_at": START + timedelta(seconds=90),
    }
    return Trial.objects.create(**defaults | columns)


def make_trajectory(
    trial: Trial | None = None, steps: list[dict[str, Any]] | None = None, **columns: Any
) -> Trajectory:
    """A trajectory with `steps` in ATIF's form; their ids and times are added."""
    trial = trial or make_trial()
    steps = [make_step(message="Fix it.", source="user")] if steps is None else steps
    timed = [
        {"step_id": n + 1, "timestamp": (START + timedelta(seconds=n)).isoformat()} | step
        for n, step in enumerate(steps)
    ]
    agent = {"name": "oracle", "version": "1"}
    read = read_trajectory({"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": timed})
    position = trial.trajectories.count()
    defaults = {"path": f"agent/trajectory-{position}.json", "position": position, "n_steps": len(timed)}
    trajectory = Trajectory.objects.create(trial=trial, **defaults | columns)
    Step.objects.bulk_create(
        Step(
            trajectory=trajectory,
            trial=trial,
            index=step.index,
            step_id=step.step_id or step.index + 1,
            source=step.source,
            summary=summary_of(step),
            at=step.at,
            n_tool_calls=len(step.tool_calls),
            payload=pack(step),
        )
        for step in read.steps
    )
    return trajectory


def make_step(*, source: str = "agent", message: str = "", **keys: Any) -> dict[str, Any]:
    """An ATIF step without id and time."""
    return {"source": source, "message": message, **keys}


def make_shell_step(command: str, output: str, **keys: Any) -> dict[str, Any]:
    """An ATIF step of one shell call and its result."""
    call = {"tool_call_id": "call-1", "function_name": "bash", "arguments": {"command": command}}
    results = [{"source_call_id": "call-1", "content": output}]
    return make_step(tool_calls=[call], observation={"results": results}, **keys)


def make_artifact(trial: Trial, path: str = "artifacts/model.patch", **columns: Any) -> Artifact:
    """A file that the trial left."""
    return Artifact.objects.create(trial=trial, path=path, **{"size_bytes": 12} | columns)


@dataclass(frozen=True, slots=True)
class World:
    """One project with a job of one trial, on disk and in the database, and the three people who may look at it."""

    owner: User
    viewer: User
    stranger: User
    job: Job
    trial: Trial
    trajectory: Trajectory


def make_world(root: Path) -> World:
    """A world whose trial directory lies under `root` and has a file of each kind that pages show."""
    project = make_project()
    job = make_job(project, directory=str(root / "smoke"), name="smoke-of-november", n_trials=1, n_finished=1)
    trial = make_trial(job, exception_type="AgentTimeoutError", exception_message="too slow", cause="budget")
    files = {
        "config.json": '{"agent": {"name": "oracle"}}',
        "trial.log": "trial started\n",
        "exception.txt": "Traceback (most recent call last):\nAgentTimeoutError: too slow\n",
        "agent/oracle.txt": "\x1b[32mpatched\x1b[0m\n",
        "verifier/test-stdout.txt": "1 passed\n",
        "verifier/ctrf.json": '{"results": {"tests": [{"name": "test_add", "status": "passed", "duration": 1500}]}}',
        "artifacts/model.patch": "--- a/x\n+++ b/x\n",
    }
    for name, text in files.items():
        path = root / "smoke" / trial.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    make_artifact(trial)
    trajectory = make_trajectory(
        trial,
        [
            make_step(message="Make `add` add.", source="user"),
            make_shell_step("cat calculator.py", "def add(a, b):\n    return a - b", reasoning_content="Look first."),
            make_step(message="**Done.**"),
        ],
    )
    return World(make_member(project), make_member(project, Role.VIEWER), make_user(), job, trial, trajectory)
