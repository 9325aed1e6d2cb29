#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# with_engine.sh COMMAND...: run it as a user who may talk to the Docker Engine: as it is, or through sudo.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" -eq 0 ]; then
  exec "$@"
fi
# The apps' files belong to other users, and the stack's own to root: being in the group docker is not enough.
command -v sudo >/dev/null || die "'$1' works with the stack's files and needs root: run make as root, or install sudo"
exec sudo --preserve-env env "PATH=$PATH" "$@"
