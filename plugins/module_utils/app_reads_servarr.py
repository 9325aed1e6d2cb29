# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Sonarr, Radarr, Lidarr, Readarr, Prowlarr and Bazarr say of themselves.

Sonarr: src/NzbDrone.Core/HealthCheck, src/Sonarr.Api.V3/{Health,Queue,RootFolders}; Prowlarr:
src/Prowlarr.Api.V1/Indexers/IndexerStatusController.cs; Bazarr: bazarr/api/system/health.py, bazarr/api/badges.py.
"""

from __future__ import annotations

import re

from ansible_collections.homelab.mediastack.plugins.module_utils import probes
from ansible_collections.homelab.mediastack.plugins.module_utils.app_http import shaped
from ansible_collections.homelab.mediastack.plugins.module_utils.app_reading import count, whole

SETUP = {
    "DownloadClientCheck": ("/downloadclient", "no download client"),
    "IndexerRssCheck": ("/indexer", "no indexer"),
    "IndexerSearchCheck": ("/indexer", "no indexer"),
    "IndexerCheck": ("/indexer", "no indexer"),
}
"""Checks that complain as long as the app is not connected to others: when the list at that path is empty, it was never
set up, which is the user's next step and no fault of the service. With entries in the list they are faults."""

ABOUT_TITLES = ("RemovedSeriesCheck", "RemovedMovieCheck", "RemovedArtistCheck", "RemovedAuthorCheck")
"""Checks whose message lists what is in the library."""

ABOUT_PATHS = ("RemotePathMappingCheck", "MountCheck", "DownloadClientRootFolderCheck")
"""Checks whose message may hold the path of one download."""

QUEUE_PAGE = (
    "/queue?page=1&pageSize=500&includeUnknownSeriesItems=true&includeUnknownMovieItems=true"
    "&includeUnknownArtistItems=true&includeUnknownAuthorItems=true"
)
"""Each app knows one of the four switches and ignores the others."""

MOST_INDEXERS = 5


def read(access, http, reading):
    """An *arr app: its health messages, its queue and its root folders."""
    api, headers = _start(access, http, reading)
    judge_queue(http.json("GET", api + "/queue/status", headers), lambda: _queue(http, api, headers), reading)
    judge_root_folders(shaped(http.json("GET", api + "/rootfolder", headers), list, "GET /rootfolder"), reading)


def read_prowlarr(access, http, reading):
    """Prowlarr: its health messages and the indexers that fail."""
    api, headers = _start(access, http, reading)
    failing = shaped(http.json("GET", api + "/indexerstatus", headers), list, "GET /indexerstatus")

    def name_of(identifier):
        indexer = http.json("GET", "%s/indexer/%d" % (api, whole(identifier)), headers)
        return str(shaped(indexer, dict, "GET /indexer").get("name"))

    judge_indexers(failing, name_of, reading)


def read_bazarr(access, http, reading):
    """Bazarr: its health messages and the subtitle providers that it pauses."""
    headers = {"X-API-KEY": access.key()}
    api = access.spec.get("api") or "/api"
    health = shaped(http.json("GET", api + "/system/health", headers), dict, "GET /system/health")
    badges = shaped(http.json("GET", api + "/badges", headers), dict, "GET /badges")
    judge_bazarr(health, badges, reading)

    def general():
        settings = shaped(http.json("GET", api + "/system/settings", headers), dict, "GET /system/settings")
        return shaped(settings.get("general"), dict, "GET /system/settings")

    judge_connections(badges, general, reading)


def _start(access, http, reading):
    """The messages of /health; returns the API's path and the headers for more."""
    api = access.spec.get("api") or "/api/v3"
    headers = {"X-Api-Key": access.key()}

    def is_empty(path):
        return http.json("GET", api + path, headers) == []

    judge_health(shaped(http.json("GET", api + "/health", headers), list, "GET /health"), is_empty, reading)
    return api, headers


def _queue(http, api, headers):
    return shaped(http.json("GET", api + QUEUE_PAGE, headers), dict, "GET /queue").get("records") or []


def judge_health(messages, is_empty, reading):
    """Every message of GET /health is a fault (the app lists nothing else), but for what only waits to be set up, and
    for the news that there is a newer version: only `update` changes images.

    `is_empty`: function of a path below the API that tells whether the list there is empty.
    """
    missing = []
    for message in messages:
        source, text = str(message.get("source") or ""), str(message.get("message") or "")
        if message.get("type") == "ok":
            continue
        if source in SETUP and is_empty(SETUP[source][0]):
            missing.append(SETUP[source][1])
        elif source == "UpdateCheck" and message.get("type") == "warning":
            reading.hint(text)
        else:
            reading.problem(_without_names(source, text) or source or "a health message without words")
    if missing:
        reading.hint("not set up yet: %s" % ", ".join(dict.fromkeys(missing)))


def _without_names(source, text):
    """The message without what tells which titles somebody has or downloads."""
    if source in ABOUT_TITLES:
        return "titles of the library were removed from its source (%s)" % source
    if source in ABOUT_PATHS:
        # The name of a download follows and may hold spaces, so nothing after it can be kept.
        return re.sub(r"((?:/[^/\s]+){3})/.*", r"\1/…", text, flags=re.DOTALL)
    return text


def judge_queue(status, records, reading):
    """Downloads in the queue that wait for somebody.

    `status`: GET /queue/status, which has only flags; `records`: function that returns the queue's entries, whose
    trackedDownloadStatus and trackedDownloadState are counted.
    """
    flags = ("errors", "warnings", "unknownErrors", "unknownWarnings")
    if not any(shaped(status, dict, "GET /queue/status").get(flag) for flag in flags):
        for flag in flags[:2]:  # every version has these two
            shaped(status.get(flag), bool, "GET /queue/status")
        return
    states, errors = {}, 0
    for record in records():
        if record.get("trackedDownloadStatus") in ("warning", "error"):
            errors += record["trackedDownloadStatus"] == "error"
            state = str(record.get("trackedDownloadState") or record.get("status") or "unknown")
            states[state] = states.get(state, 0) + 1
    if not states:
        reading.problem("its queue has warnings")
        return
    details = ", ".join("%d %s" % (number, state) for state, number in sorted(states.items()))
    failed = ", %s" % count(errors, "error") if errors else ""
    reading.problem(
        "its queue: %s of attention (%s%s)"
        % (count(sum(states.values()), "download in need", "downloads in need"), details, failed)
    )


def judge_root_folders(folders, reading):
    """Root folders that are not there, unless a health message has named them already."""
    for folder in folders:
        path = str(folder.get("path"))
        if folder.get("accessible") is False and not reading.says(path):
            reading.problem("missing root folder: %s" % path)


def judge_indexers(failing, name_of, reading):
    """Indexers that Prowlarr does not ask for a while because they failed; `name_of`: function of an indexer's id."""
    names = []
    for entry in failing[:MOST_INDEXERS]:
        try:
            names.append(name_of(entry.get("indexerId")))
        except probes.ProbeFailed:
            names.append("number %s" % entry.get("indexerId"))
    unsaid = [name for name in names if not reading.says(name)]
    if unsaid:
        more = " and %d more" % (len(failing) - len(names)) if len(failing) > len(names) else ""
        reading.problem("%s: %s%s" % (count(len(failing), "indexer fails", "indexers fail"), ", ".join(unsaid), more))


def judge_bazarr(health, badges, reading):
    """Bazarr's issues, and the number of providers that it throttles."""
    for issue in shaped(health.get("data"), list, "GET /system/health"):
        shaped(issue, dict, "GET /system/health")
        words = [str(issue[key]) for key in ("object", "issue") if issue.get(key)]
        reading.problem(": ".join(words) or "an issue without words")
    throttled = whole(shaped(badges.get("providers"), int, "GET /badges"))
    if throttled:
        reading.problem(
            "%s after failures" % count(throttled, "subtitle provider is paused", "subtitle providers are paused")
        )


def judge_connections(badges, general, reading):
    """Whether Bazarr hears from Sonarr and Radarr, of those that it uses; `general`: function that returns that part
    of its settings.

    Until 1.5 a badge is LIVE or, without a connection, empty; later DOWN without one, and LIVE or, by a setting, empty
    with one.
    """
    lost = [app for app in ("sonarr", "radarr") if badges.get(app + "_signalr") in ("", "DOWN")]
    settings = general() if lost else {}
    for app in lost:
        down = badges[app + "_signalr"] == "DOWN" or "show_live_badge" not in settings
        if down and settings.get("use_" + app) is True:
            reading.problem("it is not connected to %s" % app.capitalize(), settles=True)
