#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# What can be told without a secret and without a server: YAML that is well-formed, and secrets that are encrypted.
# Only committed files are looked at.
set -euo pipefail

place=${PIPELINE_DIRECTORY:-.ci}
failed=0

while IFS= read -r -d '' file; do
  if [[ $(head -c 15 "$file" | tr -d '\0') != "\$ANSIBLE_VAULT;"* ]]; then
    echo "$file: is not encrypted. Run: ansible-vault encrypt $file. What was pushed once must be replaced by new secrets." >&2
    failed=1
  fi
done < <(git ls-files -z -- '*.vault.yml' '*.vault.yaml')

while IFS= read -r -d '' file; do
  echo "$file: looks like the vault's password. It does not belong into the repository: git rm --cached $file, and choose another." >&2
  failed=1
done < <(git ls-files -z -- '*vault-password*')

files=()
while IFS= read -r -d '' file; do
  files+=("$file")
done < <(git ls-files -z -- '*.yml' '*.yaml' ':!:*.vault.yml' ':!:*.vault.yaml')
"$place/venv/bin/yamllint" --strict --config-file ci/yamllint.yml "${files[@]}" || failed=1

exit "$failed"
