"""What `make test` says at its end, and how programs are run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pier_site.bootstrap.checks import Outcome, Stage, report, run_stages
from pier_site.bootstrap.terminal import ROOT, SetupFailed, run_quietly


def test_a_failed_stage_is_named_and_the_others_still_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    stages = (Stage("bad", ("false",)), Stage("good", ("touch", str(mark))))
    assert run_stages(stages) == 1
    assert mark.exists()


def test_the_report_has_a_line_a_stage_and_a_verdict() -> None:
    good, bad = Outcome(Stage("a", ()), 1.25, 0), Outcome(Stage("b", ()), 2.0, 3)
    assert report([good]) == ["    1.2 s  ok      a", "all good"]
    assert report([good, bad])[-1] == "failed: b"


def test_a_quiet_program_that_fails_tells_the_end_of_its_output() -> None:
    with pytest.raises(SetupFailed, match="trying: sh ended with 3:\nwhy not"):
        run_quietly(["sh", "-c", "echo why not >&2; exit 3"], what="trying")


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(SetupFailed, match="no-such-program cannot be started"):
        run_quietly(["no-such-program"], what="trying")


def test_a_terminated_command_stops_what_it_runs(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "from pier_site.bootstrap.terminal import exit_on_sigterm, run_program; exit_on_sigterm();"
        f"run_program(['sh', '-c', 'echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 60'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    deadline = time.monotonic() + 10
    while not pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
