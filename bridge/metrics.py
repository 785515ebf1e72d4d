"""What is counted while it happens, by whoever does it. What is in the database is read there, at
each scrape: see operations/metrics_exporter.py."""

from prometheus_client import Counter, Histogram

EVENTS = Counter(
    "bridge_events_total", "Notifications that were received", ["event_type", "status"]
)
REJECTIONS = Counter("bridge_rejections_total", "Requests that were refused", ["cause"])
API_REQUESTS = Counter(
    "bridge_api_requests_total", "Calls to a vendor", ["system", "operation", "outcome"]
)
API_SECONDS = Histogram(
    "bridge_api_request_seconds", "Seconds a vendor took to answer", ["system", "operation"]
)
DELIVERIES = Counter(
    "bridge_deliveries_total", "Outcomes of deliveries, as a worker stored them", ["status"]
)
DELIVERY_SECONDS = Histogram(
    "bridge_delivery_seconds",
    "Seconds from the notification's arrival to Purple Dot's answer; replays and what a person"
    " repaired don't count",
    buckets=(0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 6 * 3600, 24 * 3600),
)
HTTP_SECONDS = Histogram(
    "bridge_http_request_seconds",
    "Seconds that requests took",
    ["route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
