"""What is called when jobs and trials are indexed. Every process has this; the rest is imported where there is a
critique to index.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db.models.signals import post_delete

from critique.indexing.markers import hidden_claims, remove_claim_markers
from critique.models import Critique, CritiqueRun
from pier_site.accounts.visibility import Hideable, hide
from runs.indexing.following_up import Write, follow, when_indexed, when_steps_replaced
from runs.indexing.problems import Problem
from runs.indexing.scan import CRITIQUES
from runs.models import Job, Purpose, Trial


def register() -> None:
    """Follow what is indexed from now on, and hide the markers of hidden critiques; called once."""
    follow(Purpose.CRITIQUE, CritiqueFollower())
    when_indexed(follow_up)
    when_steps_replaced(cite_again)
    hide(Hideable.MARKER, hidden_claims)
    post_delete.connect(_deleted, sender=Critique, dispatch_uid="claim markers")


class CritiqueFollower:
    """Makes the rows of critiques from the directories of critics' trials."""

    def files(self, directory: Path) -> Iterable[str]:
        """The files of a critique."""
        from critique.indexing.critique import files_of

        return files_of(directory)

    def read(self, job: Job, directory: Path, problems: list[Problem]) -> Write:
        """Read one directory; the rows are written later."""
        from critique.indexing.critique import read_critique
        from critique.indexing.rows import write_critique

        draft = read_critique(job, directory, problems)

        def write(trial: Trial) -> None:
            write_critique(trial, draft)

        return write


def follow_up(job: Job) -> Iterable[Problem]:
    """Index the critiques of a job that was indexed or has ended; of a critics' job, the run that it is.

    Of a critics' job nothing is told: what its trials could not say is their problem already.
    """
    if job.purpose == Purpose.CRITIQUE:
        from critique.indexing.runs import index_critics_job

        index_critics_job(job)
        return ()
    if not Path(job.directory, CRITIQUES).exists() and not CritiqueRun.objects.filter(source_job=job).exists():
        return ()
    from critique.indexing.runs import index_critiques

    return index_critiques(job).problems


def cite_again(trial: Trial) -> None:
    """Find the steps that critiques cite among those that a trial has now."""
    critiques = list(Critique.objects.filter(source_trial=trial).select_related("trial__job"))
    if not critiques:
        return
    from critique.indexing.runs import index_again

    for critique in critiques:
        index_again(critique)


def _deleted(instance: Critique, **_: Any) -> None:
    remove_claim_markers(instance.pk, {instance.source_trial_id} - {None})
