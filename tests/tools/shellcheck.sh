#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# Runs shellcheck on every shell script of the repository, by its name or its first line.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
need shellcheck shellcheck

scripts=()
while IFS= read -r -d '' file; do
  [ -f "$file" ] || continue
  case $file in
  *.sh) scripts+=("$file") ;;
  *) if head -c 40 "$file" | head -n 1 | tr -d '\0' | grep -qE '^#!.*\b(ba)?sh$'; then scripts+=("$file"); fi ;;
  esac
done < <(git ls-files -z --cached --others --exclude-standard --deduplicate)

shellcheck --external-sources "${scripts[@]}"
