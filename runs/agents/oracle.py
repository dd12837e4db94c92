"""The agent that runs the task's reference solution: what the verifier says of it is the top of the scale."""

import time
from datetime import UTC, datetime

from runs.agents.base import Agent, AgentRun
from runs.agents.record import ScriptRun, write_trajectory
from runs.errors import TaskInvalid
from runs.formats.result import AgentContext
from runs.sandboxes.base import SOLUTION, Stream
from runs.version import VERSION

SCRIPT = "solve.sh"
# What is shown of a solution's output in the trajectory; oracle.txt has all of it.
SHOWN_BYTES = 64 * 1024


class Oracle(Agent):
    """Uploads `solution/` and runs its solve.sh. A solution that fails is recorded and verified all the same."""

    name = "oracle"
    version = VERSION

    async def run(self, run: AgentRun) -> AgentContext:
        """Run the solution; its output goes to oracle.txt, an exit code other than 0 to exit-code.txt."""
        if not (run.solution / SCRIPT).is_file():
            raise TaskInvalid(run.solution, f"there is no {SCRIPT}, which the oracle agent runs")
        await run.sandbox.upload(run.solution, SOLUTION)
        started_at, started = datetime.now(UTC), time.monotonic()
        shown = bytearray()
        command = f"bash {SOLUTION}/{SCRIPT}"
        exit_code: int | None = None
        try:
            with (run.logs / "oracle.txt").open("wb") as log:

                def keep(_: Stream, data: bytes) -> None:
                    log.write(data)
                    shown.extend(data[: max(0, SHOWN_BYTES - len(shown))])

                env = {"DEBIAN_FRONTEND": "noninteractive", **run.env}
                result = await run.sandbox.exec(command, env=env, user=run.user, on_output=keep)
            exit_code = result.exit_code
        finally:
            # A solution that is stopped at its timeout leaves its trajectory too.
            ended = ScriptRun(
                command, bytes(shown).decode(errors="replace"), exit_code, started_at, time.monotonic() - started
            )
            write_trajectory(run, agent_name=self.name, script=ended)
        if exit_code:
            (run.logs / "exit-code.txt").write_text(f"{exit_code}\n")
        return AgentContext(n_agent_steps=1)
