#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# galaxy_importer.sh ARTIFACT: would Galaxy take it? In a virtual environment of its own (it pins old packages).
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

tests/tools/venv.sh .cache/venv-release release

artifact=$PWD/$1
log=$PWD/build/release/galaxy-importer.log
mkdir -p "$(dirname "$log")" .cache/galaxy-importer
cd .cache/galaxy-importer # it writes its result into the current directory

export PATH=$PWD/../venv-release/bin:$PATH HOME=$PWD
unset ANSIBLE_CONFIG
if ! ../venv-release/bin/python -m galaxy_importer.main "$artifact" >"$log" 2>&1; then
  cat "$log"
  die "galaxy-importer refuses $(basename "$artifact")"
fi
# It ends with 0 whatever it found.
if grep -E '^(ERROR|WARNING)' "$log"; then
  die "galaxy-importer found something (the whole of it: $log)"
fi
