"""Rubrics as rows: built-in ones on need, versions of a project's own, and none that changes once it was used."""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F, RestrictedError

from critique.models import CritiqueRun, Rubric, RubricFrozen
from critique.rubrics.loading import builtin_rubrics, builtin_texts, find_rubric, publish_text, text_of
from pier_site.accounts.models import Project
from runs.errors import InputInvalid
from tests.support.critiques import make_critique, make_run
from tests.support.factories import make_job, make_project, make_user

pytestmark = pytest.mark.django_db


def a_file(folder: Path, **keys: Any) -> str:
    path = folder / "mine.json"
    path.write_text(json.dumps({"name": "mine", "title": "Mine", "text": "Look."} | keys))
    return str(path)


def used(rubric: Rubric, project: Project) -> Rubric:
    CritiqueRun.objects.create(project=project, name="r", directory="/nowhere/r", rubric=rubric)
    return rubric


def test_a_builtin_rubric_becomes_one_row_however_often_it_is_asked_for() -> None:
    project = make_project()
    first = find_rubric("trial-validity", project)
    assert (first.is_builtin, first.project, first.version) == (True, None, 1)
    assert find_rubric("trial-validity@1", make_project()) == first
    assert text_of(first) == builtin_texts()["trial-validity"]


def test_all_builtin_rubrics_take_one_query_once_they_are_rows(django_assert_num_queries: Any) -> None:
    assert [rubric.name for rubric in builtin_rubrics()] == sorted(builtin_texts())
    with django_assert_num_queries(1):
        builtin_rubrics()
    assert Rubric.objects.count() == len(builtin_texts())


def test_a_file_becomes_a_version_when_its_content_is_new(tmp_path: Path) -> None:
    project, person = make_project(), make_user()
    first = find_rubric(a_file(tmp_path), project, by=person)
    assert (str(first), first.created_by, first.project) == ("mine@1", person, project)
    assert find_rubric(a_file(tmp_path, title="Another title"), project) == first
    second = find_rubric(a_file(tmp_path, text="Look again."), project)
    assert str(second) == "mine@2"
    assert find_rubric("mine", project) == second
    assert find_rubric("mine@1", project) == first
    assert find_rubric(a_file(tmp_path), project) == first


def test_a_new_version_makes_the_critiques_by_earlier_ones_stale_at_once(tmp_path: Path) -> None:
    project, other = make_project(), make_project()
    run = make_run(make_job(project), rubric=find_rubric(a_file(tmp_path), project))
    critique = make_critique(run=run, stale_reasons=["the trajectory was changed"], is_stale=True)
    elsewhere = make_critique(run=make_run(make_job(other), rubric=find_rubric(a_file(tmp_path), other)))
    for version in (2, 3):
        find_rubric(a_file(tmp_path, text=f"Look {version} times."), project)
        critique.refresh_from_db()
        newer = f"rubric mine has a newer version {version}"
        assert critique.stale_reasons == ["the trajectory was changed", newer]
    elsewhere.refresh_from_db()
    assert not elsewhere.is_stale


def test_the_versions_of_a_project_are_its_own(tmp_path: Path) -> None:
    find_rubric(a_file(tmp_path), make_project())
    other = make_project()
    with pytest.raises(InputInvalid, match="mine: there is no such rubric"):
        find_rubric("mine", other)
    assert str(find_rubric(a_file(tmp_path, text="Other."), other)) == "mine@1"


def test_a_version_that_is_named_in_the_file_never_gets_another_content(tmp_path: Path) -> None:
    project = make_project()
    assert str(find_rubric(a_file(tmp_path, version=3), project)) == "mine@3"
    with pytest.raises(InputInvalid, match="mine@3 has another content: raise the version"):
        find_rubric(a_file(tmp_path, version=3, text="Other."), project)
    assert str(find_rubric(a_file(tmp_path, text="Other."), project)) == "mine@4"


def test_a_text_that_somebody_sent_is_published_as_a_file_is() -> None:
    rubric = publish_text("criteria: [{name: is_fair}]", "ours.yaml", make_project())
    assert (rubric.name, [one.name for one in text_of(rubric).criteria]) == ("ours", ["is_fair"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("trial-validty", "did you mean trial-validity?"),
        ("trial-validity@9", "there is no such rubric"),
        ("trial-validity@x", "after @ stands the version"),
        ("trial-validity@", "after @ stands the version"),
        ("nowhere/x.toml", "does not exist"),
        ("a\0b", "there is no such rubric"),
    ],
    ids=["misspelt", "version", "no number", "nothing", "file", "NUL"],
)
def test_a_rubric_that_is_not_there_is_said_so(name: str, reason: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        find_rubric(name, make_project())
    assert reason in str(caught.value)


def test_the_name_of_a_builtin_rubric_cannot_be_taken(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="question is a built-in rubric"):
        find_rubric(a_file(tmp_path, name="question"), make_project())


def test_an_unused_builtin_row_of_an_earlier_text_is_brought_up_to_date() -> None:
    rubric = find_rubric("question", make_project())
    Rubric.objects.filter(pk=rubric.pk).update(text="Old.", digest="sha256:0")
    assert text_of(find_rubric("question", make_project())) == builtin_texts()["question"]


def test_a_used_builtin_row_of_another_text_is_reported() -> None:
    project = make_project()
    rubric = find_rubric("question", project)
    Rubric.objects.filter(pk=rubric.pk).update(text="Old.", digest="sha256:0")
    used(rubric, project)
    with pytest.raises(RubricFrozen, match="question@1 was used with another content"):
        find_rubric("question", project)


def test_a_row_that_was_changed_behind_our_back_is_not_used() -> None:
    rubric = find_rubric("question", make_project())
    Rubric.objects.filter(pk=rubric.pk).update(text="Rate everything good.")
    rubric.refresh_from_db()
    with pytest.raises(InputInvalid, match="its content has another digest"):
        text_of(rubric)


def test_no_way_of_django_changes_a_rubric_that_was_used(tmp_path: Path) -> None:
    project = make_project()
    rubric = used(find_rubric(a_file(tmp_path), project), project)
    rubric.text = "Other."
    ways: list[Callable[[], object]] = [
        rubric.save,
        lambda: Rubric.objects.filter(name="mine").update(text="Other."),
        lambda: Rubric.objects.update(version=F("version") + 1),
        lambda: Rubric.objects.bulk_update([rubric], ["text"]),
        lambda: Rubric.objects.update_or_create(pk=rubric.pk, defaults={"text": "Other."}),
        lambda: Rubric.objects.bulk_create(
            [rubric], update_conflicts=True, update_fields=["text"], unique_fields=["id"]
        ),
        lambda: project.rubrics.update(text="Other."),
    ]
    for way in ways:
        with pytest.raises(RubricFrozen), transaction.atomic():
            way()
    for remove in (rubric.delete, Rubric.objects.all().delete):
        with pytest.raises(RestrictedError), transaction.atomic():
            remove()
    assert Rubric.objects.get().text == "Look.\n"


def test_a_project_takes_its_rubrics_and_their_runs_along(tmp_path: Path) -> None:
    project = make_project()
    used(find_rubric(a_file(tmp_path), project), project)
    project.delete()
    assert not Rubric.objects.exists()


def test_a_rubric_that_nobody_used_can_be_changed_and_removed(tmp_path: Path) -> None:
    rubric = find_rubric(a_file(tmp_path), make_project())
    assert Rubric.objects.filter(pk=rubric.pk).update(note="Draft.") == 1
    rubric.delete()
    assert not Rubric.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_processes_that_publish_at_once_make_one_row_a_content(tmp_path: Path) -> None:
    project = make_project()
    names = [a_file(tmp_path), "question"]
    found: list[str] = []
    start = Barrier(6)

    def publish() -> None:
        start.wait()
        found.extend(str(find_rubric(name, project)) for name in names)
        connection.close()

    threads = [Thread(target=publish) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["mine@1"] * 6 + ["question@1"] * 6
    assert Rubric.objects.count() == 2
