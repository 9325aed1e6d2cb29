# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file for node_exporter's textfile collector, read by Prometheus's own parser."""

import math
import re

import pytest
import report_sample
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.homelab.mediastack.plugins.plugin_utils import report_model, report_prometheus


def text(results=None):
    results = report_sample.results() if results is None else results
    return report_prometheus.render(report_model.build(results, moment=report_sample.MOMENT))


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(name, **labels):
    """The values of a metric's samples that have these labels."""
    samples = families(text())[name].samples
    return [sample.value for sample in samples if labels.items() <= sample.labels.items()]


def test_every_metric_is_a_gauge_with_a_help_text_and_a_name_after_the_rules():
    found = families(text())
    assert len(found) == len(re.findall("^# TYPE ", text(), re.M)) == len(re.findall("^# HELP ", text(), re.M))
    for family in found.values():
        assert family.type == "gauge"
        assert family.documentation
        assert re.fullmatch(r"mediastack_[a-z_]+", family.name)
        # Base units; _total, _count, _sum and _bucket are other kinds' own.
        assert not re.search(r"_(ms|kb|mb|percent|total|count|sum|bucket)$", family.name)
        series = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(series) == len(set(series)), family.name
        assert all(math.isfinite(sample.value) and sample.timestamp is None for sample in family.samples)


def test_when_it_was():
    assert values("mediastack_status_timestamp_seconds") == [1795379712]


def test_the_services():
    assert values("mediastack_healthy") == [0]
    assert values("mediastack_service_healthy", host="nas", service="gluetun") == [1]
    assert values("mediastack_service_healthy", host="nas", service="sonarr") == [0]
    assert values("mediastack_service_healthy", host="far", service="(host)") == [0]
    assert values("mediastack_service_status", host="nas", service="sonarr", status="UNHEALTHY") == [1]
    assert sum(values("mediastack_service_status", host="nas", service="sonarr")) == 1
    assert len(values("mediastack_service_status", service="sonarr")) == len(report_model.STATUSES)
    assert values("mediastack_service_latency_seconds", service="prowlarr") == [1.2345]
    assert values("mediastack_service_latency_seconds", service="sonarr") == []
    assert values("mediastack_service_info", service="sonarr", tag="4.0.16", title="Sonarr") == [1]


def test_the_hosts():
    assert values("mediastack_vpn_connected", host="nas", provider="mullvad") == [1]
    assert values("mediastack_vpn_connected", host="attic") == [0]
    assert values("mediastack_vpn_forwarded_ports", host="nas") == [1]
    assert values("mediastack_vpn_forwarded_ports", host="attic") == []
    assert values("mediastack_disk_free_bytes", host="nas", root="media", path="/srv/m/media") == [28 * 10**10]
    assert values("mediastack_disk_total_bytes", host="attic") == []
    assert values("mediastack_queue_stalled_downloads", host="nas", client="qbittorrent") == [1]
    assert values("mediastack_queue_download_bytes_per_second", client="qbittorrent") == [4200000]
    assert values("mediastack_queue_active_downloads", client="sabnzbd") == []
    assert values("mediastack_service_held", host="nas", service="bazarr", verb="stop") == [1]


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "a\\nb", 'a\\"', "影音", "a}b{c=d,", ""])
def test_label_values_come_back_as_they_were(value):
    found = families(text({value or "x": {"services": [report_sample.row(value or "y", title=value)]}}))
    [sample] = found["mediastack_service_info"].samples
    assert sample.labels["title"] == value
    assert sample.labels["service"] == (value or "y")
    assert sample.labels["host"] == (value or "x")


def test_addresses_are_left_out():
    assert "193.32.126.66" not in text()
    assert "192.168.1.10" not in text()


def test_no_host_at_all():
    assert set(families(text({}))) == {"mediastack_healthy", "mediastack_status_timestamp_seconds"}


def test_the_file_ends_with_a_newline():
    assert text().endswith("\n")
    assert "\n\n" not in text()
