# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody reads whose server cannot pull."""

from types import SimpleNamespace

import pytest

from ansible_collections.homelab.mediastack.plugins.module_utils import images

LSCR = 'Error response from daemon: Get "https://lscr.io/v2/": dial tcp: lookup lscr.io on 192.0.2.1:53: no such host'


class Refusing:
    """A docker whose `pull` fails, with words for each image."""

    def __init__(self, words):
        self.words = words

    def run(self, *arguments, **_options):
        return SimpleNamespace(rc=1, out="", err=self.words[arguments[-1]], arguments=arguments)


def said(words):
    users = {image: [image.rsplit("/", 1)[-1].split(":")[0]] for image in words}
    with pytest.raises(images.PullError) as caught:
        images.pull(Refusing(words), users)
    return str(caught.value).splitlines()


def test_a_host_without_dns_gets_one_line_a_registry_and_the_remedy():
    """A first `site` without internet printed the same sentence for each of eleven images."""
    lines = said({"lscr.io/linuxserver/sonarr:4": LSCR, "lscr.io/linuxserver/radarr:6": LSCR})
    assert lines[0] == "2 of 2 images could not be pulled, so no service was touched:"
    assert lines[1].startswith(
        "  lscr.io/linuxserver/sonarr:4 (for sonarr), lscr.io/linuxserver/radarr:6 (for radarr): "
    )
    assert lines[1].endswith("no such host")
    assert "DNS" in lines[2] and len(lines) == 3


def test_each_other_reason_stands_by_itself():
    lines = said({"x/a:1": "manifest unknown", "x/b:1": "denied"})
    assert lines[1:] == ["  x/a:1 (for a): manifest unknown", "  x/b:1 (for b): denied"]
