"""What `pier critique run` writes today is what tests/golden/pier-critique has, and is indexed."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from critique.models import Critique, Outcome
from pier_site.accounts.local import default_project
from runs.indexing.job import index_job
from tests.critique.indexing.files import make_source
from tests.peers.venvs import PEERS, QUIET, ROOT, installed
from tests.runs.indexing.files import trial_result, write
from tests.support.tasks import make_task

pytestmark = pytest.mark.peers

GOLDEN = ROOT / "tests/golden/pier-critique"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job of three trials that Pier's own critics have looked at."""
    folder = tmp_path_factory.mktemp("pier")
    task = make_task(folder, "fix-it")
    job = make_source(folder, trials=3)
    for number in range(3):
        name = f"fix-it__{number:07d}"
        config = {"trial_name": name, "task": {"path": str(task)}, "agent": {"name": "codex"}}
        told = {"trial_uri": (job / name).as_uri(), "task_id": {"path": str(task)}, "config": config}
        write(job / name / "result.json", trial_result(trial_name=name, **told))
        write(job / name / "trial.log", "")
    script = Path(__file__).with_name("pier_critics.py")
    peer = installed(PEERS[0])
    command = [str(peer.folder / "bin/python"), "-W", "ignore", str(script), str(job), "validity"]
    subprocess.run(command, env={**os.environ, **QUIET}, check=True, capture_output=True)
    return job


def shape(value: Any) -> Any:
    """A document with the kinds of its values instead of the values, where these differ from run to run."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def test_the_golden_copy_is_what_pier_writes(job: Path) -> None:
    run = job / ".critiques/validity"
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*") if path.is_file())
    for name in (name for name in names if name.endswith(".json")):
        assert shape(json.loads((run / name).read_text())) == shape(json.loads((GOLDEN / name).read_text())), name


@pytest.mark.django_db
def test_what_pier_writes_is_indexed(job: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(job, tmp_path / "night"))
    assert index_job(default_project(), here).problems == ()
    assert dict(Critique.objects.values_list("source_name", "outcome")) == {
        "fix-it__0000000": Outcome.VALID,
        "fix-it__0000001": Outcome.INVALID,
        "fix-it__0000002": Outcome.FAILED,
    }
