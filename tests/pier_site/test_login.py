from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from pier_site.accounts.models import LoginLink
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


def link_of(secret: str, next_page: str = "/") -> str:
    return f"{reverse('login-link', args=[secret])}?next={next_page}"


def is_logged_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_a_password_logs_in() -> None:
    make_user("ana", password="correct horse battery")
    client = Client()
    answer = client.post(reverse("login"), {"username": "ana", "password": "correct horse battery"})
    assert answer["Location"] == reverse("jobs")
    assert is_logged_in(client)


def test_a_wrong_password_is_told_on_the_form() -> None:
    make_user("ana", password="correct horse battery")
    answer = Client().post(reverse("login"), {"username": "ana", "password": "wrong"})
    assert answer.status_code == 200
    assert "correct username and password" in answer.content.decode()


def test_logging_out_needs_a_form() -> None:
    client = Client()
    client.force_login(make_user())
    assert client.get(reverse("logout")).status_code == 405
    client.post(reverse("logout"))
    assert not is_logged_in(client)


def test_fetching_a_link_ahead_of_the_click_does_not_use_it_up() -> None:
    link = link_of(LoginLink.issue(make_user()))
    assert Client().get(link).status_code == 200
    assert Client().head(link).status_code == 405
    client = Client()
    client.post(link, {"next": "/jobs/7/"})
    assert is_logged_in(client)


def test_a_link_works_once_and_opens_its_page() -> None:
    link = link_of(LoginLink.issue(make_user()), "/jobs/7/")
    assert 'value="/jobs/7/"' in Client().get(link).content.decode()
    assert Client().post(link, {"next": "/jobs/7/"})["Location"] == "/jobs/7/"
    second = Client()
    assert second.post(link).status_code == 410
    assert second.get(link).status_code == 410
    assert not is_logged_in(second)


def test_a_used_link_takes_who_is_logged_in_to_its_page() -> None:
    user = make_user()
    link = link_of(LoginLink.issue(user), "/jobs/7/")
    client = Client()
    client.post(link)
    assert client.get(link)["Location"] == "/jobs/7/"


def test_an_expired_link_logs_nobody_in() -> None:
    link = link_of(LoginLink.issue(make_user()))
    LoginLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    client = Client()
    assert client.post(link).status_code == 410
    assert not is_logged_in(client)


def test_a_link_of_a_deactivated_person_logs_nobody_in() -> None:
    link = link_of(LoginLink.issue(make_user(is_active=False)))
    assert Client().get(link).status_code == 410


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_a_link_never_leads_to_another_site(elsewhere: str) -> None:
    answer = Client().post(link_of(LoginLink.issue(make_user())), {"next": elsewhere})
    assert answer["Location"] == reverse("jobs")


def test_redeeming_needs_the_forms_token() -> None:
    link = link_of(LoginLink.issue(make_user()))
    client = Client(enforce_csrf_checks=True)
    assert client.post(link).status_code == 403
    assert LoginLink.objects.get().used_at is None


def test_the_link_page_is_not_cached() -> None:
    assert "no-store" in Client().get(link_of(LoginLink.issue(make_user())))["Cache-Control"]


def test_a_fragment_of_a_lost_session_reloads_its_page() -> None:
    answer = Client().get(reverse("jobs"), headers={"HX-Request": "true"})
    assert answer["HX-Refresh"] == "true"
