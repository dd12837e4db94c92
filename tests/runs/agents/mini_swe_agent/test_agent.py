"""How mini-swe-agent is declared: its locked packages, hosts, config and argv, with hostile and wrong values."""

import json
import re
import shlex
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from runs.agents.arguments import AgentArgumentInvalid
from runs.agents.base import AgentRun
from runs.agents.install import Uv, cli_path
from runs.agents.installed import Launch
from runs.agents.mini_swe_agent.agent import CONFIG, MCP, REGISTRY, VERTEX, MiniSweAgent, locked_requirements
from runs.formats.task import McpServer
from runs.sandboxes.base import Sandbox

MODEL = "openai/gpt-5.5"
HOSTILE = "--help\n\"quoted\" 'single' `id` $(id) ; rm -rf / é 😀 \x7f\x85 \\ %s {{ task }} {% raw %} &a *a !!x"
GATEWAY_YAML = "model:\n  model_kwargs:\n    api_base: https://gateway.example.com:8443/v1\n"


@pytest.fixture(autouse=True)
def _runner_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MiniSweAgent.variables:
        monkeypatch.delenv(name, raising=False)


def mini(model: str | None = MODEL, **kwargs: Any) -> MiniSweAgent:
    return MiniSweAgent(model_name=model, kwargs=kwargs)


def launched(agent: MiniSweAgent, instruction: str = "fix it", **changes: Any) -> Launch:
    given: dict[str, Any] = {"env": {}, "user": None, "solution": Path("/nowhere"), **changes}
    run = AgentRun(instruction, cast("Sandbox", None), Path("/nowhere"), **given)
    return agent.launch(run, instruction, agent.environment(run.env))


def config_of(launch: Launch) -> dict[str, Any]:
    (file,) = [file for file in launch.files if file.path == CONFIG]
    assert file.is_secret
    return cast("dict[str, Any]", yaml.safe_load(file.text))


def test_it_is_started_with_one_config_and_no_questions() -> None:
    launch = launched(mini())
    assert launch.argv == (
        cli_path("mini-swe-agent"),
        "--yolo",
        "--model=openai/gpt-5.5",
        "--output=/logs/agent/mini-swe-agent.trajectory.json",
        "-c",
        "mini.yaml",
        "-c",
        CONFIG,
        "--exit-immediately",
    )
    assert config_of(launch) == {
        "agent": {"cost_limit": 0},
        "model": {"model_kwargs": {}, "model_class": "litellm_response"},
        "run": {"task": "fix it"},
    }
    assert launch.env == {
        "MSWEA_CONFIGURED": "true",
        "MSWEA_COST_TRACKING": "ignore_errors",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
    }


def test_any_instruction_arrives_as_it_is() -> None:
    launch = launched(mini(), HOSTILE * 5000)
    assert config_of(launch)["run"]["task"] == HOSTILE * 5000
    assert launch.files[0].text.isascii()


def test_hostile_values_stay_one_argument_each() -> None:
    launch = launched(mini(f"anthropic/{HOSTILE}"))
    assert shlex.split(shlex.join(launch.argv)) == list(launch.argv)
    assert launch.argv[2] == f"--model=anthropic/{HOSTILE}"


def test_no_secret_is_in_the_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-runner")
    launch = launched(mini(model_kwargs={"api_key": "sk-literal"}), env={"OTHER": "sk-job"})
    assert "sk-" not in " ".join([*launch.argv, launch.prepare, *launch.env.values()])
    assert config_of(launch)["model"]["model_kwargs"] == {"api_key": "sk-literal"}


@pytest.mark.parametrize(
    ("model", "kwargs", "model_class", "called"),
    [
        ("openai/gpt-5.5", {}, "litellm_response", "openai/gpt-5.5"),
        ("openrouter/qwen/qwen3.6-plus", {}, "openrouter", "qwen/qwen3.6-plus"),
        ("anthropic/claude-opus-4-7", {}, None, "anthropic/claude-opus-4-7"),
        ("gemini/gemini-3.1-pro-preview", {}, None, "gemini/gemini-3.1-pro-preview"),
        ("gpt-5.5", {}, None, "gpt-5.5"),
        ("openai/gpt-5.5", {"model_class": "litellm"}, "litellm", "openai/gpt-5.5"),
        ("openai/gpt-5.5", {"config_yaml": "model: {model_class: portkey}"}, "portkey", "openai/gpt-5.5"),
        ("openrouter/a/b", {"model_class": "litellm"}, "litellm", "openrouter/a/b"),
        ("openrouter/a/b", {"model_class": "openrouter_response"}, "openrouter_response", "a/b"),
    ],
)
def test_the_adapter_goes_by_the_models_prefix_unless_it_is_named(
    model: str, kwargs: dict[str, Any], model_class: str | None, called: str
) -> None:
    launch = launched(mini(model, **kwargs))
    assert config_of(launch)["model"].get("model_class") == model_class
    assert launch.argv[2] == f"--model={called}"


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("openai/gpt-5.5", {"reasoning": {"effort": "high", "summary": "auto"}}),
        ("openrouter/a/b", {"reasoning": {"effort": "high"}}),
        ("gemini/gemini-3.1-pro-preview", {"reasoning_effort": "high"}),
        ("anthropic/claude-opus-4-7", {"reasoning_effort": "high"}),
    ],
)
def test_an_effort_is_asked_for_as_each_api_takes_it(model: str, asked: dict[str, Any]) -> None:
    assert config_of(launched(mini(model, reasoning_effort="high")))["model"]["model_kwargs"] == asked
    assert config_of(launched(mini(model)))["model"]["model_kwargs"] == {}


def test_arguments_go_over_the_jobs_yaml_and_that_over_its_file(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("agent: {step_limit: 600, cost_limit: 1, mode: confirm}\nenvironment: {timeout: 60}\n")
    agent = mini(
        config_file=str(file),
        config_yaml="agent: {cost_limit: 2, mode: yolo}\nmodel: {model_kwargs: {temperature: 0, seed: 1}}\n",
        cost_limit=3,
        model_kwargs={"temperature": 0.5},
        set_cache_control="default_end",
    )
    config = config_of(launched(agent))
    assert config["agent"] == {"step_limit": 600, "cost_limit": 3, "mode": "yolo"}
    assert config["environment"] == {"timeout": 60}
    assert config["model"] == {
        "model_kwargs": {"temperature": 0.5, "seed": 1},
        "model_class": "litellm_response",
        "set_cache_control": "default_end",
    }
    assert config_of(launched(mini(config_file=str(file))))["agent"]["cost_limit"] == 1


def test_unknown_and_wrong_arguments_are_refused(tmp_path: Path) -> None:
    for complaint, kwargs in (
        ("did you mean 'cost_limit'", {"cost_limt": 1}),
        ("less than 0", {"cost_limit": -1}),
        ("none of default_end", {"set_cache_control": "all"}),
        ("has to be a table", {"config_yaml": "- a\n- b\n"}),
        ("not YAML", {"config_yaml": "a: [1\n"}),
        ("config_file", {"config_file": str(tmp_path / "missing.yaml")}),
        ("exact version", {"extra_python_packages": ["boto3"]}),
        ("exact version", {"extra_python_packages": ["boto3==1.0; id"]}),
        ("none of none, minimal", {"reasoning_effort": "extreme"}),
    ):
        with pytest.raises(AgentArgumentInvalid, match=complaint):
            mini(**kwargs)
    with pytest.raises(AgentArgumentInvalid, match="is no version"):
        mini(version="1.0 -r x").install()
    with pytest.raises(AgentArgumentInvalid, match="has to name a model"):
        mini(None).hosts({})


@pytest.mark.parametrize(
    ("model", "kwargs", "env", "hosts"),
    [
        (MODEL, {}, {}, ["api.openai.com"]),
        (MODEL, {}, {"OPENAI_BASE_URL": "http://gateway:8080/v1"}, ["gateway:8080"]),
        (MODEL, {}, {"OPENAI_API_BASE": "https://gateway.example.com/v1"}, ["gateway.example.com"]),
        (MODEL, {"config_yaml": GATEWAY_YAML}, {}, ["gateway.example.com:8443"]),
        (MODEL, {"model_kwargs": {"api_base": "https://gateway.example.com"}}, {}, ["gateway.example.com"]),
        ("openrouter/qwen/qwen3.6-plus", {}, {}, ["openrouter.ai"]),
        # This adapter does not read the variable, whatever it says.
        (
            "openrouter/qwen/qwen3.6-plus",
            {},
            {"OPENROUTER_API_BASE": "https://elsewhere.example.com"},
            ["openrouter.ai"],
        ),
        (
            "openrouter/a/b",
            {"model_class": "litellm"},
            {"OPENROUTER_API_BASE": "https://elsewhere.example.com"},
            ["elsewhere.example.com"],
        ),
        ("claude-opus-4-7", {}, {}, ["api.anthropic.com"]),
        ("gemini/gemini-3.1-pro-preview", {}, {}, ["generativelanguage.googleapis.com"]),
        ("bedrock/claude", {}, {"AWS_REGION": "eu-west-1"}, ["bedrock-runtime.eu-west-1.amazonaws.com"]),
        ("hosted_vllm/m", {}, {"HOSTED_VLLM_API_BASE": "http://10.0.0.1:8000/v1"}, ["10.0.0.1:8000"]),
        ("nobody-knows/it", {}, {}, []),
    ],
)
def test_hosts_come_from_the_settings_the_environment_or_the_provider(
    model: str, kwargs: dict[str, Any], env: dict[str, str], hosts: list[str]
) -> None:
    assert mini(model, **kwargs).hosts(env) == hosts


def test_a_base_url_is_given_under_both_of_its_names() -> None:
    env = launched(mini(), env={"OPENAI_BASE_URL": "https://gateway.example.com/v1"}).env
    assert env["OPENAI_API_BASE"] == "https://gateway.example.com/v1"
    assert "OPENAI_BASE_URL" not in env


def test_only_the_keys_of_the_models_provider_leave_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "o")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a")
    assert mini().environment({"X": "1"}) == {"OPENAI_API_KEY": "o", "X": "1"}
    assert mini("anthropic/claude-opus-4-7").environment({}) == {"ANTHROPIC_API_KEY": "a"}
    assert mini().environment({"OPENAI_BASE_URL": "https://gateway.example.com"}).get("OPENAI_API_KEY") is None


def test_the_jobs_price_registry_is_laid_in_the_sandbox(tmp_path: Path) -> None:
    registry = tmp_path / "registry.json"
    registry.write_text(json.dumps({"my-model": {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}}))
    launch = launched(mini(), env={"LITELLM_MODEL_REGISTRY_PATH": str(registry)})
    assert launch.env["LITELLM_MODEL_REGISTRY_PATH"] == REGISTRY
    assert [file.text for file in launch.files if file.path == REGISTRY] == [registry.read_text()]
    # One that the job mounts is the sandbox's own.
    mounted = launched(mini(), env={"LITELLM_MODEL_REGISTRY_PATH": "/pricing/nowhere.json"})
    assert "LITELLM_MODEL_REGISTRY_PATH" not in mounted.env
    assert [file.path for file in mounted.files] == [CONFIG]


def test_googles_credentials_go_into_the_environment_as_text(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials.json"
    credentials.write_text('{"type": "service_account"}')
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(credentials)}
    assert launched(mini("vertex_ai/gemini"), env=env).env["VERTEXAI_CREDENTIALS"] == credentials.read_text()
    mounted = {"GOOGLE_APPLICATION_CREDENTIALS": "/mounted/nowhere.json"}
    assert "VERTEXAI_CREDENTIALS" not in launched(mini("vertex_ai/gemini"), env=mounted).env


def test_the_agent_is_told_of_mcp_servers_and_skills(tmp_path: Path) -> None:
    servers = (McpServer(name="docs", transport="sse", url="https://docs.example.com", headers={"A": "${DOCS_KEY}"}),)
    launch = launched(mini(), mcp_servers=servers, skills=(tmp_path / "my-skill",))
    task = config_of(launch)["run"]["task"]
    assert task.startswith("fix it\n\n")
    assert "- docs (sse): https://docs.example.com" in task
    assert "- /opt/pier/skills/my-skill" in task
    assert "DOCS_KEY" not in task
    assert launch.uploads == ((tmp_path / "my-skill", "/opt/pier/skills/my-skill"),)


def test_the_tested_version_is_installed_from_its_lock() -> None:
    install = mini().install()
    assert isinstance(install.method, Uv)
    assert install.method.packages == ("mini-swe-agent==2.4.6", MCP)
    assert install.method.requirements == locked_requirements("2.4.6")
    assert install.commands == ()


@pytest.mark.parametrize("name", ["2.4.6", "2.4.6-vertex"])
def test_a_lock_has_every_package_with_hashes_and_no_address(name: str) -> None:
    lock = locked_requirements(name)
    assert lock is not None
    lines = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    starts = [line for line in lines if not line.startswith(" ")]
    assert all(re.match(r"[a-z0-9._-]+==[0-9][^ ]* ", line) for line in starts)
    assert all(line.startswith("    --hash=sha256:") for line in lines if line.startswith(" "))
    assert "://" not in lock
    pinned = {line.split(" ")[0] for line in starts}
    assert {"mini-swe-agent==2.4.6", MCP} <= pinned
    assert any(package.startswith("litellm==") for package in pinned)
    if name.endswith("vertex"):
        assert set(VERTEX) <= pinned


def test_vertex_has_a_lock_of_its_own_and_a_version_without_one_is_installed_unlocked() -> None:
    vertex = mini("vertex_ai/gemini-3.1-pro").install().method
    assert isinstance(vertex, Uv)
    assert vertex.requirements == locked_requirements("2.4.6-vertex")
    other = mini(version="2.4.5", extra_python_packages=["boto3==1.40.0"]).install()
    assert other.method == Uv(("mini-swe-agent==2.4.5", MCP, "boto3==1.40.0"))


def test_extra_packages_are_added_to_the_locked_ones() -> None:
    install = mini(extra_python_packages=["boto3==1.40.0", "x[y]==2"]).install()
    assert isinstance(install.method, Uv)
    assert install.method.requirements == locked_requirements("2.4.6")
    (command,) = install.commands
    assert shlex.split(command)[-2:] == ["boto3==1.40.0", "x[y]==2"]
