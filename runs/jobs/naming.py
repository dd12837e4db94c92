"""Which job or trial a person means: by its name, its directory, or as the last one."""

from pathlib import Path

from runs.errors import InputInvalid
from runs.indexing.job import directory_of
from runs.models import Job, Purpose, Trial

NEWEST = ("-sorted_at", "-pk")


def find_job(name: str | None, *, last: bool = False) -> Job:
    """The newest job of that name, or the one in that directory; the newest of all with `last`. Raises InputInvalid.

    Jobs of critics have names too, but only where no other has it, and none is the newest of all.
    """
    if (name is None) != last:
        raise InputInvalid("name a job or its directory, or say --last for the newest one")
    job = Job.objects.runs().order_by(*NEWEST).first() if name is None else _named(name)
    if job is None:
        raise InputInvalid("there is no job yet" if name is None else _not_found(name, "job"))
    return job


def find_job_or_trial(name: str) -> Job | Trial:
    """As `find_job`; else the newest trial of that name, or the one in that directory. Raises InputInvalid."""
    job = _named(name)
    if job is not None:
        return job
    trials = Trial.objects.select_related("job").order_by("-job__sorted_at", "-pk")
    named = trials.filter(name=_clean(name))
    # A critic's trial may have the name of the one that it looked at.
    trial = named.filter(job__purpose=Purpose.RUN).first() or named.first()
    if trial is None and _path(name).is_dir():
        path = _path(name).resolve()
        trial = trials.filter(name=path.name, job__directory=directory_of(path.parent)).first()
    if trial is None:
        raise InputInvalid(_not_found(name, "job or trial"))
    return trial


def _named(name: str) -> Job | None:
    jobs = Job.objects.filter(name=_clean(name)).order_by(*NEWEST)
    return jobs.runs().first() or _in_directory(name) or jobs.first()


def _in_directory(name: str) -> Job | None:
    path = _path(name)
    if not path.is_dir():
        return None
    return Job.objects.filter(directory=directory_of(path)).order_by(*NEWEST).first()


def _path(name: str) -> Path:
    return Path(_clean(name)).expanduser()


def _clean(name: str) -> str:
    """No database and no file system takes NUL."""
    return name.replace("\0", "")


def _not_found(name: str, kind: str) -> str:
    if _path(name).is_dir():
        return f"{name}: this directory is not in the database: run `pierjob index {name}` first"
    return f"{name}: there is no {kind} of this name and no such directory; `pierjob list` shows the jobs"
