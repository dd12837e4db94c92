"""Runs in Pier's environment: has its own runner make a critique run of a job, with scripted critics and no sandbox.

`python pier_critics.py JOB RUN`: JOB has the trials fix-it__0000000 to fix-it__0000002. The first critic writes a good
result, the second one that breaks the contract, the third fails. This made tests/golden/pier-critique, in which the
job lies in /jobs/night.
"""

# mypy: ignore-errors
# Pier is in the environment that this runs in, and in no other.

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pier.agents.base import BaseAgent
from pier.critique.models import CritiqueConfig
from pier.critique.runner import CritiqueRunner
from pier.environments.base import BaseEnvironment, ExecResult
from pier.environments.capabilities import EnvironmentCapabilities
from pier.models.trial.config import AgentConfig, EnvironmentConfig

PROMPT = "Was {source_trial_name} a valid trial? Look at {task_dir} and {trial_dir}.\n"
GOOD = {
    "rating": "good",
    "tag": "PASS_LEGITIMATE",
    "feedback": "The agent fixed the function and ran the tests.",
    "trial_outcome": "pass",
    "confidence": "high",
    "evidence": ["agent/trajectory.json, step 2"],
}


class NoSandbox(BaseEnvironment):
    """A sandbox whose folders are the trial's own, and in which nothing happens."""

    @staticmethod
    def type() -> str:
        return "docker"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        return EnvironmentCapabilities(mounted=True, disable_internet=True, filtered_egress=True)

    def _validate_definition(self) -> None: ...
    async def start(self, force_build: bool) -> None: ...
    async def stop(self, delete: bool) -> None: ...
    async def upload_file(self, source_path: Any, target_path: str) -> None: ...
    async def upload_dir(self, source_dir: Any, target_dir: str) -> None: ...
    async def download_file(self, source_path: str, target_path: Any) -> None: ...
    async def download_dir(self, source_dir: str, target_dir: Any) -> None: ...

    async def exec(self, command: str, **_: Any) -> ExecResult:
        return ExecResult(stdout="", stderr="", return_code=0)


class Critic(BaseAgent):
    """An agent that writes what is expected of it, by the name of the trial that it looks at."""

    @staticmethod
    def name() -> str:
        return "claude-code"

    def version(self) -> str:
        return "2.0.0"

    async def setup(self, environment: BaseEnvironment) -> None: ...

    async def run(self, instruction: str, environment: BaseEnvironment, context: Any) -> None:
        context.n_input_tokens, context.n_output_tokens, context.cost_usd = 1200, 80, 0.02
        self._write_trajectory(instruction)
        trial = self.logs_dir.parent
        if trial.name.endswith("2"):
            raise RuntimeError("the model's provider answered 529")
        result = GOOD if trial.name.endswith("0") else {"rating": "fine", "feedback": ""}
        (trial / "artifacts" / "critique-artifacts").mkdir()
        (trial / "artifacts" / "critique-artifacts" / "notes.txt").write_text("looked at the tests\n")
        (trial / "artifacts" / "critique-result.json").write_text(json.dumps(result, indent=2))

    def _write_trajectory(self, instruction: str) -> None:
        call = {"tool_call_id": "c1", "function_name": "Read", "arguments": {"file_path": "/critique/input/trial"}}
        seen = {"results": [{"source_call_id": "c1", "content": "agent  artifacts  verifier"}]}
        steps = [
            {"step_id": 1, "source": "user", "message": instruction},
            {"step_id": 2, "source": "agent", "message": "", "tool_calls": [call], "observation": seen},
            {"step_id": 3, "source": "agent", "message": "Done."},
        ]
        agent = {"name": self.name(), "version": self.version()}
        document = {"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": steps}
        (self.logs_dir / "trajectory.json").write_text(json.dumps(document, indent=2))


async def run(job: Path, name: str) -> None:
    """Make the run, then take this machine's paths out of its files."""
    prompt = job.parent / "prompt.md"
    prompt.write_text(PROMPT)
    config = CritiqueConfig(
        run_name=name,
        source_job_dir=job,
        prompt_path=prompt,
        agent=AgentConfig(import_path=f"{__name__}:Critic", model_name="anthropic/opus"),
        environment=EnvironmentConfig(import_path=f"{__name__}:NoSandbox"),
    )
    await CritiqueRunner(config).run_job()
    places = {str(job): "/jobs/night", str(prompt.parent): "/jobs"}
    for path in (job / ".critiques" / name).rglob("*"):
        if not path.is_file():
            continue
        text = path.read_text()
        for place, shown in places.items():
            text = text.replace(place, shown)
        if path.name == "exception.txt":
            text = shortened(text)
        if path.name == "critique-metadata.json" and (told := json.loads(text))["exception_info"]:
            told["exception_info"]["exception_traceback"] = shortened(told["exception_info"]["exception_traceback"])
            text = json.dumps(told, indent=4)
        path.write_text(text)


def shortened(traceback: str) -> str:
    """A traceback without the places, which are this machine's."""
    lines = traceback.strip().splitlines()
    return f"{lines[0]}\n  ...\n{lines[-1]}\n"


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]).resolve(), sys.argv[2]))
