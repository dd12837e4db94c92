"""The style sheet and the script of the site: the sources of all apps joined in a file each, with its hash as address.

A page waits for one request instead of ten, and a browser asks again only for what has changed. The sources stay files
of their own among the static files; they are joined when a process first needs them, and each time with DEBUG.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

# In the order of the cascade: of two rules of one layer that are as specific as each other, the later one stands.
STYLES = (
    "pier/tokens.css",
    "pier/base.css",
    "pier/layout.css",
    "pier/components/common.css",
    "viewer/components/tables.css",
    "viewer/components/trial.css",
    "viewer/components/step.css",
    "viewer/components/keys.css",
    "viewer/components/reading.css",
    "viewer/components/outline.css",
    "viewer/components/changes.css",
    "viewer/components/export.css",
    "critique/components/critique.css",
    "critique/components/runs.css",
)
# In the order in which they run.
SCRIPTS = (
    "vendor/htmx-4.0.1.min.js",
    "pier/submit.js",
    "viewer/keys.js",
    "viewer/help.js",
    "viewer/sticky.js",
    "viewer/follow.js",
    "viewer/feed.js",
    "viewer/places.js",
    "viewer/find.js",
    "viewer/outline.js",
    "viewer/panels.js",
    "viewer/reasoning.js",
    "critique/cited.js",
)
# One script's names and faults are its own, as those of a module would be.
ALONE = '(() => {{\n"use strict";\ntry {{\n{text}\n}} catch (error) {{ reportError(error); }}\n}})();'
DIGEST_CHARS = 16


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent."""

    name: str
    content_type: str
    text: str
    packed: bytes
    digest: str

    @property
    def address(self) -> str:
        """Where it is; another one as soon as a source changes."""
        return reverse("asset", args=[self.digest, self.name])


def joined(name: str) -> Asset:
    """The asset of that name.

    Raises:
        KeyError: there is no such asset.
        FileNotFoundError: one of its sources is not among the static files.
    """
    return _join(name) if settings.DEBUG else _joined_once(name)


@require_safe
@login_not_required
def asset(request: HttpRequest, digest: str, name: str) -> HttpResponse:
    """An asset as it is now, kept by browsers for good if it is the very one that was asked for."""
    if name not in _ASSETS:
        raise Http404("There is no such asset.")
    found = joined(name)
    is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
    answer = HttpResponse(found.packed if is_packed else found.text, content_type=found.content_type)
    if is_packed:
        answer["Content-Encoding"] = "gzip"
    patch_vary_headers(answer, ["Accept-Encoding"])
    # A page of the version before, or of one after, is drawn with this one; the next load asks again.
    answer["Cache-Control"] = "public, max-age=31536000, immutable" if digest == found.digest else "no-cache"
    return answer


def _styles() -> str:
    return "\n".join(_text_of(name) for name in STYLES)


def _scripts() -> str:
    # What is vendored is not wrapped: others use the global name that it defines.
    texts = ((name, _text_of(name)) for name in SCRIPTS)
    return "\n".join(text if name.startswith("vendor/") else ALONE.format(text=text) for name, text in texts)


_ASSETS = {"site.css": ("text/css; charset=utf-8", _styles), "site.js": ("text/javascript; charset=utf-8", _scripts)}


def _join(name: str) -> Asset:
    content_type, make = _ASSETS[name]
    text = make()
    body = text.encode()
    digest = hashlib.sha256(body).hexdigest()[:DIGEST_CHARS]
    return Asset(name, content_type, text, gzip.compress(body, mtime=0), digest)


_joined_once = cache(_join)


def _text_of(name: str) -> str:
    path = finders.find(name)
    if path is None:
        raise FileNotFoundError(f"the source {name} of the site's style sheet or script is not among the static files")
    return Path(path).read_text(encoding="utf-8")
