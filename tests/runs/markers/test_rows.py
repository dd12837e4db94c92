import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q

from pier_site.accounts import visibility
from pier_site.accounts.models import User
from pier_site.accounts.visibility import Hideable, hide
from runs.formats.trajectory import Observation, ObservationResult, ToolCall
from runs.formats.trajectory import Step as AtifStep
from runs.indexing.live import LiveIndex, ThreadUpdate
from runs.indexing.trajectories import index_trajectories
from runs.models import Marker, Status, Step, Trial
from tests.support.factories import World, make_shell_step, make_step, make_trial, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def write_trajectory(world: World, steps: list[dict[str, Any]]) -> Path:
    directory = Path(world.job.directory) / world.trial.name
    timed = [
        {"step_id": number + 1, "timestamp": f"2026-11-20T08:00:{number:02d}Z"} | step
        for number, step in enumerate(steps)
    ]
    agent = {"name": "a", "version": "1"}
    document = {"schema_version": "ATIF-v1.7", "session_id": "s", "agent": agent, "steps": timed}
    (directory / "agent/trajectory.json").write_text(json.dumps(document))
    return directory


def test_indexing_again_replaces_what_rules_said_and_keeps_what_people_said(world: World) -> None:
    directory = write_trajectory(world, [make_shell_step("pytest", "1 passed in 0.1s"), make_step(message="Done.")])
    index_trajectories(world.trial, directory)
    trajectory = world.trial.trajectories.get()
    Marker.objects.create(trial=world.trial, trajectory=trajectory, index=1, kind=Marker.Kind.CLAIM, label="wrong")
    index_trajectories(world.trial, directory)
    found = list(world.trial.markers.order_by("index", "id").values_list("index", "kind", "n_passed"))
    assert sorted(found, key=str) == sorted([(0, "test", 1), (1, "submit", None), (1, "claim", None)], key=str)


def test_a_refused_request_marks_the_step_that_was_going_on(world: World) -> None:
    steps = [
        make_step(source="user", message="Go."),
        make_shell_step("curl evil.example", ""),
        make_step(message="No."),
    ]
    directory = write_trajectory(world, steps)
    lines = [
        {"time": "2026-11-20T08:00:01.500Z", "verdict": "refused", "host": "evil.example", "port": 443},
        {"time": "2026-11-20T08:00:01.600Z", "verdict": "allowed", "host": "good.example", "port": 443},
        {"time": "2026-11-20T07:00:00Z", "verdict": "refused", "host": "before.example"},
    ]
    (directory / "network.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "refused {torn")
    index_trajectories(world.trial, directory)
    refused = world.trial.markers.get(kind=Marker.Kind.REFUSED)
    assert (refused.index, refused.label) == (1, "refused evil.example")


def test_times_that_a_writer_tells_become_columns(world: World) -> None:
    step = make_shell_step("sleep 2", "", metrics={"prompt_tokens": 1, "extra": {"duration_ms": 1500}})
    step["observation"]["results"][0]["extra"] = {"duration_sec": 2.0}
    index_trajectories(world.trial, write_trajectory(world, [step, make_step(message="Done.")]))
    assert list(Step.objects.filter(trial=world.trial).order_by("index").values_list("model_sec", "tool_sec")) == [
        (1.5, 2.0),
        (None, None),
    ]


def test_markers_are_seen_by_members_alone_and_an_app_may_hide_some(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "_rules", {})
    for kind in (Marker.Kind.EDIT, Marker.Kind.CLAIM):
        Marker.objects.create(trial=world.trial, trajectory=world.trajectory, index=0, kind=kind)

    def blind(user: User | AnonymousUser) -> Q:
        return Q(kind=Marker.Kind.CLAIM) if user == world.viewer else Q(pk__in=[])

    hide(Hideable.MARKER, blind)
    assert {str(marker.kind) for marker in Marker.objects.visible_to(world.owner)} == {"edit", "claim"}
    assert {str(marker.kind) for marker in Marker.objects.visible_to(world.viewer)} == {"edit"}
    assert not Marker.objects.visible_to(world.stranger)
    assert not Marker.objects.visible_to(AnonymousUser())
    assert Trial.objects.visible_to(world.viewer).count() == 1


def test_a_running_trials_steps_are_marked_as_they_come_and_grow() -> None:
    trial = make_trial(status=Status.RUNNING, owner="me", execution=1)
    index = LiveIndex(trial.pk, 1, "me", "agent/trajectory.json", "", "codex", "gpt")
    call = ToolCall(tool_call_id="a", function_name="bash", arguments={"command": "pytest -q"})
    result = ObservationResult(source_call_id="a", content="3 passed in 0.1s")
    running = AtifStep(step_id=1, source="agent", message="", tool_calls=[call])
    index.write([ThreadUpdate("", [running])], {})
    assert [found.label for found in trial.markers.all()] == ["tests run"]
    ended = AtifStep(
        step_id=1, source="agent", message="", tool_calls=[call], observation=Observation(results=[result])
    )
    index.write([ThreadUpdate("", [ended])], {})
    assert [(found.label, found.n_passed) for found in trial.markers.all()] == [("3 passed", 3)]
