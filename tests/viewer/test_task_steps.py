"""What leads from one trajectory to the others: TaskSteps with what became of each, sub-agents, and few of many."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from runs.models import Status, Trial
from tests.support.factories import World, make_shell_step, make_step, make_trajectory, make_trial, make_world
from viewer.switcher import MAX_CHOICES
from viewer.task_steps import TaskStepCard, task_steps_of
from viewer.trajectories import labels_of

pytestmark = pytest.mark.django_db

TIMES = {"started_at": "2026-11-20T08:00:00Z", "finished_at": "2026-11-20T08:00:42Z"}
RESULTS: list[Any] = [
    {
        "step_name": "build",
        "verifier_result": {"rewards": {"reward": 1.0}},
        "agent_execution": TIMES,
        "verifier": {**TIMES, "finished_at": "2026-11-20T08:00:03Z"},
    },
    {
        "step_name": "ship <b>",
        "verifier_result": {"rewards": {"reward": 0}},
        "exception_info": {"exception_type": "AgentTimeoutError"},
    },
    "torn",
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def stepped(world: World, tmp_path: Path) -> Trial:
    """A trial of three TaskSteps, of which the second ended it."""
    task = tmp_path / "task"
    task.mkdir()
    names = ("build", "ship <b>", "sell")
    (task / "task.toml").write_text("".join(f'[[steps]]\nname = "{name}"\n' for name in names))
    trial = make_trial(world.job, step_results=RESULTS, task_path=str(task))
    for name in names[:2]:
        make_trajectory(trial, [make_step(message="m")], task_step=name, path=f"steps/{name}/agent/trajectory.json")
    return trial


def cards_of(trial: Trial) -> list[TaskStepCard]:
    return task_steps_of(trial, list(trial.trajectories.order_by("position")))


def test_each_task_step_says_what_became_of_it(stepped: Trial) -> None:
    build, ship, sell = cards_of(stepped)
    assert (build.state, build.agent_sec, build.verifier_sec, build.rewards) == ("done", 42, 3, (("reward", 1.0),))
    assert (ship.state, ship.exception_type, ship.agent_sec) == ("failed", "AgentTimeoutError", None)
    assert (sell.name, sell.state, sell.note, sell.has_result) == ("sell", "not run", "never run", False)


def test_the_task_steps_lead_to_their_trajectories_and_their_verifiers(
    client: Client, world: World, stepped: Trial
) -> None:
    client.force_login(world.viewer)
    second = stepped.trajectories.get(position=1)
    html = client.get(stepped.get_absolute_url(), {"trajectory": str(second.pk)}).content.decode()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    for part in ("agent 42 s", "verifier 3.0 s", "AgentTimeoutError", "never run"):
        assert part in text
    verifier = f"{reverse('trial-verifier', args=[stepped.pk])}?step=ship%20%3Cb%3E"
    for address in (f"{stepped.get_absolute_url()}?trajectory={second.pk}", verifier):
        assert f'href="{address}"' in html
    assert client.get(verifier).status_code == 200
    assert "ship <b>" not in html
    assert re.search(r'aria-current="true">\s*<a class="name"[^>]*>ship', html)


def test_a_running_trials_task_steps_are_those_that_have_begun(stepped: Trial) -> None:
    Trial.objects.filter(pk=stepped.pk).update(status=Status.RUNNING, step_results=[], finished_at=None)
    stepped.refresh_from_db()
    assert [(card.name, card.state, card.note) for card in cards_of(stepped)] == [
        ("build", "done", "no result yet"),
        ("ship <b>", "running", "running"),
        ("sell", "not run", "not run yet"),
    ]


@pytest.mark.parametrize("content", ["steps = 3", "[[steps]]\nname = 7", "not toml", 'steps = ["x"]'])
def test_a_task_that_is_not_as_it_should_be_names_no_steps(stepped: Trial, content: str) -> None:
    (Path(stepped.task_path) / "task.toml").write_text(content)
    assert [card.name for card in cards_of(stepped)] == ["build", "ship <b>"]


def test_a_trial_of_one_step_has_no_task_steps(world: World) -> None:
    assert cards_of(world.trial) == []


def test_trajectories_are_called_by_what_tells_them_apart(world: World) -> None:
    trial = make_trial(world.job)
    for columns in (
        {"agent_name": "codex"},
        {"kind": "continuation"},
        {"kind": "subagent", "agent_name": "codex"},
        {"kind": "subagent", "agent_name": "explorer"},
        {"kind": "subagent"},
    ):
        make_trajectory(trial, **columns)  # type: ignore[arg-type]
    rows = list(trial.trajectories.order_by("position"))
    assert list(labels_of(rows).values()) == ["main", "continued", "sub-agent 1", "explorer", "sub-agent 2"]


def test_of_very_many_trajectories_a_few_are_beside_the_steps_and_all_on_a_page(client: Client, world: World) -> None:
    client.force_login(world.viewer)
    helpers = [make_trajectory(world.trial, kind="subagent", agent_name=f"helper-{n}") for n in range(40)]
    html = client.get(world.trial.get_absolute_url(), {"trajectory": str(helpers[-1].pk)}).content.decode()
    shown = re.findall(r">↳ (helper-\d+) ", html)
    assert len(shown) == MAX_CHOICES
    assert shown[-1] == "helper-39"
    assert "and 24 more" in html
    page = client.get(reverse("trial-trajectories", args=[world.trial.pk])).content.decode()
    assert len(re.findall(r">↳ helper-\d+ ", page)) == 40


def test_the_first_page_stays_small_with_very_many_of_both(client: Client, world: World) -> None:
    client.force_login(world.viewer)
    results = [RESULTS[0] | {"step_name": f"a step with a name of some length {n}"} for n in range(60)]
    trial = make_trial(world.job, step_results=results)
    steps = [make_shell_step("grep -rn needle src", "src/a.py: the needle is here, again and again\n" * 9)] * 60
    for result in results:
        make_trajectory(trial, steps[:1], task_step=result["step_name"])
    long = make_trajectory(trial, steps, agent_name="codex")
    for n in range(60):
        make_trajectory(trial, kind="subagent", agent_name=f"a helper with a name of some length {n}")
    answer = client.get(trial.get_absolute_url(), {"trajectory": str(long.pk)})
    assert len(answer.content) < 60_000
    assert "and 93 more" in answer.content.decode()
