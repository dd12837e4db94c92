"""What people call the trajectories of a trial: the same words in switchers, lanes, search results and exports."""

from collections import Counter
from collections.abc import Sequence

from runs.models import Trajectory

Kind = Trajectory.Kind


def labels_of(trajectories: Sequence[Trajectory]) -> dict[int, str]:
    """A short name for each, by its key; those that would be called the same are numbered."""
    main_agents = {row.agent_name for row in trajectories if row.kind == Kind.MAIN}
    names = [_name(row, main_agents) for row in trajectories]
    total, seen = Counter(names), Counter[str]()
    found: dict[int, str] = {}
    for row, name in zip(trajectories, names, strict=True):
        seen[name] += 1
        found[row.pk] = f"{name} {seen[name]}" if total[name] > 1 else name
    return found


def _name(row: Trajectory, main_agents: set[str]) -> str:
    if row.kind == Kind.SUBAGENT:
        # A sub-agent that is called as the agent itself has no name of its own.
        return row.agent_name if row.agent_name and row.agent_name not in main_agents else "sub-agent"
    if row.kind == Kind.CONTINUATION:
        return f"{row.task_step}, continued" if row.task_step else "continued"
    return row.task_step or "main"
