"""What every process has of the indexing of critiques."""

import subprocess
import sys
from pathlib import Path

from pytest_django import DjangoAssertNumQueries

from critique.indexing.hooks import cite_again, follow_up
from pier_site.accounts.models import Project
from runs.indexing.job import index_job
from tests.critique.indexing.files import make_source

ROOT = Path(__file__).resolve().parents[3]
LOADED = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "pier_site.settings"
import django
django.setup()
print(*sorted(sys.modules))
"""


def test_starting_loads_nothing_that_only_critiques_need() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "critique.indexing.hooks" in loaded
    assert not loaded & {"jsonschema", "critique.indexing.critique", "critique.citations.checking"}


def test_a_job_without_critiques_costs_one_query(
    project: Project, tmp_path: Path, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    job = index_job(project, make_source(tmp_path)).job
    trial = job.trials.get()
    with django_assert_num_queries(1):
        assert list(follow_up(job)) == []
    with django_assert_num_queries(1):
        cite_again(trial)
