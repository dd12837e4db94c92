"""The site's style sheet as text for a page that has no site beside it, and the policy that allows just that."""

import base64
import hashlib
from dataclasses import dataclass

from django.utils.safestring import SafeString, mark_safe

from pier_site.assets import joined


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
    """What the pages of the site are drawn with."""
    return Stylesheet(mark_safe(joined("site.css").text.replace("</", "<\\/")))  # noqa: S308 - our own files
