from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "pier_site.accounts"
    label = "accounts"
