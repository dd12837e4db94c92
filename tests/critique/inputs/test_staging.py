"""What is laid out for a critic: all that is evidence, nothing that is secret, nothing that leads elsewhere."""

import gzip
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
import zstandard

from critique.formats.records import CritiqueRecord, dump_record
from critique.inputs.copying import CopyLimits, copy_folder
from critique.inputs.masking import Masker
from critique.inputs.staging import Subject, stage_input
from critique.inputs.trajectories import trajectories_of
from runs.errors import FileUnreadable
from tests.runs.indexing.files import make_job, make_trial, step, trajectory, write

KNOWN = "known-value-of-this-process"
REFERRED = "value-that-a-config-refers-to"
LOOKS = "sk-ant-api03-planted0123456789"
HARD = "only-its-key-tells"


@pytest.fixture(autouse=True)
def _secrets_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", KNOWN)
    monkeypatch.setenv("WORK_LOGIN", REFERRED)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks/fix-it"
    write(folder / "instruction.md", "Fix it.")
    write(folder / "tests/test.sh", "#!/bin/sh\nexit 0\n")
    (folder / "tests/test.sh").chmod(0o755)
    return folder


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    return make_trial(make_job(tmp_path, trials=0), steps=3)


def keep_workspace(trial: Path, files: dict[str, str]) -> None:
    """Put a workspace file into a trial, with a link that leads out of it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        link = tarfile.TarInfo("app/escape")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            member.mode = 0o700
            tar.addfile(member, io.BytesIO(text.encode()))
    (trial / "workspace.tar.zst").write_bytes(zstandard.compress(stream.getvalue()))


def all_bytes(folder: Path) -> bytes:
    """All that a reader of the folder can see; what is packed, unpacked."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return b"\n".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files
    )


def test_task_trial_workspace_and_text_are_laid_out(task: Path, trial: Path, tmp_path: Path) -> None:
    keep_workspace(trial, {"app/main.py": "print(1)\n", "app/deep/x.txt": "x", "../../evil": "x"})
    staged = stage_input(Subject(task, trial), tmp_path / "input")
    found = {path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file()}
    assert found >= {
        *("task/instruction.md", "task/tests/test.sh", "trial/result.json", "trial/agent/trajectory.json"),
        *("workspace/main.py", "workspace/deep/x.txt", "text/README.md", "text/outline.txt"),
        *("text/steps-00001-00003.txt", "NOTES.txt"),
    }
    assert not any("evil" in name or "escape" in name or "workspace.tar" in name for name in found)
    assert (staged.n_steps, staged.has_workspace) == (3, True)
    assert any("2 links and special files" in note for note in staged.notes)
    assert (staged.folder / "NOTES.txt").read_text().splitlines() == list(staged.notes)


def test_everything_can_be_read_by_everyone(task: Path, trial: Path, tmp_path: Path) -> None:
    keep_workspace(trial, {"app/main.py": "print(1)\n"})
    (trial / "result.json").chmod(0o600)
    (trial / "agent").chmod(0o700)
    write(trial / "trial.log", f"key {LOOKS}").chmod(0o4755)
    before = os.umask(0o077)
    try:
        staged = stage_input(Subject(task, trial), tmp_path / "input")
    finally:
        os.umask(before)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [staged.folder, *staged.folder.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o755}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644, 0o755}
    assert modes[staged.folder / "task/tests/test.sh"] == 0o755
    assert stat.S_IMODE((trial / "result.json").stat().st_mode) == 0o600


def test_a_file_without_secrets_takes_no_space_and_stays_as_it_is(trial: Path, tmp_path: Path) -> None:
    log = write(trial / "trial.log", "nothing\n")
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    assert (staged.folder / "trial/trial.log").samefile(log)


def test_no_secret_is_in_any_staged_byte(task: Path, trial: Path, tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": LOOKS, "MY_LOGIN": HARD, "ANTHROPIC_API_KEY": "${WORK_LOGIN}"}
    write(trial / "config.json", {"agent": {"env": env, "kwargs": {"password": HARD}}})
    write(trial / "lock.json", {"agents": [{"env": [f"MY_LOGIN={HARD}"]}]})
    result = json.loads((trial / "result.json").read_text())
    write(trial / "result.json", {**result, "config": {"agent": {"env": env}}})
    said = f"OPENAI_API_KEY={LOOKS}\nPLANTED={KNOWN}\nlogin {REFERRED} {json.dumps(KNOWN)}"
    call = {"tool_call_id": "c", "function_name": "Bash", "arguments": {"command": f"export A={KNOWN}"}}
    document = trajectory(step(1, message=said, tool_calls=[call]), trajectory_id="main")
    write(trial / "agent/trajectory.json", document)
    (trial / "agent/trajectory.cont-1.json.gz").write_bytes(gzip.compress(json.dumps(document).encode()))
    write(trial / "agent/codex.jsonl", json.dumps({"line": said}) + "\n")
    write(trial / "agent/auth.json", {"tokens": HARD})
    write(trial / "agent/.env", f"ANYTHING={HARD}\n")
    write(trial / "agent/config.toml", f'[x]\nexperimental_bearer_token = "{HARD}"\n')
    write(trial / "trial.log", said)
    write(trial / "artifacts/dump.bin", f"\0\0{KNOWN}\0")
    write(task / "instruction.md", f"Use {KNOWN}.")
    keep_workspace(trial, {"app/.netrc": f"password {LOOKS}", "app/notes.txt": f"{KNOWN} {REFERRED}"})
    critique = write(tmp_path / "critique-result.json", {"feedback": f"It printed {KNOWN}"})
    staged = stage_input(Subject(task, trial, critique), tmp_path / "input")
    seen = all_bytes(staged.folder)
    for secret in (KNOWN, REFERRED, LOOKS, HARD):
        assert secret.encode() not in seen
    assert b"ANTHROPIC_API_KEY" in seen
    assert (staged.folder / "critique.json").is_file()
    assert not (staged.folder / "trial/agent/auth.json").exists()
    (main, *_) = trajectories_of(staged.folder / "trial")
    assert next(main.steps()).text.startswith('OPENAI_API_KEY=****\nPLANTED=****\nlogin **** "****"\nBash')
    assert KNOWN in (trial / "trial.log").read_text()


@pytest.mark.parametrize("name", ["trajectory.json", "helper.json"])
def test_what_arguments_are_called_makes_no_secret_of_them(trial: Path, tmp_path: Path, name: str) -> None:
    call = {"tool_call_id": "c", "function_name": "press", "arguments": {"key": "Enter", "env": {"A": "words"}}}
    path = write(trial / "agent" / name, trajectory(step(1, tool_calls=[call])))
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    assert (staged.folder / "trial/agent" / name).read_bytes() == path.read_bytes()


def test_a_record_that_is_too_large_to_be_looked_through_is_left_out(trial: Path, tmp_path: Path) -> None:
    write(trial / "lock.json", {"x": "y" * 9_000_000})
    write(trial / "agent/large.json", {"x": "y" * 9_000_000})
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    assert not (staged.folder / "trial/lock.json").exists()
    assert (staged.folder / "trial/agent/large.json").exists()
    assert any("lock.json left out" in note for note in staged.notes)


def test_a_file_that_only_claims_to_be_packed_is_given(trial: Path, tmp_path: Path) -> None:
    write(trial / "artifacts/log.gz", f"no gzip: {LOOKS}")
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    assert (staged.folder / "trial/artifacts/log.gz").read_text() == "no gzip: ****"


def test_the_words_of_a_tasks_author_are_given_as_they_are(task: Path, tmp_path: Path) -> None:
    write(task / "tests/fixture.env", f"API_KEY={LOOKS}\n")
    staged = stage_input(Subject(task, None), tmp_path / "input")
    assert LOOKS in (staged.folder / "task/tests/fixture.env").read_text()
    assert not (staged.folder / "text").exists()


def test_earlier_executions_critiques_and_opinions_are_not_given(trial: Path, tmp_path: Path) -> None:
    for number in (1, 2):
        write(trial / f"executions/{number}/trial.log", "earlier")
    write(trial / "executions.txt", "not ours")
    write(trial / ".critiques/run/x.json", {"rating": "good"})
    write(trial / "analysis.json", {"summary": "fine"})
    write(trial / "agent/analysis.json", {"kept": True})
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    names = {path.name for path in (staged.folder / "trial").iterdir()}
    assert not names & {"executions", ".critiques", "analysis.json"}
    assert "2 earlier executions" in (staged.folder / "trial/executions.txt").read_text()
    assert (staged.folder / "trial/agent/analysis.json").is_file()


def test_links_and_special_files_are_left_out_and_told(trial: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/secret.txt", "outside")
    (trial / "agent/link.txt").symlink_to(outside)
    (trial / "agent/folder").symlink_to(outside.parent)
    os.mkfifo(trial / "agent/pipe")
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    assert b"outside" not in all_bytes(staged.folder / "trial")
    assert {path.name for path in (staged.folder / "trial/agent").iterdir()} == {"trajectory.json"}
    told = "\n".join(staged.notes)
    assert all(name in told for name in ("agent/link.txt", "agent/folder", "agent/pipe"))


def test_a_trial_that_is_a_link_is_refused(trial: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(trial)
    with pytest.raises(FileUnreadable, match="is not a folder"):
        stage_input(Subject(None, tmp_path / "link"), tmp_path / "input")


def test_limits_leave_out_and_tell(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / f"source/{number}.txt", "x" * 100)
    write(tmp_path / "source/large.txt", "x" * 1_000)
    write(tmp_path / "source/a/b/c.txt", "deep")
    limits = CopyLimits(size_bytes=350, file_bytes=500, depth=1)
    done = copy_folder(tmp_path / "source", tmp_path / "target", Masker(), limits=limits)
    assert (done.n_files, done.size_bytes) == (3, 300)
    assert sorted(done.notes("it")) == [
        "it: 3.txt, 4.txt left out, because there are more than 350 bytes",
        "it: a/b left out, because they lie more than 1 folders deep",
        "it: large.txt left out, because each has more than 500 bytes",
    ]


def test_a_damaged_workspace_is_a_note(trial: Path, tmp_path: Path) -> None:
    (trial / "workspace.tar.zst").write_bytes(b"no zstd at all")
    staged = stage_input(Subject(None, trial), tmp_path / "input")
    assert not staged.has_workspace
    assert any("could not be unpacked" in note for note in staged.notes)
    assert {path.name for path in staged.folder.iterdir()} == {"trial", "text", "NOTES.txt"}


def test_a_critique_that_is_not_there_is_refused(trial: Path, tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="critique's result"):
        stage_input(Subject(None, trial, tmp_path / "none.json"), tmp_path / "input")


def test_a_critic_of_a_run_gets_all_critiques_and_an_overview(tmp_path: Path) -> None:
    record = CritiqueRecord(
        run_name="run", name="one", source_dir=tmp_path, source_name="fix-it__1", outcome="valid", critic_label="nop"
    )
    folders = tuple(tmp_path / "job/.critiques/run" / name for name in ("one", "two"))
    for folder in folders:
        write(folder / "critique.json", dump_record(record))
        write(folder / "artifacts/critique-result.json", {"rating": "bad", "tag": "X", "feedback": f"Saw {KNOWN}"})
        write(folder / "agent/trajectory.json", trajectory())
    staged = stage_input(Subject(None, None, critiques=folders), tmp_path / "input")
    found = {path.relative_to(staged.folder).as_posix() for path in staged.folder.rglob("*") if path.is_file()}
    assert found == {
        *("critiques/README.md", "critiques/table.md", "critiques/digest-001.md"),
        *(f"critiques/{name}/{file}" for name in ("one", "two") for file in ("critique.json", "critique-result.json")),
    }
    assert KNOWN.encode() not in all_bytes(staged.folder)
    assert "fix-it__1" in (staged.folder / "critiques/table.md").read_text()
