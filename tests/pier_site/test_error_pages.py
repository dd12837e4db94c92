import pytest
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest
from django.test import Client, RequestFactory
from django.views import defaults

from tests.support.factories import make_user


@pytest.fixture
def request_of_nobody(rf: RequestFactory) -> HttpRequest:
    return rf.get("/")


def test_each_error_has_a_page_in_the_sites_style(request_of_nobody: HttpRequest) -> None:
    pages = {
        400: defaults.bad_request(request_of_nobody, BadRequest()),
        403: defaults.permission_denied(request_of_nobody, PermissionDenied()),
        404: defaults.page_not_found(request_of_nobody, Http404()),
        500: defaults.server_error(request_of_nobody),
    }
    for status, page in pages.items():
        assert page.status_code == status
        assert "/site.css" in page.content.decode()
        assert str(status) in page.content.decode()


@pytest.mark.django_db
def test_a_forged_form_is_told_what_to_do() -> None:
    make_user("ana", password="correct horse battery")
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "ana", "password": "x"})
    assert answer.status_code == 403
    assert "send it again" in answer.content.decode()


@pytest.mark.django_db
def test_pages_carry_a_strict_policy() -> None:
    answer = Client().get("/login/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
