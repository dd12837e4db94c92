"""One critique's directory to its rows, whenever the critic's trial is indexed, and when someone asks for it."""

from collections.abc import Iterator
from pathlib import Path

from django.db import transaction

from critique.checks.records import CHECKS_FOLDER
from critique.citations.checking import check_citations
from critique.citations.formats import CITATIONS_FILE, read_citations
from critique.formats.records import ITEM_CONFIG, METADATA, RECORD
from critique.indexing.draft import RESULT, CritiqueDraft, check_files, draft_critique
from critique.indexing.rows import write_critique
from critique.indexing.run_rows import source_directory
from critique.models import Critique, Subject
from runs.formats.reading import stays_within
from runs.indexing.problems import Problem
from runs.indexing.reader import Reader
from runs.models import Job, Trial


def files_of(directory: Path) -> Iterator[str]:
    """The files of a critique; the folder of its checks stands for those that are added to it."""
    yield from (RECORD, METADATA, ITEM_CONFIG, CITATIONS_FILE, RESULT, CHECKS_FOLDER)
    yield from check_files(directory)


def index_critique(trial: Trial) -> Critique:
    """Bring the rows of a critic's trial up to date with its files, changed or not. Raises nothing for what they hold.

    Reads first, then one transaction of about twenty statements; the trial's own row is not touched.
    """
    directory = Path(trial.job.directory, trial.name)
    draft = read_critique(trial.job, directory, [])
    with transaction.atomic():
        return write_critique(trial, draft)


def read_critique(job: Job, directory: Path, problems: list[Problem]) -> CritiqueDraft:
    """What a critique's files say. Quotes are looked for where that was not done before: Pier looks for none."""
    reader = Reader(directory)
    draft = draft_critique(reader)
    if draft.has_citations and draft.result is not None:
        checked = read_citations(directory)
        if checked is None:
            if (directory / CITATIONS_FILE).exists():
                reader.problem(CITATIONS_FILE, "is no list of checked citations: they were checked anew")
            checked = check_citations(draft.result, input_folder=None, trial_directory=_source(job, draft))
        draft.add_checked(checked)
    problems += reader.problems
    return draft


def _source(job: Job, draft: CritiqueDraft) -> Path | None:
    """The directory of the trial that was looked at; never one elsewhere, whatever the files name."""
    root, name = source_directory(job), draft.source_name
    if draft.subject is not Subject.TRIAL or not name or name != Path(name).name:
        return None
    return root / name if stays_within(root / name, root) else None
