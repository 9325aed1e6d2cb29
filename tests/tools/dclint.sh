#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# dclint.sh ARGUMENT...: the pinned dclint (requirements/npm), in .cache/dclint. Node.js is the machine's where it is new
# enough, else one out of PyPI, in a virtual environment of its own: Debian 12 has an older one.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

modern() {
  command -v node npm >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
}

if ! modern; then
  tests/tools/venv.sh .cache/venv-node node
  PATH=$PWD/.cache/venv-node/bin:$PATH
fi

want=$(cat requirements/npm/*.json | cksum)
mkdir -p .cache/dclint
exec 8>.cache/dclint.lock
if command -v flock >/dev/null; then flock 8; fi
if [ "$(cat .cache/dclint/.stamp 2>/dev/null)" != "$want" ]; then
  say "dclint: installing requirements/npm/package-lock.json"
  cp requirements/npm/package.json requirements/npm/package-lock.json .cache/dclint/
  (cd .cache/dclint && npm ci --ignore-scripts --no-audit --no-fund --silent >&2)
  printf '%s' "$want" >.cache/dclint/.stamp
fi
exec 8>&-
exec node .cache/dclint/node_modules/dclint/bin/dclint.cjs "$@"
