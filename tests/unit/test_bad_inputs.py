# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wrong and nasty inventories: each is refused with the setting's name, or rendered exactly; none of it is ever run.

The inputs are `bad_inputs.cases`; what must become of each stands there. Through the real ansible-playbook:
tests/integration/test_bad_inputs_playbook.py.
"""

from __future__ import annotations

import functools

import bad_inputs
import bad_inputs_world
import pytest
from bad_inputs import REFUSED

from ansible_collections.homelab.mediastack.plugins.plugin_utils import settings

SPEC = settings.load_spec()
SETTINGS = sorted(name.removeprefix("mediastack_") for name in SPEC)
# What runs here is covered by tests that say more of it; counting its lines takes longer than the tests.
pytestmark = pytest.mark.no_cover
# Less than there are, so that a setting may go.
AT_LEAST = 2500


@functools.cache
def cases(setting):
    return bad_inputs.cases(setting, SPEC[f"mediastack_{setting}"])


@pytest.fixture(scope="module", autouse=True)
def _compile_once():
    with pytest.MonkeyPatch.context() as patch:
        bad_inputs_world.compile_once(patch)
        yield


@pytest.fixture
def world(tmp_path):
    return bad_inputs_world.World(tmp_path)


@pytest.mark.parametrize("setting", SETTINGS)
def test_refused_by_name_or_rendered_exactly(world, setting):
    defects = []
    for case in cases(setting):
        outcome = world.judge(case)
        if outcome:
            defects.append(f"{case.kind} ({case.text[:60]}): {outcome[:300]}")
    assert not defects, "\n".join(defects)
    assert not world.canary.exists(), "something of an inventory was run"


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_has_bad_inputs(setting):
    """A new setting gets them by its type; one whose type is new here has none and fails."""
    assert sum(case.expected == REFUSED for case in cases(setting)) >= 10


def test_there_are_as_many_as_the_page_says():
    found = [case for setting in SETTINGS for case in cases(setting)]
    assert len(found) > AT_LEAST
    assert len({(case.setting, case.text, case.way) for case in found}) > AT_LEAST, "and they differ"
    page = (bad_inputs_world.ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert f"more than {AT_LEAST:,} wrong and nasty inventories" in " ".join(page.split())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mediastack_pudi", "mediastack_pudi ({file}:1): no such setting. Did you mean mediastack_puid?"),
        ("mediastack_Puid", "Did you mean mediastack_puid?"),
        ("mediastack_vpn_wiregard_private_key", "Did you mean mediastack_vpn_wireguard_private_key?"),
        ("mediastack_port", "Did you mean mediastack_ports?"),
        ("mediastack_overides", "Did you mean mediastack_overrides?"),
        ("mediastack_tz", "Did you mean mediastack_timezone?"),
    ],
)
def test_a_misspelt_name_is_refused(world, name, message):
    errors = world.errors(f"{name}: 5\nmediastack_vpn_enabled: false\n")
    assert len(errors) == 1 and message.format(file=world.inventory) in errors[0], errors


def test_text_of_a_template_is_templated_once(world):
    """What a template brings is text: that it looks like another template does not make it one."""
    inner = "{{ lookup('pipe', 'touch " + str(world.canary) + "') }}"
    text = f"mediastack_x_text: !unsafe {bad_inputs.written(inner).removeprefix('!unsafe ')}\n"
    text += 'mediastack_env: {A: "{{ mediastack_x_text }}", B: "{{ mediastack_x_not | default(mediastack_x_text) }}"}\n'
    reading = world.render(text + "mediastack_vpn_enabled: false\n")
    assert reading.env["A"] == reading.env["B"] == inner
    assert not world.canary.exists()
