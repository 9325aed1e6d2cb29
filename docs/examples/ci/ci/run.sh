#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# run.sh PLAYBOOK [ARGUMENT...]: one playbook of homelab.mediastack, with what ci/install.sh has installed.
#
# Secrets come from the environment, each as a value or, with _FILE at the end of its name, as the path of a file:
#
#   VAULT_PASSWORD     the password of the encrypted settings
#   SSH_PRIVATE_KEY    the key that the servers let in
#   SSH_KNOWN_HOSTS    the servers' host keys, as in ~/.ssh/known_hosts; goes with the key
#
# They lie in files for as long as the playbook runs, in a directory that only this user can read. What is not given is
# left to ansible.cfg and to this user's own ssh.
set -euo pipefail
umask 077

place=${PIPELINE_DIRECTORY:-.ci}
place=$(cd "$place" && pwd)
playbook=$1
shift

fail() {
  echo "$1" >&2
  exit 1
}

secrets=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/mediastack.XXXXXXXX")
child=
trap 'rm -rf "$secrets"' EXIT
# A cancelled job: Ansible ends first, so that nothing runs on without its files.
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' HUP INT TERM

# secret NAME FILE: write the secret to the file; false when there is none.
secret() {
  local value=${!1:-} from=$1_FILE
  if [ -z "$value" ] && [ -n "${!from:-}" ]; then
    [ -r "${!from}" ] || fail "$from: cannot read ${!from}"
    value=$(cat "${!from}")
  fi
  [ -n "$value" ] || return 1
  # A key that was pasted on Windows has other line ends, and ssh wants one at the end.
  printf '%s\n' "$value" | tr -d '\r' >"$2"
}

if secret VAULT_PASSWORD "$secrets/vault-password"; then
  export ANSIBLE_VAULT_PASSWORD_FILE="$secrets/vault-password"
elif [ -z "${ANSIBLE_VAULT_PASSWORD_FILE:-}" ] && [ -n "${CI:-}" ] && git grep --quiet --fixed-strings "\$ANSIBLE_VAULT;" -- '*.yml' '*.yaml'; then
  fail "VAULT_PASSWORD is empty, and there are encrypted settings: add it to the secrets of the repository or of this job's environment."
fi
if secret SSH_PRIVATE_KEY "$secrets/key"; then
  export ANSIBLE_PRIVATE_KEY_FILE="$secrets/key"
  secret SSH_KNOWN_HOSTS "$secrets/known_hosts" ||
    fail "SSH_KNOWN_HOSTS is empty: add the line that ~/.ssh/known_hosts of a computer has that knows the server (ssh-keygen -F ADDRESS)."
fi
if [ -e "$secrets/known_hosts" ] || secret SSH_KNOWN_HOSTS "$secrets/known_hosts"; then
  export ANSIBLE_SSH_COMMON_ARGS="-o StrictHostKeyChecking=yes -o UserKnownHostsFile=$secrets/known_hosts -o GlobalKnownHostsFile=/dev/null"
fi
unset VAULT_PASSWORD SSH_PRIVATE_KEY SSH_KNOWN_HOSTS

# Named, because Ansible leaves out an ansible.cfg in a directory that everybody may write to, as some runners make it.
export ANSIBLE_CONFIG="$PWD/ansible.cfg"
export ANSIBLE_COLLECTIONS_PATH="$place/collections"
export ANSIBLE_HOST_KEY_CHECKING=true

"$place/venv/bin/ansible-playbook" "homelab.mediastack.$playbook" "$@" &
child=$!
status=0
wait "$child" || status=$?
# A signal ends the wait, not yet the playbook.
while kill -0 "$child" 2>/dev/null; do
  wait "$child" || status=$?
done
exit "$status"
