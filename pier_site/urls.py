"""All addresses of the site."""

from django.urls import include, path

from pier_site.api import urls as api_urls
from pier_site.assets import asset

urlpatterns = [
    path("", include("pier_site.accounts.urls")),
    path("api/", api_urls),
    path("assets/<str:digest>/<str:name>", asset, name="asset"),
    path("", include("viewer.urls")),
    path("", include("critique.urls")),
]
