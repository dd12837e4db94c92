"""Addresses of the pages: every tab is one, so that links, history and no-JavaScript reading work."""

from django.urls import path, register_converter
from django.views.generic import TemplateView

from viewer.views import changes, export, files, jobs, outline, recording, space, trajectory, trial


class FilePathConverter:
    """A path inside a trial directory: any characters, also the line breaks that Django's `path` refuses."""

    regex = r"[\s\S]+"

    def to_python(self, value: str) -> str:
        """The path as the address has it."""
        return value

    def to_url(self, value: str) -> str:
        """The path as it is; reverse() quotes it."""
        return value


register_converter(FilePathConverter, "file")

urlpatterns = [
    path("", jobs.job_list, name="jobs"),
    path(
        "keys/", TemplateView.as_view(template_name="viewer/keys.html", http_method_names=["get", "head"]), name="keys"
    ),
    path("space/", space.space, name="space"),
    path("jobs/<int:pk>/", jobs.job_detail, name="job"),
    path("jobs/<int:pk>/cancel/", jobs.cancel_job, name="job-cancel"),
    path("trials/<int:pk>/cancel/", jobs.cancel_trial, name="trial-cancel"),
    path("trials/<int:pk>/", trajectory.trajectory, name="trial"),
    path("trials/<int:pk>/feed/", trajectory.feed, name="trial-feed"),
    path("trials/<int:pk>/export.html", export.trial_html, name="trial-html"),
    path("trials/<int:pk>/head/", trial.trial_head, name="trial-head"),
    path("trials/<int:pk>/trajectories/", outline.trajectories, name="trial-trajectories"),
    path("trials/<int:pk>/outline/", outline.outline, name="trial-outline"),
    path("trials/<int:pk>/activity/", outline.activity, name="trial-activity"),
    path("trials/<int:pk>/changes/", changes.changes, name="trial-changes"),
    path("trials/<int:pk>/changes/<int:trajectory_pk>/<int:number>/", changes.worktree, name="trial-worktree"),
    path("trials/<int:pk>/recording/", recording.recording, name="trial-recording"),
    path("trials/<int:pk>/verifier/", trial.verifier, name="trial-verifier"),
    path("trials/<int:pk>/artifacts/", trial.artifacts, name="trial-artifacts"),
    path("trials/<int:pk>/logs/", trial.logs, name="trial-logs"),
    path("trials/<int:pk>/network/", trial.network, name="trial-network"),
    path("trials/<int:pk>/config/", trial.config, name="trial-config"),
    path("trials/<int:pk>/exception/", trial.exception, name="trial-exception"),
    path("trials/<int:pk>/steps/<int:trajectory_pk>/<int:number>/", trial.step_detail, name="step"),
    path("trials/<int:pk>/steps/<int:trajectory_pk>/<int:number>.json", files.step_json, name="step-json"),
    path("trials/<int:pk>/files/<file:path>", files.show_file, name="trial-file"),
    path("trials/<int:pk>/download/<file:path>", files.download, name="trial-download"),
    path("trials/<int:pk>/images/<file:path>", files.image, name="trial-image"),
]
