"""Who is alive: by host, pid and start time; in doubt, everybody is."""

import os
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.owner import is_alive, process_start_time, this_owner

HOST = socket.gethostname()


def test_this_process_is_alive() -> None:
    assert is_alive(this_owner())


def test_a_process_that_ended_is_dead_even_while_nobody_has_asked_for_its_exit_code() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = f"{HOST}:{process.pid}:{process_start_time(process.pid)}"
        assert is_alive(owner)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(owner)
    assert not is_alive(owner)


def test_a_pid_that_another_process_has_now_does_not_keep_its_owner_alive() -> None:
    host, pid, started = this_owner().split(":")
    assert not is_alive(f"{host}:{pid}:{int(started) - 1}")


def test_without_start_times_the_pid_alone_decides() -> None:
    assert is_alive(f"{HOST}:{os.getpid()}:0")
    assert not is_alive(f"{HOST}:{2**22 + 1}:0")


@pytest.mark.parametrize(
    "owner",
    ["", "somebody", f"another-{HOST}:1:1", f"{HOST}:x:1", f"{HOST}:1", f"{HOST}:1:1:1", f"{HOST}:-1:1", f"{HOST}:٣:1"],
)
def test_what_cannot_be_known_from_here_counts_as_alive(owner: str) -> None:
    assert is_alive(owner)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert is_alive(text) in (True, False)
