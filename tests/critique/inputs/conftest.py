"""A project to index into."""

import pytest

from pier_site.accounts.local import default_project
from pier_site.accounts.models import Project


@pytest.fixture
def default(db: None) -> Project:
    """The default project."""
    return default_project()
