"""What must be right about a trial that was run for a look: one line each. Nothing is run here."""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runs.agents.registry import create_agent
from runs.errors import InputInvalid, PierError
from runs.formats.job import JobConfig
from runs.formats.network import NetworkMode, NetworkPolicy
from runs.formats.result import TrialResult
from runs.formats.task_directory import load_task
from runs.formats.template import references
from runs.owner import this_owner
from runs.sandboxes.host import FOLDER
from runs.scheduling.host_environment import missing_host_variables
from runs.trial.mounts import ready_mounts
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import TRIAL_LABEL, agent_network

Verdict = Literal["ok", "failed", "n/a"]
# What a start says that finds everything in its place: where the agent came from, and what the host sandbox is.
KEPT = re.compile(r"\S+ \S+ from \S+|No isolation: .*|The network is that of this machine; .*")
WITHOUT_A_MODEL = ("oracle", "nop")
MAX_FIGURE_CHARS = 300


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, the verdict, and the figure or reason."""

    name: str
    verdict: Verdict
    figure: str

    @property
    def line(self) -> str:
        """Name and figure on one line."""
        words = " ".join(self.figure.split())
        cut = words if len(words) <= MAX_FIGURE_CHARS else f"{words[:MAX_FIGURE_CHARS]}…"
        return f"{self.name}: {cut}"


@dataclass(frozen=True, slots=True)
class Again:
    """The second start of the agent's sandbox: how long it took, what it said, why it failed if it did."""

    seconds: float
    lines: list[str]
    failure: str = ""


def mounts_check(config: JobConfig) -> Check:
    """Whether the sources of the job's mounts are on this machine."""
    wanted = config.environment.mounts or []
    try:
        ready = ready_mounts(wanted)
    except InputInvalid as error:
        return Check("mounts exist", "failed", str(error))
    if not wanted:
        return Check("mounts exist", "n/a", "the job has none")
    return Check("mounts exist", "ok", ", ".join(mount.source for mount in ready) or "only those of the logs")


def variables_check(config: JobConfig) -> Check:
    """Whether the variables that job and task refer to are set; their values are not told."""
    missing = missing_host_variables(config)
    if missing:
        return Check("variables are set", "failed", f"not set: {', '.join(missing)}")
    tables = [config.environment.env, config.verifier.env, *(agent.env for agent in config.agents)]
    names = {name for table in tables for value in table.values() for name in references(value)}
    told = ", ".join(sorted(names)) or "the job refers to none"
    return Check("variables are set", "ok" if names else "n/a", told)


def checks(config: JobConfig, plan: TrialPlan, result: TrialResult, again: Again) -> Iterator[Check]:
    """Everything about a trial that has ended, and about a second start of its sandbox. Asks the engine."""
    yield _kept(config, again)
    yield _version(plan, result)
    yield _ending(result)
    yield _steps(result)
    yield from _usage(result)
    yield _network(config, plan, again)
    yield _reward(config, result)
    yield _left_behind(config, plan)


def _kept(config: JobConfig, again: Again) -> Check:
    name = "image and agent are kept"
    if again.failure:
        return Check(name, "failed", f"the sandbox did not start a second time: {again.failure}")
    made = [line for line in again.lines if not KEPT.fullmatch(line.strip())]
    if made:
        return Check(name, "failed", f"the second start made them again ({again.seconds:.1f} s): {made[0]}")
    if config.environment.type not in ("docker", "host"):
        return Check(name, "n/a", f"the second start took {again.seconds:.1f} s; this sandbox does not tell")
    agent = next((line.strip() for line in again.lines if " from " in line), "")
    return Check(name, "ok", f"the second start took {again.seconds:.1f} s{f', {agent}' if agent else ''}")


def _version(plan: TrialPlan, result: TrialResult) -> Check:
    name, version = "agent's version", result.agent_info.version
    asked = plan.config.agent.kwargs.get("version")
    told = f"{result.agent_info.name} {version}"
    if version == "unknown":
        return Check(name, "failed", f"{result.agent_info.name} does not tell it")
    if asked not in (None, "latest") and str(asked) not in version:
        return Check(name, "failed", f"{told}, and the job asks for {asked}")
    return Check(name, "ok", told)


def _ending(result: TrialResult) -> Check:
    failure = result.exception_info
    if failure:
        return Check("trial ended by itself", "failed", f"{failure.exception_type}: {failure.exception_message}")
    seconds = (result.agent_execution.duration_sec if result.agent_execution else None) or 0.0
    return Check("trial ended by itself", "ok", f"the agent worked for {seconds:.1f} s")


def _steps(result: TrialResult) -> Check:
    name, count = "agent's steps", result.n_agent_steps
    if result.agent_info.name == "nop":
        return Check(name, "n/a", "the agent nop does nothing")
    return Check(name, "ok" if count else "failed", f"{count or 'none'}")


def _usage(result: TrialResult) -> Iterator[Check]:
    names = ("tokens", "cost")
    if result.agent_info.name in WITHOUT_A_MODEL:
        yield from (Check(name, "n/a", f"the agent {result.agent_info.name} uses no model") for name in names)
        return
    used = result.agent_result
    tokens = (used.n_input_tokens, used.n_output_tokens) if used else (None, None)
    told = " and ".join(f"{count or 'no'} {side}" for count, side in zip(tokens, ("input", "output"), strict=True))
    yield Check(names[0], "ok" if all(tokens) else "failed", told)
    cost = used.cost_usd if used else None
    yield Check(names[1], "failed" if cost is None else "ok", "not known" if cost is None else f"${cost:.4f}")


def _network(config: JobConfig, plan: TrialPlan, again: Again) -> Check:
    name = "network is as asked"
    if config.environment.type == "host":
        return Check(name, "n/a", "the host sandbox has this machine's network")
    try:
        task = load_task(plan.task_path, lenient_names=plan.config.lenient_names, verification=False)
        step = task.steps[0] if task.steps else None
        policy = agent_network(plan, task, step, create_agent(plan.config.agent))
    except PierError as error:
        return Check(name, "failed", str(error))
    if again.failure:
        return Check(name, "failed", f"not proven: {again.failure}")
    return Check(name, "ok", f"{_words(policy)}, proven as the sandbox started")


def _words(policy: NetworkPolicy) -> str:
    if policy.mode is NetworkMode.ALLOWLIST:
        return f"only {', '.join(policy.allowed_hosts) or 'nothing'}"
    return policy.mode.value


def _reward(config: JobConfig, result: TrialResult) -> Check:
    name = "verifier wrote a reward"
    if config.verifier.disable:
        return Check(name, "n/a", "the job disables verification")
    told = ", ".join(f"{key} {value:g}" for key, value in (result.rewards or {}).items())
    return Check(name, "ok" if told else "failed", told or "there is none")


def _left_behind(config: JobConfig, plan: TrialPlan) -> Check:
    name, kind = "nothing is left behind", config.environment.type
    if kind == "host":
        left = [path.name for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}{this_owner()}-*")]
    elif kind == "docker":
        left = _of_trial(plan.name)
    else:
        return Check(name, "n/a", "this sandbox cannot be asked")
    return Check(name, "failed" if left else "ok", ", ".join(left) or "no container, network, volume or folder")


def _of_trial(name: str) -> list[str]:
    """What the engine still has of a trial."""
    from runs.sandboxes.engine import Engine

    engine = Engine.connect()
    try:
        filters: dict[str, Any] = {"label": f"{TRIAL_LABEL}={name}"}
        containers = engine.api.containers(all=True, filters=filters)
        networks = engine.api.networks(filters=filters)
        volumes = engine.api.volumes(filters=filters)["Volumes"] or []
        found = [item["Names"][0].lstrip("/") for item in containers]
        return [*found, *(item["Name"] for item in (*networks, *volumes))]
    finally:
        engine.close()
