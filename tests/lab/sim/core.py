# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every stand-in shares: a small HTTP server, the phases of a start, faults."""

import errno
import http.cookies
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse

from . import faults, identity

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


class Response:
    """An HTTP answer."""

    chunked = False

    def __init__(self, status=200, body=b"", content_type=TEXT, headers=()):
        """Keep status, body (text or bytes), content type (None: no header) and further headers (pairs)."""
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.content_type = content_type
        self.headers = list(headers)


def json_response(value, status=200, indent=None, headers=()):
    """Return value as JSON."""
    return Response(status, json.dumps(value, indent=indent, ensure_ascii=False), JSON, headers)


def redirect(location, status=302, headers=()):
    """Return a redirection without a body."""
    return Response(status, b"", None, [("Location", location), *headers])


def page(title, text=""):
    """Return a small web page that says what it is."""
    return Response(
        200,
        f"<!doctype html>\n<html><head><title>{title}</title></head>"
        f"<body><h1>{title}</h1><p>{text}</p></body></html>\n",
        HTML,
    )


class Request:
    """One HTTP request."""

    def __init__(self, method, target, headers, body, client=""):
        """Split the target; headers is any mapping with get()."""
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.client = client
        self.path, _mark, self.raw_query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(self.raw_query, keep_blank_values=True))

    def form(self):
        """Return the form-encoded body."""
        return dict(urllib.parse.parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self):
        """Return the JSON body, or None when it is none."""
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            return None

    def cookie(self, name):
        """Return one cookie's value or an empty text."""
        jar = http.cookies.SimpleCookie(self.headers.get("Cookie") or "")
        return jar[name].value if name in jar else ""


class App:
    """A stand-in. Subclasses say what the real app says; everything here is common to all."""

    family = "linuxserver"
    config_dir = "/config"
    owned = ("/config",)  # what the image gives to the app's user at its start
    ports = ()  # listening ports; the first one is the UI
    refuse = 0.6  # seconds without a listener after the start
    starting_for = 0.6  # seconds with the app's own answer to "not yet"

    def __init__(self, name, args=(), env=None):
        """Keep the app's name, the container's command and its environment."""
        self.name = name
        self.args = list(args)
        self.env = os.environ if env is None else env
        self.version = self.env.get("LAB_VERSION", "")
        self.family = self.env.get("LAB_FAMILY", self.family)
        self.faults = faults.Faults(self.config_dir, self.env)
        self.began = time.time()
        self.ready_at = float("inf")

    def path(self, *parts):
        """Return a path in the config directory."""
        return os.path.join(self.config_dir, *parts)

    def check(self):
        """Refuse to start (StartError) as the real image would; runs as root where the image starts as root."""

    def prepare(self):
        """Read and write config files, as the app's user, before anything listens."""

    def background(self):
        """Run beside the server, in a thread, from the moment it listens."""

    def is_ready(self):
        """Return whether the app has finished its start; the default is the clock."""
        return time.time() >= self.ready_at

    def handle(self, request):
        """Answer a request of a ready app."""
        raise NotImplementedError

    def starting(self, _request):
        """Answer while the app starts; None when the real one does not listen yet."""
        return Response(503, "starting\n")

    def unhealthy(self, _request):
        """Answer of an app that runs and is not well."""
        return Response(500, "Internal Server Error\n")

    def respond(self, request):
        """Return the answer after faults and phases."""
        active = self.faults.now()
        if "slow" in active:
            time.sleep(active["slow"])
        if "status" in active:
            return Response(active["status"], "fault\n")
        if "unhealthy" in active:
            return self.unhealthy(request)
        if "write_error" in active and request.method not in ("GET", "HEAD"):
            return Response(500, "fault\n")
        if "body" in active:
            return Response(200, active["body"])
        if not self.is_ready():
            return self.starting(request)
        return self.handle(request)


def handler_for(respond, active_faults):
    """Return a request handler class that answers with respond(Request)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_args):
            """Keep the container's log for what the app says."""

        def answer(self):
            """Answer one request of any method."""
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                self.command,
                self.path,
                self.headers,
                self.rfile.read(length),
                self.client_address[0].removeprefix("::ffff:"),
            )
            active = active_faults()
            while "hang" in active or ("hang_api" in active and request.path.startswith("/api/v")):
                time.sleep(0.2)
                active = active_faults()
            response = respond(request)
            self.send_response_only(response.status)
            self.send_header("Date", self.date_time_string())
            if response.content_type:
                self.send_header("Content-Type", response.content_type)
            for name, value in response.headers:
                self.send_header(name, value)
            if response.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(response.body)))
            self.end_headers()
            if "drop" in active:
                self.close_connection = True
                self.wfile.write(response.body[: len(response.body) // 2])
            elif response.chunked:
                self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(response.body), response.body))
            elif request.method != "HEAD":
                self.wfile.write(response.body)

        def __getattr__(self, name):
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

    return Handler


class Server(http.server.ThreadingHTTPServer):
    """Threads that do not keep the process alive; a broken connection is nobody's concern."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, _request, _address):
        """Report what went wrong in an app, not clients that went away."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            print(f"lab: {type(error).__name__}: {error}", flush=True)


class DualServer(Server):
    """Every address of both families, as most apps listen."""

    address_family = socket.AF_INET6

    def server_bind(self):
        """Take IPv4 along."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(address, respond, active_faults=dict, tls=None):
    """Listen on (host, port; host "": all addresses) and answer in threads; returns the server.

    Raises OSError when the port is taken.
    """
    handler = handler_for(respond, active_faults)
    if address[0]:
        server = Server(address, handler)
    else:
        try:
            server = DualServer(("::", address[1]), handler)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            server = Server(address, handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    return server


def die(code, after, how=None):
    """End the process with a code (128 + signal) some seconds from now."""

    def end():
        print(how or f"lab: fault: exit {code}", flush=True)
        os._exit(code)

    timer = threading.Timer(after, end)
    timer.daemon = True
    timer.start()


def begin(app):
    """Do what the image does before the app: checks, owner, user, config files, faults of the start."""
    try:
        active = app.faults.now()
        if "exit" in active:
            raise identity.StartError(f"lab: fault: exit {active['exit']}", active["exit"])
        app.check()
        identity.FAMILIES[app.family](app.env, app.owned)
        app.prepare()
    except identity.StartError as error:
        identity.leave(error)
    except PermissionError as error:
        identity.leave(
            identity.StartError(
                f"{app.name}: {error.strerror}: {error.filename} (running as {os.getuid()}:{os.getgid()})"
            )
        )
    if "crash" in active:
        die(137, active["crash"], "lab: fault: crash")
    time.sleep(active.get("refuse", app.refuse))
    return active


def stop_on_signals():
    """Leave with 0 when Docker stops the container: the first process has no default handlers."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_args: os._exit(0))


def run(app):
    """Start an app, serve until SIGTERM, return the exit code."""
    stop_on_signals()
    active = begin(app)
    app.ready_at = time.time() + active.get("starting", app.starting_for)
    for port in app.ports:
        serve(("", port), app.respond, app.faults.now)
    threading.Thread(target=app.background, daemon=True).start()
    print(
        f"{app.name} {app.version} (stand-in of the lab) listens on {', '.join(map(str, app.ports)) or 'no port'}",
        flush=True,
    )
    threading.Event().wait()
    return 0
