"""The agent that does nothing: what a task's verifier says of it is the floor of the scale."""

from runs.agents.base import Agent, AgentRun
from runs.agents.record import write_trajectory
from runs.formats.result import AgentContext
from runs.version import VERSION


class Nop(Agent):
    """Does nothing and succeeds."""

    name = "nop"
    version = VERSION

    async def run(self, run: AgentRun) -> AgentContext:
        """Leave the sandbox as it is."""
        write_trajectory(run, agent_name=self.name)
        return AgentContext()
