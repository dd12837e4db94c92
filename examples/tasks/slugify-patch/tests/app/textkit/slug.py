"""Slugs: short names for addresses and files."""

import re


def slugify(text: str) -> str:
    """Return the text in lower case with everything but ASCII letters and digits replaced by single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
