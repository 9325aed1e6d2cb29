#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# Installs what the pipeline needs into .ci (or $PIPELINE_DIRECTORY), and nowhere else: Ansible and yamllint from
# ci/requirements.txt, the collection from requirements.yml. Run in the root of the inventory's repository.
# PYTHON names the Python to start from (3.11 or newer).
set -euo pipefail

python=${PYTHON:-python3}
place=${PIPELINE_DIRECTORY:-.ci}

if ! "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))'; then
  echo "$python is older than 3.11, or has no venv: install Python 3.11 or newer with venv (Debian: python3-venv) on the runner, or set PYTHON." >&2
  exit 1
fi
[ -x "$place/venv/bin/python" ] || "$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement ci/requirements.txt

# community.docker, which the collection declares, is not needed by these playbooks.
ANSIBLE_COLLECTIONS_PATH="$place/collections" \
  "$place/venv/bin/ansible-galaxy" collection install --no-deps --collections-path "$place/collections" --requirements-file requirements.yml
