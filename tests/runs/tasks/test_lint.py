import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.errors import InputInvalid
from runs.formats.task_directory import DatasetInvalid, find_tasks
from runs.tasks.findings import Verdict
from runs.tasks.lint import DEFAULT, chosen_rules, lint_paths, lint_task
from runs.tasks.report import report_block
from runs.tasks.rules import RULES
from tests.runs.tasks.linting import clean_task, write

ROOT = Path(__file__).resolve().parents[3]


def test_a_clean_task_is_valid_under_its_name(tmp_path: Path) -> None:
    verdict = lint_task(clean_task(tmp_path))
    assert (verdict.valid, verdict.name, verdict.findings) == (True, "tests/write-answer", ())


def test_a_task_that_cannot_be_loaded_says_all_that_is_wrong(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM debian\n")
    (task / "task.toml").write_text('[task]\nname = "x"\n[agent]\ntimeout_sec = -1\n')
    verdict = lint_task(task)
    assert [(finding.rule, finding.line) for finding in verdict.errors] == [("invalid-task", 1), ("invalid-task", 4)]
    assert verdict.name == "x"


def test_a_missing_name_hides_nothing_else(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM debian\n")
    (task / "task.toml").write_text("[task]\n[agent]\ntimeout_sec = 1\n")
    assert "unpinned-image" in {finding.rule for finding in lint_task(task).warnings}
    lenient = lint_task(task, lenient_names=True)
    assert (lenient.valid, lenient.name) == (True, "write-answer")
    assert "unqualified-name" in {finding.rule for finding in lenient.warnings}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("task.toml", b"a = \n", "task.toml: not TOML at line 1, column 5"),
        ("task.toml", b"\xff\xfe", "task.toml: byte 0 is not UTF-8"),
        ("task.toml", b"a" * (2 << 20), "is over the limit"),
        ("task.toml", b"a = " + b"[" * 100_000, "not TOML"),
        ("task.toml", b"a." * 100_000 + b"b = 1", "more than 32 dotted parts"),
    ],
)
def test_a_broken_task_toml_is_one_error(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    task = clean_task(tmp_path)
    (task / file).write_bytes(content)
    (error,) = lint_task(task).errors
    assert error.rule == "invalid-task"
    assert message in error.message or message in f"{error.file}: {error.message}" or "nested" in error.message


def test_hostile_files_neither_hang_nor_break_lint(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM a:1\nCOPY . /\n")
    (task / "environment/binary").write_bytes(bytes(range(256)) * 100)
    (task / "tests/huge.sh").write_bytes(b"pip install x\n" * 100_000)
    os.mkfifo(task / "tests/pipe.sh")
    (task / "tests/loop.sh").symlink_to("loop.sh")
    (task / "tests/folder.sh").mkdir()
    assert lint_task(task).valid


def test_a_link_out_of_the_task_is_an_error_and_nothing_is_read_through_it(tmp_path: Path) -> None:
    write(tmp_path / "secret", "PASSWORD")
    task = clean_task(tmp_path / "tasks")
    (task / "instruction.md").unlink()
    (task / "instruction.md").symlink_to("../../secret")
    verdict = lint_task(task)
    assert [finding.rule for finding in verdict.errors] == ["invalid-task"]
    assert "PASSWORD" not in str(verdict)


def test_a_dataset_and_a_task_of_it_give_one_verdict_each(tmp_path: Path) -> None:
    for name in ("b", "a"):
        clean_task(tmp_path, name=name)
    verdicts = list(lint_paths([tmp_path / "b", tmp_path]))
    assert [verdict.name for verdict in verdicts] == ["tests/b", "tests/a"]
    with pytest.raises(DatasetInvalid):
        list(lint_paths([tmp_path, tmp_path / "nowhere"]))


def test_rules_are_chosen_by_name_and_by_group() -> None:
    assert chosen_rules() == DEFAULT
    assert chosen_rules(["all"]) == set(RULES)
    assert chosen_rules(["root-agent"]) == {"root-agent", "invalid-task", "dangerous-key"}
    assert chosen_rules(["default", "root-agent"], ["unknown-key"]) == (DEFAULT | {"root-agent"}) - {"unknown-key"}
    assert "invalid-task" in chosen_rules([], ["invalid-task"])


def test_a_rule_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputInvalid, match="no lint rule 'root-agents', did you mean 'root-agent'"):
        chosen_rules(["root-agents"])


WORDS = st.sampled_from(
    ["FROM ", "COPY ", "RUN ", "ARG ", "pip install ", "uvx ", "npm i ", "curl http://x.y", "if ", "fi", "set -e", "$?",
     "\x00", "\x1b", " \\\n", "\n", "<<E", "'", '"', "[", "]", "{", "}", "=", "services:\n  a:\n    ", "volumes: [",
     "&a", "[environment]", "[[steps]]", 'name = "a"', "cpus", "reward.txt", "/tests/", "*a", "./x:/y", "é", "$X",
     "--with", "-r"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=30).map("".join)


@settings(max_examples=60, deadline=None)
@given(toml=TEXTS, dockerfile=TEXTS, script=TEXTS, compose=TEXTS, instruction=TEXTS)
def test_no_content_of_a_task_breaks_lint(
    toml: str, dockerfile: str, script: str, compose: str, instruction: str
) -> None:
    with TemporaryDirectory() as folder:
        task = clean_task(Path(folder), dockerfile=dockerfile, test=script, instruction=instruction)
        write(task / "environment/docker-compose.yaml", compose)
        with (task / "task.toml").open("a") as file:
            file.write(toml)
        for finding in lint_task(task, rules=chosen_rules(["all"]), lenient_names=True).findings:
            assert "\x1b" not in report_block(Verdict("x", None, (finding,)), lambda _tone, text: text)


def test_long_hostile_scripts_are_read_in_linear_time(tmp_path: Path) -> None:
    task = clean_task(tmp_path)
    started = time.monotonic()
    for part in ("pip install a\n", "A=1 ", "/reward.txt "):
        (task / "tests/test.sh").write_text((part * 300_000)[: 500 * 1024])
        (task / "environment/Dockerfile").write_text("FROM a:1\nRUN " + (part * 300_000)[: 500 * 1024])
        lint_task(task)
    assert time.monotonic() - started < 60


def test_an_error_is_never_lost_among_many_warnings(tmp_path: Path) -> None:
    test = "pip install a || true\n" * 600 + "pip install b\n"
    verdict = lint_task(clean_task(tmp_path, test=test))
    assert [finding.line for finding in verdict.errors] == [601]


@pytest.mark.parametrize("task", find_tasks(ROOT / "examples/tasks"), ids=lambda path: path.name)
def test_the_examples_lint_clean(task: Path) -> None:
    assert lint_task(task).findings == ()


def test_every_rule_is_in_the_reference_with_its_severity_and_default() -> None:
    page = (ROOT / "docs/reference/lint-rules.md").read_text()
    for rule in RULES.values():
        default = "on" if rule.is_default else "off"
        assert f"| `{rule.name}` | {rule.severity} | {default} |" in page, rule.name
    assert page.count("\n| `") == len(RULES)
