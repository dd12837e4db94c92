"""Writes steps of a running trial as its runner would."""

from typing import Any

from runs.formats.trajectory import Step
from runs.indexing.live import LiveIndex, ThreadUpdate


def write_steps(agent: LiveIndex, messages: dict[int, str], *, thread: str = "", **keys: Any) -> None:
    """Write or change the agent's steps of these numbers, of a sub-agent where a thread is named."""
    steps = [Step(step_id=number, source="agent", message=text, **keys) for number, text in messages.items()]
    agent.write([ThreadUpdate(thread, steps)], {})
