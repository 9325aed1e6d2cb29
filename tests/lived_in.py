# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lived-in config files of tests/fixtures/lived_in, byte for byte as the apps leave them."""

import base64
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent / "fixtures" / "lived_in"


def read(name):
    """The bytes of a file.

    Two are stored under another name, because linters would mend them: `.base64` for line ends and a byte order mark,
    `.txt` for an indentation of its own.
    """
    encoded = FOLDER / (name + ".base64")
    if encoded.exists():
        return base64.b64decode(encoded.read_bytes())
    plain = FOLDER / (name + ".txt")
    return (plain if plain.exists() else FOLDER / name).read_bytes()
