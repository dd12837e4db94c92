"""Fragments of the site's pages for a page without a site: links lead inside it, pictures are inside it.

The sanitiser runs over markup that our own templates wrote, as a second wall: what leaves here has no script, no form,
no style attribute and no address that a browser would load by itself.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import nh3
from django.utils.safestring import SafeString, mark_safe

_TAGS = frozenset(
    "a abbr article aside b bdi blockquote br caption code col colgroup dd del details div dl dt em figcaption figure "  # noqa: SIM905 - reads as one text
    "footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li mark nav ol p pre progress s samp section small span strong "
    "sub summary sup table tbody td tfoot th thead time tr ul var wbr".split()
)
# What these hold is only of use on the site.
_WITHOUT_CONTENT = frozenset({"script", "style", "template", "form", "button", "dialog", "svg", "math", "iframe"})
_ATTRIBUTES = {
    "*": {"class", "dir", "id", "lang", "role", "title"},
    "a": {"href"},
    "col": {"span"},
    "details": {"open"},
    "img": {"alt", "height", "src", "width"},
    "li": {"value"},
    "ol": {"start"},
    "progress": {"max", "value"},
    "td": {"colspan", "headers", "rowspan"},
    "th": {"colspan", "headers", "rowspan", "scope"},
    "time": {"datetime"},
}
# What drawings of ours are made of besides; nothing that an agent wrote is read with these.
_DRAWING_TAGS = frozenset({"svg", "path", "polyline", "rect", "title"})
_DRAWING_ATTRIBUTES = {
    "svg": {"preserveAspectRatio", "viewBox"},
    "path": {"d"},
    "polyline": {"points"},
    "rect": {"height", "width", "x", "y"},
}
_REFERENCES = frozenset({"aria-controls", "aria-describedby", "aria-labelledby", "headers"})
_STEP = re.compile(r"step-([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Section:
    """One trajectory of the page: a prefix that makes its ids its own, and how many of its steps the page holds."""

    prefix: str
    n_steps: int


@dataclass(frozen=True, slots=True)
class Offline:
    """How the fragments of one section become part of the page. `sections` are all of them, by trajectory."""

    section: Section
    sections: Mapping[int, Section]
    picture: Callable[[str], str | None]
    """Gives the data URL for the address of a picture, or None."""

    def html(self, fragment: str) -> SafeString:
        """`fragment` with nothing in it that needs the site, or could reach anything else by itself."""
        return self._clean(fragment, _TAGS, _WITHOUT_CONTENT, _ATTRIBUTES)

    def drawing(self, fragment: str) -> SafeString:
        """The same of a fragment that has SVG of ours in it."""
        tags, without = _TAGS | _DRAWING_TAGS, _WITHOUT_CONTENT - _DRAWING_TAGS
        return self._clean(fragment, tags, without, _ATTRIBUTES | _DRAWING_ATTRIBUTES)

    def _clean(
        self, fragment: str, tags: frozenset[str], without: frozenset[str], attributes: Mapping[str, set[str]]
    ) -> SafeString:
        clean = nh3.clean(
            fragment,
            tags=set(tags),
            clean_content_tags=set(without),
            attributes={tag: set(names) for tag, names in attributes.items()},
            generic_attribute_prefixes={"aria-", "data-"},
            attribute_filter=self._attribute,
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener nofollow noreferrer",
        )
        return mark_safe(clean)  # noqa: S308 - the sanitiser's output

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return self._link(value)
        if name == "src":
            return self.picture(value) if tag == "img" else None
        if name == "id":
            return f"{self.section.prefix}{value}"
        if name.startswith("data-hx"):
            return None
        if name in _REFERENCES:
            return " ".join(f"{self.section.prefix}{part}" for part in value.split())
        return value

    def _link(self, address: str) -> str | None:
        """Where a link of the site leads in this page; None makes plain text of one that leads out of it."""
        try:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                return address if parts.scheme in {"http", "https", "mailto"} else None
            wanted = parse_qs(parts.query, max_num_fields=20).get("trajectory", [""])[0]
        except ValueError:
            return None
        section = self.section
        if wanted:
            found = self.sections.get(int(wanted)) if wanted.isascii() and wanted.isdigit() else None
            if found is None:
                return None
            section = found
        if step := _STEP.fullmatch(parts.fragment):
            return f"#{section.prefix}{parts.fragment}" if int(step[1]) <= section.n_steps else None
        if wanted:
            return f"#{section.prefix}trajectory"
        return f"#{section.prefix}{parts.fragment}" if parts.fragment and not parts.path else None
