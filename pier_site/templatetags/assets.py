"""`{% asset "site.css" %}`: the address of the site's style sheet or script."""

from django import template

from pier_site.assets import joined

register = template.Library()


@register.simple_tag
def asset(name: str) -> str:
    """The address of the asset as it is now."""
    return joined(name).address
