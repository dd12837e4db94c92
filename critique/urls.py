"""Addresses of critiques: beside a trial, by themselves, by run; plans of runs; rubrics."""

from django.urls import path

from critique.views import claims, plans, rubrics, runs, trial

urlpatterns = [
    path("trials/<int:pk>/critiques/", trial.trial_critiques, name="trial-critiques"),
    path("critiques/runs/", runs.run_list, name="critique-runs"),
    path("critiques/new/", plans.new_run, name="critique-new"),
    path("critiques/compare/", runs.compare_critics, name="critique-compare"),
    path("critiques/<int:pk>/", trial.critique_detail, name="critique"),
    path("critiques/runs/<int:pk>/", runs.run_detail, name="critique-run"),
    path("critiques/runs/<int:pk>/approve/", plans.approve_run, name="critique-approve"),
    path("critiques/runs/<int:pk>/discard/", plans.discard_run, name="critique-discard"),
    path("critiques/runs/<int:pk>/cancel/", plans.cancel_run, name="critique-cancel"),
    path("critiques/runs/<int:pk>/again/", plans.run_again, name="critique-again"),
    path("claims/<int:pk>/", claims.claim_place, name="claim"),
    path("claims/<int:pk>/check/", claims.check_claim, name="claim-check"),
    path("claims/<int:pk>/check/stop/", claims.stop_check, name="claim-check-stop"),
    path("rubrics/", rubrics.rubric_list, name="rubrics"),
    path("rubrics/new/", rubrics.new_rubric, name="rubric-new"),
    path("rubrics/<int:pk>/", rubrics.rubric_detail, name="rubric"),
]
