# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the *arr apps tell about themselves: health messages, queue, root folders, indexers.

Shapes from Sonarr's src/Sonarr.Api.V3/{Health,Queue,RootFolders} and Prowlarr's src/Prowlarr.Api.V1/Indexers. Nothing
is wired in the lab yet: what is there comes from faults.
"""

import time

FAILING = {"indexerId": 1, "mostRecentFailure": "", "initialFailure": "", "disabledTill": "", "id": 1}


def message(app, source, kind, text):
    """Return an entry of /health."""
    page = f"https://wiki.servarr.com/{app.name}/system"
    return {"source": source, "type": kind, "message": text, "wikiUrl": page}


def answer(app, leaf, request):
    """Return the JSON value of a GET below the API, None for a path that is not here."""
    active = app.faults.now()
    if leaf == "/health":
        more = [message(app, *active["health"].split(":", 2))] if "health" in active else []
        return app.health() + more + _missing_folder(app, active)
    if app.name == "prowlarr":
        return _prowlarr(active, leaf)
    if leaf in ("/downloadclient", "/indexer"):
        return []
    if leaf == "/rootfolder":
        folder = {
            "path": active.get("no_root_folder"),
            "accessible": False,
            "freeSpace": 0,
            "unmappedFolders": [],
            "id": 1,
        }
        return [folder] if folder["path"] else []
    warnings = active.get("queue_warnings", 0)
    if leaf == "/queue/status":
        flags = {"errors": False, "warnings": bool(warnings), "unknownErrors": False, "unknownWarnings": False}
        return {"totalCount": warnings, "count": warnings, "unknownCount": 0, **flags}
    if leaf == "/queue":
        size = int(request.query.get("pageSize", 10))
        return {
            "page": 1,
            "pageSize": size,
            "sortKey": "timeleft",
            "sortDirection": "ascending",
            "totalRecords": warnings,
            "records": [_record(number) for number in range(min(size, warnings))],
        }
    return None


def _missing_folder(app, active):
    path = active.get("no_root_folder")
    return [message(app, "RootFolderCheck", "error", f"Missing root folder: {path}")] if path else []


def _record(number):
    """Return a download that was complete and could not be imported."""
    return {
        "title": f"A.Private.Title.{number}",
        "status": "completed",
        "trackedDownloadStatus": "warning",
        "trackedDownloadState": "importPending",
        "statusMessages": [
            {"title": f"A.Private.Title.{number}", "messages": ["No files found are eligible for import"]}
        ],
        "protocol": "torrent",
        "id": number + 1,
    }


def _prowlarr(active, leaf):
    name = active.get("failing_indexer")
    indexers = [{"id": 1, "name": name, "enable": True}, {"id": 2, "name": "Another", "enable": True}] if name else []
    if leaf == "/indexerstatus":
        moment, later = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (0, 3600))
        return (
            [{**FAILING, "mostRecentFailure": moment, "initialFailure": moment, "disabledTill": later}] if name else []
        )
    if leaf == "/indexer":
        return indexers
    return next((indexer for indexer in indexers if leaf == f"/indexer/{indexer['id']}"), None)
