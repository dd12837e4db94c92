"""The site's style sheets as one text for a page that has no site beside it, and the policy that allows just that."""

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

_LINK = re.compile(r'<link rel="stylesheet" href="([^"?]+)')


@dataclass(frozen=True, slots=True)
class Stylesheet:
    """CSS to put in a style element, and the content security policy of a page that has it and nothing else."""

    text: SafeString

    @property
    def policy(self) -> str:
        """Nothing may be loaded or run: this style sheet by its hash, and pictures that the page itself holds."""
        digest = base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()
        return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; form-action 'none'; base-uri 'none'"


def trial_stylesheet() -> Stylesheet:
    """What the trial pages link to, in their order, and what an exported page has besides; read anew each time."""
    links = [*_LINK.findall(render_to_string("viewer/layout.html")), "viewer/components/export.css"]
    texts = [_text_of(link) for link in links]
    return Stylesheet(mark_safe("\n".join(texts).replace("</", "<\\/")))  # noqa: S308 - our own files


def _text_of(link: str) -> str:
    name = link.rpartition(settings.STATIC_URL)[2]
    path = finders.find(name)
    if path is None:
        raise FileNotFoundError(f"the style sheet {name} is linked to and isn't there")
    return Path(path).read_text(encoding="utf-8")
