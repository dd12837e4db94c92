import pytest
from django.test import Client
from django.urls import reverse

from critique.models import Rubric
from critique.views.rubrics import EXAMPLE, diff_of
from pier_site.accounts.models import Project, Role
from tests.support.critiques import make_rubric, make_run
from tests.support.factories import make_member, make_project, make_user


@pytest.fixture
def project(db: None) -> Project:
    return make_project()


@pytest.fixture
def pages(client: Client, project: Project) -> Client:
    client.force_login(make_member(project))
    return client


def publish(pages: Client, project: Project, text: str) -> str:
    answer = pages.post(reverse("rubric-new"), {"project": project.pk, "text": text}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_built_in_rubrics_are_there_from_the_start(pages: Client) -> None:
    page = pages.get(reverse("rubrics")).content.decode()
    for name in ("trial-validity", "reward-hacking", "failure-modes", "task-quality", "run-analysis", "question"):
        assert name in page
    rubric = Rubric.objects.get(name="trial-validity")
    page = pages.get(reverse("rubric", args=[rubric.pk])).content.decode()
    for said in ("PASS_LEGITIMATE", "What the critic is told", rubric.digest, "Make your own"):
        assert said in page


def test_a_rubric_is_published_in_versions_with_what_is_new(pages: Client, project: Project) -> None:
    page = publish(pages, project, EXAMPLE)
    assert "my-rubric@1" in page
    page = publish(
        pages, project, EXAMPLE.replace("Nothing to complain about.", "Nothing at all to <b>complain</b> about.")
    )
    assert "my-rubric@2" in page
    assert "What is new since version 1" in page
    ins = page.partition("<ins>")[2].partition("</ins>")[0]
    assert "&lt;b&gt;complain" in page
    assert ins
    again = publish(pages, project, EXAMPLE)
    assert "my-rubric@1" in again, "the same content is the same version"
    assert Rubric.objects.filter(name="my-rubric").count() == 2


def test_a_version_can_be_made_from_another(pages: Client, project: Project) -> None:
    pages.get(reverse("rubrics"))
    base = Rubric.objects.get(name="trial-validity")
    form = pages.get(reverse("rubric-new"), {"of": base.pk})
    text = form.context["form"].initial["text"]
    assert text.startswith('name = "my-trial-validity"')
    assert "my-trial-validity@1" in publish(pages, project, text)
    made = Rubric.objects.get(name="my-trial-validity")
    assert (made.text, made.tags, made.output_schema) == (base.text, base.tags, base.output_schema)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no toml at all", "rubric.toml"),
        (EXAMPLE.replace("my-rubric", "trial-validity"), "built-in"),
        (EXAMPLE.replace("subject", "subjekt"), "subjekt"),
        ("", "This field is required"),
    ],
)
def test_what_cannot_be_published_is_told(text: str, said: str, pages: Client, project: Project) -> None:
    assert said in publish(pages, project, text)
    assert not Rubric.objects.exclude(project=None).exists()


def test_rubrics_of_other_projects_do_not_exist(client: Client, project: Project) -> None:
    rubric = make_rubric(project=project, name="secret-rubric")
    client.force_login(make_user())
    assert "secret-rubric" not in client.get(reverse("rubrics")).content.decode()
    assert client.get(reverse("rubric", args=[rubric.pk])).status_code == 404
    assert client.get(reverse("rubric-new")).status_code == 403
    owner = make_member(make_project())
    client.force_login(owner)
    answer = client.post(reverse("rubric-new"), {"project": project.pk, "text": EXAMPLE})
    assert "Select a valid choice" in answer.content.decode()
    assert client.get(reverse("rubric-new"), {"of": rubric.pk}).status_code == 404


def test_members_who_own_nothing_may_read_but_not_publish(client: Client, project: Project) -> None:
    client.force_login(make_member(project, Role.VIEWER))
    assert "New rubric" not in client.get(reverse("rubrics")).content.decode()
    assert client.post(reverse("rubric-new"), {"project": project.pk, "text": EXAMPLE}).status_code == 403


def test_a_diff_has_what_went_what_came_and_a_little_around_it() -> None:
    before = "\n".join(f"line {n}" for n in range(30))
    after = before.replace("line 5\n", "line five\n").replace("line 25", "line 25\nline more")
    lines = [(line.sign, line.text) for line in diff_of(before, after)]
    assert ("-", "line 5") in lines
    assert ("+", "line five") in lines
    assert ("+", "line more") in lines
    assert ("@", "") in lines
    assert (" ", "line 15") not in lines


def test_a_built_in_rubric_that_was_used_with_another_content_stops_nobody(pages: Client, project: Project) -> None:
    pages.get(reverse("rubrics"))
    rubric = Rubric.objects.get(name="trial-validity")
    Rubric.objects.filter(pk=rubric.pk).update(digest="sha256:old")
    make_run(rubric=rubric)
    page = pages.get(reverse("rubrics")).content.decode()
    assert "it needs a new version" in page
    assert "reward-hacking" in page
