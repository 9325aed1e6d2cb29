# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""python3 ci/post_comment.py (--pull-request N | --issue TITLE [--resolved]) < text.md

Writes one comment on a pull request, or one open issue, on GitHub, GitLab or Forgejo. The one that an earlier run
wrote is changed instead of adding another; `--resolved` closes the issue and opens none. It is known by a mark in its
text *and* by its author: somebody else's text with the same mark is left alone.

FORGE_TOKEN has the right to write it. Where to is told by the variables that every runner sets: CI_API_V4_URL and
CI_PROJECT_ID on GitLab, GITHUB_API_URL and GITHUB_REPOSITORY on GitHub and Forgejo.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

MARK = "<!-- homelab.mediastack: {} -->"
PAGE = 100
PAGES = 20
TIMEOUT = 30


class Refused(Exception):
    """The forge did not do what was asked; the text is for people."""


class Forge:
    """What the forges have in common: a request, and a list in pages."""

    def __init__(self, base, headers):
        self.base = base.rstrip("/")
        self.headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}

    def ask(self, method, path, body=None):
        """The answer to a request as it came in JSON; an error answer raises `Refused`."""
        url = f"{self.base}/{path}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # nosec B310 # the address of the forge, from the pipeline
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            remedy = ": FORGE_TOKEN may not do that" if error.code in (401, 403, 404) else ""
            raise Refused(f"{method} {url} was answered with {error.code} {error.reason}{remedy}") from error
        except (OSError, ValueError) as error:
            raise Refused(f"{method} {url}: {error}") from error

    def every(self, path):
        """All entries of a list, page by page. A server that knows no pages answers the same again, which ends it."""
        seen = set()
        for number in range(1, PAGES + 1):
            joint = "&" if "?" in path else "?"
            page = self.ask("GET", f"{path}{joint}per_page={PAGE}&limit={PAGE}&page={number}")
            new = [entry for entry in page if entry["id"] not in seen]
            if not new:
                return
            seen.update(entry["id"] for entry in new)
            yield from new


class GitHub(Forge):
    """GitHub's API, which is Forgejo's too."""

    def __init__(self, environment):
        super().__init__(environment["GITHUB_API_URL"], {"Authorization": f"Bearer {environment['FORGE_TOKEN']}"})
        self.repository = f"repos/{environment['GITHUB_REPOSITORY']}"
        # Who the token of a job is. Another token is somebody else: COMMENT_AUTHOR names them.
        bots = {"github-actions[bot]", "forgejo-actions", "gitea-actions"}
        self.authors = {environment["COMMENT_AUTHOR"]} if environment.get("COMMENT_AUTHOR") else bots

    def ours(self, entry, mark):
        """Whether an earlier run wrote this."""
        return mark in (entry.get("body") or "") and (entry.get("user") or {}).get("login") in self.authors

    def comments(self, number, mark):
        """Paths of our comments on a pull request."""
        for entry in self.every(f"{self.repository}/issues/{number}/comments"):
            if self.ours(entry, mark):
                yield f"{self.repository}/issues/comments/{entry['id']}"

    def add_comment(self, number, text):
        """A new comment on a pull request."""
        self.ask("POST", f"{self.repository}/issues/{number}/comments", {"body": text})

    def change_comment(self, path, text):
        """Another text for a comment."""
        self.ask("PATCH", path, {"body": text})

    def issues(self, mark):
        """Paths of our open issues."""
        for entry in self.every(f"{self.repository}/issues?state=open"):
            # A pull request is an issue too; Forgejo says null of one that is none.
            if not entry.get("pull_request") and self.ours(entry, mark):
                yield f"{self.repository}/issues/{entry['number']}"

    def open_issue(self, title, text):
        """A new issue."""
        self.ask("POST", f"{self.repository}/issues", {"title": title, "body": text})

    def change_issue(self, path, text, close):
        """Another text for an issue, and its end if *close*."""
        self.ask("PATCH", path, {"body": text, **({"state": "closed"} if close else {})})


class GitLab(Forge):
    """GitLab's API."""

    def __init__(self, environment):
        super().__init__(environment["CI_API_V4_URL"], {"PRIVATE-TOKEN": environment["FORGE_TOKEN"]})
        self.project = f"projects/{urllib.parse.quote(environment['CI_PROJECT_ID'], safe='')}"
        self._me = None

    def ours(self, entry, text, mark):
        """Whether an earlier run wrote this."""
        if self._me is None:
            self._me = self.ask("GET", "user")["id"]
        return mark in (text or "") and (entry.get("author") or {}).get("id") == self._me

    def comments(self, number, mark):
        """Paths of our notes on a merge request."""
        notes = f"{self.project}/merge_requests/{number}/notes"
        for entry in self.every(notes):
            if self.ours(entry, entry.get("body"), mark):
                yield f"{notes}/{entry['id']}"

    def add_comment(self, number, text):
        """A new note on a merge request."""
        self.ask("POST", f"{self.project}/merge_requests/{number}/notes", {"body": text})

    def change_comment(self, path, text):
        """Another text for a note."""
        self.ask("PUT", path, {"body": text})

    def issues(self, mark):
        """Paths of our open issues."""
        for entry in self.every(f"{self.project}/issues?state=opened"):
            if self.ours(entry, entry.get("description"), mark):
                yield f"{self.project}/issues/{entry['iid']}"

    def open_issue(self, title, text):
        """A new issue, readable by members only: it tells of servers."""
        self.ask("POST", f"{self.project}/issues", {"title": title, "description": text, "confidential": True})

    def change_issue(self, path, text, close):
        """Another text for an issue, and its end if *close*."""
        self.ask("PUT", path, {"description": text, **({"state_event": "close"} if close else {})})


def post(forge, options, text):
    """Do what the options say; returns what was done, in a word or two."""
    if options.pull_request:
        mark = MARK.format("plan")
        text = f"{mark}\n{text}"
        for path in forge.comments(options.pull_request, mark):
            forge.change_comment(path, text)
            return "comment changed"
        forge.add_comment(options.pull_request, text)
        return "comment added"
    mark = MARK.format(f"issue {options.issue}")
    text = f"{mark}\n{text}"
    for path in forge.issues(mark):
        forge.change_issue(path, text, options.resolved)
        return "issue closed" if options.resolved else "issue changed"
    if options.resolved:
        return "no issue"
    forge.open_issue(options.issue, text)
    return "issue opened"


def forge_of(environment):
    """The forge that this runner belongs to."""
    needed = ["FORGE_TOKEN"]
    needed += ["CI_PROJECT_ID"] if environment.get("CI_API_V4_URL") else ["GITHUB_API_URL", "GITHUB_REPOSITORY"]
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        raise Refused(f"not set: {', '.join(missing)}. The job gives them to this step (docs/pipelines.md).")
    return GitLab(environment) if environment.get("CI_API_V4_URL") else GitHub(environment)


def main(arguments, stream=sys.stdin, environment=None):
    """Write what stands on standard input."""
    parser = argparse.ArgumentParser(prog="post_comment.py")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--pull-request", help="number of the pull request (GitLab: the iid of the merge request)")
    where.add_argument("--issue", help="title of the issue")
    parser.add_argument("--resolved", action="store_true", help="close the issue")
    options = parser.parse_args(arguments)
    text = stream.read().strip()
    if not text:
        print(
            "post_comment.py: there is no text. GitHub leaves out the output of a job that holds one of its secrets: "
            "the log of the job before says so.",
            file=sys.stderr,
        )
        return 1
    try:
        print(post(forge_of(os.environ if environment is None else environment), options, f"{text}\n"))
    except Refused as error:
        print(f"post_comment.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
