"""Mounts that would open a closed network are refused by name; others are not."""

import socket
from pathlib import Path

import pytest

from runs.errors import SandboxFailed
from runs.formats.network import CLOSED, OPEN
from runs.sandboxes.base import MountSpec
from runs.sandboxes.egress.mounts import refuse_ways_out


def mount_of(source: Path | str) -> MountSpec:
    return MountSpec("bind", str(source), "/data", read_only=True)


@pytest.mark.parametrize(
    "source", ["/", "/proc", "/sys/class/net", "/run", "/var/run/x", "/etc", "/dev/null", "/x/../"]
)
def test_the_system_s_folders_are_refused(source: str) -> None:
    with pytest.raises(SandboxFailed, match="would open it"):
        refuse_ways_out([mount_of(source)], CLOSED)
    refuse_ways_out([mount_of(source)], OPEN)


def test_sockets_are_refused_whatever_they_are_called(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "agent"))
        (tmp_path / "link").symlink_to(tmp_path / "agent")
        for source in (tmp_path / "agent", tmp_path / "link", tmp_path):
            with pytest.raises(SandboxFailed, match="agent is a socket"):
                refuse_ways_out([mount_of(source)], CLOSED)


def test_folders_files_and_volumes_pass(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    volume = MountSpec("volume", "/", "/data", read_only=False)
    refuse_ways_out([mount_of(tmp_path), mount_of(tmp_path / "file"), volume], CLOSED)
