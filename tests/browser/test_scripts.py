"""The scripts of the site, joined into one, live side by side as if each were alone."""

import pytest

from pier_site.assets import ALONE
from tests.support.browser import browser_page

pytestmark = pytest.mark.browser


def test_a_script_that_fails_is_told_of_and_stops_no_other() -> None:
    first = ALONE.format(text='const list = 1;\nthrow new Error("the first one fails");')
    second = ALONE.format(text="const list = 2;\nwindow.second = list; // a comment at the end")
    with browser_page("http://localhost") as (page, complaints):
        page.add_script_tag(content=f"{first}\n{second}")
        assert page.evaluate("window.second") == 2
        complaints.expect("the first one fails")
        assert not complaints
