"""What every sandbox must do, asked of each kind."""

import asyncio
import time
from pathlib import Path

import pytest

from runs.errors import SandboxFailed
from runs.sandboxes.base import LOG_FOLDERS, Sandbox, Stream
from runs.sandboxes.extraction import SourceMissing
from tests.runs.sandboxes.conftest import SANDBOXES

pytestmark = [pytest.mark.asyncio, pytest.mark.parametrize("sandbox", SANDBOXES, indirect=True)]


async def output_of(sandbox: Sandbox, command: str, **options: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    kept: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}

    def keep(stream: Stream, data: bytes) -> None:
        kept[stream] += data

    result = await sandbox.exec(command, on_output=keep, **options)  # type: ignore[arg-type] # forwarded as they are
    return result.exit_code, kept["stdout"].decode(), kept["stderr"].decode()


async def test_exit_code_stdout_and_stderr_are_told_apart(sandbox: Sandbox) -> None:
    assert await output_of(sandbox, "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")


async def test_commands_run_in_the_working_directory_with_bash(sandbox: Sandbox) -> None:
    assert await output_of(sandbox, "pwd; [[ -n $BASH_VERSION ]] && echo bash") == (0, "/app\nbash\n", "")


async def test_another_working_directory_can_be_asked_for(sandbox: Sandbox) -> None:
    assert (await output_of(sandbox, "pwd", cwd="/logs/agent"))[1] == "/logs/agent\n"


async def test_env_reaches_this_command_only(sandbox: Sandbox) -> None:
    assert (await output_of(sandbox, "echo $TOKEN", env={"TOKEN": "a b'c"}))[1] == "a b'c\n"
    assert (await output_of(sandbox, "echo [$TOKEN]"))[1] == "[]\n"


async def test_stdin_is_given_and_then_closed(sandbox: Sandbox) -> None:
    assert (await output_of(sandbox, "cat; echo end", stdin=b"line\n"))[1] == "line\nend\n"
    assert (await output_of(sandbox, "cat; echo end"))[1] == "end\n"


async def test_output_streams_while_the_command_runs(sandbox: Sandbox) -> None:
    arrivals: list[float] = []
    await sandbox.exec("echo 1; sleep 0.4; echo 2", on_output=lambda *_: arrivals.append(time.monotonic()))
    assert arrivals[-1] - arrivals[0] > 0.3


async def test_large_output_is_whole(sandbox: Sandbox) -> None:
    _, out, _ = await output_of(sandbox, "head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(out) == 3_000_000


async def test_the_log_folders_are_there_and_anybody_may_write(sandbox: Sandbox) -> None:
    for folder in LOG_FOLDERS:
        assert (await output_of(sandbox, f"stat -c %a {folder}"))[1] == "777\n" or sandbox.kind == "host"
        assert (await output_of(sandbox, f"touch {folder}/probe"))[0] == 0


async def test_a_directory_goes_in_and_comes_out_the_same(sandbox: Sandbox, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    (source / "run.sh").write_text("echo ran")
    (source / "sub" / "data.bin").write_bytes(bytes(range(256)) * 500)
    await sandbox.upload(source, "/solution")
    assert (await output_of(sandbox, "/solution/run.sh"))[1] == "ran\n"
    done = await sandbox.download("/solution", tmp_path / "out")
    assert done.is_directory
    assert (tmp_path / "out" / "sub" / "data.bin").read_bytes() == (source / "sub" / "data.bin").read_bytes()


async def test_a_file_goes_to_a_new_place_with_parents(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "patch").write_text("diff")
    await sandbox.upload(tmp_path / "patch", "/logs/artifacts/deep/model.patch")
    done = await sandbox.download("/logs/artifacts/deep/model.patch", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "diff"
    assert not done.is_directory


async def test_a_missing_source_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match="/logs/agent/none"):
        await sandbox.download("/logs/agent/none", tmp_path / "out")


async def test_a_link_out_of_the_sandbox_is_refused_on_the_way_out(sandbox: Sandbox, tmp_path: Path) -> None:
    await sandbox.exec("ln -s /etc/passwd /logs/agent/passwd; echo ok > /logs/agent/good")
    done = await sandbox.download("/logs/agent", tmp_path / "out")
    assert [Path(refused.name).name for refused in done.refused] == ["passwd"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]


async def test_a_command_that_is_timed_out_is_killed_with_its_double_forks(sandbox: Sandbox) -> None:
    command = "(setsid sh -c 'while :; do date +%N >> /logs/agent/alive; sleep 0.05; done' &) ; sleep 60"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await sandbox.exec(command)
    await assert_nothing_writes(sandbox)


async def test_ending_the_processes_ends_daemons_and_keeps_files(sandbox: Sandbox) -> None:
    command = "nohup setsid sh -c 'while :; do date +%N >> /logs/agent/alive; sleep 0.05; done' >/dev/null 2>&1 &"
    await sandbox.exec(command)
    await asyncio.sleep(0.3)
    await sandbox.end_processes()
    await assert_nothing_writes(sandbox)


async def assert_nothing_writes(sandbox: Sandbox) -> None:
    first = await output_of(sandbox, "cat /logs/agent/alive")
    await asyncio.sleep(0.3)
    assert first[1]
    assert await output_of(sandbox, "cat /logs/agent/alive") == first


async def test_a_handler_is_served_on_the_loopback_inside_and_outlives_the_processes(sandbox: Sandbox) -> None:
    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()

    port = await sandbox.serve_inside(8800, upper)
    command = f"exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3; cat <&3"
    assert (await output_of(sandbox, command))[1] == "HELLO\n"
    await sandbox.end_processes()
    assert (await output_of(sandbox, command))[1] == "HELLO\n"


async def test_a_stopped_sandbox_can_be_stopped_again_and_not_used(sandbox: Sandbox) -> None:
    await sandbox.stop()
    await sandbox.stop()
    with pytest.raises(SandboxFailed):
        await sandbox.exec("true")


async def test_folders_are_emptied_in_place_and_links_in_their_places_are_not_followed(sandbox: Sandbox) -> None:
    await sandbox.exec(
        "mkdir -p /logs/agent/.deep/x /app/kept; rm -rf /tests; ln -s /app/kept /tests; touch /app/kept/y"
    )
    await sandbox.empty("/logs/agent", "/tests")
    assert await output_of(sandbox, "ls -A /logs/agent /tests; ls /app/kept; [ ! -L /tests ]") == (
        0,
        "/logs/agent:\n\n/tests:\ny\n",
        "",
    )
