"""Whether a failed execution is tried again, and when."""

import random

from runs.formats.job import RetryConfig
from runs.formats.result import CANCELLED, TrialResult


def wants_retry(result: TrialResult, retry: RetryConfig, *, execution: int) -> bool:
    """Whether the job's rules allow another execution after this one. What is excluded wins over what is included."""
    if result.exception_info is None or execution > retry.max_retries:
        return False
    name = result.exception_info.exception_type
    if name == CANCELLED or name in (retry.exclude_exceptions or ()):
        return False
    return retry.include_exceptions is None or name in retry.include_exceptions


def delay_sec(retry: RetryConfig, *, execution: int) -> float:
    """Seconds to wait after the n-th execution: doubling from `min_wait_sec` up to `max_wait_sec`, with jitter.

    The jitter takes up to half away, so that trials which failed together don't come back together. With the field's
    default factor of 1 the wait would never grow, so factors below 2 count as 2.
    """
    factor = max(2.0, retry.wait_multiplier)
    longest = min(retry.max_wait_sec, retry.min_wait_sec * factor ** (execution - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, no secret
