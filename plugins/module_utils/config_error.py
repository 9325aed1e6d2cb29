# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The error of the config file formats."""

from __future__ import annotations


class ConfigFormatError(ValueError):
    """A config file cannot be parsed, or a value cannot stand in it; the file is left as it is."""
