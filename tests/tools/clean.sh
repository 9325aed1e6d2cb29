#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# clean.sh: remove what make made inside this checkout, and the lab's images. Engine and packages stay.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

# engine ARGUMENT...: docker, as root where only root may talk to it.
engine() {
  if docker version >/dev/null 2>&1; then docker "$@"; else as_root docker "$@"; fi
}

if command -v docker >/dev/null && engine version >/dev/null 2>&1; then
  running=$(engine ps --all --filter label=com.docker.compose.project=mediastack-demo --format '{{.Names}}')
  [ -z "$running" ] || die "the demo is there ($(wc -w <<<"$running") containers): make demo-down first"
  mapfile -t images < <(engine image ls --filter label=mediastack.lab=true --format '{{.ID}}' | sort -u)
  if [ ${#images[@]} -gt 0 ]; then
    engine image rm --force "${images[@]}" >/dev/null
    say "clean: ${#images[@]} lab images removed"
  fi
else
  say "clean: no Docker Engine to ask: lab images, if any, stay"
fi

for directory in .venv .ansible .cache build tests/output .ruff_cache .hypothesis; do
  # The demo's files belong to the users of its containers.
  rm -rf "$directory" 2>/dev/null || as_root rm -rf "$PWD/$directory"
done
find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
say "clean: .venv, .ansible, .cache and build removed; Docker Engine and Debian packages stay"
