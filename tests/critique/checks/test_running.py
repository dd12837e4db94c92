"""Suggested checks, run in a fresh sandbox with what a trial left."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from critique.checks.output import MAX_KEPT_BYTES, Output
from critique.checks.records import CheckRecord, output_path, read_check, record_path
from critique.checks.running import AS_EXPECTED, run_check, run_checks
from critique.formats.config import ChecksConfig
from critique.formats.contract import ClaimModel, CritiqueResult
from runs.errors import FileUnreadable, SandboxFailed
from runs.sandboxes.base import OnOutput
from runs.sandboxes.host import HostSandbox
from runs.trial.sandbox import OpenSandbox
from tests.support.tasks import CLOSED, make_task
from tests.support.trials import make_plan, run_on_host

SOLVE = "echo 42 > answer.txt; mkdir -p /logs/artifacts; echo kept > /logs/artifacts/kept\n"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a task and of a job with a finished trial of it."""
    root = tmp_path_factory.mktemp("finished")
    asyncio.run(run_on_host(make_plan(make_task(root, solve=SOLVE), root / "job")))
    return root


@pytest.fixture
def source(finished: Path, tmp_path: Path) -> Path:
    """The directory of a finished trial with its final state, whose task may be changed too."""
    for name in ("write-answer", "job"):
        shutil.copytree(finished / name, tmp_path / name)
    trial = tmp_path / "job" / "trial-1"
    result = trial / "result.json"
    result.write_text(result.read_text().replace(str(finished), str(tmp_path)))
    return trial


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A critique's directory."""
    (tmp_path / "critique").mkdir()
    return tmp_path / "critique"


def claim_of(command: str, timeout_sec: float = 60.0, **expect: Any) -> ClaimModel:
    check = {"command": command, "expect": expect or {"exit_code": 0}, "timeout_sec": timeout_sec}
    return ClaimModel.model_validate({"claim": "So it is.", "suggested_check": check})


async def check(
    source: Path,
    folder: Path,
    claim: ClaimModel,
    open_sandbox: OpenSandbox = HostSandbox,
    limit_sec: float = 30.0,
) -> CheckRecord:
    return await run_check(
        source, claim, number=3, folder=folder, open_sandbox=open_sandbox, limit_sec=limit_sec
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "expect", "outcome", "reason"),
    [
        ("test $(cat answer.txt) = 42", {"exit_code": 0}, "confirmed", AS_EXPECTED),
        ("cat answer.txt", {"output_contains": "42", "output_lacks": "43"}, "confirmed", AS_EXPECTED),
        ("cat /logs/artifacts/kept; exit 4", {"exit_code": 4}, "confirmed", AS_EXPECTED),
        ("bash /tests/test.sh; cat /logs/verifier/reward.txt", {"output_contains": "1"}, "confirmed", AS_EXPECTED),
        ("no-such-program-1", {"exit_code": 127}, "confirmed", AS_EXPECTED),
        ("true", {"exit_code": 1}, "refuted", "it ended with 0, not with 1"),
        ("cat answer.txt", {"output_contains": "43"}, "refuted", "its output lacks what it was to contain"),
        ("cat answer.txt >&2", {"output_lacks": "42"}, "refuted", "its output contains what it was to lack"),
        (
            "cat answer.txt; exit 3",
            {"exit_code": 0, "output_contains": "x", "output_lacks": "42"},
            "refuted",
            "it ended with 3, not with 0; its output lacks what it was to contain; "
            "its output contains what it was to lack",
        ),
        ("no-such-program-1", {"exit_code": 0}, "not_runnable", "the shell could not run it: it ended with 127"),
        ("./answer.txt", {"output_lacks": "x"}, "not_runnable", "the shell could not run it: it ended with 126"),
    ],
)  # fmt: skip
async def test_what_a_command_shows_about_a_claim(
    source: Path, folder: Path, command: str, expect: dict[str, Any], outcome: str, reason: str
) -> None:
    record = await check(source, folder, claim_of(command, **expect))
    assert (record.outcome, record.reason) == (outcome, reason)
    assert read_check(folder, 3) == record
    assert sorted(path.name for path in (folder / "checks").iterdir()) == ["3.json", "3.txt"]
    assert [path.name for path in folder.iterdir()] == ["checks"]


async def test_the_output_is_kept_and_its_end_is_shown(source: Path, folder: Path) -> None:
    record = await check(source, folder, claim_of("echo out; echo err >&2; printf '\\033[31mred\\033[0m\\n'"))
    assert sorted(output_path(folder, 3).read_text().split("\n")) == ["", "\x1b[31mred\x1b[0m", "err", "out"]
    assert (record.output, record.output_bytes, record.is_cut) == ("checks/3.txt", 21, False)
    assert sorted(record.tail.split()) == ["err", "out", "red"]
    assert record.seconds is not None
    assert record.exit_code == 0


async def test_a_flood_of_output_is_bounded_and_looked_through_to_its_end(source: Path, folder: Path) -> None:
    command = (
        "head -c 3000000 /dev/zero | tr '\\0' x; echo needle-in-the-middle; head -c 3000000 /dev/zero | tr '\\0' y"
    )
    record = await check(source, folder, claim_of(command, output_contains="needle-in-the-middle"))
    assert (record.outcome, record.is_cut, record.output_bytes) == ("confirmed", True, 6_000_021)
    kept = output_path(folder, 3).read_bytes()
    assert len(kept) <= MAX_KEPT_BYTES
    assert kept.startswith(b"xxx")
    assert b"bytes are left out here]" in kept
    assert kept.endswith(b"yyy")


async def test_a_command_that_does_not_end_in_time_tells_nothing_and_leaves_no_process(
    source: Path, folder: Path
) -> None:
    command = "echo begun; (setsid sleep 61.75 &); sleep 61.75"
    for claim, limit_sec in ((claim_of(command, timeout_sec=2.0), 30.0), (claim_of(command, timeout_sec=60.0), 2.0)):
        record = await check(source, folder, claim, limit_sec=limit_sec)
        assert (record.outcome, record.exit_code) == ("not_runnable", None)
        assert record.reason == "the command took longer than 2 s and was stopped"
        assert b"sleep\x0061.75" not in b"\n".join(command_lines())


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


async def test_a_check_that_is_cancelled_says_so_and_goes_on_cancelling(source: Path, folder: Path) -> None:
    task = asyncio.create_task(check(source, folder, claim_of("sleep 60")))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = read_check(folder, 3)
    assert record is not None
    assert (record.outcome, record.reason) == ("not_runnable", "it was stopped before it ended")


async def test_nothing_of_the_jobs_variables_and_of_this_machine_is_given(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2-hunter2")
    variables = 'env = { OWN = "plain", THEIRS = "${SOME_API_KEY}" }\n[verifier.env]\nJUDGE = "${SOME_API_KEY}"\n'
    plan = make_plan(make_task(tmp_path, toml=f"{CLOSED}\n{variables}"), tmp_path / "job")
    given = {"JOBS": "value-of-the-job", "JOBS_API_KEY": "one-that-is-kept-nowhere"}
    environment = plan.config.environment.model_copy(update={"env": given})
    plan = replace(plan, config=plan.config.model_copy(update={"environment": environment}))
    await run_on_host(plan)
    # Of the job's secret only the mask is in the trial's files, and nothing needs it.
    assert "****" in (plan.directory / "result.json").read_text()
    record = await check(plan.directory, folder, claim_of("env; echo OWN=$OWN", output_contains="OWN=plain"))
    assert record.outcome == "confirmed"
    output = output_path(folder, 3).read_text()
    for word in ("hunter2", "THEIRS", "JUDGE", "JOBS", "value-of-the-job", "nowhere"):
        assert word not in output
    assert "not given: the variables that the job set" in record.notes


async def test_a_secret_that_the_agent_left_behind_is_masked_in_what_is_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hunter2-hunter2")
    plan = make_plan(make_task(tmp_path, solve="echo hunter2-hunter2 > answer.txt\n"), tmp_path / "job")
    await run_on_host(plan)
    record = await check(plan.directory, folder, claim_of("cat answer.txt"))
    assert "hunter2" not in record.tail + output_path(folder, 3).read_text() + record_path(folder, 3).read_text()
    assert record.tail.strip() == "****"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda trial: (trial / "workspace.tar.zst").unlink(), "its working directory was not kept, or was removed"),
        (lambda trial: (trial / "workspace.tar.zst").write_bytes(b"x"), "workspace.tar.zst is not of the size"),
        (lambda trial: (trial / "result.json").unlink(), "it has no result yet"),
        (lambda trial: (trial / "result.json").write_text("{"), "its result cannot be read"),
        (lambda trial: (trial.parent.parent / "write-answer" / "task.toml").unlink(), "task.toml"),
        (lambda trial: (trial.parent.parent / "write-answer").rename(trial.parent / "elsewhere"), "its task is not at"),
    ],
)  # fmt: skip
async def test_without_the_final_state_or_the_task_nothing_can_be_shown(
    source: Path, folder: Path, spoil: Any, reason: str
) -> None:
    spoil(source)
    record = await check(source, folder, claim_of("true"))
    assert record.outcome == "not_runnable"
    assert reason in record.reason
    assert record.exit_code is None


async def test_a_damaged_workspace_is_not_taken_for_a_refutation(source: Path, folder: Path) -> None:
    path = source / "workspace.tar.zst"
    path.write_bytes(b"\0" * path.stat().st_size)
    record = await check(source, folder, claim_of("test -f answer.txt"))
    assert record.outcome == "not_runnable"
    assert "damaged" in record.reason


async def test_a_sandbox_that_does_not_start_is_not_taken_for_a_refutation(source: Path, folder: Path) -> None:
    class Broken(HostSandbox):
        async def start(self, *, log: OnOutput) -> None:
            raise SandboxFailed("no engine here")

    record = await check(source, folder, claim_of("true"), Broken)
    assert (record.outcome, record.reason) == ("not_runnable", "no engine here")


async def test_changed_tests_are_noted(source: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "write-answer" / "tests" / "test.sh").write_text("echo 0 > /logs/verifier/reward.txt\n")
    record = await check(source, folder, claim_of("true"))
    assert record.outcome == "confirmed"
    assert "the task's files, tests among them, are not those of the trial any more" in record.notes


async def test_each_check_of_a_critique_gets_a_sandbox_of_its_own_up_to_the_limit(source: Path, folder: Path) -> None:
    checks = [
        {"command": "ls; echo more > answer.txt; touch other", "expect": {"output_lacks": "other"}},
        None,
        {"command": "ls; cat answer.txt", "expect": {"output_lacks": "other", "output_contains": "42"}},
        {"command": "true", "expect": {"exit_code": 0}},
    ]
    claims = [{"claim": "So it is.", "suggested_check": one} for one in checks]
    result = CritiqueResult.model_validate({"rating": "bad", "feedback": "See.", "claims": claims})
    seen: list[int] = []
    records = await run_checks(
        source,
        result,
        folder=folder,
        open_sandbox=HostSandbox,
        config=ChecksConfig(enabled=True, max_per_critique=2),
        on_record=lambda record: seen.append(record.claim),
    )
    assert [(record.claim, record.outcome) for record in records] == [(1, "confirmed"), (3, "confirmed")]
    assert seen == [1, 3]
    assert read_check(folder, 4) is None


def test_a_record_that_cannot_be_read_is_told_with_its_path(folder: Path) -> None:
    record_path(folder, 1).parent.mkdir()
    for text in ("", "[]", json.dumps({"outcome": "proven"})):
        record_path(folder, 1).write_text(text)
        with pytest.raises(FileUnreadable, match=r"1\.json"):
            read_check(folder, 1)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_text_is_seen_wherever_the_output_is_cut_into_pieces(size: int) -> None:
    output = Output(contains="needle", lacks="thread")
    data = b"hay " * 50 + b"needle" + b" hay" * 50
    for start in range(0, len(data), size):
        output.take("stdout", data[start : start + size])
        output.take("stderr", b"thr")
    assert (output.wanted.was_seen, output.unwanted.was_seen) == (True, False)
    assert output.n_bytes == len(output.kept())
