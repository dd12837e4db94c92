"""`manage.py pierview`: index a directory of jobs, keep watching it, and serve the site."""

import threading
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import connections
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils.http import urlencode

from pier_site.accounts.local import default_project, local_owner
from pier_site.accounts.models import LoginLink, Project
from runs.errors import InputInvalid
from runs.management.base import PierCommand
from runs.models import Job
from viewer.serving import Address, check_host, is_loopback, listen, serve


class Command(PierCommand):
    help = "Index a directory of jobs (of pier, harbor or Pier Site), keep watching it, and serve the site."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "directory", nargs="?", type=Path, metavar="DIR", help="a job directory, or a folder of them"
        )
        parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
        parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 takes a free one")
        parser.add_argument(
            "--login-link",
            nargs="?",
            const="",
            metavar="PATH",
            help="what the printed login link opens: a page, or a job directory (default: the one job, else all); "
            "given with a host that others can reach, a link is printed there too",
        )
        parser.add_argument("--no-watch", action="store_true", help="index once, don't follow what is being written")

    def run(self, **options: Any) -> int:
        check_host(options["host"])
        address = listen(options["host"], options["port"])
        stop = threading.Event()
        try:
            page = self._index(options["directory"], stop, watching=not options["no_watch"])
            self._greet(address, options["login_link"], page)
            connections.close_all()
            serve(address)
        finally:
            stop.set()
            address.listener.close()
        return 0

    def _index(self, directory: Path | None, stop: threading.Event, *, watching: bool) -> str:
        """Index `directory` and begin to watch it; the page that a login link should open."""
        if directory is None:
            return reverse("jobs")
        from runs.indexing.job import index_job
        from runs.indexing.scan import NoJobs, find_jobs

        project = default_project()
        reports = []
        try:
            jobs = find_jobs(directory)
        except NoJobs:
            if not watching:
                raise
            jobs = []  # one may be begun while the site is open
        for job in jobs:
            try:
                reports.append(index_job(project, job))
            except InputInvalid as error:  # one that is no job of the field; the others are shown
                self.stderr.write(str(error))
        for report in reports:
            for problem in report.problems:
                self.stderr.write(str(problem))
        n_trials = sum(report.n_trials for report in reports)
        count = f"{len(reports)} job{pluralize(len(reports))} with {n_trials} trial{pluralize(n_trials)}"
        self.stdout.write(f"{count} indexed from {directory}{', which is watched' if watching else ''}")
        if watching:
            self._watch(project, directory, stop)
        return reports[0].job.get_absolute_url() if len(reports) == 1 else reverse("jobs")

    def _watch(self, project: Project, directory: Path, stop: threading.Event) -> None:
        from runs.indexing.watch import watch

        threading.Thread(target=watch, args=(project, directory), kwargs={"stop": stop}, daemon=True).start()

    def _greet(self, address: Address, asked_for: str | None, page: str) -> None:
        self.stdout.write(f"Pier Site is at {address.url}/ (stop it with Ctrl+C)")
        if asked_for is None and not is_loopback(address.host):
            return
        secret = LoginLink.issue(local_owner())
        query = urlencode({"next": page_of(asked_for) if asked_for else page})
        self.stdout.write(f"Log in once with {address.url}{reverse('login-link', args=[secret])}?{query}")
        self.stdout.flush()


def page_of(asked_for: str) -> str:
    """The path that a login link should open: a page's own, or that of the job with this directory."""
    if not Path(asked_for).is_dir():
        return asked_for
    job = Job.objects.filter(directory=str(Path(asked_for).resolve())).first()
    return job.get_absolute_url() if job else reverse("jobs")
