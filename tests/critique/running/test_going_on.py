"""A critique run that is started again: what is valid stays, what isn't is made, what differs is refused."""

import shutil
from pathlib import Path

import pytest

from critique.models import Critique, CritiqueRun
from runs.models import Job, Purpose
from tests.critique.running.commands import document, piercritique, record
from tests.critique.running.conftest import GOOD_TRIAL, POOR_TRIAL
from tests.runs.jobs.commands import pierjob
from tests.runs.jobs.regrades import content
from tests.support.critics import GOOD, flags, prompt_file, writes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def half(job: Path, tmp_path: Path) -> Path:
    """A run in which the critic of one trial failed; it does so as long as the file `broken` is there."""
    (tmp_path / "broken").touch()
    assert again(job, tmp_path)[0] == 1
    return job / ".critiques/one"


def again(job: Path, tmp_path: Path, *more: object, name: str = "one") -> tuple[int, str, str]:
    """Start the run."""
    broken = tmp_path / "broken"
    command = f"grep -q {POOR_TRIAL} /task/instruction.md && [ -e {broken} ] && exit 3\n{writes(GOOD)}"
    prompt = prompt_file(tmp_path)
    return piercritique(job, "-p", prompt, *flags(command), "--name", name, "-y", *more)


def test_what_failed_is_made_and_what_is_valid_stays_to_the_byte(half: Path, job: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").unlink()
    stays = content(half / GOOD_TRIAL)
    ids = set(Critique.objects.values_list("pk", flat=True))
    code, out, err = again(job, tmp_path)
    assert code == 0, out + err
    assert content(half / GOOD_TRIAL) == stays
    assert record(half, POOR_TRIAL)["outcome"] == "valid"
    assert document(half / POOR_TRIAL / "executions/1/critique.json")["outcome"] == "failed"
    assert (document(half / "result.json")["n_items"], document(half / "result.json")["n_failed"]) == (2, 0)
    assert set(Critique.objects.values_list("pk", flat=True)) == ids
    assert list(Critique.objects.values_list("outcome", flat=True)) == ["valid", "valid"]
    assert Job.objects.get(purpose=Purpose.CRITIQUE).status == "finished"


def test_a_run_that_is_whole_spends_nothing_more(job: Path, tmp_path: Path) -> None:
    again(job, tmp_path)
    before = content(job / ".critiques/one")
    code, out, _ = again(job, tmp_path)
    assert code == 0
    assert "there is nothing to run" in out
    assert content(job / ".critiques/one") == before


def test_another_prompt_under_the_same_name_is_refused(half: Path, job: Path, tmp_path: Path) -> None:
    before = content(half)
    prompt = tmp_path / "other.md"
    prompt.write_text("Something else.")
    code, _, err = piercritique(job, "-p", prompt, *flags(writes(GOOD)), "--name", "one", "-y")
    assert code == 2
    assert "was begun with another prompt" in err
    assert "--overwrite" in err
    assert content(half) == before


def test_begun_anew_the_old_run_keeps_its_files_and_rows_under_another_name(
    half: Path, job: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").unlink()
    old = CritiqueRun.objects.get()
    code, _, _ = again(job, tmp_path, "--overwrite")
    assert code == 0
    old.refresh_from_db()
    assert old.name.startswith("one__until-")
    assert record(Path(old.directory), POOR_TRIAL)["outcome"] == "failed"
    assert old.critiques.count() == 2
    new = CritiqueRun.objects.exclude(pk=old.pk).get()
    assert (new.directory, new.critiques.filter(outcome="valid").count()) == (str(half), 2)


def test_the_directory_of_another_program_is_not_gone_on_with(job: Path, tmp_path: Path) -> None:
    run = job / ".critiques/one"
    run.mkdir(parents=True)
    (run / "config.json").write_text('{"run_name": "one", "source_job_dir": "/x", "agent": {"name": "codex"}}')
    code, _, err = again(job, tmp_path)
    assert code == 2
    assert "is not the configuration of a critique run of Pier Site" in err


def test_a_run_of_which_the_rows_are_lost_goes_on_all_the_same(half: Path, job: Path, tmp_path: Path) -> None:
    Job.objects.all().delete()
    CritiqueRun.objects.all().delete()
    (tmp_path / "broken").unlink()
    assert again(job, tmp_path)[0] == 0
    assert Critique.objects.filter(run__name="one", outcome="valid", source_trial__name=GOOD_TRIAL).exists()


def test_pierjob_leaves_critiques_to_piercritique(half: Path) -> None:
    code, _, err = pierjob("resume", "-p", half)
    assert code == 2
    assert "`piercritique` with the same settings goes on with them" in err
    code, _, err = pierjob("rerun", half, "--unscored")
    assert code == 2
    assert "piercritique" in err


def test_a_critique_of_a_trial_that_is_gone_stays_with_its_rows(half: Path, job: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").unlink()
    shutil.rmtree(job / GOOD_TRIAL)
    kept = Critique.objects.get(source_name=GOOD_TRIAL).pk
    code, out, err = again(job, tmp_path)
    assert code == 0, out + err
    assert Critique.objects.get(pk=kept).outcome == "valid"
    assert Critique.objects.get(source_name=POOR_TRIAL).outcome == "valid"
    assert document(half / "result.json")["n_items"] == 2
