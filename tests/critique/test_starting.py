import os
import time
from pathlib import Path

import pytest
from django.conf import LazySettings

from critique.starting import end_of_log, log_of, start_command, start_run
from runs.errors import InputInvalid
from tests.critique.running.conftest import finished, job
from tests.support.critics import GOOD, writes
from tests.support.critiques import make_run
from tests.support.site import Site

__all__ = ["finished", "job"]

APPROVE = """
from pathlib import Path
from critique.formats.config import CritiqueRunConfig
from critique.proposing import approve, propose
from pier_site.accounts.local import local_owner
from runs.models import Job
source = Path({directory!r})
config = CritiqueRunConfig.model_validate(dict(
    run_name="one", source_dir=source, critiques_dir=source / ".critiques", prompt="Look.",
    critics=[dict(name="command", kwargs=dict(command={command!r}))], environment=dict(type="host"),
))
job, owner = Job.objects.get(), local_owner()
run = propose(config, job=job, by=owner, rubric=None)
assert approve(run, owner) and not approve(run, owner)
"""


def wait_for(path: Path, words: str) -> str:
    for _ in range(300):
        if path.exists() and words in (text := path.read_text()):
            return text
        time.sleep(0.1)
    raise AssertionError(f"{words!r} was never said in {path}")


def test_a_command_runs_in_a_session_of_its_own_and_is_heard_when_it_ends(tmp_path: Path) -> None:
    log = tmp_path / "logs/one.log"
    code = "import os; print('session', os.getsid(0), 'process', os.getpid())"
    start_command("shell", "--no-imports", "-c", code, log=log)
    text = wait_for(log, "process")
    session, process = int(text.split()[1]), int(text.split()[3])
    assert session == process != os.getsid(0)
    for _ in range(300):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the process was left as a zombie")


@pytest.mark.django_db
def test_what_is_not_approved_is_not_started(settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    run = make_run(is_plan=True)
    with pytest.raises(InputInvalid, match="not approved"):
        start_run(run)
    assert not log_of(run).exists()


@pytest.mark.django_db
def test_the_end_of_a_log_is_bounded(settings: LazySettings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    run = make_run()
    assert end_of_log(run) == ""
    log_of(run).parent.mkdir()
    log_of(run).write_bytes(b"x" * 100_000 + b"the end \xff")
    assert end_of_log(run).endswith("the end \ufffd")
    assert len(end_of_log(run)) == 8_000


def test_an_approved_plan_runs_on_when_who_started_it_has_gone(job: Path, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    assert site.run("migrate").code == 0
    assert site.run("pierjob", "index", job).code == 0
    code = APPROVE.format(directory=str(job), command=writes(GOOD))
    ended = site.run("shell", "--no-imports", "-c", code)
    assert ended.code == 0, ended.output
    log = site.data / "logs/critique-run-1.log"
    for _ in range(600):
        rows = site.rows("status, purpose, n_finished", "runs_job")
        if {"status": "finished", "purpose": "critique", "n_finished": 2} in rows:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(log.read_text())
    said = site.rows("outcome, rating, source_name", "critique_critique")
    assert [(row["outcome"], row["rating"]) for row in said] == [("valid", "good")] * 2
    [run] = site.rows("approved_by_id, job_id, plan", "critique_critiquerun")
    assert run["approved_by_id"] is not None
    again = site.run("piercritique", "--plan", "1")
    assert again.code == 0, again.output
    assert len(site.rows("id", "critique_critique")) == 2, "what is there is kept"
