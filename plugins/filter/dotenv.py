# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter of homelab.mediastack.dotenv: a value as a Compose `.env` file must quote it."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError

from ansible_collections.homelab.mediastack.plugins.plugin_utils import envfile


def dotenv(value):
    """*value* in quotes, so that Compose reads back exactly that."""
    try:
        return envfile.quote(value)
    except envfile.EnvError as error:
        raise AnsibleFilterError(f"dotenv: {error}") from error


class FilterModule:
    """Jinja filters on environment files."""

    def filters(self):
        """The filter by its name."""
        return {"dotenv": dotenv}
