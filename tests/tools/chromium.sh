#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# chromium.sh: Debian's Chromium, with a font, where it is not there yet. Only `make test-browser` needs it.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
command -v chromium >/dev/null || apt_install chromium fonts-dejavu-core
