"""What Prometheus reads: the state table and the coordinator's own numbers, made new at each scrape."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hubfarm.coordinator.hubs import Hubs
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import read_records
from hubfarm.spec.states import Phase

_LABELS = ("id", "label", "group", "owner")

_COUNTERS = {
    "accepted": "Messages taken from senders",
    "delivered": "Deliveries that reached their receiver",
    "failed": "Deliveries that did not reach their receiver",
    "requests": "Requests answered",
}
_GAUGES = {
    "clients": "Registered clients",
    "queued": "Deliveries waiting",
    "queued_bytes": "Size of the deliveries waiting, bytes",
    "peak": "The longest that the queues together have been, deliveries",
}


class _FarmCollector(Collector):
    def __init__(self, hubs: Hubs, paths: Paths) -> None:
        self._hubs = hubs
        self._paths = paths

    def collect(self) -> Iterator[Metric]:
        records = read_records(self._paths.state_table)
        up = GaugeMetricFamily("hubfarm_hub_up", "Whether the hub serves", labels=_LABELS)
        restarts = CounterMetricFamily("hubfarm_hub_restarts", "How often the hub was restarted", labels=_LABELS)
        counters = {
            key: CounterMetricFamily(f"hubfarm_hub_{key}", text, labels=_LABELS) for key, text in _COUNTERS.items()
        }
        gauges = {key: GaugeMetricFamily(f"hubfarm_hub_{key}", text, labels=_LABELS) for key, text in _GAUGES.items()}
        for hub in self._hubs.by_id().values():
            spec = hub.spec
            labels = (str(spec.id), spec.label, spec.group, spec.owner)
            up.add_metric(labels, float(hub.life.phase in (Phase.RUNNING, Phase.DOZING, Phase.DORMANT)))
            restarts.add_metric(labels, spec.restarts)
            record = records.get(hub.held_by) if hub.held_by else None
            if record is not None:
                for key, family in (counters | gauges).items():
                    family.add_metric(labels, getattr(record, key))
        yield from (up, restarts, *counters.values(), *gauges.values())


def metrics(hubs: Hubs, paths: Paths) -> bytes:
    """Return the farm's numbers as they are now, in Prometheus' text format.

    Parameters
    ----------
    hubs : Hubs
        The farm's.
    paths : Paths
        Where the state table lies.
    """
    registry = CollectorRegistry()
    registry.register(_FarmCollector(hubs, paths))
    return generate_latest(registry)
