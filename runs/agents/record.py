"""The trajectory of agents that talk to no model: what was asked, and the one script that was run."""

from dataclasses import dataclass
from datetime import datetime

from runs.agents.base import AgentRun
from runs.files import write_atomically
from runs.formats.trajectory import (
    Agent,
    Observation,
    ObservationResult,
    Step,
    ToolCall,
    Trajectory,
    dump_trajectory,
)
from runs.version import VERSION

TRAJECTORY = "trajectory.json"


@dataclass(frozen=True, slots=True)
class ScriptRun:
    """One command: its output as far as it is shown, its exit code (None: it was stopped), and when it ran."""

    command: str
    output: str
    exit_code: int | None
    started_at: datetime
    duration_sec: float


def write_trajectory(run: AgentRun, *, agent_name: str, script: ScriptRun | None = None) -> None:
    """Write trajectory.json: the instruction, then the script as a tool call (`llm_call_count` 0: no model)."""
    steps = [Step(step_id=1, source="user", message=run.instruction)]
    if script:
        steps.append(_script_step(script))
    trajectory = Trajectory(schema_version="ATIF-v1.7", agent=Agent(name=agent_name, version=VERSION), steps=steps)
    write_atomically(run.logs / TRAJECTORY, dump_trajectory(trajectory))


def _script_step(script: ScriptRun) -> Step:
    outcome = {"exit_code": script.exit_code, "duration_sec": round(script.duration_sec, 3)}
    return Step(
        step_id=2,
        timestamp=script.started_at.isoformat(),
        source="agent",
        message="",
        llm_call_count=0,
        tool_calls=[ToolCall(tool_call_id="call-1", function_name="bash", arguments={"command": script.command})],
        observation=Observation(
            results=[ObservationResult(source_call_id="call-1", content=script.output, extra=outcome)]
        ),
    )
