# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A browser, and the page in it. `make test-browser` installs Chromium; nothing here is part of `make test`."""

import pytest
import sample
from browser import Browser

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_html, report_model


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """URL of the page of the sample."""
    path = tmp_path_factory.mktemp("page") / "status.html"
    path.write_text(report_html.render(report_model.build(sample.results(), moment=sample.MOMENT)), encoding="utf-8")
    return path.as_uri()
