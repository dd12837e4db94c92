"""Where an engine is looked for, and what happens when none answers."""

import json
import os
import shutil
import stat
import tempfile
from hashlib import sha256
from pathlib import Path

import pytest

from pier_site.bootstrap import engine
from pier_site.bootstrap.engine import (
    DEFAULT_SOCKET,
    Engine,
    answers,
    candidate_addresses,
    ensure_engine,
    last_words,
    start,
)
from pier_site.bootstrap.terminal import SetupFailed


def found_programs() -> set[str]:
    """Which programs of the test below this machine has."""
    return {name for name in ("dockerd", "unshare") if shutil.which(name)}


def test_docker_host_is_the_only_candidate_when_it_is_set(tmp_path: Path) -> None:
    assert candidate_addresses({"DOCKER_HOST": "tcp://10.0.0.1:2376"}, tmp_path) == [""]


def test_the_chosen_context_comes_before_the_usual_socket(tmp_path: Path) -> None:
    meta = tmp_path / ".docker/contexts/meta" / sha256(b"colima").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Endpoints": {"docker": {"Host": "unix:///home/me/.colima/docker.sock"}}}))
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "colima"}')
    assert candidate_addresses({}, tmp_path) == ["unix:///home/me/.colima/docker.sock", DEFAULT_SOCKET]


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"currentContext": 3}', '{"currentContext": "gone"}', "\x00"])
def test_an_odd_docker_configuration_is_passed_over(tmp_path: Path, config: str) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(config)
    assert candidate_addresses({}, tmp_path) == [DEFAULT_SOCKET]


def test_a_rootless_engine_is_found_by_its_socket(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").touch()
    candidates = candidate_addresses({"XDG_RUNTIME_DIR": str(tmp_path)}, tmp_path)
    assert candidates == [DEFAULT_SOCKET, f"unix://{tmp_path}/docker.sock"]


def test_nothing_answers_at_an_address_without_an_engine(tmp_path: Path) -> None:
    assert not answers(f"unix://{tmp_path}/nobody.sock")


def test_a_wrong_docker_host_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(SetupFailed, match=r"DOCKER_HOST=unix://.*nobody\.sock"):
        ensure_engine()


def fake_daemon(folder: Path, script: str) -> str:
    """A program in the place of dockerd."""
    path = folder / "dockerd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_daemon_that_dies_is_reported_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "VAR", tmp_path)
    with pytest.raises(SetupFailed, match="no iptables here"):
        start(fake_daemon(tmp_path, "echo first; echo no iptables here; exit 1"), address=f"unix://{tmp_path}/s")


def test_a_silent_daemon_is_stopped_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "VAR", tmp_path)
    monkeypatch.setattr(engine, "START_TIMEOUT_SEC", 0.5)
    with pytest.raises(SetupFailed, match="did not answer"):
        start(fake_daemon(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"), address=f"unix://{tmp_path}/s")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.docker
@pytest.mark.skipif(
    os.geteuid() != 0 or not {"dockerd", "unshare"} <= found_programs(), reason="only root starts dockerd"
)
def test_an_engine_that_we_start_answers_until_we_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="pier-engine-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        monkeypatch.setattr(engine, "VAR", folder)
        # A network namespace of its own: a second dockerd would remove the first one's bridge.
        dockerd = fake_daemon(folder, 'exec unshare --net dockerd "$@"')
        places = (f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid")
        address = f"unix://{folder}/socket"
        second = start(dockerd, arguments=(*places, "--bridge=none", f"--host={address}"), address=address)
        try:
            assert answers(address)
        finally:
            second.stop()
        assert not answers(address)


def test_an_engine_that_was_running_is_never_stopped() -> None:
    Engine(DEFAULT_SOCKET).stop()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", "it wrote nothing"),
        ("one\ntwo\n", "two"),
        (
            "x\nfailed to start daemon: no network:\n iptables\n (exit status 4)\n",
            "no network: iptables (exit status 4)",
        ),
    ],
)
def test_the_last_words_of_a_daemon_are_one_line(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    assert last_words(tmp_path / "log") == words
