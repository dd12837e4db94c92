"""The script that makes .venv: when it does nothing, and what it says when it can do nothing."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from pier_site.bootstrap.terminal import ROOT

TOOLS = ("sh", "cat", "cut", "dirname", "id", "mkdir", "rm", "sha256sum", "echo")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two locks and a .venv in sync with both."""
    (tmp_path / "pier_site/bootstrap").mkdir(parents=True)
    shutil.copy(ROOT / "pier_site/bootstrap/venv.sh", tmp_path / "pier_site/bootstrap")
    (tmp_path / "requirements").mkdir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    for kind in ("base", "dev"):
        (tmp_path / f"requirements/{kind}.txt").write_text(f"{kind}\n")
        (tmp_path / f".venv/.pier-{kind}").write_text(sha256(f"{kind}\n".encode()).hexdigest() + "\n")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def give_uv(project: Path) -> Path:
    """Put a uv on PATH that writes down how it is called; return what it writes."""
    uv, log = project / "bin/uv", project / "uv.log"
    uv.write_text(f'#!/bin/sh\n[ "$1" = --version ] || echo "$@" >> {log}\n')
    uv.chmod(0o755)
    return log


def run(project: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing on PATH but the tools and what the test put there."""
    script = project / "pier_site/bootstrap/venv.sh"
    # A Python of the system may be found by its full path, but it finds no packages.
    env = {"PATH": str(project / "bin"), "HOME": str(project), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [shutil.which("sh") or "sh", script, kind], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("kind", ["base", "dev"])
def test_a_venv_in_sync_is_left_alone_without_uv(project: Path, kind: str) -> None:
    done = run(project, kind)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_stale_base_venv_is_synced(project: Path) -> None:
    log = give_uv(project)
    (project / ".venv/.pier-dev").unlink()
    (project / "requirements/base.txt").write_text("newer\n")
    assert run(project, "base").returncode == 0
    assert log.read_text().startswith("pip sync requirements/base.txt")
    assert run(project, "base").stdout == ""


def test_make_run_never_takes_a_developers_packages_away(project: Path) -> None:
    log = give_uv(project)
    for kind in ("base", "dev"):
        (project / f"requirements/{kind}.txt").write_text("newer\n")
    assert run(project, "base").returncode == 0
    assert log.read_text().startswith("pip install -r requirements/base.txt")
    assert "--require-hashes" in log.read_text()


def test_a_base_venv_gets_the_rest_for_tests(project: Path) -> None:
    log = give_uv(project)
    (project / ".venv/.pier-dev").unlink()
    assert run(project, "dev").returncode == 0
    assert log.read_text().startswith("pip sync requirements/dev.txt")


def test_a_machine_that_cannot_have_uv_is_told_where_to_get_it(project: Path) -> None:
    (project / ".venv/.pier-dev").unlink()
    (project / "requirements/base.txt").write_text("newer\n")
    done = run(project, "base")
    assert done.returncode == 2
    assert "docs.astral.sh/uv" in done.stderr
    assert not (project / ".cache/uv/bin/uv").exists()
