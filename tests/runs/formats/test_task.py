"""task.toml: every key and spelling, and that no key that matters is ever read over."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.errors import TaskInvalid
from runs.formats.task import TaskConfig, TaskToml, parse_task_toml, strip_canary
from runs.formats.validation import edit_distance, nearest

PATH = Path("tasks/example/task.toml")


def parse(text: str) -> TaskToml:
    return parse_task_toml(text, path=PATH)


def refusal_of(text: str) -> str:
    with pytest.raises(TaskInvalid) as caught:
        parse(text)
    assert caught.value.path == PATH
    assert "\n" not in str(caught.value)
    return caught.value.reason


FULL = """
schema_version = "1.3"
artifacts = ["/logs/artifacts/model.patch", {source = "/app/out", destination = "out", exclude = ["*.o"]}]
multi_step_reward_strategy = "final"
[task]
name = "org/full"
authors = [{name = "A", email = "a@b.c"}]
keywords = ["x"]
[metadata.deep]
anything = {goes = [1, 2]}
[agent]
timeout_sec = 5400
user = 1000
network_mode = "no-network"
[verifier]
environment_mode = "separate"
timeout_sec = 1800.0
env = {A = "${A:-1}"}
[verifier.environment]
cpus = 2
[[verifier.collect]]
command = "git diff"
timeout_sec = 300.0
[solution.env]
B = "2"
[environment]
build_timeout_sec = 1800.0
docker_image = "repo/image:tag"
os = "LINUX"
cpus = 0.5
memory = "1.5G"
storage = "512M"
gpus = 1
gpu_types = ["H100"]
tpu = {type = "v5e", topology = "2x4"}
workdir = "/app"
skills_dir = "/skills"
healthcheck = {command = "true", retries = 1}
env = {C = "${C}"}
[[environment.mcp_servers]]
name = "docs"
transport = "http"
url = "http://docs:8000"
headers = {Authorization = "Bearer ${DOCS_TOKEN}", Accept = "text/html"}
[[steps]]
name = "one"
min_reward = {reward = 1.0}
artifacts = ["/app/log"]
[steps.agent]
timeout_sec = 60
"""


def test_every_key_of_both_runners_is_understood() -> None:
    toml = parse(FULL)
    config = toml.config
    assert toml.warnings == []
    assert (config.environment.memory_mb, config.environment.storage_mb, config.environment.cpus) == (1536, 512, 0.5)
    assert config.environment.os == "linux"
    assert config.environment.mcp_servers[0].transport == "streamable-http"
    assert [artifact.source for artifact in config.artifacts] == ["/logs/artifacts/model.patch", "/app/out"]
    assert config.verifier.collect[0].timeout_sec == 300
    assert config.steps is not None
    assert config.steps[0].min_reward == {"reward": 1.0}
    assert config.agent.user == 1000


def test_the_defaults_are_harbors() -> None:
    config = parse("").config
    assert config == TaskConfig()
    assert (config.verifier.timeout_sec, config.agent.timeout_sec, config.environment.build_timeout_sec) == (
        600,
        None,
        600,
    )
    assert config.verifier.mode is None


def test_the_older_name_of_the_schema_version_is_read() -> None:
    assert parse('version = "1.0"').config.schema_version == "1.0"
    assert "say different things" in refusal_of('version = "1.0"\nschema_version = "1.1"')


def test_a_harmless_unknown_key_is_a_warning_that_names_the_nearest() -> None:
    warnings = parse("[environment]\ncpu = 2\n[verification]\ntype = 'x'").warnings
    assert warnings == ["unknown key 'environment.cpu', did you mean 'cpus'?", "unknown key 'verification'"]


@pytest.mark.parametrize(
    "text",
    [
        "[environment]\nallow_intenet = false",
        "[environment]\nallow-internet = false",
        "[environment]\nallowInternet = false",
        "[environment]\nALLOW_INTERNET = false",
        "[environment]\nnetwork = 'none'",
        "[environment]\nnetork_mode = 'no-network'",
        "[environment]\nno_network = true",
        "[environment]\ninternet = false",
        "[environment]\nusr = 'agent'",
        "[environment]\nmounts = []",
        "[environment]\nvolumes = []",
        "[environment]\nprivileged = false",
        "[enviroment]\ncpus = 1",
        "[sandbox]\nnetwork_mode = 'no-network'",
        "[sandbox.limits]\nnetwork_mode = 'no-network'",
        "[[sandboxes]]\nallow_internet = false",
        "[agent]\nusers = 'me'",
        "[agent]\nallow_internet = false",
        "[agents]\ntimeout_sec = 1",
        "network_mode = 'no-network'",
        "[task]\nname = 'a/b'\nallow_internet = false",
        "[verifier]\nenvironment_mod = 'separate'",
        "[verifier]\nenviroment = {cpus = 1}",
        "[[steps]]\nname = 'a'\n[steps.environment]\ncpus = 1",
        "[[steps]]\nname = 'a'\n[steps.agent]\nnetwork_mod = 'no-network'",
        "[[step]]\nname = 'a'",
    ],
)
def test_an_unknown_key_that_could_matter_is_refused(text: str) -> None:
    assert "is refused, not ignored, because" in refusal_of(text)


def test_free_tables_may_hold_any_key() -> None:
    text = "[metadata]\nnetwork_mode = 'x'\nuser = 1\n[environment.env]\nNETWORK = 'x'\n[solution.env]\nUSER = 'x'"
    assert parse(text).warnings == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a = = 1", "line 1, column 5"),
        ("[agent]\ntimeout_sec = 'long'", "agent.timeout_sec"),
        ("[agent]\ntimeout_sec = nan", "agent.timeout_sec"),
        ("[agent]\ntimeout_sec = -1", "agent.timeout_sec"),
        ("[task]\ndescription = 'x'", "'name' is required"),
        ("[task]\nname = 'noorg'", "organisation/name"),
        ("[task]\nname = 'a/../b'", "organisation/name"),
        ("[environment]\nmemory = '2X'", "is not a size"),
        ("[environment]\nmemory = 2", "is not a size"),
        ("[environment]\nmemory = '2G'\nmemory_mb = 1", "say different things"),
        ("[environment]\nmemory = '999999999999999999999G'", "is not a size"),
        ("[environment]\ncpus = 0", "environment.cpus"),
        ("[environment]\nos = 'beos'", "environment.os"),
        ("[verifier]\nenvironment_mode = 'shared'\n[verifier.environment]\ncpus = 1", "contradicts"),
        ("artifacts = ['../etc/passwd']", "may not contain '..'"),
        ("artifacts = [{source = '/a', destination = '../b'}]", "inside artifacts/"),
        ("artifacts = [{source = '/a', destination = 'manifest.json'}]", "manifest.json"),
        ("artifacts = [{source = 'a', service = 'db'}]", "absolute"),
        ("[[environment.mcp_servers]]\nname = 'a'", "needs 'url'"),
        ("[[environment.mcp_servers]]\nname = 'a'\ntransport = 'stdio'", "needs 'command'"),
        (
            "[[environment.mcp_servers]]\nname = 'a'\nurl = 'u'\nheaders = {Authorization = 'Bearer abc'}",
            "take its secret",
        ),
        ("[[verifier.collect]]\ncommand = 'x'\nservice = 'a b'", "service"),
        ("[[steps]]\nname = 'a/b'", "directory name"),
        ("[[steps]]\nname = '..'", "directory name"),
        ("[[steps]]\nname = 'nul'", "directory name"),
        ("[[steps]]\nname = 'A'\n[[steps]]\nname = 'a'", "two steps"),
        ("steps = 3", "steps"),
        ("agent = 3", "agent"),
        ("environment = []", "environment"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, part: str) -> None:
    assert part in refusal_of(text)


def test_a_name_may_be_missing_when_names_are_lenient() -> None:
    toml = parse_task_toml("[task]\nid = 'x'", path=PATH, lenient_names=True)
    assert toml.config.task is not None
    assert toml.config.task.package_name is None
    assert any("folder's name" in warning for warning in toml.warnings)


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("<!-- harbor-canary GUID x -->\n\n# Title\n", "# Title\n"),
        ("# CANARY do not train\n<!-- canary -->\n\n\nDo it", "Do it"),
        ("Do it\n<!-- canary -->\n", "Do it\n<!-- canary -->\n"),
        ("# Title\n", "# Title\n"),
        ("\n# Title", "\n# Title"),
        ("<!-- canary -->", ""),
        ("", ""),
    ],
)
def test_leading_canary_lines_are_stripped(text: str, stripped: str) -> None:
    assert strip_canary(text) == stripped


KEYS = ["allow_internet", "network_mode", "user", "env", "cpus", "name", "steps", "agent", "environment", "x", "memory"]
VALUES = ["1", "true", "'x'", "[]", "{}", "nan", "'public'", "'2G'", "[{name = 'a'}]", "1979-05-27", "{a = 1}"]
TABLES = [
    "[environment]",
    "[agent]",
    "[verifier]",
    "[task]",
    "[[steps]]",
    "[metadata]",
    "[verifier.environment]",
    "[x]",
]


@given(st.lists(st.sampled_from(TABLES) | st.builds("{} = {}".format, st.sampled_from(KEYS), st.sampled_from(VALUES))))
def test_any_toml_is_a_task_or_invalid(lines: list[str]) -> None:
    try:
        parsed = parse("\n".join(lines))
    except TaskInvalid:
        return
    assert TaskConfig.model_validate(parsed.config.model_dump()) == parsed.config


@given(st.text(max_size=30), st.text(max_size=30))
def test_edit_distance_is_a_distance(left: str, right: str) -> None:
    assert edit_distance(left, right) == edit_distance(right, left)
    assert (edit_distance(left, right) == 0) == (left == right)


def test_swapped_neighbours_are_one_edit() -> None:
    assert edit_distance("netwrok", "network") == 1
    assert nearest("timout_sec", ["timeout_sec", "user"]) == "timeout_sec"
    assert nearest("zebra", ["timeout_sec", "user"]) is None
    assert edit_distance("x" * 1_000_000, "user") == 1_000_000
