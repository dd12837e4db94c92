"""Markdown of agents as HTML: markdown-it without raw HTML, then nh3's allowlist. Nothing remote is ever loaded."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from viewer.rendering.code import highlighted_lines, language_named
from viewer.rendering.marks import with_marks

ALLOWED_TAGS = frozenset(
    "a blockquote br code del em h3 h4 h5 h6 hr li ol p pre span strong table tbody td th thead tr ul".split()  # noqa: SIM905 - reads as one line
)
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}}
_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_CLASS = re.compile(r"language-[\w+-]{1,30}|image-note|tok-[a-z]")
# Markdown is for prose. Above this it is shown as plain text: parsing has worse than linear corners.
MAX_CHARS = 20_000
# A longer fence has no colours: they would be most of the page.
MAX_FENCE_CHARS = 4_000


def _keep(_tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class":
        return value if _CLASS.fullmatch(value) else None
    return value


def _image(
    _renderer: RendererProtocol, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType
) -> str:
    """An image is named, never fetched: its address would tell the agent's author who reads."""
    token = tokens[index]
    source = str(token.attrs.get("src", ""))
    note = " · ".join(part for part in (token.content, source[:200]) if part)
    return f'<span class="image-note">image: {escape(note)}</span>'


def _highlighted(text: str, name: str, _attributes: str) -> str:
    """A fence in its language's colours; markdown-it escapes it itself when this gives nothing."""
    language = language_named(name)
    return "\n".join(highlighted_lines(text, language)) if language and len(text) <= MAX_FENCE_CHARS else ""


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "highlight": _highlighted}).enable(
        ["table", "strikethrough"]
    )
    # A relative link in agent text would lead to a page of this site that its author chose.
    parser.validateLink = lambda url: bool(_LINK.match(url))  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)

    def lower_headings(state: Any) -> None:
        for token in state.tokens:
            if token.type in ("heading_open", "heading_close"):
                token.tag = f"h{min(6, int(token.tag[1]) + 2)}"

    parser.core.ruler.push("lower_headings", lower_headings)
    return parser


def markdown_html(text: str) -> SafeString:
    """`text` as HTML that can do nothing: allowlisted tags, http(s) and mailto links without referrer, no images."""
    shown = with_marks(text)
    if len(shown) > MAX_CHARS:
        return mark_safe(f"<pre>{escape(shown)}</pre>")  # noqa: S308 - escaped here
    try:
        html = _parser().render(shown)
    except (RecursionError, ValueError, IndexError):
        # The parser's own failures on hostile nesting: the text is still shown.
        html = f"<pre>{escape(shown)}</pre>"
    clean = nh3.clean(
        html,
        tags=set(ALLOWED_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_keep,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener nofollow noreferrer",
        strip_comments=True,
    )
    return mark_safe(clean)  # noqa: S308 - the sanitiser's output
