"""Talk to the person who typed `make`, and run the programs that do the work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Never

from runs.errors import PierError

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"
CACHE = ROOT / ".cache"
TAIL_LINES = 15
STOP_TIMEOUT_SEC = 30


class SetupFailed(PierError):
    """This machine cannot be set up as it is; the message says what to do."""


def say(line: str) -> None:
    """One short line on stdout, at once."""
    sys.stdout.write(f"pier: {line}\n")
    sys.stdout.flush()


def exit_on_sigterm() -> None:
    """Let a SIGTERM unwind the stack as Ctrl-C does, so that everything that was started is stopped."""

    def leave(number: int, _frame: FrameType | None) -> Never:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def run_program(argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
    """Run in the repository with this terminal's output; return the exit code. It is asked to stop when we are."""
    process = subprocess.Popen(argv, cwd=ROOT, env=env)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_SEC)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_quietly(
    argv: Sequence[str], *, what: str, env: Mapping[str, str] | None = None, timeout_sec: float = 900
) -> str:
    """Run and return the output; raise `SetupFailed` with the end of the output when the program fails.

    When we are interrupted, the program and all that it started end first: they must not work on what is removed next.
    """
    try:
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise SetupFailed(f"{what}: {argv[0]} cannot be started: {error.strerror}") from error
    with process:
        try:
            output, _ = process.communicate(timeout=timeout_sec)
        except subprocess.TimeoutExpired as error:
            end_group(process)
            raise SetupFailed(f"{what}: {argv[0]} took longer than {timeout_sec:.0f} s") from error
        except BaseException:
            end_group(process)
            raise
    if process.returncode:
        tail = "\n".join(output.strip().splitlines()[-TAIL_LINES:])
        raise SetupFailed(f"{what}: {argv[0]} ended with {process.returncode}:\n{tail}")
    return output


def end_group(process: subprocess.Popen[str]) -> None:
    """End a program that leads a session of its own, with everything in it."""
    for number, patience_sec in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 1.0)):
        deadline = time.monotonic() + patience_sec
        while time.monotonic() < deadline:
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                return
            process.poll()
            time.sleep(0.1)
