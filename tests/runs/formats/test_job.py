"""Job files: layered, strict about keys, and without secrets when written."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import JobInvalid
from runs.formats.job import TaskSource, TrialConfig, dump_config, job_config_from, load_job_config
from runs.formats.yaml_text import YamlInvalid, parse_yaml


def refusal_of(data: dict[str, object]) -> str:
    with pytest.raises(JobInvalid) as caught:
        job_config_from(data)
    return str(caught.value)


def test_the_defaults_are_piers() -> None:
    config = job_config_from({})
    assert [agent.label for agent in config.agents] == ["oracle"]
    assert (config.n_attempts, config.n_concurrent_trials, config.timeout_multiplier) == (1, 4, 1.0)
    assert config.path.parent == Path("jobs")
    assert not config.retry.allows("AgentTimeoutError")
    assert config.retry.allows("RuntimeError")
    assert job_config_from({"agents": []}).agents == config.agents


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ({"n_atempts": 1}, "unknown key 'n_atempts', did you mean 'n_attempts'?"),
        ({"agents": [{"nam": "x"}]}, "unknown key 'agents[0].nam', did you mean 'name'?"),
        ({"environment": {"mounts": [{"taget": "/x"}]}}, "environment.mounts[0].taget"),
        ({"retry": {"max_retry": 1}}, "did you mean 'max_retries'?"),
        ({"user_agent": {}}, "unknown key 'user_agent'"),
        ({"n_attempts": 0}, "n_attempts"),
        ({"n_attempts": "many"}, "n_attempts"),
        ({"timeout_multiplier": float("nan")}, "timeout_multiplier"),
        ({"job_name": "../x"}, "name of a directory"),
        ({"agents": [{"import_path": "module"}]}, "module:Class"),
        ({"agents": [{"env": {"PORT": 80}}]}, "agents[0].env.PORT"),
        ({"environment": {"type": "dokcer"}}, "environment.type"),
        ({"environment": {"mounts": ["nowhere"]}}, "source:target"),
        ({"environment": {"mounts": [{"type": "bind"}], "mounts_json": ["/a:/b"]}}, "say different things"),
        ({"environment": {"extra_allowed_hosts": ["http://a"]}}, "URL"),
        ({"datasets": [{"name": "terminal-bench", "version": "2"}]}, "fetch the tasks first"),
        ({"tasks": [{"git_url": "https://x", "path": "y"}]}, "fetch the tasks first"),
        ({"metrics": [{"type": "uv-script"}]}, "metrics[0].type"),
        ({"retry": 3}, "retry"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(data: dict[str, object], part: str) -> None:
    assert part in refusal_of(data)


def test_older_spellings_are_read() -> None:
    config = job_config_from(
        {
            "orchestrator": {
                "type": "local",
                "n_concurrent_trials": 2,
                "retry": {"max_retries": 3},
                "kwargs": {"a": 1},
            },
            "retry": {"max_retries": 5},
            "environment": {"mounts_json": ["/a:/b:ro", "cache:/c"], "env": ["A=1=2"]},
            "datasets": [{"path": "tasks", "name": None, "overwrite": False}],
        }
    )
    assert (config.n_concurrent_trials, config.retry.max_retries) == (2, 5)
    assert config.environment.mounts is not None
    assert [(m.type, m.source, m.target, m.read_only) for m in config.environment.mounts] == [
        ("bind", "/a", "/b", True),
        ("volume", "cache", "/c", False),
    ]
    assert config.environment.env == {"A": "1=2"}
    assert config.warnings == (
        "the 'orchestrator' table is out of date: its keys are read at the top level; kwargs in it is ignored",
    )


def test_later_files_are_layered_over_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "n_attempts: 2\nretry: {max_retries: 1, min_wait_sec: 2}\nagents: [{name: nop}, {name: oracle}]"
    )
    (tmp_path / "more.yml").write_text("retry: {max_retries: 4}\n")
    (tmp_path / "last.json").write_text('{"agents": [{"name": "codex"}]}')
    config = load_job_config(*(tmp_path / name for name in ("base.yaml", "more.yml", "last.json")))
    assert (config.n_attempts, config.retry.max_retries, config.retry.min_wait_sec) == (2, 4, 2)
    assert [agent.name for agent in config.agents] == ["codex"]


def test_paths_beside_the_file_are_taken_from_there_and_said(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "job.yaml").write_text("datasets: [{path: tasks}, {path: elsewhere}]\ntasks: [{path: /abs}]")
    config = load_job_config(tmp_path / "job.yaml")
    assert [dataset.path for dataset in config.datasets] == [tmp_path / "tasks", Path("elsewhere")]
    assert len(config.warnings) == 1
    assert "read beside the file" in config.warnings[0]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("job.toml", "", "ends in"),
        ("job.yaml", "a: [", "not YAML at line 1"),
        ("job.yaml", "- a", "table of keys"),
        ("job.yaml", "", "table of keys"),
        ("job.yaml", "1: 2", "table of keys"),
        ("job.yaml", "n_attempts: 1\nn_attempts: 2", "given twice"),
        ("job.yaml", "a: !!python/object/apply:os.system [ls]", "not YAML"),
        ("job.json", "{", "not JSON"),
        ("job.yaml", "n_atempts: 1", "n_atempts"),
    ],
)
def test_a_file_that_is_no_job_is_refused_with_its_path(tmp_path: Path, name: str, content: str, part: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(JobInvalid) as caught:
        load_job_config(tmp_path / name)
    assert part in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobInvalid, match="does not exist"):
        load_job_config(tmp_path / "job.yaml")


def test_no_secret_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REAL_KEY", "hunter2-from-host")
    config = job_config_from(
        {
            "agents": [
                {
                    "env": {"API_KEY": "hunter2", "OTHER_KEY": "hunter2-from-host", "URL": "http://x"},
                    "kwargs": {"api_key": "hunter2", "depth": {"token": ["hunter2"]}, "cost_limit": 0},
                }
            ],
            "environment": {"env": {"TOKEN": "Bearer ${X:-hunter2}"}, "kwargs": {"secret": "hunter2"}},
            "verifier": {"env": {"PASSWORD": "hunter2"}},
            "tasks": [{"path": "a"}],
        }
    )
    job = dump_config(config)
    trial = dump_config(
        TrialConfig(
            task=config.tasks[0], agent=config.agents[0], environment=config.environment, verifier=config.verifier
        )
    )
    for text in (job, trial):
        assert "hunter2" not in text
        assert "${REAL_KEY}" in text
        assert '"cost_limit": 0' in text
    assert config.agents[0].env["API_KEY"] == "hunter2"


def test_what_was_dumped_is_the_same_job() -> None:
    config = job_config_from(
        {"job_name": "j", "artifacts": ["/a"], "tasks": [{"path": "t"}], "agents": [{"name": "nop"}]}
    )
    assert job_config_from(json.loads(dump_config(config))) == config
    trial = TrialConfig(task=TaskSource(path=Path("t")), trial_name="t__abc")
    assert TrialConfig.model_validate_json(dump_config(trial)) == trial


def test_a_dumped_mount_has_no_nulls_which_peers_refuse() -> None:
    config = job_config_from({"environment": {"mounts": ["/a:/b:ro", {"type": "image", "target": "/c", "image": {}}]}})
    assert json.loads(dump_config(config))["environment"]["mounts"] == [
        {"type": "bind", "source": "/a", "target": "/b", "read_only": True},
        {"type": "image", "target": "/c", "read_only": False, "image": {}},
    ]


def test_yaml_anchors_and_merge_keys_are_read() -> None:
    assert parse_yaml("base: &b {x: 1, y: 2}\nmore: {<<: *b, x: 3}") == {
        "base": {"x": 1, "y": 2},
        "more": {"x": 3, "y": 2},
    }


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(["a0: &a0 [1,1]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]),
        "a: &a [*a]",
        "[" * 10_000,
        "a: " * 10_000,
        "{a: " * 1_000 + "1" + "}" * 1_000,
        "x" * 600_000,
        "a: \x07",
        "a: !!binary x",
        "a: 2026-99-99",
        "? [a]\n: 1",
        "a: 1\n---\nb: 2",
    ],
)
def test_hostile_yaml_is_the_named_error(text: str) -> None:
    with pytest.raises(YamlInvalid):
        parse_yaml(text)


@given(st.text(alphabet="ab: -[]{}&*!<>|\n'\"#?,%@`0.e_", max_size=60))
def test_any_text_is_yaml_or_the_named_error(text: str) -> None:
    with suppress(YamlInvalid):
        parse_yaml(text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda x: (
        st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["name", "path", "env", "type", "source", "x"]), x)
    ),
    max_leaves=8,
)
FIELDS = [
    "agents",
    "datasets",
    "tasks",
    "environment",
    "retry",
    "artifacts",
    "metrics",
    "job_name",
    "orchestrator",
    "x",
]


@given(st.dictionaries(st.sampled_from(FIELDS), PLAIN))
def test_any_values_are_a_job_or_invalid(data: dict[str, object]) -> None:
    try:
        config = job_config_from(data)
    except JobInvalid:
        return
    json.loads(dump_config(config))


def test_yaml_is_read_like_the_library_reads_it() -> None:
    text = "a: [1, 2.5, true, null, x]\nb:\n  c: |\n    text\n"
    assert parse_yaml(text) == yaml.safe_load(text)
