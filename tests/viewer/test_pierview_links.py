"""What the login link of pierview opens."""

from pathlib import Path

import pytest

from tests.support.factories import make_job
from viewer.management.commands.pierview import page_of

pytestmark = pytest.mark.django_db


def test_a_job_directory_stands_for_its_page(tmp_path: Path) -> None:
    job = make_job(directory=str(tmp_path.resolve()))
    assert page_of(str(tmp_path)) == job.get_absolute_url()


def test_a_directory_that_is_no_job_stands_for_the_list_and_a_path_for_itself(tmp_path: Path) -> None:
    assert page_of(str(tmp_path)) == "/"
    assert page_of("/jobs/7/") == "/jobs/7/"
