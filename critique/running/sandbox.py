"""The sandbox of a critic: the task's image, fresh, nothing of the task's agent, closed but for the critic's model."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from runs.agents.base import Agent
from runs.formats.network import NetworkPolicy
from runs.formats.task import AgentSection, SolutionSection, VerifierSection
from runs.formats.task_directory import Task
from runs.formats.template import looks_secret, references
from runs.sandboxes.base import MountSpec, Sandbox, SandboxSpec
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import agent_network, agent_spec

INPUT: Final = "/critique/input"
# A critic works at its own pace, but not for ever.
DEFAULT_SEC: Final = 3600.0
# Shorter values of variables are no credentials, and stand in many a text by chance.
LEAST_SECRET_CHARS: Final = 8


def critics_task(task: Task, timeout_sec: float | None) -> Task:
    """The task as a critic's environment: one step, no network, no servers, skills or variables of the task's agent.

    Of its variables those stay that say what they are: none that this machine would have to give.
    """
    config = task.config
    seconds = timeout_sec or config.agent.timeout_sec or DEFAULT_SEC
    environment = config.environment.model_copy(
        update={
            "network_mode": "no-network",
            "allowed_hosts": None,
            "allow_internet": None,
            "mcp_servers": [],
            "skills_dir": None,
            "env": {name: value for name, value in config.environment.env.items() if not references(value)},
        }
    )
    changes = {
        "environment": environment,
        "agent": AgentSection(timeout_sec=seconds, user=config.agent.user),
        "verifier": VerifierSection(),
        "solution": SolutionSection(),
        "metadata": {},
        "steps": None,
    }
    return replace(task, config=config.model_copy(update=changes), steps=())


def critic_network(plan: TrialPlan, task: Task, agent: Agent) -> NetworkPolicy:
    """What the critic may reach: the hosts of its own model, and those that the run adds."""
    return agent_network(plan, critics_task(task, None), None, agent)


def critic_spec(plan: TrialPlan, task: Task, agent: Agent, staged: Path) -> SandboxSpec:
    """The sandbox, with the `staged` input mounted where mounts can be; `task` is `critics_task`'s."""
    spec = agent_spec(plan, task, agent)
    spec = replace(spec, env=_without_secrets(spec.env, plan.config.environment.env))
    if not takes_mounts(plan):
        return spec
    mount = MountSpec(kind="bind", source=str(staged.resolve()), target=INPUT, read_only=True)
    return replace(spec, mounts=(*spec.mounts, mount))


def takes_mounts(plan: TrialPlan) -> bool:
    """Whether the sandbox can show a folder of this machine; into others the input is copied."""
    return plan.config.environment.type == "docker"


async def lay_input(sandbox: Sandbox, staged: Path) -> None:
    """Copy the input into a sandbox that takes no mounts, so that nobody writes there by accident."""
    await sandbox.upload(staged, INPUT)
    await sandbox.exec(f"chmod -R a-w {INPUT}", user="root", cwd="/")


def _without_secrets(env: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The variables without those into which a compose file put a secret of this machine; `given` by the run stay."""
    secrets = [value for name, value in os.environ.items() if looks_secret(name) and len(value) >= LEAST_SECRET_CHARS]
    return {
        name: value for name, value in env.items() if name in given or not any(secret in value for secret in secrets)
    }
