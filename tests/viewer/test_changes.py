import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from runs.indexing.trajectories import index_trajectories
from runs.models import Step
from tests.support.factories import World, make_artifact, make_shell_step, make_step, make_world
from viewer.worktree import worktree_at

pytestmark = pytest.mark.django_db

PATCH = """\
diff --git a/calculator.py b/calculator.py
--- a/calculator.py
+++ b/calculator.py
@@ -1,2 +1,2 @@
 def add(a, b):
-    return a - b
+    return a + b
"""
BEFORE = "def add(a, b):\n    return a - b\n"


def call(name: str, result: str = "ok", **arguments: Any) -> dict[str, Any]:
    calls = [{"tool_call_id": "c", "function_name": name, "arguments": arguments}]
    return make_step(tool_calls=calls, observation={"results": [{"source_call_id": "c", "content": result}]})


def edit(old: str, new: str, path: str = "/app/calculator.py") -> dict[str, Any]:
    return call("Edit", file_path=path, old_string=old, new_string=new)


STEPS = [
    make_step(source="user", message="Fix add."),
    call("Read", "1\tdef add(a, b):\n2\t    return a - b", file_path="/app/calculator.py"),
    edit("a - b", "a * b"),
    edit("    return a * b", "    return a + b"),
    call("Write", file_path="/app/notes.md", content="# Notes\n<script>alert(1)</script>\n"),
    make_shell_step("sed -i 's/a/b/' setup.cfg && rm old.py", ""),
    make_step(message="Done."),
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = make_world(tmp_path)
    directory = Path(world.job.directory) / world.trial.name
    steps = [{"step_id": n + 1, "timestamp": f"2026-11-20T08:00:{n:02d}Z"} | step for n, step in enumerate(STEPS)]
    document = {
        "schema_version": "ATIF-v1.7",
        "session_id": "s",
        "agent": {"name": "a", "version": "1"},
        "steps": steps,
    }
    (directory / "agent/trajectory.json").write_text(json.dumps(document))
    (directory / "changes.patch").write_text(PATCH)
    index_trajectories(world.trial, directory)
    return world


@pytest.fixture
def pages(client: Client, world: World) -> Client:
    client.force_login(world.owner)
    return client


def at(world: World, number: int) -> Step:
    return Step.objects.select_related("trajectory").get(trial=world.trial, index=number - 1)


def tree_address(world: World, number: int) -> str:
    return reverse("trial-worktree", args=[world.trial.pk, at(world, number).trajectory_id, number])


def test_the_final_patch_is_a_diff_whose_lines_lead_to_their_steps(
    pages: Client, world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    address = reverse("trial-changes", args=[world.trial.pk])
    with django_assert_max_num_queries(9):
        html = pages.get(address).content.decode()
    assert '<ins data-new="2">    return a <mark>+</mark> b' in html
    assert '<del data-old="2">    return a <mark>-</mark> b' in html
    written = html.partition('class="written"')[2]
    assert "at=4#step-4" in written.partition("</div>")[0]
    assert reverse("trial-file", args=[world.trial.pk, "changes.patch"]) in html
    assert "calculator.py</span>" in html


def test_an_artifact_may_play_the_patchs_part(pages: Client, world: World) -> None:
    make_artifact(world.trial, "artifacts/final.diff")
    directory = Path(world.job.directory) / world.trial.name
    (directory / "artifacts/final.diff").write_text(PATCH.replace("calculator", "other"))
    address = reverse("trial-changes", args=[world.trial.pk])
    assert "other.py" in pages.get(f"{address}?file=artifacts/final.diff").content.decode()
    assert pages.get(f"{address}?file=trial.log").status_code == 404
    (directory / "changes.patch").unlink()
    assert "other.py" in pages.get(address).content.decode()


def test_without_a_patch_the_page_says_so(pages: Client, world: World) -> None:
    (Path(world.job.directory) / world.trial.name / "changes.patch").unlink()
    world.trial.artifacts.all().delete()
    assert "left no patch" in pages.get(reverse("trial-changes", args=[world.trial.pk])).content.decode()


def test_a_patch_of_megabytes_stays_within_the_limit_of_a_page(pages: Client, world: World) -> None:
    head = "--- /dev/null\n+++ b/{0}\n@@ -0,0 +1,700 @@\n"
    body = "".join(f"+{'<' * 900}\n" for _ in range(700))
    patch = "".join(head.format(n) + body for n in range(6))
    (Path(world.job.directory) / world.trial.name / "changes.patch").write_text(patch)
    answer = pages.get(reverse("trial-changes", args=[world.trial.pk]))
    assert answer.status_code == 200
    assert len(answer.content) < 1_000_000
    assert "The page is full" in answer.content.decode()


def test_the_files_at_a_step_are_as_its_calls_left_them(world: World) -> None:
    (before,) = worktree_at(world.trial, at(world, 3)).files
    assert (before.base, before.text) == (BEFORE, BEFORE.replace("-", "*"))
    states = {state.path: state for state in worktree_at(world.trial, at(world, 7)).files}
    assert states["/app/calculator.py"].text == BEFORE.replace("-", "+")
    assert [line.sign for line in states["/app/calculator.py"].diff()] == [" ", "-", "+"]
    assert states["/app/notes.md"].base == ""
    assert (states["setup.cfg"].text, states["setup.cfg"].is_known) == (None, False)
    assert states["old.py"].is_deleted
    assert worktree_at(world.trial, at(world, 2)).files == []


def test_a_file_that_is_read_after_its_edits_is_known_before_them_too(world: World) -> None:
    directory = Path(world.job.directory) / world.trial.name
    document = json.loads((directory / "agent/trajectory.json").read_text())
    one, read, first, *rest = document["steps"]
    read["observation"]["results"][0]["content"] = "1\tdef add(a, b):\n2\t    return a * b"
    times = [step["timestamp"] for step in (one, read, first)]
    document["steps"] = [
        {**step, "timestamp": time} for step, time in zip((one, first, read), times, strict=True)
    ] + rest
    (directory / "agent/trajectory.json").write_text(json.dumps(document))
    index_trajectories(world.trial, directory)
    state = next(state for state in worktree_at(world.trial, at(world, 4)).files if "calc" in state.path)
    assert (state.base, state.text) == (BEFORE, BEFORE.replace("-", "+"))


def test_the_page_of_a_step_shows_files_and_their_content(
    pages: Client, world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(11):
        html = pages.get(tree_address(world, 7)).content.decode()
    assert "/app/calculator.py" in html
    assert "in a way that its text does not tell" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    content = pages.get(f"{tree_address(world, 4)}?path=/app/calculator.py").content.decode()
    assert '<ol class="code" start="1">' in content
    assert pages.get(f"{tree_address(world, 4)}?path=/etc/passwd").status_code == 404
    assert "No file had been edited" in pages.get(tree_address(world, 1)).content.decode()
