"""Rows of what critics said: Rubric, CritiqueRun, Critique and its tags, Claim, Citation. Files are the truth of all
but rubrics and plans; `critique.indexing` makes the rest of them.
"""

from collections.abc import Iterable
from typing import Any, Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from django.urls import reverse

from pier_site.accounts.models import Project, User
from pier_site.accounts.visibility import Hideable, hidden_from, projects_of
from runs.errors import InputInvalid
from runs.models import Job, Trajectory, Trial

# The name of the critique that sums up the other ones of its run.
SUMMARY = "run-summary"


class RubricFrozen(InputInvalid):
    """A rubric that a critique was made by never changes: publish a new version of it."""


class Subject(models.TextChoices):
    """What is looked at: a finished trial, a task directory, or all critiques of one run together."""

    TRIAL = "trial"
    TASK = "task"
    RUN = "run", "whole run"


class RubricQuerySet(models.QuerySet["Rubric"]):
    """Questions about rubrics."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """The built-in rubrics, and those of the projects of `user`."""
        return self.filter(Q(project=None) | Q(project__in=projects_of(user)))

    def update(self, **columns: Any) -> int:
        """As Django's, also for `bulk_update`; raises RubricFrozen where critics were asked by one of them."""
        if used := self.filter(runs__isnull=False).first():
            raise RubricFrozen(f"{used} was used by critics and cannot be changed: publish a new version")
        return super().update(**columns)

    def bulk_create(self, objs: Iterable["Rubric"], *args: Any, **options: Any) -> list["Rubric"]:
        """As Django's, without its way to write over rows that exist."""
        if options.get("update_conflicts"):
            raise RubricFrozen("rubrics are never written over: publish a new version")
        return super().bulk_create(objs, *args, **options)


class Rubric(models.Model):
    """One version of what critics are asked and how they answer. It never changes once a critique was made by it."""

    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE, related_name="rubrics")
    name = models.SlugField(max_length=80)
    version = models.PositiveIntegerField(default=1)
    subject = models.CharField(max_length=5, choices=Subject.choices, default=Subject.TRIAL)
    title = models.CharField(max_length=200)
    text = models.TextField(help_text="Markdown: what the critic is to find out, and how.")
    criteria = models.JSONField(default=list, help_text="Objects of name, description, guidance; may be empty.")
    tags = models.JSONField(default=list, help_text="Objects of name, description: the tags to choose from.")
    output_schema = models.JSONField(help_text="JSON Schema (2020-12) of critique-result.json.")
    critic = models.JSONField(default=dict, help_text="The default critic: agent, model, kwargs, timeout_sec.")
    digest = models.CharField(max_length=80, help_text="`sha256:…` over all that a critic gets of it.")
    is_builtin = models.BooleanField(default=False)
    note = models.CharField(max_length=500, blank=True, help_text="What is new in this version.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    objects = RubricQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="rubric_versions_are_unique"),
            models.UniqueConstraint(
                fields=["name", "version"], condition=Q(project=None), name="builtin_rubric_versions_are_unique"
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="rubric_versions_count_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write it; raises RubricFrozen where a critique run was made by it. One query more for a row that exists."""
        if self.pk and self.runs.exists():
            raise RubricFrozen(f"{self} was used by critics and cannot be changed: publish a new version")
        super().save(*args, **kwargs)


class CritiqueRunQuerySet(models.QuerySet["CritiqueRun"]):
    """Questions about critique runs."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Runs of the projects of `user`."""
        return self.filter(project__in=projects_of(user))


class CritiqueRun(models.Model):
    """Critics × trials × samples, planned or run. Once it is approved it has a job of its own, whose trials they are.

    Without `approved_at` it is a plan: nothing of it has been started, and nothing spent.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="critique_runs")
    source_job = models.ForeignKey(
        Job, null=True, blank=True, on_delete=models.CASCADE, related_name="critique_runs", help_text="Null: of tasks."
    )
    job = models.OneToOneField(
        Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="critique_run", help_text="Null: a plan."
    )
    name = models.CharField(max_length=255, help_text="Also of its directory: <job directory>/.critiques/<name>.")
    directory = models.CharField(max_length=1024, help_text="Absolute path.")
    subject = models.CharField(max_length=5, choices=Subject.choices, default=Subject.TRIAL)
    rubric = models.ForeignKey(
        Rubric, null=True, blank=True, on_delete=models.RESTRICT, related_name="runs", help_text="Null: a prompt alone."
    )
    prompt = models.TextField(blank=True, help_text="The template, as it was given, where there is no rubric.")
    prompt_digest = models.CharField(max_length=80, blank=True, help_text="`sha256:…` of the template.")
    config = models.JSONField(default=dict, help_text="CritiqueRunConfig, as config.json of the run.")
    plan = models.JSONField(default=dict, help_text="Plan: n_critiques, hosts, cost_usd with how it was estimated.")
    parent = models.ForeignKey(
        "Critique", null=True, blank=True, on_delete=models.SET_NULL, related_name="follow_ups",
        help_text="The critique that a follow-up question is about.",
    )  # fmt: skip
    question = models.TextField(blank=True, help_text="Of a follow-up: what people asked.")
    summary = models.TextField(blank=True, help_text="What a summarising critic said of the whole run.")
    problems = models.JSONField(default=list, help_text="Items that could not be begun or read, each with a reason.")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")

    objects = CritiqueRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "directory"], name="one_row_per_critique_run_directory"),
        ]
        indexes = [models.Index(fields=["project", "-created_at", "-id"], name="critique_run_newest")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("critique-run", args=[self.pk])

    @property
    def is_plan(self) -> bool:
        """Whether nobody has approved it yet."""
        return self.approved_at is None


class Outcome(models.TextChoices):
    """What came of a critic. `repaired`: valid after the one round in which it was told what was wrong."""

    PENDING = "pending"
    VALID = "valid"
    REPAIRED = "repaired"
    INVALID = "invalid", "invalid output"
    FAILED = "failed"


VALID_OUTCOMES = (Outcome.VALID, Outcome.REPAIRED)
# Of critiques: valid, and not of the run that it is part of, since what it says is said of no trial.
COUNTED = Q(outcome__in=VALID_OUTCOMES) & (~Q(trial__name=SUMMARY) | Q(run__subject=Subject.RUN))


class CritiqueQuerySet(models.QuerySet["Critique"]):
    """Questions about critiques."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Critiques in the projects of `user`, without those that an app hides from them (a blind review's)."""
        return self.filter(run__project__in=projects_of(user)).exclude(hidden_from(user, Hideable.CRITIQUE))

    def valid(self) -> Self:
        """Those whose output keeps the contract."""
        return self.filter(outcome__in=VALID_OUTCOMES)

    def counted(self) -> Self:
        """Those that distributions count."""
        return self.filter(COUNTED)


class Critique(models.Model):
    """What one critic said of one trial, task or run. Its own trial (`trial`) has its life, cost and trajectory."""

    class Rating(models.TextChoices):
        GOOD = "good"
        BAD = "bad"

    run = models.ForeignKey(CritiqueRun, on_delete=models.CASCADE, related_name="critiques")
    trial = models.OneToOneField(Trial, on_delete=models.CASCADE, related_name="critique")
    source_trial = models.ForeignKey(
        Trial, null=True, blank=True, on_delete=models.SET_NULL, related_name="critiques",
        help_text="The trial that is criticised; null for a task or a run, and where it is not indexed.",
    )  # fmt: skip
    source_name = models.CharField(max_length=255, help_text="The name of the trial, the task or the run.")
    sample = models.PositiveIntegerField(default=1, help_text="Which of several by the same critic, from 1.")
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.PENDING)
    failure = models.TextField(blank=True, help_text="Why there is no valid result, in a sentence.")

    rating = models.CharField(max_length=4, choices=Rating.choices, blank=True)
    feedback = models.TextField(blank=True, help_text="Markdown of a model: hostile text.")
    confidence = models.FloatField(null=True, blank=True)
    criteria = models.JSONField(default=dict, help_text="By criterion: outcome, explanation.")
    extra = models.JSONField(default=dict, help_text="Other keys of critique-result.json.")
    digests = models.JSONField(default=dict, help_text="What it was made of: Digests of critique.formats.records.")
    stale_reasons = models.JSONField(default=list, help_text="What has changed since, a sentence each.")
    is_stale = models.BooleanField(default=False)
    n_claims = models.PositiveIntegerField(default=0)
    n_citations = models.PositiveIntegerField(default=0)
    n_unverified = models.PositiveIntegerField(default=0, help_text="Citations whose quote was not found.")

    objects = CritiqueQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["source_trial", "id"], name="critique_of_trial"),
            models.Index(fields=["run", "outcome", "rating"], name="critique_of_run"),
        ]

    def __str__(self) -> str:
        return f"{self.source_name} by {self.trial_id}"

    def get_absolute_url(self) -> str:
        return reverse("critique", args=[self.pk])


class CritiqueTag(models.Model):
    """One tag of a critique: a row each, so that runs can be counted by them."""

    critique = models.ForeignKey(Critique, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["critique", "name"], name="a_critique_has_a_tag_once")]
        indexes = [models.Index(fields=["name", "critique"], name="critiques_with_tag")]

    def __str__(self) -> str:
        return self.name


class Claim(models.Model):
    """One assertion of a critique, with what code found out about it."""

    class Severity(models.TextChoices):
        INFO = "info"
        MINOR = "minor"
        MAJOR = "major"
        CRITICAL = "critical"

    class CheckOutcome(models.TextChoices):
        """What running its suggested check came to."""

        NONE = "", "not run"
        QUEUED = "queued"
        RUNNING = "running"
        CONFIRMED = "confirmed"
        REFUTED = "refuted"
        NOT_RUNNABLE = "not_runnable", "not runnable"

    critique = models.ForeignKey(Critique, on_delete=models.CASCADE, related_name="claims")
    position = models.PositiveIntegerField(help_text="From 1, as in the file.")
    text = models.TextField()
    category = models.CharField(max_length=100, blank=True)
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.INFO)
    confidence = models.FloatField(null=True, blank=True)
    suggested_check = models.JSONField(null=True, blank=True, help_text="command, expect, timeout_sec.")
    check_outcome = models.CharField(max_length=12, choices=CheckOutcome.choices, blank=True, default=CheckOutcome.NONE)
    check_result = models.JSONField(default=dict, help_text="Of the last run: exit_code, seconds, reason, output path.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["critique", "position"], name="claim_positions_are_unique")]

    def __str__(self) -> str:
        return f"claim {self.position} of {self.critique_id}"


class Citation(models.Model):
    """A piece of evidence that a claim names. `is_verified`: code found the quote where the critic said it is."""

    class Kind(models.TextChoices):
        STEP = "step"
        FILE = "file"
        TEST = "test", "verifier test"

    claim = models.ForeignKey(Claim, on_delete=models.CASCADE, related_name="citations")
    position = models.PositiveIntegerField(help_text="From 1, as in the file.")
    kind = models.CharField(max_length=4, choices=Kind.choices)
    step = models.PositiveIntegerField(null=True, blank=True, help_text="The step's number as pages show it, from 1.")
    trajectory = models.ForeignKey(
        Trajectory, null=True, blank=True, on_delete=models.SET_NULL, related_name="+",
        help_text="Of the cited step; null where there is no such step.",
    )  # fmt: skip
    path = models.CharField(max_length=1024, blank=True, help_text="Below /critique/input.")
    line = models.PositiveIntegerField(null=True, blank=True)
    test = models.CharField(max_length=500, blank=True)
    quote = models.TextField(blank=True)
    is_verified = models.BooleanField(default=False)
    note = models.CharField(max_length=300, blank=True, help_text="Why not; or where the quote is really found.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["claim", "position"], name="citation_positions_are_unique")]

    def __str__(self) -> str:
        return f"citation {self.position} of {self.claim_id}"
