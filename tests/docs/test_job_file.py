"""docs/reference/job-file.md names every key of a job file."""

from pathlib import Path

import pytest

from runs.formats.job import AgentConfig, DatasetConfig, EnvironmentConfig, JobConfig, RetryConfig, VerifierConfig

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "job-file.md").read_text()


@pytest.mark.parametrize(
    "section",
    [JobConfig, AgentConfig, DatasetConfig, EnvironmentConfig, VerifierConfig, RetryConfig],
    ids=lambda section: section.__name__,
)
def test_every_key_is_named(section: type[JobConfig]) -> None:
    missing = {name for name in section.model_fields if f"`{name}`" not in PAGE}
    assert not missing
