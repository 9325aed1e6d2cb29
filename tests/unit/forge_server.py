# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of the three forges' APIs that a comment and an issue need, with memory, on loopback.

Paths, methods and keys are those of the forges' API documentation: GitHub "issues" and "issue comments", Forgejo the
same below /api/v1, GitLab "notes" and "issues".
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import urllib.parse

TOKEN = "a-token-of-this-job"
ME = {"id": 7, "login": "github-actions[bot]", "username": "bot"}
SOMEBODY = {"id": 8, "login": "mallory", "username": "mallory"}


class Forge:
    """What the server remembers: comments by number of the pull request, and issues."""

    def __init__(self, kind):
        self.kind = kind
        self.comments = {}
        self.issues = []
        self.requests = []
        self._next = 100

    def entry(self, author, **more):
        """A new comment or issue."""
        self._next += 1
        entry = {"id": self._next, "number": self._next, "iid": self._next, "state": "open", **more}
        entry.update(user=author, author=author)
        return entry

    def page(self, entries, query):
        """A page of a list. Forgejo gives all comments at once, whatever page is asked for."""
        if self.kind == "forgejo":
            return entries
        size, number = int(query.get("per_page", ["20"])[0]), int(query.get("page", ["1"])[0])
        return entries[(number - 1) * size : number * size]

    def answer(self, method, path, query, body):
        """`(status, JSON)` of a request."""
        gitlab = self.kind == "gitlab"
        below = r"/projects/42" if gitlab else r"/repos/me/homelab"
        lists = below + (r"/merge_requests/(\d+)/notes" if gitlab else r"/issues/(\d+)/comments")
        one = lists + r"/(\d+)" if gitlab else below + r"/issues/comments/()?(\d+)"
        change = "PUT" if gitlab else "PATCH"
        if gitlab and (method, path) == ("GET", "/user"):
            return 200, ME
        if found := re.fullmatch(lists, path):
            entries = self.comments.setdefault(int(found[1]), [])
            if method == "GET":
                return 200, self.page(entries, query)
            entries.append(self.entry(ME, body=body["body"]))
            return 201, entries[-1]
        if (found := re.fullmatch(one, path)) and method == change:
            entry = next(e for entries in self.comments.values() for e in entries if e["id"] == int(found[2]))
            entry["body"] = body["body"]
            return 200, entry
        if re.fullmatch(below + "/issues", path):
            if method == "GET":
                return 200, self.page([entry for entry in self.issues if entry["state"] == "open"], query)
            self.issues.append(self.entry(ME, **body))
            return 201, self.issues[-1]
        if (found := re.fullmatch(below + r"/issues/(\d+)", path)) and method == change:
            entry = next(entry for entry in self.issues if entry["number"] == int(found[1]))
            if body.pop("state_event", None) == "close":
                body["state"] = "closed"
            entry.update(body)
            return 200, entry
        return 404, {"message": "Not Found"}


@contextlib.contextmanager
def serving(kind):
    """`(forge, environment)` of a forge of a kind: github, forgejo or gitlab; its address is in the environment."""
    forge = Forge(kind)

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_any(self):
            parts = urllib.parse.urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            forge.requests.append((self.command, parts.path))
            given = self.headers.get("PRIVATE-TOKEN" if kind == "gitlab" else "Authorization")
            if given != (TOKEN if kind == "gitlab" else f"Bearer {TOKEN}"):
                status, answer = 401, {"message": "Unauthorized"}
            else:
                status, answer = forge.answer(self.command, parts.path, urllib.parse.parse_qs(parts.query), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = handle_any

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    if kind == "gitlab":
        environment = {"CI_API_V4_URL": address, "CI_PROJECT_ID": "42"}
    else:
        environment = {"GITHUB_API_URL": address, "GITHUB_REPOSITORY": "me/homelab"}
    try:
        yield forge, {**environment, "FORGE_TOKEN": TOKEN}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
