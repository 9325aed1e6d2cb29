# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks every service over HTTP all the time, as its users do: the longest time without an answer."""

from __future__ import annotations

import http.client
import json
import threading
import time

PAUSE = 0.1
TIMEOUT = 2


def answers(address, port):
    """Whether the app at that port says that it is well."""
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        return answer.status == 200 and json.loads(answer.read())["status"] == "OK"
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


class Polls:
    """One thread a service, for the length of a `with`."""

    def __init__(self, ports, address="127.0.0.1", pause=PAUSE):
        """ports: service → port, at `address`; pause: s between two questions."""
        self._ports, self._address, self._pause = ports, address, pause
        #: service → [(moment, whether it answered)]
        self._seen = {service: [] for service in ports}
        self._ended = threading.Event()
        self._threads = []

    def __enter__(self):
        for service in self._ports:
            self._threads.append(threading.Thread(target=self._watch, args=(service,), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_error):
        self.end()

    def end(self):
        """Ask no more."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _watch(self, service):
        while not self._ended.is_set():
            well = answers(self._address, self._ports[service])
            self._seen[service].append((time.monotonic(), well))
            self._ended.wait(self._pause)

    def gap(self, service, digits=1):
        """The longest time in seconds without an answer; 0 where each question was answered."""
        longest, last, failed = 0.0, None, False
        for moment, well in self._seen[service]:
            if last is None:
                last = moment
            failed = failed or not well
            if well:
                longest = max(longest, moment - last if failed else 0.0)
                last, failed = moment, False
        if failed:
            longest = max(longest, self._seen[service][-1][0] - last)
        return round(longest, digits)
