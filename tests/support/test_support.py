"""The test tools themselves: the kinds of tests, the throw-away PostgreSQL, the strict browser."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from tests.support.browser import browser_page
from tests.support.postgres import throwaway_cluster
from tests.support.timing import kind_of


@pytest.mark.parametrize(
    ("markers", "kind"), [([], "unit"), (["django_db"], "unit"), (["django_db", "docker"], "docker")]
)
def test_a_test_has_one_kind(markers: list[str], kind: str) -> None:
    assert kind_of(markers) == kind


def test_a_cluster_answers_and_leaves_nothing() -> None:
    import psycopg

    with throwaway_cluster() as url:
        folder = Path(url.partition("@")[2].rpartition("/")[0].replace("%2F", "/"))
        with psycopg.connect(url) as database:
            assert database.execute("select 1").fetchone() == (1,)
        assert folder.exists()
    assert not folder.exists()


def test_a_command_gets_the_address_and_its_exit_code_is_kept() -> None:
    code = "import os, sys; sys.exit(os.environ['DATABASE_URL'].startswith('postgresql://') and 7)"
    argv = [sys.executable, "-m", "tests.support.postgres", sys.executable, "-c", code]
    assert subprocess.run(argv, check=False).returncode == 7


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_postgres_run_is_on_postgres() -> None:
    assert connection.vendor == "postgresql"


@pytest.mark.browser
def test_a_page_that_misbehaves_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    hostile = (
        "<script>console.error('loud'); setTimeout(() => { throw new Error('torn') });"
        "fetch('http://203.0.113.1/').catch(() => 0); alert('stop')</script><p id=done>"
    )
    with browser_page("http://127.0.0.1:9") as (page, complaints):
        page.route("http://127.0.0.1:9/", lambda route: route.fulfill(body=hostile, content_type="text/html"))
        page.route("http://203.0.113.1/", lambda route: route.abort())
        page.goto("/")
        page.wait_for_selector("#done", state="attached")
        page.wait_for_timeout(100)
        complaints.expect("^loud$")
        complaints.expect("^exception: torn")
        complaints.expect("^dialog: stop$")
        complaints.expect("request to another host: http://203")
