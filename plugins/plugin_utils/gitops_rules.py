# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for the settings of pull mode, `mediastack_gitops_*`, one method a setting, as in `setting_rules.py`."""

from __future__ import annotations

import re

from . import path_rules
from .setting_types import shown

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|@\{|\.lock$|[/.]$))[A-Za-z0-9_./+@-]{1,200}")
# Nothing that git would start a program for, or that it or ssh would take for an option.
_URL = re.compile(r"(?:https?|ssh|git|file)://(?!-)\S+|[A-Za-z0-9_.][A-Za-z0-9_.-]*@[A-Za-z0-9.\[\]:_-]+:\S+|/\S+")
_WITH_PASSWORD = re.compile(r"https?://[^/@]*@")
_SIGNER = re.compile(r"(?!#)\S+ (?:.+ )?(?:ssh|sk-ssh|ecdsa|sk-ecdsa)[A-Za-z0-9@.-]* [A-Za-z0-9+/=]{20,}(?: .*)?")
_KNOWN_HOST = re.compile(r"(?:@cert-authority )?[^\s#]\S* [a-z0-9@.-]+ [A-Za-z0-9+/=]{20,}(?: .*)?")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@-]+")
_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}|/[A-Za-z0-9/._+@-]{1,250}[A-Za-z0-9]")
_ARMOR = "-----BEGIN PGP PUBLIC KEY BLOCK-----"


class GitopsRules:
    """Checks of single settings: value and problems to add to in, the value to use out."""

    @staticmethod
    def _check_gitops_url(value, errors):
        if value and _WITH_PASSWORD.match(value):
            errors.append(
                "holds a user or password, which every user of the host could see. Take a deploy key "
                "(mediastack_gitops_ssh_key_file), or a repository that may be read by all."
            )
        elif value and not _URL.fullmatch(value):
            errors.append(f"{shown(value)} is no repository: https://…, ssh://…, user@host:path or an absolute path.")
        return value

    @staticmethod
    def _check_gitops_branch(value, errors):
        if not _BRANCH.fullmatch(value):
            errors.append(f"{shown(value)} is no name of a branch, such as main.")
        return value

    @staticmethod
    def _check_gitops_inventory(value, errors):
        odd = not value or value != value.strip() or value[0] in "-/" or len(value) > 1000
        if odd or ".." in value.split("/"):
            errors.append(f"{shown(value)} is no path below the root of the repository, such as inventory.yml.")
        return value

    @staticmethod
    def _check_gitops_commit(value, errors):
        if value and not _COMMIT.fullmatch(value):
            errors.append(f"{shown(value)} is no full id of a commit: 40 hexadecimal digits, as of git rev-parse HEAD.")
        return value

    @staticmethod
    def _check_gitops_allowed_signers(value, errors):
        for line in value:
            if not _SIGNER.fullmatch(line):
                errors.append(f"{shown(line)} names no signer: write who@where, a space, and the public SSH key.")
        return value

    @staticmethod
    def _check_gitops_known_hosts(value, errors):
        for line in value:
            if not _KNOWN_HOST.fullmatch(line):
                errors.append(f"{shown(line)} is no line of known_hosts, as ssh-keyscan prints it.")
        return value

    @staticmethod
    def _check_gitops_gpg_keys(value, errors):
        for key in value:
            if _ARMOR not in key:
                errors.append(f"{shown(key[:40])} is no public key as of gpg --armor --export.")
        return value

    @staticmethod
    def _check_gitops_webhook_url(value, errors):
        if value and not re.fullmatch(r"https?://\S+", value):
            errors.append("is no address that begins with https:// or http://.")
        elif _WITH_PASSWORD.match(value):
            errors.append("holds a user or password before an @, which is not sent. Take a token in path or query.")
        return value

    @staticmethod
    def _check_gitops_ssh_key_file(value, errors):
        return path_rules.check_path(value, errors) if value else value

    _check_gitops_vault_password_file = _check_gitops_ssh_key_file
    _check_gitops_age_key_file = _check_gitops_ssh_key_file
    _check_gitops_textfile_directory = _check_gitops_ssh_key_file

    @staticmethod
    def _check_gitops_path(value, errors):
        before = len(errors)
        value = path_rules.check_directory(value, errors) if value else value
        # git's and ssh's own files name it, each with signs of its own, and so does a crontab.
        if value and len(errors) == before and not _PLAIN_PATH.fullmatch(value):
            errors.append(f"{shown(value)} holds more than letters, digits and / . _ + @ -. Choose a plainer path.")
        return value

    @staticmethod
    def _check_gitops_python(value, errors):
        if not _PROGRAM.fullmatch(value):
            errors.append(f"{shown(value)} is no name or absolute path of a Python, such as python3.12.")
        return value

    @staticmethod
    def _check_gitops_pip_arguments(value, errors):
        if any(not word.strip() for word in value):
            errors.append("one is empty. Remove it.")
        return value

    @staticmethod
    def _check_gitops_pip_packages(value, errors):
        for package in value:
            if not package.strip() or package.startswith("-"):
                errors.append(f"{shown(package)} is no package. Options go into mediastack_gitops_pip_arguments.")
        return value
