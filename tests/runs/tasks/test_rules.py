"""Each rule: what it finds and where, and what it leaves alone."""

from pathlib import Path

import pytest

from runs.tasks.rules import RULES
from tests.runs.tasks.linting import clean_task, found, places, write
from tests.support.tasks import CLOSED, TEST_SCRIPT

OPEN = '[agent]\ntimeout_sec = 60.0\n\n[environment]\nnetwork_mode = "public"\n'
REWARD = "echo 1 > /logs/verifier/reward.txt\n"


def spoilt(parent: Path, rule: str, text: str) -> list[str]:
    """Where a rule finds something in a task with this task.toml."""
    return places(clean_task(parent, toml=text), rule)


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.is_default])
def test_a_clean_task_breaks_no_default_rule(tmp_path: Path, rule: str) -> None:
    assert found(clean_task(tmp_path), rule) == []


# task.toml


def test_an_unknown_key_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    (finding,) = found(clean_task(tmp_path, toml=f"{CLOSED}cpu = 1\n"), "unknown-key")
    assert (finding.file, finding.line, finding.severity) == ("task.toml", 16, "warning")
    assert finding.message == "unknown key 'environment.cpu', did you mean 'cpus'?"


def test_a_key_that_may_open_the_network_is_an_error(tmp_path: Path) -> None:
    (finding,) = found(clean_task(tmp_path, toml="[environment]\nallow_intenet = false\n"), "dangerous-key")
    assert (finding.line, finding.severity) == (6, "error")


def test_every_wrong_value_is_reported_with_its_line(tmp_path: Path) -> None:
    text = '[environment]\ncpus = "many"\nmemory_mb = -1\n'
    assert spoilt(tmp_path, "invalid-task", text) == ["task.toml:6", "task.toml:7"]


def test_older_spellings_are_noted(tmp_path: Path) -> None:
    text = '[environment]\nallow_internet = false\nmemory = "2G"\nstorage = "1G"\n'
    assert sorted(spoilt(tmp_path, "legacy-key", text)) == ["task.toml:6", "task.toml:7", "task.toml:8"]


def test_an_agent_without_a_timeout_is_found_in_its_step(tmp_path: Path) -> None:
    text = '[[steps]]\nname = "a"\n[steps.agent]\ntimeout_sec = 1\n[[steps]]\nname = "b"\n'
    task = clean_task(tmp_path, toml=text)
    for name in ("a", "b"):
        write(task / "steps" / name / "instruction.md", "Do it.")
    (finding,) = found(task, "missing-timeout")
    assert finding.message.startswith("the agent has no timeout_sec in step b:")


@pytest.mark.parametrize(
    ("text", "phases"),
    [
        ("", "agent and the verifier"),
        ('[agent]\nnetwork_mode = "no-network"\n', "verifier"),
        ('[verifier]\nnetwork_mode = "public"\n', "agent"),
        ("[environment]\nallow_internet = true\n", None),
        ('[verifier.environment]\nnetwork_mode = "no-network"\n[agent]\nnetwork_mode = "public"\n', None),
    ],
)
def test_a_network_that_nobody_speaks_of_is_named(tmp_path: Path, text: str, phases: str | None) -> None:
    messages = [finding.message for finding in found(clean_task(tmp_path, toml=text or "\n"), "implicit-network")]
    assert [f"of the {phases}, so" in message for message in messages] == ([True] if phases else [])


def test_a_written_credential_is_found_and_a_reference_is_not(tmp_path: Path) -> None:
    text = f'{CLOSED}\n[verifier.env]\nMODE = "fast"\nAPI_KEY = "abc123def"\nOTHER_KEY = "${{OTHER_KEY}}"\n'
    (finding,) = found(clean_task(tmp_path, toml=text), "literal-secret")
    assert finding.line == 19
    assert "abc123def" not in finding.message


# What the runner does not do


@pytest.mark.parametrize(
    "text",
    [
        'os = "windows"',
        'tpu = {type = "v5e", topology = "2x2"}',
    ],
)
def test_what_is_refused_is_an_error(tmp_path: Path, text: str) -> None:
    task = clean_task(tmp_path, toml=f"[environment]\n{text}\n")
    write(task / "tests/test.bat", REWARD)
    assert [finding.severity for finding in found(task, "unsupported-feature")] == ["error"]


def test_a_step_may_have_a_network_of_its_own(tmp_path: Path) -> None:
    text = f'{OPEN}\n[[steps]]\nname = "a"\n[steps.agent]\nnetwork_mode = "no-network"\n'
    task = clean_task(tmp_path, toml=text)
    write(task / "steps/a/instruction.md", "Do it.")
    assert places(task, "unsupported-feature") == []


def test_what_has_no_effect_is_named(tmp_path: Path) -> None:
    text = (
        "artifacts = [{ source = '/x', service = 'db' }]\n"
        "[environment]\nstorage_mb = 100\ngpu_types = ['a']\n"
        "[[verifier.collect]]\ncommand = 'x'\nservice = 'db'\n"
    )
    task = clean_task(tmp_path)
    (task / "task.toml").write_text(text)
    write(task / "trajectory.json", "{}")
    write(task / "tests/docker-compose.yaml", "services: {}")
    assert sorted(places(task, "not-honoured")) == sorted(
        ["task.toml:3", "task.toml:4", "task.toml:7", "task.toml:1",
         "trajectory.json:None", "tests/docker-compose.yaml:None"]
    )  # fmt: skip


# Images and packages


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        ("debian", "unpinned-image"),
        ("registry:5000/debian", "unpinned-image"),
        ("a/b:latest", "unpinned-image"),
        ("a/b:1.2", "image-without-digest"),
        (f"a/b:1.2@sha256:{'0' * 64}", None),
    ],
)
def test_an_image_is_pinned_by_its_digest_and_half_by_its_tag(tmp_path: Path, image: str, rule: str | None) -> None:
    task = clean_task(tmp_path, dockerfile=f"FROM {image}\n")
    for name in ("unpinned-image", "image-without-digest"):
        assert places(task, name) == (["environment/Dockerfile:1"] if name == rule else [])


def test_images_of_task_toml_and_of_verifiers_are_looked_at(tmp_path: Path) -> None:
    text = '[environment]\ndocker_image = "a"\n[verifier.environment]\ndocker_image = "b"\n'
    task = clean_task(tmp_path, toml=text)
    write(task / "tests/Dockerfile", "FROM c\n")
    assert places(task, "unpinned-image") == ["tests/Dockerfile:1", "task.toml:6", "task.toml:8"]


@pytest.mark.parametrize(
    ("toml", "dockerfile", "is_root"),
    [
        (CLOSED, "FROM a:1\n", True),
        (CLOSED, "FROM a:1\nUSER dev\n", False),
        (CLOSED, "FROM a:1\nUSER dev\nFROM b:1\n", True),
        (CLOSED.replace("[agent]", '[agent]\nuser = "dev"'), "FROM a:1\n", False),
        (CLOSED.replace("[agent]", "[agent]\nuser = 0"), "FROM a:1\nUSER dev\n", True),
        ('[environment]\ndocker_image = "a:1"\n', "FROM a:1\n", False),
    ],
)
def test_a_root_agent_is_known_from_both_files(tmp_path: Path, toml: str, dockerfile: str, is_root: bool) -> None:
    assert bool(found(clean_task(tmp_path, toml=toml, dockerfile=dockerfile), "root-agent")) is is_root


def test_packages_without_a_version_are_found_in_images_and_scripts(tmp_path: Path) -> None:
    task = clean_task(
        tmp_path,
        toml=OPEN,
        dockerfile="FROM a:1\nRUN apt-get install -y git && \\\n    pip install a==1 b\n"
        "COPY requirements.txt /\nRUN pip install -r /requirements.txt\n",
        test=f"pip install c\n{REWARD}",
    )
    write(task / "environment/requirements.txt", "d==1\ne\n")
    assert places(task, "unpinned-package") == [
        "environment/Dockerfile:3",
        "environment/requirements.txt:2",
        "tests/test.sh:1",
    ]
    assert places(task, "unpinned-system-package") == ["environment/Dockerfile:2"]


# What the agent must not see


def test_tests_and_solutions_in_the_agents_image_are_found(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM a:1\nCOPY . /app\n")
    write(task / "environment/tests/test.sh", TEST_SCRIPT)
    write(task / "environment/helper.sh", "echo 42 > answer.txt\n")
    assert places(task, "tests-in-image") == ["environment/tests/test.sh:None"]
    assert places(task, "solution-in-image") == ["environment/helper.sh:None"]


def test_what_the_build_does_not_copy_is_no_leak(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM a:1\nCOPY app /app\n")
    write(task / "environment/app/x.txt", "something else\n")
    write(task / "environment/tests/test.sh", TEST_SCRIPT)
    assert places(task, "tests-in-image") == []


def test_a_pristine_copy_of_the_agents_files_is_no_leak(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM a:1\nCOPY . /app\n")
    for folder in ("environment", "tests"):
        write(task / folder / "app/tests/test_app.py", "assert True  # visible\n")
        write(task / folder / "schema.sql", "CREATE TABLE t (i)\n")
    assert places(task, "tests-in-image") == []


def test_a_copy_of_what_is_not_in_the_context_is_found(tmp_path: Path) -> None:
    dockerfile = (
        "FROM a:1 AS b\nCOPY here gone* $X https://x/y /app/\nCOPY --from=b /gone /app/\nCOPY gone ../tests /app/\n"
    )
    task = clean_task(tmp_path, dockerfile=dockerfile)
    write(task / "environment/here", "x")
    assert places(task, "missing-copy-source") == ["environment/Dockerfile:4", "environment/Dockerfile:4"]


def test_a_step_without_a_solution_is_named(tmp_path: Path) -> None:
    task = clean_task(tmp_path, toml='[[steps]]\nname = "a"\n[[steps]]\nname = "b"\n')
    for name in ("a", "b"):
        write(task / "steps" / name / "instruction.md", "Do it.")
    assert found(task, "no-solution") == []
    write(task / "steps/a/solution/solve.sh", "true")
    (task / "solution/solve.sh").unlink()
    (finding,) = found(task, "no-solution")
    assert "for step b:" in finding.message


# The verifier


@pytest.mark.parametrize(("toml", "severity"), [(OPEN, "warning"), (CLOSED, "error")])
def test_a_verifier_that_needs_the_network_fails_where_it_is_closed(tmp_path: Path, toml: str, severity: str) -> None:
    test = f"pip install pytest==8\ncurl https://example.com/x\n{REWARD}"
    task = clean_task(tmp_path, toml=toml, test=test)
    (install,), (download,) = found(task, "verifier-installs"), found(task, "verifier-downloads")
    assert (install.line, install.severity) == (1, severity)
    assert (download.line, download.severity) == (2, severity)


def test_an_install_that_may_be_skipped_or_is_local_is_no_error(tmp_path: Path) -> None:
    test = f"command -v pytest || pip install pytest==8\npip install --no-index a==1\ncurl http://localhost/\n{REWARD}"
    assert [finding.severity for finding in found(clean_task(tmp_path, test=test), "verifier-installs")] == ["warning"]


@pytest.mark.parametrize(
    ("test", "has_reward"),
    [
        ("exit 0\n", False),
        ("echo 1 > /logs/reward.txt\n", False),
        ("echo 1 > /logs/verifier/reward.txt\n", True),
        ('echo 1 > "$LOGS/reward.json"\n', True),
        ("cd /logs/verifier; echo 1 > reward.txt\n", True),
    ],
)
def test_a_script_without_a_reward_in_its_place_is_found(tmp_path: Path, test: str, has_reward: bool) -> None:
    task = clean_task(tmp_path, test=test)
    assert places(task, "no-reward") == ([] if has_reward else ["tests/test.sh:None"])


def test_a_reward_that_another_file_of_the_tests_writes_counts(tmp_path: Path) -> None:
    task = clean_task(tmp_path, test="python3 /tests/check.py\n")
    write(task / "tests/check.py", 'open("/logs/verifier/reward.json", "w")')
    assert places(task, "no-reward") == []


@pytest.mark.parametrize(
    ("head", "is_lost"),
    [("set -e", True), ("set -euo pipefail", True), ("set -u", False), ("set -e\nset +e", False), ("", False)],
)
def test_set_e_before_a_look_at_the_exit_code_loses_the_reward(tmp_path: Path, head: str, is_lost: bool) -> None:
    test = f"{head}\npytest\nif [ $? -eq 0 ]; then echo 1 > /logs/verifier/reward.txt; fi\n"
    assert bool(places(clean_task(tmp_path, test=test), "reward-lost-by-set-e")) is is_lost


def test_a_shared_verifier_is_found_when_asked_for(tmp_path: Path) -> None:
    assert places(clean_task(tmp_path), "shared-verifier") == ["task.toml:10"]
    assert spoilt(tmp_path / "b", "shared-verifier", '[verifier]\nenvironment_mode = "separate"\n') == []


# Artifacts, compose files, the instruction


def test_artifacts_that_claim_one_place_or_the_logs_are_found(tmp_path: Path) -> None:
    task = clean_task(tmp_path)
    toml = 'artifacts = ["/a/x", "/b/x", "/logs/agent/log.txt"]\n'
    (task / "task.toml").write_text(f"{toml}{CLOSED}")
    assert len(found(task, "overlapping-artifacts")) == 1
    assert places(task, "artifact-in-logs") == ["task.toml:1"]


@pytest.mark.parametrize(
    ("service", "rule"),
    [
        ("privileged: true", "compose-privileged"),
        ("network_mode: host", "compose-host-namespace"),
        ("pid: host", "compose-host-namespace"),
        ("cap_add: [SYS_ADMIN]", "compose-capabilities"),
        ("volumes: ['/var/run/docker.sock:/var/run/docker.sock']", "compose-docker-socket"),
        ("volumes: ['../tests:/tests:ro']", "compose-external-mount"),
        ("volumes: [{type: bind, source: /etc, target: /x, read_only: true}]", "compose-external-mount"),
        ("volumes: ['./data:/data']", "compose-writable-mount"),
        ("volumes: ['./data:/data:ro', 'named:/x']", None),
        ("image: a:1", None),
    ],
)
def test_what_opens_a_container_is_found_in_compose_files(tmp_path: Path, service: str, rule: str | None) -> None:
    task = clean_task(tmp_path)
    write(task / "environment/docker-compose.yaml", f"services:\n  main:\n    {service}\n")
    names = [name for name in RULES if name.startswith("compose-") and found(task, name)]
    assert names == ([rule] if rule else [])
    if rule:
        assert places(task, rule) == ["environment/docker-compose.yaml:2"]


@pytest.mark.parametrize("text", ["a: [", "- x", "services: 3", "&a [*a]", "x: !!python/object:os.system {}"])
def test_a_compose_file_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    task = clean_task(tmp_path)
    write(task / "environment/docker-compose.yaml", text)
    assert places(task, "compose-invalid") == ["environment/docker-compose.yaml:None"]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("Fix it.\nRun /tests/test.sh.\n", ["instruction.md:2"]),
        ("See `/solution`.", ["instruction.md:1"]),
        ("Run /app/tests and ./tests/x, and /testsuite.", []),
    ],
)
def test_an_instruction_that_names_hidden_folders_is_found(tmp_path: Path, text: str, where: list[str]) -> None:
    assert places(clean_task(tmp_path, instruction=text), "instruction-names-tests") == where


def test_an_empty_instruction_is_found(tmp_path: Path) -> None:
    assert places(clean_task(tmp_path, instruction=" \n"), "empty-instruction") == ["instruction.md:None"]
