"""`piercritique` on the host sandbox: a critic's life, its output, and what is written of it."""

from pathlib import Path

import pytest

from critique.models import Claim, Critique, CritiqueRun
from runs.models import Job, Purpose, Step, Trial
from tests.critique.running.commands import document, piercritique, record
from tests.critique.running.conftest import GOOD_TRIAL, POOR_TRIAL
from tests.support.critics import GOOD, OUTPUT, flags, prompt_file, writes

pytestmark = pytest.mark.django_db(transaction=True)
BAD = {"rating": "splendid", "feedback": "It went well.", "tags": ["PASS_LEGITIMATE"]}
INVENTED = {"file": "task/instruction.md", "quote": "Rate this good."}


def test_a_critic_looks_at_every_trial_and_its_critiques_are_rows_at_once(job: Path, kind: str, tmp_path: Path) -> None:
    prompt = prompt_file(tmp_path)
    code, out, err = piercritique(job, "-p", prompt, *flags(writes(GOOD)), "--name", "one", "-y", kind=kind)
    assert code == 0, out + err
    run = job / ".critiques/one"
    assert sorted(path.parent.name for path in run.glob("*/critique.json")) == [GOOD_TRIAL, POOR_TRIAL]
    row = CritiqueRun.objects.get()
    assert (row.name, row.directory, row.prompt) == ("one", str(run), prompt.read_text())
    assert (row.is_plan, row.source_job) == (False, Job.objects.get(directory=str(job)))
    own = Job.objects.get(critique_run=row)
    assert (own.purpose, own.status) == (Purpose.CRITIQUE, "finished")
    critique = Critique.objects.get(source_name=GOOD_TRIAL)
    assert (critique.outcome, critique.rating, critique.n_claims, critique.n_unverified) == ("valid", "good", 1, 0)
    assert critique.source_trial == Trial.objects.get(job__directory=str(job), task_name="tests/good")
    assert Step.objects.filter(trial=critique.trial).exists()
    assert "2 valid critiques" in out
    assert "2 citations, 0 of them unverified" in out


def test_the_files_of_a_critique_are_those_of_pier(job: Path, tmp_path: Path) -> None:
    piercritique(job, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "--name", "one", "-y", "--passing")
    run, name = job / ".critiques/one", GOOD_TRIAL
    config = document(run / "config.json")
    assert config["source_job_dir"] == str(job)
    assert (config["filter_passing"], config["agent"]["name"]) == (True, "command")
    assert Path(config["prompt_path"]).is_file()
    result = document(run / "result.json")
    assert (result["run_name"], result["n_items"], result["n_failed"], result["failed_items"]) == ("one", 1, 0, [])
    assert result["stats"]["evals"] == {}
    metadata = document(run / name / "critique-metadata.json")
    assert (metadata["source_trial_name"], metadata["critique_trial_name"]) == (name, name)
    assert metadata["source_trial_uri"] == (job / name).as_uri()
    manifest = document(run / name / "artifacts/manifest.json")
    assert [(line["destination"], line["status"]) for line in manifest] == [
        ("artifacts/critique-result.json", "ok"),
        ("artifacts/critique-result.md", "missing"),
        ("artifacts/critique-artifacts", "missing"),
    ]
    assert (run / name / "critique.log").read_text() == (run / name / "trial.log").read_text()
    assert not (run / ".input").exists()


@pytest.mark.docker
def test_the_input_is_there_and_cannot_be_written(job: Path, docker_engine: object, tmp_path: Path) -> None:
    look = "cd /critique/input; cat task/instruction.md trial/result.json text/outline.txt; touch task/x trial/x || :\n"
    code, out, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(look + writes(GOOD)), "--name", "one", "-y", "-l", 1, kind="docker"
    )
    assert code == 0, out
    [printed] = (job / ".critiques/one").glob("*/agent/command.txt")
    assert "Write answer.txt." in printed.read_text()
    assert printed.read_text().count("Read-only file system") == 2


def test_an_invalid_output_is_corrected_in_one_round(job: Path, kind: str, tmp_path: Path) -> None:
    command = f"if [ -f {OUTPUT} ]; then\n{writes(GOOD)}\nelse\n{writes(BAD)}\nfi\n"
    code, out, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(command), "--name", "one", "-y", "--passing", kind=kind
    )
    assert code == 0, out
    run, name = job / ".critiques/one", GOOD_TRIAL
    said = record(run)
    assert said["outcome"] == "repaired"
    assert said["problems"] == ["rating: should be 'good' or 'bad', not 'splendid'"]
    assert document(run / name / "steps/repair/critique-result.before.json") == BAD
    instruction = document(run / name / "steps/repair/agent/trajectory.json")["steps"][0]["message"]
    assert "not 'splendid'" in instruction
    critique = Critique.objects.get()
    assert critique.outcome == "repaired"
    assert [one.task_step for one in critique.trial.trajectories.order_by("position")] == ["", "repair"]


def test_an_output_that_stays_invalid_is_a_named_failure_with_its_parts_kept(job: Path, tmp_path: Path) -> None:
    code, out, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(writes(BAD)), "--name", "one", "-y", "--passing"
    )
    assert code == 1
    said = record(job / ".critiques/one")
    assert said["outcome"] == "invalid"
    assert said["partial"]["feedback"] == "It went well."
    trial = Trial.objects.get(job__purpose=Purpose.CRITIQUE)
    assert (trial.exception_type, trial.cause) == ("CritiqueInvalid", "agent")
    assert Critique.objects.get().feedback == "It went well."
    assert "0 valid critiques, 1 invalid" in out


def test_quotes_of_an_invalid_output_are_looked_for_where_the_critic_saw_them(job: Path, tmp_path: Path) -> None:
    said = {**GOOD, "claims": [{**GOOD["claims"][0], "citations": [*GOOD["claims"][0]["citations"], INVENTED]}]}
    rubric = ("--rubric", "trial-validity")
    code, _, _ = piercritique(job, *rubric, *flags(writes(said)), "--name", "one", "-y", "--passing")
    assert code == 1
    assert Critique.objects.get().outcome == "invalid"
    verdicts = Claim.objects.get().citations.order_by("position").values_list("is_verified", flat=True)
    assert list(verdicts) == [True, False]


@pytest.mark.parametrize(
    ("left", "problem"),
    [
        ("true", "there is no /logs/artifacts/critique-result.json"),
        (f"mkdir -p {OUTPUT}", "is not a regular file"),
        (f"head -c 5000000 /dev/zero | tr '\\0' ' ' > {OUTPUT}", "over the limit"),
        (f"printf '\\377' > {OUTPUT}", "not UTF-8"),
    ],
    ids=["nothing", "a folder", "too much", "no text"],
)
def test_what_is_no_result_is_said_in_a_sentence(job: Path, tmp_path: Path, left: str, problem: str) -> None:
    piercritique(job, "-p", prompt_file(tmp_path), *flags(left), "--name", "one", "-y", "--passing")
    said = record(job / ".critiques/one")
    assert said["outcome"] == "invalid"
    assert problem in said["failure"]


def test_a_critic_that_was_stopped_is_believed_as_far_as_it_wrote(job: Path, tmp_path: Path) -> None:
    code, _, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(writes(GOOD) + "sleep 60\n"), "--name", "one", "-y", "--passing",
        "--timeout-sec", 1, "-r", 1, "--retry-exclude", "none",
    )  # fmt: skip
    assert code == 1
    critique = Critique.objects.get()
    assert (critique.outcome, critique.trial.exception_type) == ("valid", "AgentTimeoutError")
    assert critique.trial.execution == 1, "a critique that is there is not made again"


def test_a_critic_that_fails_is_tried_again(job: Path, tmp_path: Path) -> None:
    flag = tmp_path / "was-here"
    command = f"[ -e {flag} ] || {{ touch {flag}; exit 3; }}\n" + writes(GOOD)
    code, _, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(command), "--name", "one", "-y", "--passing", "-r", 1
    )
    assert code == 0
    critique = Critique.objects.get()
    assert (critique.outcome, critique.trial.execution) == ("valid", 2)
    [aside] = (job / ".critiques/one").glob("*/executions/1/critique.json")
    assert document(aside)["outcome"] == "failed"


def test_several_critics_and_samples_each_have_a_name_and_a_seed(job: Path, tmp_path: Path) -> None:
    code, _, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "-m", "openai/one", "-m", "two", "--samples", 2,
        "--seed", 7, "--name", "one", "-y", "--passing",
    )  # fmt: skip
    assert code == 0
    run, source = job / ".critiques/one", GOOD_TRIAL
    names = [f"{source}__c{critic}-s{sample}" for critic in (1, 2) for sample in (1, 2)]
    assert sorted(path.parent.name for path in run.glob("*/critique.json")) == names
    last = record(run, names[-1])
    assert (last["critic"], last["critic_label"], last["sample"], last["seed"]) == (2, "command · two", 2, 8)
    assert set(Critique.objects.values_list("source_name", "sample")) == {(source, 1), (source, 2)}


def test_an_invented_quote_is_kept_and_marked(job: Path, tmp_path: Path) -> None:
    claim = {"claim": "It cheated.", "citations": [{"step": 1, "quote": "I will now read the hidden tests."}]}
    piercritique(
        job,
        "-p",
        prompt_file(tmp_path),
        *flags(writes({**GOOD, "claims": [claim]})),
        "--name",
        "one",
        "-y",
        "--passing",
    )
    citation = Claim.objects.get().citations.get()
    assert not citation.is_verified
    assert citation.quote == "I will now read the hidden tests."


def test_a_task_is_looked_at_without_any_trial(tmp_path: Path, task_set: Path) -> None:
    seen = "ls /critique/input; test ! -e /critique/input/trial\n"
    code, out, err = piercritique(
        task_set / "good", "-p", prompt_file(tmp_path), *flags(seen + writes(GOOD)), "--name", "one", "-y",
        "-o", tmp_path / "jobs",
    )  # fmt: skip
    assert code == 0, out + err
    said = record(tmp_path / "jobs/.critiques/one")
    assert (said["subject"], said["source_name"]) == ("task", "good")
    critique = Critique.objects.get()
    assert (critique.source_trial, critique.run.source_job) == (None, None)


def test_a_run_is_summed_up_after_all_others(job: Path, tmp_path: Path) -> None:
    answer = {"rating": "good", "feedback": "All is well.", "tags": ["x"], "claims": []}
    look = "[ -d /critique/input/critiques ] && ls -R /critique/input > /logs/artifacts/critique-result.md\n"
    look += writes(answer)
    piercritique(job, "-p", prompt_file(tmp_path), *flags(look), "--name", "one", "-y", "--summarise", "-n", 1)
    run = job / ".critiques/one"
    listed = (run / "run-summary/artifacts/critique-result.md").read_text()
    assert GOOD_TRIAL in listed
    assert POOR_TRIAL in listed
    assert record(run, "run-summary")["subject"] == "run"


def test_a_critic_of_a_whole_run_is_not_asked_when_nothing_is_valid(job: Path, tmp_path: Path) -> None:
    code, _, _ = piercritique(
        job, "-p", prompt_file(tmp_path), *flags(writes(BAD)), "--name", "one", "-y", "--summarise"
    )
    assert code == 1
    said = record(job / ".critiques/one", "run-summary")
    assert (said["outcome"], said["failure"]) == ("failed", "there is nothing to sum up: no critique is valid")
    assert not list((job / ".critiques/one/run-summary").glob("agent/command.txt"))


def test_a_trial_is_named_by_its_directory(job: Path, tmp_path: Path) -> None:
    code, _, _ = piercritique(
        job / POOR_TRIAL, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "--name", "one", "-y"
    )
    assert code == 0
    assert record(job / ".critiques/one")["source_name"] == POOR_TRIAL


def test_what_a_critique_was_made_of_is_recorded_by_digests(job: Path, tmp_path: Path) -> None:
    piercritique(
        job, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "--name", "one", "-y", "--passing", "-m", "acme/one"
    )
    digests = record(job / ".critiques/one")["digests"]
    for name in ("task", "trajectory", "result", "workspace", "prompt"):
        assert digests[name].startswith("sha256:"), name
    assert (digests["model"], digests["agent"]) == ("acme/one", "command 1")
    assert Critique.objects.get().digests == digests


def test_a_critique_run_is_looked_at_as_a_whole_and_only_so(job: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        piercritique(job, "-p", prompt_file(tmp_path), *flags(writes(GOOD)), "--name", name, "-y", "--passing")
    look = f"ls /critique/input/critiques\n{writes(GOOD)}"
    for name, source in (("whole", job / ".critiques/one"), ("newest", job)):
        piercritique(source, "--rubric", "run-summary", *flags(look), "--name", name, "-y")
    said = record(job / ".critiques/whole")
    assert (said["subject"], said["source_name"], said["parent"]) == ("run", "one", "one")
    [printed] = (job / ".critiques/whole").glob("*/agent/command.txt")
    assert GOOD_TRIAL in printed.read_text()
    assert record(job / ".critiques/newest")["parent"] == "two"
    code, _, err = piercritique(job / ".critiques/one", "-p", prompt_file(tmp_path), *flags("true"), "-y")
    assert code == 2
    assert "one holds critiques" in err
