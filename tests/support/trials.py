"""Running one trial in a test, without a job around it."""

from pathlib import Path
from uuid import uuid4

from runs.formats.job import AgentConfig, EnvironmentConfig, TaskSource, TrialConfig, VerifierConfig
from runs.formats.result import TrialResult
from runs.models import Phase
from runs.sandboxes.host import HostSandbox
from runs.trial.lifecycle import run_trial
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import OpenSandbox


def make_plan(
    task: Path,
    jobs: Path,
    *,
    agent: str | AgentConfig = "oracle",
    name: str = "trial-1",
    verifier: VerifierConfig | None = None,
) -> TrialPlan:
    """A plan for one trial of `task` in the directory `jobs`/`name`."""
    config = TrialConfig(
        task=TaskSource(path=task),
        trial_name=name,
        trials_dir=jobs,
        agent=agent if isinstance(agent, AgentConfig) else AgentConfig(name=agent),
        environment=EnvironmentConfig(type="host"),
        verifier=verifier or VerifierConfig(),
        job_id=uuid4(),
    )
    return TrialPlan(config, attempt=1)


async def run_in(open_sandbox: OpenSandbox, plan: TrialPlan, phases: list[str] | None = None) -> TrialResult:
    """Run the trial; the phases it went through are added to `phases`."""

    async def on_phase(phase: Phase, task_step: str) -> None:
        if phases is not None:
            phases.append(f"{phase.value} {task_step}".strip())

    return await run_trial(plan, open_sandbox, on_phase)


async def run_on_host(plan: TrialPlan, phases: list[str] | None = None) -> TrialResult:
    """Run the trial in a host sandbox."""
    return await run_in(HostSandbox, plan, phases)
