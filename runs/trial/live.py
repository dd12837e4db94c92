"""Steps of an agent at work, on their way to trajectory.jsonl and to the index."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import OperationalError

from runs.agents.conversion.base import MAIN, StepUpdate
from runs.agents.conversion.usage import Totals
from runs.formats.trajectory import Step, Trajectory
from runs.indexing.live import LiveIndex, ThreadUpdate

LIVE_FILE: Final = "trajectory.jsonl"

type OpenIndex = Callable[[str, str], LiveIndex]
"""Makes the index of one agent run, from the path of its trajectory in the trial directory and its TaskStep."""


class LiveTrajectory:
    """Takes steps as they come. Of several lines of one step in the file the last counts."""

    def __init__(self, logs: Path, index: LiveIndex | None) -> None:
        self._path = logs / LIVE_FILE
        self._index = index
        self._written: dict[tuple[str, int], int] = {}
        self._unindexed: dict[tuple[str, int], StepUpdate] = {}

    async def take(self, updates: Sequence[StepUpdate], totals: Totals) -> None:
        """Write steps that are new or have grown. Raises ExecutionSuperseded when the trial is someone else's now.

        While the database is locked or away the file alone has them; the index gets them with the next ones.
        """
        self._append((update.thread, update.step) for update in updates)
        if self._index:
            self._unindexed |= {(update.thread, update.step.step_id): update for update in updates}
            try:
                await sync_to_async(self._index.write)(_by_thread(self._unindexed.values()), _columns(totals))
            except OperationalError:
                return
            self._unindexed.clear()

    def complete(self, trajectory: Trajectory) -> None:
        """Add what the final trajectory has beyond the lines written so far, so that the file says the same."""
        documents = [trajectory, *(trajectory.subagent_trajectories or ())]
        self._append((document.trajectory_id or MAIN, step) for document in documents for step in document.steps)

    def _append(self, steps: Iterable[tuple[str, Step]]) -> None:
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            for thread, step in steps:
                line = _line(thread, step)
                key = (thread, step.step_id)
                if self._written.get(key) != hash(line):
                    self._written[key] = hash(line)
                    file.write(line)


def _line(thread: str, step: Step) -> str:
    identity = None if thread == MAIN else thread
    value = {"trajectory_id": identity, "step": step.model_dump(mode="json", exclude_none=True)}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _by_thread(updates: Iterable[StepUpdate]) -> list[ThreadUpdate]:
    steps: dict[str, list[Step]] = defaultdict(list)
    for update in updates:
        steps["" if update.thread == MAIN else update.thread].append(update.step)
    # The main thread first: sub-agents hang on it.
    return [ThreadUpdate(fragment, steps[fragment]) for fragment in sorted(steps)]


def _columns(totals: Totals) -> dict[str, Any]:
    return {
        "n_input_tokens": totals.input_tokens,
        "n_cache_tokens": totals.cache_read_tokens,
        "n_output_tokens": totals.output_tokens,
        "cost_usd": totals.cost_usd,
        "peak_context_tokens": totals.peak_context_tokens,
        "n_agent_steps": totals.n_calls,
    }
