# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The queues of qBittorrent, Transmission and SABnzbd: how much, how fast, what is stuck. Never a name of a download.

qBittorrent: WebAPI_Changelog.md, src/webui/api (both kinds of login: 200 "Ok." with a cookie SID, since 5.2 a 204 with
QBT_SID_<port>); Transmission: docs/rpc-spec.md; SABnzbd: sabnzbd/api.py, `mode=queue`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time

from ansible_collections.homelab.mediastack.plugins.module_utils import (
    atomic_files,
    config_formats,
    forwarded_port,
    probes,
)
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import FORM, basic, shaped
from ansible_collections.homelab.mediastack.plugins.module_utils.app_reading import count, number, whole
from ansible_collections.homelab.mediastack.plugins.module_utils.secret_store import QBITTORRENT_ROUNDS

METADATA_GRACE = 300
"""Seconds after which a torrent that still has no metadata counts as stalled: its magnet link has found nobody."""

SECOND_LOOK = 1.0
"""Seconds between the two looks at a usenet queue that has jobs and no speed: between two jobs that is normal."""


# -- qBittorrent -------------------------------------------------------------------------------------------------------


def read_qbittorrent(access, http, reading):
    """Log in, count the unfinished torrents, log out."""
    api = qbittorrent_api(access)
    cookie = qbittorrent_login(access, http)
    transfer = shaped(http.json("GET", api + "/transfer/info", cookie), dict, "GET /transfer/info")
    torrents = []
    for kind in ("downloading", "errored"):
        found = http.json("GET", "%s/torrents/info?filter=%s" % (api, kind), cookie)
        torrents += shaped(found, list, "GET /torrents/info")
    judge_qbittorrent(transfer, torrents, time.time(), reading)
    if forwarded_port.is_asked_for(access.holder):
        reading.preferences = qbittorrent_preferences(access, http, cookie)
    qbittorrent_logout(access, http, cookie)


def qbittorrent_api(access):
    """The path of its API."""
    return access.spec.get("api") or "/api/v2"


def qbittorrent_preferences(access, http, cookie):
    """Its settings, of which some versions lack some."""
    path = qbittorrent_api(access) + "/app/preferences"
    return shaped(http.json("GET", path, cookie), dict, "GET /app/preferences")


def qbittorrent_logout(access, http, cookie):
    """End a session. What we know is complete; one that stays ends by itself within the hour."""
    if cookie:
        http.call("POST", qbittorrent_api(access) + "/auth/logout", cookie, {}, FORM)


def qbittorrent_login(access, http):
    """The headers of a session. Raises Refused, ProbeFailed."""
    api, username, password = qbittorrent_api(access), access.username(), access.password()
    # A wrong password counts towards a ban of this host's address: rather see whether it lets us in without one.
    if is_password(access, username, password) is False:
        return {}
    form = {"username": username, "password": password}
    reply = http.call("POST", api + "/auth/login", None, form, FORM)
    if reply.status == 403:
        what = "it refuses this host's address after too many wrong passwords, for an hour unless set otherwise"
        raise probes.ProbeFailed(what, probes.INCONCLUSIVE)
    http.expect(reply, "POST", api + "/auth/login", (200, 204))
    cookie = (reply.headers.get("Set-Cookie") or "").partition(";")[0]
    # Without a cookie and with "Ok." it asks no password of us at all.
    if reply.body.strip() == b"Fails.":
        http.refuse()
    return {"Cookie": cookie} if cookie else {}


def is_password(access, username, password):
    """Whether qBittorrent.conf names this user with this password; None when the file does not tell."""
    if not access.spec.get("config_dir"):
        return None
    path = os.path.join(access.spec["config_dir"], "qBittorrent", "qBittorrent.conf")
    try:
        data = atomic_files.read_bytes(path)
        if data is None:
            return None
        user = config_formats.get_value(data, "ini", ["Preferences", "WebUI\\Username"])
        stored = config_formats.get_value(data, "ini", ["Preferences", "WebUI\\Password_PBKDF2"])
    except (atomic_files.FileError, config_formats.ConfigFormatError):
        return None
    if (user or "admin") != username or not isinstance(stored, str):
        return False
    return stored == access.derived(password) or matches(stored, password)


def matches(stored, password):
    """Whether `stored`, `@ByteArray(salt:key)` of qBittorrent.conf, is made from `password`."""
    salt, colon, key = stored[len("@ByteArray(") : -1].partition(":")
    try:
        made = hashlib.pbkdf2_hmac("sha512", password.encode("utf-8"), base64.b64decode(salt), QBITTORRENT_ROUNDS, 64)
        return bool(colon) and base64.b64decode(key) == made
    except ValueError:  # no base64
        return False


def judge_qbittorrent(transfer, torrents, now, reading):
    """The queue from GET /transfer/info and the unfinished and failed torrents of GET /torrents/info; `now`: in s."""
    connection = shaped(transfer.get("connection_status"), str, "GET /transfer/info")
    speed = shaped(transfer.get("dl_info_speed"), int, "GET /transfer/info")
    for torrent in torrents:
        shaped(shaped(torrent, dict, "GET /torrents/info").get("state"), str, "GET /torrents/info")
    by_id = {torrent.get("hash") or number: torrent for number, torrent in enumerate(torrents)}
    stalled = active = failed = 0
    for torrent in by_id.values():
        state = str(torrent.get("state"))
        lost = state in ("metaDL", "forcedMetaDL") and now - whole(torrent.get("added_on")) > METADATA_GRACE
        stalled += state == "stalledDL" or lost
        active += state in ("downloading", "forcedDL")
        failed += state in ("error", "missingFiles")
    torrents_into(reading, active, whole(speed), stalled, len(by_id), failed)
    if connection == "disconnected":
        # Not "no peers", that is "firewalled": bound to an interface or address that is not there, such as a tunnel's.
        words = "it listens on no address and reaches nobody: restart it once the interface it is bound to is there"
        reading.problem(words, settles=True)


# -- Transmission ------------------------------------------------------------------------------------------------------

TRANSMISSION_DOWNLOADING = 4
TRANSMISSION_FIELDS = [
    "id",
    "status",
    "isStalled",
    "rateDownload",
    "error",
    "leftUntilDone",
    "addedDate",
    "metadataPercentComplete",
]


def read_transmission(access, http, reading):
    """One torrent-get."""
    call = TransmissionRpc(access, http).call
    found = shaped(call("torrent-get", {"fields": TRANSMISSION_FIELDS}).get("torrents"), list, "torrent-get")
    judge_transmission(found, time.time(), reading)
    if forwarded_port.is_asked_for(access.holder):
        reading.preferences = call("session-get")


class TransmissionRpc:
    """Calls to Transmission; the first request only brings the session id that every other one must carry."""

    def __init__(self, access, http):
        """Raises ProbeFailed when the stack has no password for it."""
        self._http = http
        self._path = access.spec.get("api") or "/transmission/rpc"
        self._headers = basic(access.username(), access.password())

    def call(self, method, arguments=None):
        """The `arguments` of its answer. Raises Refused, ProbeFailed."""
        body = {"method": method, "arguments": arguments or {}}
        reply = self._http.call("POST", self._path, self._headers, body)
        if reply.status == 409:
            self._headers["X-Transmission-Session-Id"] = reply.headers.get("X-Transmission-Session-Id") or ""
            reply = self._http.call("POST", self._path, self._headers, body)
        if reply.status == 403:
            # A password of its own makes it answer 401.
            what = "it refuses this host's address: not in its rpc-whitelist, or locked after too many wrong passwords"
            raise probes.ProbeFailed(what, probes.INCONCLUSIVE)
        self._http.expect(reply, "POST", self._path)
        answer = shaped(self._http.decoded(reply, "POST", self._path), dict, "POST %s" % self._path)
        return shaped(answer.get("arguments") or {}, dict, method)


def judge_transmission(torrents, now, reading):
    """The queue from the torrents of torrent-get; `now`: in s."""
    stalled = active = failed = speed = total = 0
    for torrent in torrents:
        state = shaped(shaped(torrent, dict, "torrent-get").get("status"), int, "torrent-get")
        no_metadata = torrent.get("metadataPercentComplete", 1) < 1
        error = whole(torrent.get("error")) == 3  # 1 and 2 are a tracker's words
        if not (torrent.get("leftUntilDone") or no_metadata or error):
            continue
        total += 1
        failed += error
        rate = whole(torrent.get("rateDownload"))
        speed += rate
        if state == TRANSMISSION_DOWNLOADING:
            waited = now - whole(torrent.get("addedDate")) > METADATA_GRACE
            active += rate > 0
            stalled += bool(torrent.get("isStalled")) or (rate == 0 and waited)
    torrents_into(reading, active, speed, stalled, total, failed)


def torrents_into(reading, active, speed, stalled, total, failed):
    """The queue of a torrent client, and what of it is a fault."""
    reading.queue = {
        "active": active,
        "speed_bytes": speed,
        "stalled": stalled,
        "total": total,
        "failed": failed,
    }
    if stalled:
        # A client that has just started has not found its peers yet.
        reading.problem("%s of %s stalled" % (stalled, count(total, "unfinished torrent")), settles=True)
    if failed:
        reading.problem("%s" % count(failed, "torrent has failed", "torrents have failed"))


# -- SABnzbd -----------------------------------------------------------------------------------------------------------


def read_sabnzbd(access, http, reading):
    """One `mode=queue`, sent as a form: what stands in the address may land in a log."""
    queue = _sabnzbd_queue(access, http)
    later = None
    if not queue.get("paused") and not number(queue.get("kbpersec")) and _waiting(queue):
        http.pause(SECOND_LOOK)
        later = _sabnzbd_queue(access, http)
    judge_sabnzbd(queue, later, reading)


def _sabnzbd_queue(access, http):
    path = access.spec.get("api") or "/api"
    form = {"mode": "queue", "output": "json", "limit": "500", "apikey": access.key()}
    reply = http.call("POST", path, None, form, FORM)
    if reply.status == 403 and b"ostname verification" in reply.body:
        what = "it refuses to be asked by this address: add it to host_whitelist in its settings"
        raise probes.ProbeFailed(what, probes.INCONCLUSIVE)
    if reply.status == 403 and b"internet access denied" in reply.body:
        what = "it takes this host for one of the internet: add its network to local_ranges in its settings"
        raise probes.ProbeFailed(what, probes.INCONCLUSIVE)
    http.expect(reply, "POST", path)
    answer = shaped(http.decoded(reply, "POST", path), dict, "POST %s" % path)
    queue = shaped(answer.get("queue"), dict, "mode=queue")
    shaped(queue.get("paused"), bool, "mode=queue")
    shaped(queue.get("slots"), list, "mode=queue")
    return queue


def _waiting(queue):
    """How many jobs are to be downloaded; of those in the queue some may be paused each for itself."""
    slots = [slot for slot in queue.get("slots") or [] if isinstance(slot, dict)]
    return sum(1 for slot in slots if slot.get("status") in ("Downloading", "Queued", "Fetching"))


def judge_sabnzbd(queue, later, reading):
    """The queue from `mode=queue`; `later`: from a second look at one that stood still, or None."""
    still = later is not None and later.get("mbleft") == queue.get("mbleft") and not number(later.get("kbpersec"))
    queue = later or queue
    speed = int(number(queue.get("kbpersec")) * 1024)
    paused = bool(queue.get("paused"))
    stalled = _waiting(queue) if still and not paused else 0
    reading.queue = {
        "active": 0 if paused else _waiting(queue) - stalled,
        "speed_bytes": speed,
        "stalled": stalled,
        "total": whole(queue.get("noofslots_total", queue.get("noofslots"))),
        "paused": paused,
    }
    if stalled:
        reading.problem("%s stalled: nothing comes in" % count(stalled, "job"), settles=True)
    if paused and reading.queue["total"]:
        reading.hint("paused with %s in the queue" % count(reading.queue["total"], "job"))
    warnings = whole(queue.get("have_warnings"))
    if warnings:
        # They stay until somebody clears them, whatever became of their cause.
        reading.hint("%s on its status page" % count(warnings, "warning"))
