"""Which network the phases of a trial get from task and job together."""

from pathlib import Path

import pytest

from runs.errors import InputInvalid
from runs.formats.job import AgentConfig, VerifierConfig
from runs.formats.network import CLOSED, OPEN
from runs.formats.task_directory import load_task
from runs.trial.plan import TrialPlan
from runs.trial.sandbox import agent_network, agent_spec, verifier_network
from tests.support.tasks import make_task
from tests.support.trials import make_plan

PUBLIC = '\n[environment]\nnetwork_mode = "public"\n'
LISTED = '\n[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["pypi.org"]\n'


def plan_of(tmp_path: Path, toml: str = "", **env: str) -> TrialPlan:
    agent = AgentConfig(name="oracle", extra_allowed_hosts=["api.test"], env=env)
    verifier = VerifierConfig(extra_allowed_hosts=["judge.test:8443"])
    plan = make_plan(make_task(tmp_path, toml=toml), tmp_path / "job", agent=agent, verifier=verifier)
    plan.config.environment.extra_allowed_hosts.append("mirror.test")
    return plan


def hosts_of(plan: TrialPlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    task = load_task(plan.task_path)
    return agent_network(plan, task, None).allowed_hosts, verifier_network(plan, task, None).allowed_hosts


def test_a_closed_network_opens_to_what_the_job_adds_for_each_phase(tmp_path: Path) -> None:
    assert hosts_of(plan_of(tmp_path)) == (("mirror.test", "api.test"), ("mirror.test", "judge.test:8443"))


def test_an_allowlist_grows_and_an_open_network_stays_open(tmp_path: Path) -> None:
    assert hosts_of(plan_of(tmp_path / "a", LISTED))[0] == ("pypi.org", "mirror.test", "api.test")
    plan = plan_of(tmp_path / "b", PUBLIC)
    assert agent_network(plan, load_task(plan.task_path), None) == OPEN


def test_the_base_url_of_the_agent_is_for_the_agent_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "http://10.0.0.5:4000")
    agents, verifiers = hosts_of(plan_of(tmp_path, OPENAI_BASE_URL="${GATEWAY}/v1"))
    assert "10.0.0.5:4000" in agents
    assert "10.0.0.5:4000" not in verifiers


def test_a_base_url_whose_variable_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="NO_SUCH_GATEWAY"):
        hosts_of(plan_of(tmp_path, OPENAI_BASE_URL="${NO_SUCH_GATEWAY}"))


def test_nothing_is_added_where_the_job_says_nothing(tmp_path: Path) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job")
    assert agent_network(plan, load_task(plan.task_path), None) == CLOSED
    spec = agent_spec(plan, load_task(plan.task_path))
    assert spec.network_log == plan.directory / "network.jsonl"
