"""Rows of what was run: Job, Trial, Trajectory, Step, Artifact, Marker. Files are the truth, these their index."""

from datetime import datetime
from typing import Self

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from pier_site.accounts.models import Project, User
from pier_site.accounts.visibility import Hideable, hidden_from, projects_of


class Origin(models.TextChoices):
    """Which program wrote a job directory."""

    PIER_SITE = "pier-site"
    PIER = "pier"
    HARBOR = "harbor"
    UNKNOWN = "unknown"


class Status(models.TextChoices):
    """How far a job or a trial is. `interrupted`: its runner died; `cancelled`: a person stopped it."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


LIVE = (Status.QUEUED, Status.RUNNING)


class Purpose(models.TextChoices):
    """What the trials of a job are for: to be measured, or to look at another job's trials as its critics."""

    RUN = "run"
    CRITIQUE = "critique"


class Phase(models.TextChoices):
    """Where in its life a running trial is; the names are those of the timings in result.json."""

    ENVIRONMENT_SETUP = "environment_setup", "environment"
    AGENT_SETUP = "agent_setup", "agent setup"
    AGENT_EXECUTION = "agent_execution", "agent"
    ARTIFACTS = "artifacts", "artifacts"
    VERIFIER = "verifier", "verifier"
    TEARDOWN = "teardown", "tear-down"


class Cause(models.TextChoices):
    """Whose failure an exception is: a reward is the agent's only where the failure is the agent's or the budget's."""

    AGENT = "agent"
    TASK = "task"
    VERIFIER = "verifier"
    INFRASTRUCTURE = "infrastructure"
    PROVIDER = "provider", "model provider"
    BUDGET = "budget"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class JobQuerySet(models.QuerySet["Job"]):
    """Questions about jobs."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Jobs of the projects that `user` is a member of."""
        return self.filter(project__in=projects_of(user))

    def runs(self) -> Self:
        """Jobs whose trials are to be measured: what lists of jobs show. Critics' jobs are shown as critique runs."""
        return self.filter(purpose=Purpose.RUN)


class Job(models.Model):
    """One job directory: tasks × agents × attempts, run or being run. Counters are kept by whoever writes trials."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="jobs")
    directory = models.CharField(max_length=1024, help_text="Absolute path of the job directory.")
    name = models.CharField(max_length=255)
    uuid = models.CharField(max_length=64, blank=True, help_text="`id` in the job's result.json.")
    origin = models.CharField(max_length=10, choices=Origin.choices, default=Origin.UNKNOWN)
    purpose = models.CharField(max_length=10, choices=Purpose.choices, default=Purpose.RUN)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    config = models.JSONField(default=dict, help_text="config.json as it is, whatever generation wrote it.")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    sorted_at = models.DateTimeField(help_text="started_at, else when the row was made: the order of lists.")

    n_trials = models.PositiveIntegerField(default=0, help_text="Trials expected, as the job's result says.")
    n_finished = models.PositiveIntegerField(default=0)
    n_running = models.PositiveIntegerField(default=0)
    n_exceptions = models.PositiveIntegerField(default=0)
    n_rewarded = models.PositiveIntegerField(default=0, help_text="Trials that have a headline reward.")
    reward_sum = models.FloatField(default=0.0, help_text="Sum of headline rewards, over n_rewarded trials.")
    cost_usd = models.FloatField(null=True, blank=True, help_text="Sum over trials; null when none has a cost.")
    repricing = models.JSONField(
        default=dict, help_text="What the job would have cost at other prices: prices, at, recorded_usd, repriced_usd."
    )
    agents = models.JSONField(default=list, help_text='Labels such as "claude-code · opus", for lists.')
    problems = models.JSONField(default=list, help_text="What could not be read, each with its path.")

    objects = JobQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "directory"], name="one_row_per_job_directory")]
        indexes = [
            # The job list: newest first within the reader's projects.
            models.Index(fields=["project", "purpose", "-sorted_at", "-id"], name="job_newest"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Its page; of a critics' job that of what it belongs to, which costs a query the first time."""
        # Whoever makes such jobs hangs a row on each; no name of theirs is imported for it.
        run = getattr(self, "critique_run", None) if self.purpose == Purpose.CRITIQUE else None
        return reverse("critique-run", args=[run.pk]) if run else reverse("job", args=[self.pk])

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def mean_reward(self) -> float | None:
        """Mean headline reward over the trials that have one; trials without a reward are not zeros."""
        return self.reward_sum / self.n_rewarded if self.n_rewarded else None


class TrialQuerySet(models.QuerySet["Trial"]):
    """Questions about trials."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Trials of the projects that `user` is a member of."""
        return self.filter(job__project__in=projects_of(user))

    def live(self) -> Self:
        """Trials that are queued or running."""
        return self.filter(status__in=LIVE)


class Trial(models.Model):
    """One attempt at one task by one agent, from the moment it is queued. `execution` counts the tries at it."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="trials")
    name = models.CharField(max_length=255, help_text="Also the name of its directory inside the job directory.")
    uuid = models.CharField(max_length=64, blank=True, help_text="`id` in result.json.")
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.QUEUED)
    phase = models.CharField(max_length=20, choices=Phase.choices, blank=True)

    task_name = models.CharField(max_length=255)
    task_path = models.CharField(max_length=1024, blank=True)
    task_digest = models.CharField(max_length=80, blank=True, help_text="`sha256:…` over the task directory's files.")
    source = models.CharField(max_length=255, blank=True, help_text="The dataset the task came from.")
    attempt = models.PositiveIntegerField(default=1, help_text="Which repetition of task × agent, from 1.")
    agent_name = models.CharField(max_length=255, blank=True)
    agent_version = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=255, blank=True)
    model_provider = models.CharField(max_length=100, blank=True)
    reasoning_effort = models.CharField(max_length=40, blank=True, help_text="As the job asked for it.")
    sandbox = models.CharField(max_length=40, blank=True, help_text="docker, modal or host (no isolation).")

    reward = models.FloatField(null=True, blank=True, help_text="The headline reward; null is not zero.")
    rewards = models.JSONField(null=True, blank=True, help_text="All rewards by key, as the verifier wrote them.")
    exception_type = models.CharField(max_length=255, blank=True)
    exception_message = models.TextField(blank=True)
    cause = models.CharField(max_length=16, choices=Cause.choices, blank=True)
    step_results = models.JSONField(default=list, help_text="One object a TaskStep of a multi-step task.")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    environment_setup_sec = models.FloatField(null=True, blank=True)
    agent_setup_sec = models.FloatField(null=True, blank=True)
    agent_execution_sec = models.FloatField(null=True, blank=True)
    verifier_sec = models.FloatField(null=True, blank=True)

    n_input_tokens = models.BigIntegerField(null=True, blank=True, help_text="Prompt tokens, cached ones included.")
    n_cache_tokens = models.BigIntegerField(null=True, blank=True)
    n_output_tokens = models.BigIntegerField(null=True, blank=True)
    cost_usd = models.FloatField(null=True, blank=True)
    repriced_usd = models.FloatField(null=True, blank=True, help_text="What it would have cost at Job.repricing's.")
    peak_context_tokens = models.BigIntegerField(null=True, blank=True)
    summarization_count = models.PositiveIntegerField(null=True, blank=True)
    n_steps = models.PositiveIntegerField(default=0, help_text="Steps of all its trajectories that are not copies.")
    n_agent_steps = models.PositiveIntegerField(default=0)

    revision = models.PositiveIntegerField(default=0, help_text="Counts the writes to its steps: see Step.revision.")
    execution = models.PositiveIntegerField(default=1, help_text="Which try at this attempt; fences older runners off.")
    owner = models.CharField(max_length=255, blank=True, help_text="host:pid:start time of the runner.")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    file_stamps = models.JSONField(
        default=dict, help_text="Size and mtime of indexed files: unchanged ones are not re-read."
    )
    problems = models.JSONField(default=list, help_text="What could not be read, each with its path.")

    objects = TrialQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "name"], name="trial_names_are_unique_in_a_job"),
            models.CheckConstraint(condition=Q(attempt__gte=1), name="attempts_count_from_one"),
            models.CheckConstraint(
                condition=Q(finished_at=None) | Q(started_at=None) | Q(finished_at__gte=F("started_at")),
                name="a_trial_ends_after_it_starts",
            ),
        ]
        indexes = [
            # The job page: its trials by task, agent, attempt.
            models.Index(fields=["job", "task_name", "agent_name", "model_name", "attempt", "id"], name="trial_in_job"),
            # The reaper and the status line: the few rows that are alive.
            models.Index(fields=["heartbeat_at"], condition=Q(status__in=LIVE), name="trial_alive"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("trial", args=[self.pk])

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def agent_label(self) -> str:
        """Agent and model as lists show them."""
        return f"{self.agent_name} · {self.model_name}" if self.model_name else self.agent_name

    @property
    def duration_sec(self) -> float | None:
        """Seconds from start to end, None until it has ended."""
        return seconds_between(self.started_at, self.finished_at)


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from `start` to `end`, never negative: clocks that stepped back give 0."""
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())


class Trajectory(models.Model):
    """One ATIF document of a trial: the main one, a TaskStep's, a continuation, or a sub-agent's."""

    class Kind(models.TextChoices):
        MAIN = "main"
        CONTINUATION = "continuation"
        SUBAGENT = "subagent", "sub-agent"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="trajectories")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.MAIN)
    position = models.PositiveIntegerField(default=0, help_text="Reading order within the trial.")
    task_step = models.CharField(max_length=255, blank=True, help_text="The TaskStep it belongs to, if any.")
    path = models.CharField(max_length=1024, help_text="File, relative to the trial directory.")
    fragment = models.CharField(max_length=255, blank=True, help_text="trajectory_id inside that file, when embedded.")
    trajectory_id = models.CharField(max_length=255, blank=True)
    session_id = models.CharField(max_length=255, blank=True)
    schema_version = models.CharField(max_length=40, blank=True)
    agent_name = models.CharField(max_length=255, blank=True)
    agent_version = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=255, blank=True)
    n_steps = models.PositiveIntegerField(default=0)
    is_valid = models.BooleanField(default=True, help_text="What a strict validator says; never a reason not to show.")
    warnings = models.JSONField(default=list)
    final_metrics = models.JSONField(null=True, blank=True, help_text="As the file says, unchecked.")

    class Meta:
        verbose_name_plural = "trajectories"
        constraints = [
            models.UniqueConstraint(fields=["trial", "position"], name="trajectory_positions_are_unique"),
            models.UniqueConstraint(fields=["trial", "path", "fragment"], name="one_row_per_trajectory_document"),
        ]

    def __str__(self) -> str:
        return f"{self.path}#{self.fragment}" if self.fragment else self.path


class Step(models.Model):
    """One ATIF step: what lists and filters need as columns, the whole as a compressed payload."""

    class Source(models.TextChoices):
        SYSTEM = "system"
        USER = "user"
        AGENT = "agent"

    trajectory = models.ForeignKey(Trajectory, on_delete=models.CASCADE, related_name="steps")
    # Named again here so that search and counts over a trial need no join.
    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="steps", db_index=False)
    index = models.PositiveIntegerField(help_text="Position in its trajectory, from 0: the paging cursor.")
    step_id = models.PositiveIntegerField(help_text="The file's own number, from 1.")
    source = models.CharField(max_length=8, choices=Source.choices)
    at = models.DateTimeField(null=True, blank=True)
    model_name = models.CharField(max_length=255, blank=True)
    summary = models.CharField(max_length=200, blank=True, help_text="The first words or the first call, for outlines.")
    tool_names = models.CharField(max_length=500, blank=True, help_text="Names of the tools called, space separated.")
    n_tool_calls = models.PositiveSmallIntegerField(default=0)
    has_error = models.BooleanField(default=False)
    is_copied_context = models.BooleanField(default=False)
    has_message = models.BooleanField(default=True, help_text="Whether it says something besides calls and results.")
    prompt_tokens = models.BigIntegerField(null=True, blank=True)
    completion_tokens = models.BigIntegerField(null=True, blank=True)
    cached_tokens = models.BigIntegerField(null=True, blank=True)
    cost_usd = models.FloatField(null=True, blank=True)
    model_sec = models.FloatField(null=True, blank=True, help_text="Of the model's answer, where it is told.")
    tool_sec = models.FloatField(null=True, blank=True, help_text="Of its longest call, where it is told.")
    revision = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Trial.revision of the write that made or last changed it: the live cursor. Null: read as it is.",
    )
    payload = models.BinaryField(help_text="zstd of the step's JSON; runs.indexing.payload packs and unpacks it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trajectory", "index"], name="step_index_is_unique")]
        indexes = [
            models.Index(fields=["trial", "id"], name="step_in_trial"),
            # What is new since a reader's cursor. Steps of finished runs, which are nearly all, are not in it.
            models.Index(
                fields=["trajectory", "revision", "index"], condition=Q(revision__isnull=False), name="step_live"
            ),
        ]

    def __str__(self) -> str:
        return f"step {self.step_id} of {self.trajectory_id}"


class Artifact(models.Model):
    """A file or directory that the trial left, as its manifest or its directory says."""

    class Kind(models.TextChoices):
        FILE = "file"
        DIRECTORY = "directory"

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="artifacts")
    path = models.CharField(max_length=1024, help_text="Relative to the trial directory.")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.FILE)
    source = models.CharField(max_length=1024, blank=True, help_text="Where it was in the sandbox.")
    status = models.CharField(max_length=20, default="ok", help_text="ok, failed, empty, skipped or missing.")
    size_bytes = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["trial", "path"], name="one_row_per_artifact_path")]

    def __str__(self) -> str:
        return self.path


class MarkerQuerySet(models.QuerySet["Marker"]):
    """Questions about markers."""

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Markers in the projects of `user`, without those that an app hides from them (a blind review's)."""
        return self.filter(trial__job__project__in=projects_of(user)).exclude(hidden_from(user, Hideable.MARKER))


class Marker(models.Model):
    """Something notable about a step, for outlines and filters: found by a rule, or said in a critique or a comment.

    It names the step by trajectory and index, which stay when the files are indexed again; step rows do not.
    """

    class Kind(models.TextChoices):
        ERROR = "error", "error"
        TEST = "test", "test run"
        EDIT = "edit", "edit"
        READ = "read", "whole file read"
        COMPACTION = "compaction", "compaction"
        SUBAGENT = "subagent", "sub-agent"
        SUBMIT = "submit", "final answer"
        HIDDEN_READ = "hidden_read", "tests or solution named"
        TEST_EDIT = "test_edit", "tests edited"
        HISTORY = "history", "git history"
        REFUSED = "refused", "network refusal"
        REPEAT = "repeat", "repetition"
        UNTESTED = "untested", "not tested"
        CLAIM = "claim", "critique claim"
        COMMENT = "comment", "comment"

    class Tone(models.TextChoices):
        NONE = ""
        GOOD = "good"
        BAD = "bad"
        WARN = "warn"
        INFO = "info"

    # Kinds that rules write whenever a trial is indexed; the others belong to whoever says them.
    DERIVED = frozenset(Kind) - {Kind.CLAIM, Kind.COMMENT}

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="markers", db_index=False)
    trajectory = models.ForeignKey(Trajectory, on_delete=models.CASCADE, related_name="markers", db_index=False)
    index = models.PositiveIntegerField(help_text="The step's position in its trajectory, from 0.")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    label = models.CharField(max_length=200, blank=True, help_text="Plain text; may quote the agent.")
    tone = models.CharField(max_length=4, choices=Tone.choices, blank=True)
    url = models.CharField(max_length=500, blank=True, help_text="A path of this site; empty: the step itself.")
    n_passed = models.PositiveIntegerField(null=True, blank=True, help_text="Of a test run.")
    n_failed = models.PositiveIntegerField(null=True, blank=True, help_text="Of a test run.")

    objects = MarkerQuerySet.as_manager()

    class Meta:
        indexes = [
            # Outlines: the markers of a trajectory in order.
            models.Index(fields=["trajectory", "index"], name="marker_in_order"),
            # Counts and filters over trials: which have one of a kind.
            models.Index(fields=["trial", "kind"], name="marker_of_trial"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.index} of {self.trajectory_id}"
