"""The decisions of `make run`: which port, and whether the examples must run."""

import socket
from pathlib import Path

import pytest

from pier_site.bootstrap import launch
from pier_site.bootstrap.launch import is_finished, wanted_port
from pier_site.bootstrap.terminal import SetupFailed


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(SetupFailed, match="is not a port"):
        wanted_port(text)


def test_a_port_in_use_is_refused_when_asked_for_and_passed_over_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        with pytest.raises(SetupFailed, match=f"port {taken} is in use"):
            wanted_port(str(taken))
        monkeypatch.setattr(launch, "FIRST_PORT", taken)
        assert wanted_port(None) > taken


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ('{"finished_at": "2026-01-01T00:00:00Z"}', True),
        ('{"finished_at": null}', False),
        ("{", False),
        ("[]", False),
        (None, False),
    ],
)
def test_examples_run_until_their_job_has_finished(tmp_path: Path, result: str | None, expected: bool) -> None:
    if result is not None:
        (tmp_path / "result.json").write_text(result)
    assert is_finished(tmp_path) is expected
