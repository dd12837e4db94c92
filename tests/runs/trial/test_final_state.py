"""The final state of a trial: what the agent changed and left, with and without git, after timeouts, within limits."""

import asyncio
import io
import json
import os
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runs.errors import SandboxFailed
from runs.formats.job import AgentConfig, EnvironmentConfig
from runs.formats.result import FinalState
from runs.sandboxes.trees import LINK_MODE, FileEntry
from runs.tasks.sandbox_shell import open_shell
from runs.trial import final_state
from runs.trial.final_state import workspace_chunks
from runs.trial.patches import file_patch
from runs.trial.sandbox import OpenSandbox, sandbox_opener
from tests.runs.trial.test_multi_step import make_steps
from tests.support.tasks import BASE_IMAGE, CLOSED, make_task
from tests.support.trials import make_plan, run_in

SLOW = CLOSED.replace("timeout_sec = 60.0", "timeout_sec = 2.0", 1)
GIT = (
    f"FROM {BASE_IMAGE}\nWORKDIR /app\nRUN echo one > tracked && echo '*.log' > .gitignore && git init -q && "
    "git add -A && git -c user.name=a -c user.email=a@b commit -qm start\n"
)
PLAIN = (
    f"FROM {BASE_IMAGE}\nWORKDIR /app\n"
    "RUN printf '1\\n2\\n3\\n' > kept && echo gone > removed && echo x > /etc/own.conf\n"
)


@pytest.fixture(params=[pytest.param("host"), pytest.param("docker", marks=pytest.mark.docker)])
async def open_sandbox(request: pytest.FixtureRequest) -> AsyncIterator[OpenSandbox]:
    if request.param == "docker":
        request.getfixturevalue("docker_engine")
    opener, close = sandbox_opener(EnvironmentConfig(type=request.param))
    yield opener
    close()


@pytest.fixture
async def in_docker(request: pytest.FixtureRequest) -> AsyncIterator[OpenSandbox]:
    request.getfixturevalue("docker_engine")
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    yield opener
    close()


async def state_of(
    open_sandbox: OpenSandbox, task: Path, job: Path
) -> tuple[FinalState, str, dict[str, tarfile.TarInfo]]:
    """Run the oracle; the final state, the patch's text and the members of the workspace."""
    plan = make_plan(task, job)
    result = await run_in(open_sandbox, plan)
    assert result.final_state is not None
    patch = plan.directory / "changes.patch"
    return result.final_state, patch.read_text() if patch.exists() else "", members(plan.directory)


def members(trial: Path) -> dict[str, tarfile.TarInfo]:
    workspace = trial / "workspace.tar.zst"
    if not workspace.exists():
        return {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(workspace_chunks(workspace)))) as tar:
        return {member.name: member for member in tar}


def apply(patch: bytes, folder: Path) -> None:
    subprocess.run(["git", "apply"], input=patch, cwd=folder, check=True)


async def test_a_new_file_is_in_the_patch_and_in_the_workspace(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    task = make_task(tmp_path, solve="echo 42 > answer.txt; ln -s /etc/passwd link\n")
    state, patch, files = await state_of(open_sandbox, task, tmp_path / "job")
    assert (state.patch_base, state.notes, state.n_changed_files) == ("filesystem", [], 2)
    assert "+++ b/app/answer.txt\n@@ -0,0 +1,1 @@\n+42\n" in patch
    assert "new file mode 120000" in patch
    assert files["app/answer.txt"].size == 3
    assert files["app/link"].issym()


async def test_the_state_is_kept_after_the_agents_timeout(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    task = make_task(tmp_path, solve="echo 42 > answer.txt; sleep 60\n", toml=SLOW)
    state, patch, files = await state_of(open_sandbox, task, tmp_path / "job")
    assert state.notes == []
    assert "+42\n" in patch
    assert "app/answer.txt" in files


async def test_the_job_can_do_without(tmp_path: Path, open_sandbox: OpenSandbox) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job")
    plan = type(plan)(plan.config.model_copy(update={"final_state": False}), attempt=1)
    result = await run_in(open_sandbox, plan)
    assert result.final_state is None
    assert not (plan.directory / "changes.patch").exists()


async def test_a_workspace_above_the_limit_is_left_out_and_the_patch_stays(
    tmp_path: Path, open_sandbox: OpenSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(final_state, "MAX_WORKSPACE_BYTES", 1024 * 1024)
    task = make_task(tmp_path, solve="echo 42 > answer.txt; head -c 3000000 /dev/zero > big\n")
    state, patch, files = await state_of(open_sandbox, task, tmp_path / "job")
    assert "more than 1 MiB" in state.notes[0]
    assert files == {}
    assert "+42\n" in patch
    assert "Binary files /dev/null and b/app/big differ" in patch
    assert list((tmp_path / "job" / "trial-1").glob(".workspace*")) == []


@pytest.mark.docker
async def test_without_git_the_patch_is_against_the_image_and_applies(tmp_path: Path, in_docker: OpenSandbox) -> None:
    solve = "rm removed; printf '1\\ntwo\\n3\\n' > kept; echo y > /etc/own.conf; mkdir -p a/b; printf new > a/b/c\n"
    state, patch, _ = await state_of(in_docker, make_task(tmp_path, solve=solve, dockerfile=PLAIN), tmp_path / "job")
    assert (state.patch_base, state.n_changed_files, state.n_left_out) == ("filesystem", 4, 0)
    for folder in ("app", "etc"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    (tmp_path / "root/app/kept").write_text("1\n2\n3\n")
    (tmp_path / "root/app/removed").write_text("gone\n")
    (tmp_path / "root/etc/own.conf").write_text("x\n")
    apply(patch.encode(), tmp_path / "root")
    assert (tmp_path / "root/app/kept").read_text() == "1\ntwo\n3\n"
    assert (tmp_path / "root/app/a/b/c").read_text() == "new"
    assert (tmp_path / "root/etc/own.conf").read_text() == "y\n"
    assert not (tmp_path / "root/app/removed").exists()


@pytest.mark.docker
async def test_with_git_the_patch_is_against_the_commit_at_the_start(tmp_path: Path, in_docker: OpenSandbox) -> None:
    solve = (
        "echo two > tracked; git -c user.name=a -c user.email=a@b commit -qam mine; git checkout -qb other\n"
        "printf '\\0\\1' > binary; echo no > x.log; echo 42 > answer.txt\n"
    )
    state, patch, _ = await state_of(in_docker, make_task(tmp_path, solve=solve, dockerfile=GIT), tmp_path / "job")
    assert (state.patch_base, state.n_changed_files, state.notes) == ("git", 3, [])
    assert state.patch_commit is not None
    assert "-one\n+two\n" in patch
    assert "GIT binary patch" in patch
    assert "b/answer.txt" in patch
    assert "x.log" not in patch


@pytest.mark.docker
async def test_what_an_agent_plants_in_its_repository_is_not_run(tmp_path: Path, in_docker: OpenSandbox) -> None:
    evil = "touch /app/ran; (setsid sleep 99 > /dev/null 2>&1 < /dev/null &)"
    solve = (
        f"for key in core.fsmonitor filter.f.clean filter.f.process diff.external diff.d.textconv core.pager; do\n"
        f"  git config $key 'sh -c \"{evil}\"'; git config --global $key 'sh -c \"{evil}\"'; done\n"
        "echo '* filter=f diff=d' > .gitattributes; echo two > tracked\n"
        "mkdir -p sub && cd sub && git init -q && git -c user.name=a -c user.email=a@b commit -qm a --allow-empty\n"
        f"git config core.fsmonitor 'sh -c \"{evil}\"'; cd .. ; rm -f ran; echo 42 > answer.txt\n"
    )
    test = "#!/bin/sh\n[ ! -e /app/ran ] && ! pgrep -x sleep -f 'sleep 99' && echo 1 > /logs/verifier/reward.txt\n"
    task = make_task(tmp_path, solve=solve, dockerfile=GIT, test=test)
    plan = make_plan(task, tmp_path / "job")
    result = await run_in(in_docker, plan)
    assert result.exception_info is None
    assert result.rewards == {"reward": 1.0}
    assert result.final_state
    assert result.final_state.patch_base == "git"
    assert "+two" in (plan.directory / "changes.patch").read_text()


@pytest.mark.docker
async def test_a_repository_whose_history_is_gone_gives_the_patch_against_the_image(
    tmp_path: Path, in_docker: OpenSandbox
) -> None:
    solve = "rm -rf .git/objects; mkdir .git/objects; echo two > tracked\n"
    state, patch, _ = await state_of(in_docker, make_task(tmp_path, solve=solve, dockerfile=GIT), tmp_path / "job")
    assert state.patch_base == "filesystem"
    assert "-one\n+two\n" in patch


@pytest.mark.docker
async def test_a_shell_opens_in_a_trials_final_state(
    tmp_path: Path, in_docker: OpenSandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(
        make_task(tmp_path, solve="echo 42 > answer.txt; rm removed\n", dockerfile=PLAIN), tmp_path / "job"
    )
    await run_in(in_docker, plan)
    (tmp_path / "input").write_text("pwd; ls; ls /sys/class/net; exit 3\n")
    # The program that is started reads from descriptor 0 itself.
    kept, given = os.dup(0), os.open(tmp_path / "input", os.O_RDONLY)
    os.dup2(given, 0)
    try:
        assert await asyncio.to_thread(open_shell, plan.directory, print) == 3
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(given)
    assert capfd.readouterr().out.split() == ["/app", "answer.txt", "kept", "lo"]


async def test_each_task_step_has_a_patch_and_the_trial_one_workspace(tmp_path: Path) -> None:
    opener, close = sandbox_opener(EnvironmentConfig(type="host"))
    plan = make_plan(make_steps(tmp_path, {"one": "1", "two": "1"}), tmp_path / "job")
    result = await run_in(opener, plan)
    close()
    patches = {name: (plan.directory / "steps" / name / "changes.patch").read_text() for name in ("one", "two")}
    assert "+one\n" in patches["one"]
    assert "+two\n" not in patches["one"]
    assert "+one\n+two\n" in patches["two"]
    assert members(plan.directory)["app/done.txt"].size == 8
    assert result.step_results
    assert all(step.final_state for step in result.step_results)


@pytest.mark.docker
async def test_the_result_names_the_image(tmp_path: Path, in_docker: OpenSandbox) -> None:
    plan = make_plan(make_task(tmp_path), tmp_path / "job")
    await run_in(in_docker, plan)
    image = json.loads((plan.directory / "result.json").read_text())["image"]
    assert image["origin"] == "built"
    assert image["reference"].startswith("pier-site/task:")
    assert image["platform"].startswith("linux/")


async def test_a_failing_capture_is_a_note_and_not_the_end_of_a_trial(
    tmp_path: Path, open_sandbox: OpenSandbox
) -> None:
    task = make_task(tmp_path, solve="echo 42 > answer.txt; rm -rf /app; true\n")
    result = await run_in(open_sandbox, make_plan(task, tmp_path / "job", agent=AgentConfig(name="oracle")))
    assert result.final_state is not None
    assert not isinstance(result.exception_info, SandboxFailed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "a\n"),
        ("a\n", ""),
        ("a", "a\n"),
        ("a\n", "a"),
        ("\n".join(map(str, range(100))), "\n".join(map(str, range(3, 120)))),
        ("a\nb\nc\n" * 40, "a\nb\nX\n" + "a\nb\nc\n" * 38 + "a\nY\nc\n"),
        ("x\n" * 3000, "y\n" * 3000),
    ],
)
def test_a_patch_of_one_file_applies(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / 'o"d name').write_text(old)
    entries = [FileEntry(0o100644, text.encode()) for text in (old, new)]
    patch = file_patch('o"d name', entries[0], entries[1])
    apply(patch, tmp_path)
    assert (tmp_path / 'o"d name').read_text() == new


def test_a_file_that_became_a_link_and_one_too_large_are_told() -> None:
    link = file_patch("a", FileEntry(0o100644, b"x\n"), FileEntry(LINK_MODE, b"/etc/passwd"))
    assert b"deleted file mode 100644" in link
    assert b"new file mode 120000" in link
    assert b"Binary files a/a and b/a differ" in file_patch("a", FileEntry(0o100644, None), FileEntry(0o100644, None))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/root/.codex/config.toml", True),
        ("/home/agent/.claude.json", True),
        ("/home/agent/.local/share/opencode/log", True),
        ("/root/.local/lib/python3.11/site-packages/six.py", False),
        ("/root/.cargo/bin/rg", False),
        ("/root/notes.txt", False),
        ("/home/agent", False),
        ("/etc/.hidden", False),
    ],
)
def test_settings_of_tools_are_told_from_programs_and_results(path: str, expected: bool) -> None:
    assert final_state.is_setting(path) is expected
