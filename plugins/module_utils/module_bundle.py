# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option `bundle` of a module: what of it is secret."""

from __future__ import annotations

# Shorter ones would tear other words apart.
SHORTEST = 6


def hide_secrets(module, bundle):
    """Have Ansible mask the secrets of a bundle, and nothing else of it.

    It would mask every word that occurs in a hidden map, `sonarr` among them.
    """
    module.no_log_values.clear()
    if bundle:
        specs = [spec for spec in (bundle.get("secrets") or {}).values() if isinstance(spec, dict)]
        given = [spec.get(key) for spec in specs for key in ("value", "offer")]
        module.no_log_values.update(value for value in given if isinstance(value, str) and len(value) >= SHORTEST)
