"""What the commands that run trials share: the progress while they run, the summary, the exit code."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runs.formats.job import JobConfig
    from runs.progress import LiveProgress, PlainProgress, Told
    from runs.scheduling.local import Announce, JobRun
    from runs.trial.plan import TrialPlan


def show_run(
    run: "Callable[[Announce], JobRun | None]",
    say: Callable[[str], object],
    *,
    quiet: bool = False,
    told: "Told | None" = None,
) -> int:
    """Run with a display and a summary; exit code 0 when all trials of the job ended without an exception, else 1.

    `told` says what a trial came to; whoever gives it tells of the whole himself, for there are no rewards to sum up.
    """
    from runs.progress import LiveProgress, outcome, print_summary, progress_for

    display: LiveProgress | None = None

    def announce(config: "JobConfig", plans: "Sequence[TrialPlan]") -> "LiveProgress | PlainProgress":
        nonlocal display
        say(f"{config.job_name}: {len(plans)} trials in {config.path}")
        watcher = progress_for(plans, quiet=quiet or config.quiet, told=told or outcome)
        display = watcher if isinstance(watcher, LiveProgress) else None
        return watcher

    try:
        job = run(announce)
    finally:
        if display:
            display.close()
    if job is None:
        say("there is nothing to run: every trial has a result that stays")
        return 0
    if told is None:
        print_summary(job.results, job.files.path, was_cancelled=job.was_cancelled)
    return int(job.was_cancelled or any(result.exception_info for result in job.results))
