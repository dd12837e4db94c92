import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.runs.tasks.linting import clean_task


def piertask(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `piertask`; the database is out of reach."""
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("piertask", *map(str, arguments), stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_a_clean_task_is_valid_and_the_exit_code_is_0(tmp_path: Path) -> None:
    task = clean_task(tmp_path)
    expected = f"{task} (tests/write-answer): valid\n1 task, 0 invalid: 0 errors, 0 warnings\n"
    assert piertask("lint", task) == (0, expected, "")


def test_a_finding_names_its_place_and_errors_come_first(tmp_path: Path) -> None:
    task = clean_task(
        tmp_path, dockerfile="FROM debian\n", test="pip install a==1\necho 1 > /logs/verifier/reward.txt\n"
    )
    code, out, _ = piertask("lint", task)
    assert code == 1
    assert out.splitlines()[1].startswith("  error verifier-installs: tests/test.sh:1: the verifier installs")
    assert out.splitlines()[2].startswith("  warning unpinned-image: environment/Dockerfile:1: the image 'debian'")


def test_json_has_the_agreed_shape(tmp_path: Path) -> None:
    good = clean_task(tmp_path, name="good", dockerfile="FROM debian\n")
    bad = clean_task(tmp_path, name="bad")
    (bad / "task.toml").write_text("x")
    code, out, err = piertask("lint", good, bad, "--json")
    first, second = json.loads(out)
    assert (code, err) == (1, "")
    assert list(first) == ["path", "name", "valid", "errors", "warnings"]
    assert (first["path"], first["name"], first["valid"], first["errors"]) == (str(good), "tests/good", True, [])
    assert [(found["rule"], found["file"], found["line"]) for found in first["warnings"]] == [
        ("unpinned-image", "environment/Dockerfile", 1)
    ]
    assert list(first["warnings"][0]) == ["rule", "message", "file", "line"]
    assert (second["name"], second["valid"], second["errors"][0]["rule"]) == (None, False, "invalid-task")


def test_control_characters_of_a_task_do_not_reach_the_terminal(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM \x1b[31mevil\n")
    _, out, _ = piertask("lint", task)
    assert "\x1b" not in out
    assert "evil" in out


def test_rules_are_chosen_by_options(tmp_path: Path) -> None:
    task = clean_task(tmp_path, dockerfile="FROM debian\n")
    assert "unpinned-image" not in piertask("lint", task, "--ignore", "unpinned-image,legacy-key")[1]
    assert "root-agent" in piertask("lint", task, "--select", "root-agent", "--select", "unpinned-image")[1]


def test_lenient_names_make_a_nameless_task_valid(tmp_path: Path) -> None:
    task = clean_task(tmp_path)
    (task / "task.toml").write_text("[task]\n")
    assert piertask("lint", task)[0] == 1
    code, out, _ = piertask("lint", task, "--lenient-names")
    assert code == 0
    assert f"{task} (write-answer): valid" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lint", "nowhere"], "nowhere: does not exist"),
        (["lint", "empty"], "is neither a task (no task.toml) nor a directory of tasks"),
        (["lint", "task", "--select", "unpined-image"], "did you mean 'unpinned-image'?"),
        (["list", "nowhere"], "nowhere: does not exist"),
        (["init", "task"], "is not empty"),
        (["init", "new", "--steps", "0"], "1 to 100 steps"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    clean_task(tmp_path, name="task")
    code, out, err = piertask(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_new_task_is_listed_as_it_was_asked_for(tmp_path: Path) -> None:
    code, out, _ = piertask("init", tmp_path / "set/mine", "--name", "org/mine", "--steps", "2", "--separate-verifier")
    assert code == 0
    assert f"pierrun -p {tmp_path / 'set/mine'} -a oracle" in out
    code, out, _ = piertask("list", tmp_path / "set", "--json", "-i", "m*", "-l", "5", "--sample-seed", "1")
    (task,) = json.loads(out)
    assert code == 0
    assert (task["name"], task["n_steps"], task["network"], task["image"]) == ("org/mine", 2, "closed", "Dockerfile")
    assert piertask("list", tmp_path / "set")[1].splitlines()[1].split()[:3] == ["org/mine", "2", "closed"]
