# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody is told whose pattern stands for no host."""

import pytest

from ansible_collections.homelab.mediastack.plugins.lookup import hosts


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"all": [], "ungrouped": []}, "homelab.mediastack.init writes a new one"),
        ({"all": [], "mediastack": []}, "the group 'mediastack' in the inventory (/etc/ansible/hosts) is empty"),
        ({"all": ["web"], "other": ["web"]}, "Put your hosts into the group mediastack"),
    ],
)
def test_the_remedy_fits_what_is_missing(groups, words):
    """Who stands in the wrong directory has no inventory at all, and no group to put a host into."""
    assert words in hosts._no_host("mediastack", groups, ["/etc/ansible/hosts"])
