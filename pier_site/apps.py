from django.apps import AppConfig


class PierSiteConfig(AppConfig):
    name = "pier_site"
