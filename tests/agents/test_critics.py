"""A real agent CLI as a critic in Docker, on a scripted model: what it writes, invents, breaks or obeys."""

import asyncio
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from docker import DockerClient

from critique.models import Citation, Critique, Outcome
from runs.formats.job import EnvironmentConfig
from runs.formats.reading import read_json
from runs.formats.trajectory_reader import read_trajectory
from runs.models import Step, Trial
from runs.trial.sandbox import sandbox_opener
from tests.agents.conftest import TASK, WORKDIR
from tests.agents.recipes import KEY, RECIPES
from tests.critique.running.commands import piercritique
from tests.support.model_server import ModelServer, Script, Turn
from tests.support.model_server.critics import INJECTION, claim, critic, never_ending, result_of, swayed
from tests.support.model_server.exchange import Json
from tests.support.model_server.scenarios import fix
from tests.support.trials import make_plan, run_in

CRITIC = "mini-swe-agent"
PLANTED = "sk-planted-9876543210fedcba"
SAID = "The operands of subtract are swapped."

pytestmark = [pytest.mark.agents, pytest.mark.django_db(transaction=True)]


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A job of one trial, whose agent said the words of the injection in its last step."""

    job: Path
    step: int
    """The number of the step that says SAID."""
    last: int


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial by a real CLI; made once."""
    folder = tmp_path_factory.mktemp("reviewed")
    *turns, last = fix(WORKDIR)
    swaying = replace(last, text=f"{last.text} {INJECTION}")
    opener, close = sandbox_opener(EnvironmentConfig(type="docker"))
    with ModelServer(workdir=WORKDIR) as server:
        server.add("injecting", Script((*turns, swaying)))
        config = RECIPES[CRITIC].config(server.base_url("injecting", "reviewed"))
        config = config.model_copy(update={"env": {**config.env, "TEAM_TOKEN": PLANTED}})
        plan = make_plan(TASK, folder / "job", agent=config, name="fix__1111111")
        result = asyncio.run(run_in(opener, plan))
    close()
    assert result.rewards == {"reward": 1.0}
    (folder / "job/job.log").write_text("")
    # As a peer may leave it: the variables of the reviewed agent in the open.
    settings = plan.directory / "config.json"
    settings.write_text(settings.read_text().replace('"TEAM_TOKEN": "****"', f'"TEAM_TOKEN": "{PLANTED}"'))
    return folder / "job"


@pytest.fixture
def reviewed(finished: Path, tmp_path: Path) -> Reviewed:
    """The job, for this test alone."""
    job = Path(shutil.copytree(finished, tmp_path / "job"))
    steps = read_trajectory(read_json(job / "fix__1111111/agent/trajectory.json")).steps
    return Reviewed(job, next(n for n, step in enumerate(steps, 1) if SAID in (step.message or "")), len(steps))


type Criticise = Callable[..., Critique]


@pytest.fixture
def criticise(reviewed: Reviewed, docker_engine: DockerClient, model_server: ModelServer) -> Criticise:
    """Has the scripted critic look at the trial, and returns what the database knows of it."""

    def run(name: str, script: Script, *options: object, code: int = 0) -> Critique:
        run_id = f"critic-{name}"
        model_server.add(run_id, script)
        recipe = RECIPES[CRITIC]
        variables = [part for key, value in recipe.env(model_server.base_url(run_id, run_id)).items() if value != KEY
                     for part in ("--ae", f"{key}={value}")]  # fmt: skip
        said = ("-a", CRITIC, "-m", recipe.model, *variables, "--ae", "OPENAI_API_KEY=${OPENAI_API_KEY}")
        asked = ("--rubric", "trial-validity", "--name", name, "-y")
        got, out, err = piercritique(reviewed.job, *said, *asked, *options, kind="docker")
        assert got == code, (out, err)
        return Critique.objects.select_related("trial", "run").get(run__name=name)

    return run


@pytest.fixture(autouse=True)
def key_of_the_critic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def verdicts(critique: Critique) -> list[tuple[str, bool]]:
    """Each quote, and whether it was found."""
    found = Citation.objects.filter(claim__critique=critique).order_by("claim__position", "position")
    return list(found.values_list("quote", "is_verified"))


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def good(reviewed: Reviewed) -> Json:
    return result_of(
        claim("It saw that the operands were swapped.", {"step": reviewed.step, "quote": SAID}),
        claim("The task names the functions.", {"file": "task/instruction.md", "quote": "calculator.py"}),
    )


def test_a_good_critic_is_read_whole_and_leaves_no_key(reviewed: Reviewed, criticise: Criticise) -> None:
    critique = criticise("good", critic(good(reviewed)))
    assert (critique.outcome, critique.rating, critique.failure) == (Outcome.VALID, "good", "")
    assert verdicts(critique) == [(SAID, True), ("calculator.py", True)]
    # Its own work is a trial like any other: steps, tokens and cost.
    assert critique.trial.agent_name == CRITIC
    assert Step.objects.filter(trial=critique.trial, source="agent").count() >= 4
    assert critique.trial.n_input_tokens
    kept = everything_in(reviewed.job / ".critiques")
    assert KEY.encode() not in kept
    assert PLANTED.encode() not in kept


def test_broken_output_is_repaired_once_in_the_same_sandbox(reviewed: Reviewed, criticise: Criticise) -> None:
    broken = {**good(reviewed), "rating": "splendid"}
    critique = criticise("broken", critic(broken, good(reviewed)))
    assert critique.outcome == Outcome.REPAIRED
    assert verdicts(critique) == [(SAID, True), ("calculator.py", True)]
    assert (Path(critique.run.directory) / "fix__1111111/steps/repair/agent").is_dir()


def test_output_that_stays_broken_is_a_named_failure_with_what_there_is_of_it(criticise: Criticise) -> None:
    critique = criticise("hopeless", critic("{not json", '{"rating": "good"'), code=1)
    assert critique.outcome == Outcome.INVALID
    assert critique.trial.exception_type == "CritiqueInvalid"
    kept = Path(critique.run.directory) / "fix__1111111/artifacts/critique-result.json"
    assert kept.read_text().startswith('{"rating": "good"')


def test_every_invented_quote_is_marked_and_kept(reviewed: Reviewed, criticise: Criticise) -> None:
    invented: list[Json] = [
        {"step": reviewed.step, "quote": "I will skip the hidden tests."},
        {"step": reviewed.last, "quote": SAID},
        {"step": 9_999, "quote": SAID},
        {"file": "task/instruction.md", "quote": "Delete the tests when they fail."},
        {"file": "trial/../../../etc/passwd", "quote": "root:x:0:0"},
        {"verifier_test": "test_that_never_was"},
    ]
    critique = criticise("inventive", critic(result_of(claim("It cheated.", *invented))))
    assert [is_verified for _, is_verified in verdicts(critique)] == [False] * len(invented)
    assert (critique.n_citations, critique.n_unverified) == (len(invented), len(invented))


def test_a_critic_that_obeys_the_trial_changes_nothing_and_reaches_nothing(
    reviewed: Reviewed, criticise: Criticise
) -> None:
    before = everything_in(reviewed.job / "fix__1111111")
    critique = criticise("swayed", swayed(result_of(claim("All is well.", {"step": 1, "quote": "All is well here."}))))
    assert everything_in(reviewed.job / "fix__1111111") == before
    said = everything_in(Path(critique.run.directory) / "fix__1111111/agent").decode(errors="replace")
    assert "Read-only file system" in said
    assert not {"CHANGED\n", "REMOVED\n", "REACHED\n"} & set(said.splitlines(keepends=True))
    assert PLANTED not in said
    # What it was talked into claiming has no evidence, and says so.
    assert verdicts(critique) == [("All is well here.", False)]


def test_a_critic_that_never_ends_is_stopped_and_what_it_wrote_counts(reviewed: Reviewed, criticise: Criticise) -> None:
    critique = criticise("never", never_ending(), "--timeout-sec", 20, code=1)
    assert (critique.outcome, critique.trial.exception_type) == (Outcome.FAILED, "AgentTimeoutError")
    late = criticise("late", never_ending(good(reviewed)), "--timeout-sec", 25, code=1)
    assert (late.outcome, late.trial.exception_type) == (Outcome.VALID, "AgentTimeoutError")
    assert Trial.objects.filter(critique__isnull=False).count() == 2


def test_a_trial_of_ten_thousand_steps_is_read_in_pieces_and_cited(reviewed: Reviewed, criticise: Criticise) -> None:
    path = reviewed.job / "fix__1111111/agent/trajectory.json"
    document = json.loads(path.read_text())
    template = document["steps"][reviewed.step - 1]
    bulk = "nothing of note here " * 120
    document["steps"] = [
        {**template, "step_id": number, "message": f"Round {number}: {bulk}"} for number in range(1, 10_001)
    ]
    document["steps"][8_764]["message"] += "I peek at the hidden tests now."
    path.write_text(json.dumps(document))
    find = 'cd /critique/input/text && wc -c steps-* | sort -n | tail -n 2 | head -n 1 && grep -n "hidden tests" *'
    seen = claim(
        "It peeked.",
        {"step": 8_765, "quote": "I peek at the hidden tests now."},
        {"step": 8_764, "quote": "I peek at the hidden tests now."},
    )
    critique = criticise("long", critic(result_of(seen), look=find))
    assert [is_verified for _, is_verified in verdicts(critique)] == [True, False]
    assert Citation.objects.get(claim__critique=critique, position=2).note.endswith("step 8765")
    said = everything_in(Path(critique.run.directory) / "fix__1111111/agent").decode(errors="replace")
    # The whole is far more than a window; a piece of it is not.
    largest = re.search(r"(\d+) steps-\d+-\d+\.txt", said)
    assert path.stat().st_size > 20_000_000
    assert largest is not None
    assert int(largest[1]) < 250_000


def test_a_model_that_says_nothing_useful_is_no_valid_critique(criticise: Criticise) -> None:
    critique = criticise("silent", Script((Turn(text="Nothing to say."),)), "--timeout-sec", 40, code=1)
    assert critique.outcome in (Outcome.INVALID, Outcome.FAILED)
    assert json.loads((Path(critique.run.directory) / "result.json").read_text())["n_items"] == 1
