#!/usr/bin/env python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""screenshot.py FILE.png: the picture of the page in the docs, from the sample."""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / ".ansible" / "collections"))

import sample
from browser import Browser

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_html, report_model


def main():
    """Take the picture."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        page = pathlib.Path(directory, "status.html")
        page.write_text(
            report_html.render(report_model.build(sample.results(), moment=sample.MOMENT)), encoding="utf-8"
        )
        browser = Browser(pathlib.Path(directory, "profile"))
        try:
            browser.open(page.as_uri(), 960, 860)
            pathlib.Path(sys.argv[1]).write_bytes(browser.screenshot())
        finally:
            browser.close()


if __name__ == "__main__":
    main()
