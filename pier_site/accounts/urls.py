"""Addresses for getting in and out."""

from django.urls import path

from pier_site.accounts import views

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("login/<str:secret>/", views.login_by_link, name="login-link"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
]
