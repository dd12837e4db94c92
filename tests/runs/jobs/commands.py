"""Calling `pierjob` and `pierrun` in a test."""

from io import StringIO

import pytest
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.db import connections


def pierjob(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `pierjob`."""
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("pierjob", *map(str, arguments), stdout=out, stderr=err)
    _disconnect_runner()
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def pierrun(*arguments: object, kind: str = "host") -> int:
    """Exit code of `pierrun`, on the host sandbox if no other kind is named."""
    with pytest.raises(SystemExit) as ended:
        call_command("pierrun", *map(str, arguments), "-e", kind, "-y", "-q")
    _disconnect_runner()
    return int(ended.value.code or 0)


def _disconnect_runner() -> None:
    """Close the connections of the thread that ran a job's queries.

    It outlives the job, and PostgreSQL drops no database that something is connected to.
    """
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
