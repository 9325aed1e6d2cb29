# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Deluge's queue, asked over the JSON of its web UI. Never a name of a download.

deluge/ui/web/{json_api,auth}.py, deluge/core/{core,torrent}.py. The web UI is a client of the daemon. After each start
it is connected to it only once somebody, or another app, asked for that.
"""

from __future__ import annotations

import contextlib
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import forwarded_port, health_model, probes
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import shaped
from ansible_collections.homelab.mediastack.plugins.module_utils.app_reading import number, whole
from ansible_collections.homelab.mediastack.plugins.module_utils.app_reads_downloaders import (
    METADATA_GRACE,
    torrents_into,
)

FIELDS = ["state", "is_finished", "download_payload_rate", "time_added", "time_since_download"]
SPEED = "payload_download_rate"


class Rpc:
    """Calls to the web UI's /json, in one session."""

    def __init__(self, access, http):
        self._http, self._path, self._cookie = http, access.spec.get("api") or "/json", {}

    def log_in(self, password):
        """Open the session. Raises Refused for another password: Deluge says so with 200 and `false`."""
        reply, result = self._ask("auth.login", [password])
        if result is False:
            self._http.refuse()
        shaped(result, bool, "auth.login")
        cookie = (reply.headers.get("Set-Cookie") or "").partition(";")[0]
        self._cookie = {"Cookie": cookie} if cookie else {}

    def log_out(self):
        """End the session. What we know is complete; one that stays ends by itself within the hour."""
        with contextlib.suppress(probes.ProbeFailed, OSError):
            self.call("auth.delete_session")

    def call(self, method, *params):
        """The result of a method. Raises ProbeFailed."""
        return self._ask(method, list(params))[1]

    def _ask(self, method, params):
        body = {"id": 1, "method": method, "params": params}
        reply = self._http.call("POST", self._path, self._cookie, body)
        self._http.expect(reply, "POST", self._path)
        answer = shaped(self._http.decoded(reply, "POST", self._path), dict, "POST %s" % self._path)
        error = answer.get("error")
        if error:
            # Its words may hold what was asked for, names of downloads included.
            code = error.get("code") if isinstance(error, dict) else None
            raise probes.ProbeFailed("error %s to %s" % (whole(code), method))
        return reply, answer.get("result")


def read(access, http, reading):
    """Log in, look at the torrents and the session of the daemon, log out: a session stays for an hour otherwise."""
    rpc = Rpc(access, http)
    rpc.log_in(access.password())
    try:
        if not shaped(rpc.call("web.connected"), bool, "web.connected") and not connect(rpc):
            words = "its daemon does not answer its web UI, so nothing is downloaded; docker logs %s"
            reading.problem(words % access.container.name, health_model.UNHEALTHY, settles=True)
            return
        torrents = shaped(rpc.call("core.get_torrents_status", {}, FIELDS), dict, "core.get_torrents_status")
        session = shaped(rpc.call("core.get_session_status", [SPEED]), dict, "core.get_session_status")
        port = shaped(rpc.call("core.get_listen_port"), int, "core.get_listen_port")
        judge(list(torrents.values()), session, time.time(), reading)
        if not port:
            # Its interface went away, as a tunnel does, and it does not look for it again.
            reading.problem("it listens on no port: restart -e service=%s" % access.name, settles=True)
        if forwarded_port.is_asked_for(access.holder):
            reading.preferences = preferences(rpc)
    finally:
        rpc.log_out()


def preferences(rpc):
    """Its settings of how it listens."""
    names = [forwarded_port.PORT["deluge"], *forwarded_port.OFF["deluge"]]
    return shaped(rpc.call("core.get_config_values", names), dict, "core.get_config_values")


def connect(rpc):
    """Connect the web UI to the first daemon of its list that answers; whether one does. Raises ProbeFailed.

    The same as what Sonarr does before it asks, and as everybody who opens the web UI.
    """
    hosts = shaped(rpc.call("web.get_hosts"), list, "web.get_hosts")
    if not hosts:
        raise probes.ProbeFailed("its web UI knows no daemon: add one in its connection manager", probes.INCONCLUSIVE)
    for host in hosts:
        identifier = shaped(host, list, "web.get_hosts")[0]
        status = shaped(rpc.call("web.get_host_status", identifier), list, "web.get_host_status")
        if status[1:2] in (["Online"], ["Connected"]):
            rpc.call("web.connect", identifier)
            if rpc.call("web.connected") is True:
                return True
            raise probes.ProbeFailed("its daemon does not let its web UI in", probes.INCONCLUSIVE)
    return False


def judge(torrents, session, now, reading):
    """The queue from the values of core.get_torrents_status and from core.get_session_status; `now`: in s."""
    stalled = active = failed = total = 0
    for torrent in torrents:
        state = shaped(shaped(torrent, dict, "a torrent").get("state"), str, "a torrent")
        failed += state == "Error"
        if torrent.get("is_finished") and state != "Error":
            continue
        total += 1
        if state != "Downloading":
            continue
        rate = number(torrent.get("download_payload_rate"))
        active += rate > 0
        stalled += rate == 0 and _quiet_for(torrent, now) > METADATA_GRACE
    speed = whole(shaped(session.get(SPEED), (int, float), "core.get_session_status"))
    torrents_into(reading, active, speed, stalled, total, failed)


def _quiet_for(torrent, now):
    """Seconds without a byte; since it was added where none came since the daemon started."""
    since = torrent.get("time_since_download")
    if isinstance(since, (int, float)) and since >= 0:
        return since
    return now - whole(torrent.get("time_added"))
