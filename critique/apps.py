from django.apps import AppConfig


class CritiqueConfig(AppConfig):
    name = "critique"
