from django.apps import AppConfig


class CritiqueConfig(AppConfig):
    name = "critique"

    def ready(self) -> None:
        """Follow what is indexed."""
        from critique.indexing.hooks import register

        register()
