"""Steps of a running trial in the index: added as they come, grown in place, replaced by the final files."""

import pytest

from runs.errors import ExecutionSuperseded
from runs.formats.trajectory import Metrics, Observation, ObservationResult, Step, ToolCall
from runs.indexing.live import LiveIndex, ThreadUpdate, forget_steps
from runs.indexing.payload import unpack
from runs.models import Status, Trajectory, Trial
from runs.models import Step as StepRow
from tests.support.factories import make_job, make_trial

pytestmark = pytest.mark.django_db


@pytest.fixture
def trial() -> Trial:
    return make_trial(make_job(), status=Status.RUNNING, owner="me", execution=2)


def index_of(trial: Trial, *, execution: int = 2) -> LiveIndex:
    return LiveIndex(trial.pk, execution, "me", "agent/trajectory.json", "", "codex", "gpt")


def call_step(step_id: int, result: str | None = None) -> Step:
    results = [ObservationResult(source_call_id="a", content=result, extra={"exit_code": 1})]
    return Step(
        step_id=step_id,
        source="agent",
        message="",
        tool_calls=[ToolCall(tool_call_id="a", function_name="bash", arguments={"command": "ls"})],
        observation=Observation(results=results) if result else None,
        metrics=Metrics(prompt_tokens=10, completion_tokens=2),
    )


def test_new_steps_are_added_and_grown_ones_change_in_place(trial: Trial) -> None:
    index = index_of(trial)
    index.write([ThreadUpdate("", [Step(step_id=1, source="user", message="do it"), call_step(2)])], {"cost_usd": 0.5})
    before = dict(StepRow.objects.values_list("index", "pk"))
    index.write([ThreadUpdate("", [call_step(2, "no such file")])], {"cost_usd": 0.75})
    rows = list(StepRow.objects.order_by("index"))
    assert [(row.index, row.source, row.pk) for row in rows] == [(0, "user", before[0]), (1, "agent", before[1])]
    assert rows[1].has_error
    assert unpack(rows[1].payload).calls[0].result == "no such file"
    trial.refresh_from_db()
    assert (trial.n_steps, trial.cost_usd) == (2, 0.75)
    assert Trajectory.objects.get().n_steps == 2


def test_a_subagent_is_a_trajectory_of_its_own_below_the_main_one(trial: Trial) -> None:
    child = Step(step_id=1, source="user", message="part")
    index_of(trial).write([ThreadUpdate("", [call_step(1)]), ThreadUpdate("child", [child])], {})
    main, sub = Trajectory.objects.order_by("position")
    assert (main.kind, main.fragment, sub.kind, sub.fragment, sub.parent_id) == (
        "main",
        "",
        "subagent",
        "child",
        main.pk,
    )
    assert (sub.agent_name, sub.model_name) == ("codex", "gpt")


def test_a_superseded_execution_writes_no_step(trial: Trial) -> None:
    with pytest.raises(ExecutionSuperseded):
        index_of(trial, execution=1).write([ThreadUpdate("", [call_step(1)])], {"cost_usd": 9.0})
    assert not StepRow.objects.exists()
    assert Trial.objects.get().cost_usd is None


def test_many_small_writes_cost_a_fixed_number_of_queries(trial: Trial, django_assert_max_num_queries: object) -> None:
    index = index_of(trial)
    index.write([ThreadUpdate("", [call_step(1)])], {})
    with django_assert_max_num_queries(6):  # type: ignore[operator] # pytest-django's fixture
        index.write([ThreadUpdate("", [call_step(number) for number in range(2, 40)])], {})
    assert StepRow.objects.count() == 39


def test_the_next_execution_begins_without_the_steps_of_the_one_before(trial: Trial) -> None:
    index_of(trial).write([ThreadUpdate("", [call_step(1)])], {})
    forget_steps(trial.pk)
    assert not Trajectory.objects.exists()
    assert not StepRow.objects.exists()
