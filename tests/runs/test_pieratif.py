"""`manage.py pieratif`: verdicts, both outputs, exit codes, files made to do harm; logs that become trajectories."""

import gzip
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from runs.formats.trajectory_file import validate_file
from tests.runs.formats.test_trajectory import VALID, changed
from tests.support.conversion import GOLDEN, golden_folders, load_golden

LENIENT: dict[str, Any] = {
    "schema_version": "ATIF-v1.4",
    "session_id": "s",
    "agent": {"name": "a", "version": "1", "api": "x"},
    "steps": [
        {
            "step_id": 1,
            "source": "agent",
            "message": "",
            "tool_calls": [{"tool_call_id": "c", "function_name": "bash", "arguments": '{"command": "ls"}'}],
        }
    ],
}


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    """A file that is valid by the letter, with the image it shows."""
    (tmp_path / "i.png").touch()
    return written(tmp_path / "valid.json", VALID)


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def pieratif(*arguments: object) -> int:
    """Call `pieratif validate` in this process and return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        call_command("pieratif", "validate", *map(str, arguments))
    return int(exit_.value.code or 0)


def verdicts(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and what `--json` printed."""
    code = pieratif("--json", *arguments)
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return code, found


def test_json_has_a_verdict_for_each_file_in_order(
    tmp_path: Path, valid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn.json"
    torn.write_text('{"steps": [')
    code, found = verdicts(capsys, valid, torn)
    assert code == 1
    assert found[0] == {
        "path": str(valid),
        "valid": True,
        "schema_version": "ATIF-v1.7",
        "steps": 3,
        "errors": [],
        "warnings": [],
    }
    error = {
        "code": "file",
        "step_id": None,
        "trajectory_id": None,
        "message": "not JSON at line 1, column 12: Expecting value",
    }
    assert found[1] == {
        "path": str(torn),
        "valid": False,
        "schema_version": "",
        "steps": 0,
        "errors": [error],
        "warnings": [],
    }


def test_what_can_be_read_is_valid_with_warnings_and_strictly_invalid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "lenient.json", LENIENT)
    code, [lenient] = verdicts(capsys, path)
    assert (code, lenient["valid"], lenient["schema_version"], lenient["steps"]) == (0, True, "ATIF-v1.4", 1)
    assert [warning["code"] for warning in lenient["warnings"]] == ["schema", "schema", "forgiven", "unanswered-call"]
    assert lenient["errors"] == []
    code, [strict] = verdicts(capsys, "--strict", path)
    assert (code, strict["valid"]) == (1, False)
    assert [error["message"] for error in strict["errors"]] == [
        "agent.api: Extra inputs are not permitted, not 'x'",
        'steps[0].tool_calls[0].arguments: should be a valid dictionary, not \'{"command": "ls"}\'',
    ]
    assert [warning["code"] for warning in strict["warnings"]] == ["forgiven", "unanswered-call"]


def test_text_has_a_block_for_each_file(tmp_path: Path, valid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lenient = written(tmp_path / "lenient.json", LENIENT)
    assert pieratif(valid, lenient) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{valid}: valid, ATIF-v1.7, 3 steps", f"{lenient}: valid, ATIF-v1.4, 1 step"]
    assert lines[-1] == "  warning: step 1: the call of 'bash' has no result [unanswered-call]"
    assert pieratif("--strict", lenient) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"{lenient}: invalid, ATIF-v1.4, 1 step",
        "  error: agent.api: Extra inputs are not permitted, not 'x' [schema]",
    ]


def test_a_missing_path_is_one_sentence_and_nothing_is_judged(
    tmp_path: Path, valid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pieratif(valid, tmp_path / "none.json") == 2
    out, complaint = capsys.readouterr()
    assert (out, complaint) == ("", f"{tmp_path}/none.json: there is no such file\n")
    assert pieratif("x" * 5000) == 2


def test_a_file_is_wanted() -> None:
    with pytest.raises((CommandError, SystemExit)):
        call_command("pieratif", "validate")


def test_media_must_exist_strictly_where_the_document_says(tmp_path: Path, valid: Path) -> None:
    assert validate_file(valid, strict=True).valid
    missing = written(tmp_path / "missing.json", changed("steps/1/message/1/source/path", "no.png"))
    assert [(error.code, error.step_id) for error in validate_file(missing, strict=True).errors] == [
        ("missing-media", 2)
    ]
    lenient = validate_file(missing)
    assert lenient.valid
    assert [warning.code for warning in lenient.warnings] == ["missing-media"]
    # A path of the sandbox is found beside the document; by the letter it is not there.
    inside = written(tmp_path / "inside.json", changed("steps/1/message/1/source/path", "/logs/agent/i.png"))
    assert validate_file(inside).warnings == []
    assert not validate_file(inside, strict=True).valid


def test_strict_errors_about_media_are_not_warnings_too(tmp_path: Path) -> None:
    path = written(tmp_path / "missing.json", changed("steps/1/message/1/source/path", "no.png"))
    assert [warning.code for warning in validate_file(path, strict=True).warnings] == []


def test_a_gzipped_file_is_read(tmp_path: Path, valid: Path) -> None:
    packed = tmp_path / "trajectory.json.gz"
    packed.write_bytes(gzip.compress(valid.read_bytes()))
    for strict in (False, True):
        verdict = validate_file(packed, strict=strict)
        assert (verdict.valid, verdict.n_steps) == (True, 3)
    packed.write_bytes(packed.read_bytes()[:-20])
    assert "no whole gzip file" in validate_file(packed).errors[0].message
    packed.write_bytes(valid.read_bytes())
    assert "no whole gzip file" in validate_file(packed).errors[0].message


def test_bytes_that_are_not_utf_8_and_numbers_that_json_lacks_are_forgiven_unless_strict(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    text = json.dumps({**VALID, "steps": VALID["steps"][:1]})
    for odd in (text.replace("Do it", "\xff"), text.replace('"total_cost_usd": 0.5', '"total_cost_usd": NaN')):
        path.write_bytes(odd.encode("latin-1"))
        assert validate_file(path).valid
        assert [error.code for error in validate_file(path, strict=True).errors] == ["file"]


def huge(path: Path) -> None:
    """500 MB that take no room on the disk."""
    with path.open("wb") as file:
        file.truncate(500_000_000)


def deep(path: Path) -> None:
    path.write_text(f'{{"schema_version": "ATIF-v1.7", "steps": {"[" * 100_000}{"]" * 100_000}}}')


def bomb(path: Path) -> None:
    """100 MB of blanks in half a megabyte."""
    path.write_bytes(gzip.compress(b" " * 100_000_000, 1))


HARMFUL: dict[str, tuple[Callable[[Path], object], str]] = {
    "huge.json": (huge, "500,000,000 bytes is over the limit"),
    "deep.json": (deep, "nested deeper than 200 levels"),
    "bomb.json.gz": (bomb, "is over the limit of 67,108,864 bytes when unpacked"),
    "pipe.json": (os.mkfifo, "is not a regular file"),
    "pipe.json.gz": (os.mkfifo, "is not a regular file"),
    "folder.json": (Path.mkdir, "is not a regular file"),
    "number.json": (lambda path: path.write_text("[" + "9" * 5_000_000 + "]"), "not an ATIF trajectory"),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_file_is_refused_quickly(tmp_path: Path, name: str, *, strict: bool) -> None:
    make, reason = HARMFUL[name]
    make(tmp_path / name)
    started = time.monotonic()
    verdict = validate_file(tmp_path / name, strict=strict)
    assert time.monotonic() - started < 2.0
    assert not verdict.valid
    if not (strict and name == "number.json"):
        assert reason in verdict.errors[0].message


def test_nothing_of_a_file_reaches_the_terminal_unprintable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {**LENIENT, "schema_version": "ATIF-\x1b[31m\x07"}
    path = written(tmp_path / "a\x1b[2J.json", document)
    assert pieratif(path) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_a_name_that_is_not_utf_8_is_printed_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json")), VALID)
    assert pieratif(path) == 0
    capsys.readouterr()
    assert pieratif("--json", path) == 0
    assert capsys.readouterr().out.isascii()


def converted(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, output and complaints of `pieratif convert`."""
    with pytest.raises(SystemExit) as exit_:
        call_command("pieratif", "convert", *map(str, arguments))
    return int(exit_.value.code or 0), *capsys.readouterr()


@pytest.mark.parametrize(
    ("agent", "scenario", "n_subagents"),
    [
        ("claude-code", "subagent", 1),
        ("codex", "subagent", 1),
        ("gemini-cli", "basic", 0),
        ("mini-swe-agent", "basic", 0),
    ],
)
def test_logs_that_exist_become_a_valid_trajectory_with_all_calls_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], agent: str, scenario: str, n_subagents: int
) -> None:
    folder = next(path for path in golden_folders(agent) if path.name == scenario)
    output = tmp_path / "t.json"
    code, out, err = converted(capsys, agent, folder, "-o", output)
    assert (code, err) == (0, "")
    assert out.startswith(f"{output}: ")
    assert (" steps, 1 sub-agent, " in out) == bool(n_subagents)
    document = json.loads(output.read_text())
    said = [step["message"] for step in document["steps"] if step["source"] == "agent"]
    assert said == [call.text for call in load_golden(folder).said("main")]
    assert len(document.get("subagent_trajectories") or ()) == n_subagents
    assert pieratif("--strict", output) == 0


def test_what_logs_lack_is_given_beside_them_and_prices_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [logs] = [path for path in golden_folders("mini-swe-agent") if path.name == "basic"]
    [name] = {call["model"] for call in load_golden(logs).truth["calls"]}
    (tmp_path / "asked.md").write_text("Do it.")
    price = {"input_cost_per_token": 1.0, "output_cost_per_token": 1.0, "litellm_provider": "openai"}
    (tmp_path / "prices.json").write_text(json.dumps({name: price}))
    given = ("--instruction", tmp_path / "asked.md", "--pricing", tmp_path / "prices.json", "-m", f"openai/{name}")
    code, out, err = converted(capsys, "mini-swe-agent", logs, "-o", tmp_path / "t.json", *given)
    assert (code, err) == (0, "")
    assert "USD" in out


def test_logs_that_give_no_step_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "t.json"
    (tmp_path / "empty").mkdir()
    for logs in (tmp_path / "empty", GOLDEN / "codex/0.169.0/basic"):
        code, out, err = converted(capsys, "opencode", logs, "-o", output)
        assert (code, out) == (1, "")
        assert err.endswith("no step of opencode was found in it; nothing was written\n")
    assert converted(capsys, "opencode", tmp_path / "none", "-o", output)[::2] == (
        2,
        f"{tmp_path}/none: there is no such folder\n",
    )
    nowhere = tmp_path / "new" / "t.json"
    assert converted(capsys, "codex", GOLDEN / "codex/0.169.0/basic", "-o", nowhere)[::2] == (
        2,
        f"{nowhere}: it is no file in a folder that exists\n",
    )
    code, _, err = converted(capsys, "opncode", tmp_path / "empty", "-o", output)
    assert (code, "opencode" in err, err.count("\n")) == (2, True, 1)
    assert not output.exists()


@pytest.mark.corpora
def test_strict_agrees_with_the_expected_verdicts(corpora: Path) -> None:
    expected = json.loads((corpora / "trajectories/expected.json").read_text())
    for name, said in expected.items():
        verdict = validate_file(corpora / "trajectories" / name, strict=True)
        # The verdicts were given on the documents alone, without the images beside them.
        errors = [error for error in verdict.errors if error.code != "missing-media"]
        assert (errors == [], verdict.n_steps) == (said["atif_1_8_0"] == "valid", said["steps"]), name
        assert validate_file(corpora / "trajectories" / name).valid
