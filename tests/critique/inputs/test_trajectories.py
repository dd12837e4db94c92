"""Numbered trajectories are those of the index: the same order, labels that stay, numbers of the pages, whole texts."""

import gzip
import json
from pathlib import Path

import pytest

from critique.inputs.step_text import plain
from critique.inputs.trajectories import labels_of, trajectories_of
from pier_site.accounts.models import Project
from runs.indexing.job import index_job
from runs.indexing.payload import unpack
from runs.models import Trial
from tests.runs.indexing.files import make_job, make_trial, step, trajectory, write

GOLDEN = Path(__file__).parents[2] / "golden"
BELL, SMUGGLED = "\x07", "\U000e0041"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A trial with a continuation, embedded sub-agents one in the other, and files that nothing refers to."""
    folder = make_trial(make_job(tmp_path, trials=0))
    ref = {"content": "done", "subagent_trajectory_ref": [{"trajectory_path": "sub.json"}, {"trajectory_id": "in"}]}
    inner = trajectory(step(1, message="inmost"), trajectory_id="in")
    embedded = trajectory(step(1), step(2), trajectory_id="in", subagent_trajectories=[inner])
    main = trajectory(
        step(1, observation={"results": [ref]}),
        step(2),
        continued_trajectory_ref="trajectory.cont-1.json",
        subagent_trajectories=[embedded],
    )
    write(folder / "agent/trajectory.json", main)
    write(folder / "agent/trajectory.cont-1.json", trajectory(step(1, is_copied_context=True), step(7)))
    write(folder / "agent/sub.json", trajectory(step(1)))
    write(folder / "agent/trajectory.unnamed.json", trajectory(step(1)))
    return folder


def indexed(project: Project, folder: Path) -> Trial:
    """The trial's rows."""
    return index_job(project, folder.parent).job.trials.get()


def assert_equal_to_the_index(row: Trial, folder: Path) -> None:
    """Documents, steps and texts are those of the rows, in their order."""
    found = trajectories_of(folder)
    rows = list(row.trajectories.order_by("position"))
    assert [(one.path, one.fragment, one.kind, one.task_step, one.n_steps) for one in found] == [
        (one.path, one.fragment, one.kind, one.task_step, one.n_steps) for one in rows
    ]
    assert [one.label for one in found] == labels_of(one.kind for one in rows)
    for one, its_row in zip(found, rows, strict=True):
        steps = list(one.steps())
        its_steps = list(its_row.steps.order_by("index"))
        assert [(text.number, text.source) for text in steps] == [(each.index + 1, each.source) for each in its_steps]
        for text, each in zip(steps, its_steps, strict=True):
            assert plain(unpack(each.payload).message).strip() in text.text
            assert one.step(text.number) == text


def test_documents_and_steps_are_those_of_the_index(default: Project, trial: Path) -> None:
    assert_equal_to_the_index(indexed(default, trial), trial)
    assert [one.label for one in trajectories_of(trial)] == [
        *("main", "subagent-1", "subagent-2", "continuation-1", "subagent-3", "subagent-4")
    ]


def test_task_steps_are_several_main_trajectories(default: Project, tmp_path: Path) -> None:
    folder = make_trial(make_job(tmp_path, trials=0))
    (folder / "agent/trajectory.json").unlink()
    for name in ("two", "one"):
        write(folder / f"steps/{name}/agent/trajectory.json", trajectory())
    assert_equal_to_the_index(indexed(default, folder), folder)
    assert [(one.label, one.task_step) for one in trajectories_of(folder)] == [("main", "one"), ("main-2", "two")]


def test_packed_and_stray_trajectories_are_found(default: Project, tmp_path: Path) -> None:
    folder = make_trial(make_job(tmp_path, trials=0))
    (folder / "agent/trajectory.json").unlink()
    assert trajectories_of(folder) == []
    (folder / "artifacts").mkdir()
    (folder / "artifacts/trajectory.json.gz").write_bytes(gzip.compress(json.dumps(trajectory()).encode()))
    assert_equal_to_the_index(indexed(default, folder), folder)


def test_trials_that_pier_wrote_are_numbered_as_they_are_indexed(default: Project) -> None:
    trials = list(index_job(default, GOLDEN / "pier-critique").job.trials.all())
    assert trials
    for row in trials:
        assert_equal_to_the_index(row, GOLDEN / "pier-critique" / row.name)


@pytest.mark.corpora
def test_public_trajectories_are_numbered_as_they_are_indexed(default: Project, tmp_path: Path, corpora: Path) -> None:
    for number, path in enumerate(sorted((corpora / "trajectories").glob("*.json"))):
        if path.name == "expected.json":
            continue
        folder = make_trial(make_job(tmp_path, f"job-{number}", trials=0))
        write(folder / "agent/trajectory.json", path.read_text())
        assert_equal_to_the_index(indexed(default, folder), folder)


def test_a_step_has_all_that_can_be_quoted(tmp_path: Path) -> None:
    folder = make_trial(make_job(tmp_path, trials=0))
    edits = [{"old": "a\nb", "new": 'say "hi"'}]
    calls = [
        {"tool_call_id": "c1", "function_name": "Bash", "arguments": {"command": "ls\npwd", "timeout": 5}},
        {"tool_call_id": "c2", "function_name": "Edit", "arguments": {"path": "x.py", "edits": edits}},
    ]
    results = [
        {"source_call_id": "c1", "content": "one\ntwo", "is_error": True},
        {"source_call_id": "c2", "content": "edited"},
    ]
    write(
        folder / "agent/trajectory.json",
        trajectory(
            step(
                1,
                timestamp="2026-08-01T10:00:00Z",
                message="Look.",
                reasoning_content="Hm.",
                tool_calls=calls,
                observation={"results": results},
            )
        ),
    )
    (main,) = trajectories_of(folder)
    (text,) = main.steps()
    assert [part.title for part in text.parts] == [
        *("message", "reasoning", "call 1: Bash", "result of call 1 (error)", "call 2: Edit", "result of call 2")
    ]
    assert text.text == (
        "Look.\nHm.\nBash\ncommand:\nls\npwd\ntimeout: 5\none\ntwo\n"
        'Edit\npath: x.py\nedits:\n-\nold:\na\nb\nnew: say "hi"\nedited'
    )
    assert (text.at, text.tools, text.has_error) == ("2026-08-01T10:00:00+00:00", ("Bash", "Edit"), True)


def test_escapes_controls_and_unseen_letters_are_no_text(tmp_path: Path) -> None:
    folder = make_trial(make_job(tmp_path, trials=0))
    message = f"\x1b[31mred\x1b[0m\r\n10%\r20%\x1b]0;title{BELL}{SMUGGLED} and \u202ereversed\u2028end\x00"
    write(folder / "agent/trajectory.json", trajectory(step(1, message=message)))
    (main,) = trajectories_of(folder)
    assert [text.text for text in main.steps()] == ["red\n10%\n20% and reversed\nend\ufffd"]


def test_a_step_too_large_for_a_page_is_whole_here(tmp_path: Path) -> None:
    folder = make_trial(make_job(tmp_path, trials=0))
    message = "".join(f"line {number}\n" for number in range(500_000))
    write(folder / "agent/trajectory.json", trajectory(step(1, message=message)))
    (main,) = trajectories_of(folder)
    assert next(main.steps()).text == message


def test_there_is_no_step_beyond_the_ends(trial: Path) -> None:
    main = trajectories_of(trial)[0]
    assert main.step(0) is None
    assert main.step(3) is None
    assert main.step(2) is not None
