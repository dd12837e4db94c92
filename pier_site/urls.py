"""All addresses of the site."""

from django.urls import include, path

from pier_site.api import urls as api_urls

urlpatterns = [
    path("", include("pier_site.accounts.urls")),
    path("api/", api_urls),
    path("", include("viewer.urls")),
]
