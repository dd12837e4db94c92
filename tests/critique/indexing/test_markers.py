"""Claims as markers of the steps that they cite."""

import shutil
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.urls import reverse

from critique.indexing.critique import index_critique
from critique.models import Critique, CritiqueRun
from pier_site.accounts import visibility
from pier_site.accounts.models import Project, Role, User
from pier_site.accounts.visibility import Hideable
from runs.indexing.job import index_job
from runs.indexing.live import forget_steps
from runs.indexing.scan import CRITIQUES
from runs.indexing.trial import index_trial
from runs.models import Marker, Purpose, Trajectory, Trial
from tests.critique.indexing.files import (
    SOURCE,
    checked,
    citation,
    claim,
    make_critique,
    make_run,
    make_source,
    result,
)
from tests.runs.indexing.files import step, trajectory, write
from tests.support.factories import make_member

CLAIM = Marker.Kind.CLAIM


@pytest.fixture
def job(project: Project, tmp_path: Path) -> Path:
    """A job with a critique: a critical claim on step 3, cited twice, a minor one on step 5 with an invented quote."""
    job = make_source(tmp_path)
    claims = (
        claim("It gave up.", citation(3), citation(3, "no"), severity="critical"),
        claim("It lied.", citation(5, "no"), citation(99, "no"), severity="minor"),
        claim("It ended.", citation(5), severity="info"),
    )
    verdicts = checked((1, 1, True), (1, 2, False), (2, 1, False), (2, 2, False), (3, 1, True))
    make_critique(make_run(job), output=result(*claims), checked=verdicts)
    index_job(project, job)
    return job


def told() -> list[tuple[int, str, str, str]]:
    rows = Marker.objects.filter(kind=CLAIM).order_by("index", "url")
    return [(row.index, row.label, row.tone, row.url) for row in rows]


def expected() -> list[tuple[int, str, str, str]]:
    pk = Critique.objects.get().pk
    return [
        (2, "It gave up.", "bad", f"/critiques/{pk}/?claim=1#claim-1"),
        (4, "unverified: It lied.", "warn", f"/critiques/{pk}/?claim=2#claim-2"),
        (4, "It ended.", "", f"/critiques/{pk}/?claim=3#claim-3"),
    ]


def source() -> Trial:
    return Trial.objects.get(job__purpose=Purpose.RUN)


def test_each_claim_marks_the_steps_that_it_cites(job: Path) -> None:
    assert told() == expected()
    assert {row.trial for row in Marker.objects.filter(kind=CLAIM)} == {source()}


def test_a_marker_leads_to_the_page_of_its_critique(job: Path) -> None:
    critique = Critique.objects.get()
    assert told()[0][3] == f"{reverse('critique', args=[critique.pk])}?claim=1#claim-1"


def test_markers_are_replaced_when_the_critique_is_indexed_again(project: Project, job: Path) -> None:
    make_critique(job / CRITIQUES / "night", output=result(claim("So.", citation(1))), checked=checked((1, 1, True)))
    index_job(project, job)
    assert told() == [(0, "So.", "warn", f"/critiques/{Critique.objects.get().pk}/?claim=1#claim-1")]


def test_markers_go_with_the_critique(job: Path) -> None:
    n_derived = Marker.objects.exclude(kind=CLAIM).count()
    CritiqueRun.objects.all().delete()
    assert told() == []
    assert Marker.objects.count() == n_derived


def test_markers_of_another_critique_stay(project: Project, job: Path) -> None:
    make_critique(make_run(job, "other"), output=result(claim("So.", citation(1))), checked=checked((1, 1, True)))
    index_job(project, job)
    first, second = Critique.objects.order_by("pk")
    first.delete()
    assert [url for *_, url in told()] == [f"/critiques/{second.pk}/?claim=1#claim-1"]


def test_markers_stay_when_the_trial_is_indexed_again(project: Project, job: Path) -> None:
    before = expected()
    steps = [step(n, message=f"again, step {n}") for n in range(1, 10)]
    write(job / SOURCE / "agent/trajectory.json", trajectory(*steps))
    index_job(project, job)
    assert told() == before


def test_markers_of_steps_that_are_no_more_go(project: Project, job: Path) -> None:
    write(job / SOURCE / "agent/trajectory.json", trajectory(*[step(n) for n in range(1, 4)]))
    index_job(project, job)
    assert [index for index, *_ in told()] == [2]


def test_markers_are_written_again_when_a_trial_was_run_again(job: Path) -> None:
    before = told()
    trial = source()
    forget_steps(trial.pk)
    assert told() == []
    index_trial(trial.job, job / SOURCE, only_if_changed=False)
    assert told() == before
    assert Trajectory.objects.get(trial=trial).markers.filter(kind=CLAIM).count() == 3


def test_a_sub_agents_steps_are_marked_in_its_own_trajectory(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    inner = trajectory(step(1), step(2), trajectory_id="sub")
    write(job / SOURCE / "agent/trajectory.json", trajectory(step(1), subagent_trajectories=[inner]))
    output = result(claim("a", citation(2, "step 2", trajectory="subagent-1")))
    make_critique(make_run(job), output=output)
    index_job(project, job)
    marker = Marker.objects.select_related("trajectory").get(kind=CLAIM)
    assert (marker.trajectory.kind, marker.index) == (Trajectory.Kind.SUBAGENT, 1)


def test_markers_move_with_the_name_of_what_was_looked_at(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path, trials=2)
    run = make_run(job)
    output = result(claim("a", citation(1)))
    make_critique(run, "c", output=output)
    index_job(project, job)
    make_critique(run, "c", output=output, source_name="fix-it__0000001")
    index_job(project, job)
    assert [row.trial.name for row in Marker.objects.filter(kind=CLAIM)] == ["fix-it__0000001"]


def test_a_label_is_short_and_one_line(project: Project, tmp_path: Path) -> None:
    job = make_source(tmp_path)
    make_critique(make_run(job), output=result(claim("a\n" * 5000, citation(1))))
    index_job(project, job)
    label = Marker.objects.get(kind=CLAIM).label
    assert len(label) == 200
    assert "\n" not in label


@pytest.fixture
def hidden_names(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """User names of those who may see no critique, for as long as the test runs."""
    names: set[str] = set()
    rules = {what: list(those) for what, those in visibility._rules.items()}
    monkeypatch.setattr(visibility, "_rules", rules)

    def rule(reader: User | AnonymousUser) -> Q:
        return Q(run__name="night") if reader.get_username() in names else Q(pk__in=[])

    visibility.hide(Hideable.CRITIQUE, rule)
    return names


def test_who_may_not_see_a_critique_sees_none_of_its_markers(
    project: Project, job: Path, hidden_names: set[str]
) -> None:
    reviewer, owner = make_member(project, Role.VIEWER), make_member(project)
    make_critique(make_run(job, "open"), output=result(claim("So.", citation(1))), checked=checked((1, 1, True)))
    index_job(project, job)
    hidden_names.add(reviewer.get_username())
    assert Critique.objects.visible_to(owner).count() == 2
    assert Marker.objects.visible_to(owner).filter(kind=CLAIM).count() == 4
    shown = Critique.objects.visible_to(reviewer).get()
    assert shown.run.name == "open"
    assert list(Marker.objects.visible_to(reviewer).filter(kind=CLAIM).values_list("url", flat=True)) == [
        f"/critiques/{shown.pk}/?claim=1#claim-1"
    ]
    others = Marker.objects.exclude(kind=CLAIM)
    assert Marker.objects.visible_to(reviewer).exclude(kind=CLAIM).count() == others.count()


def test_an_unchanged_critique_keeps_its_markers(job: Path) -> None:
    before = list(Marker.objects.filter(kind=CLAIM).values_list("label", flat=True))
    index_critique(Trial.objects.select_related("job").get(job__purpose=Purpose.CRITIQUE))
    assert list(Marker.objects.filter(kind=CLAIM).values_list("label", flat=True)) == before


def test_rows_and_markers_of_a_removed_directory_stay_as_they_are(project: Project, job: Path) -> None:
    before = told()
    shutil.rmtree(job / CRITIQUES)
    index_job(project, job)
    assert told() == before
