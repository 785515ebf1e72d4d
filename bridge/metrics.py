"""What is counted while it happens. What stands in the database is counted there, when asked."""

from prometheus_client import Counter, Histogram

EVENTS = Counter("bridge_events_total", "Notifications at the door", ["event_type", "status"])
REJECTIONS = Counter("bridge_rejections_total", "Requests refused at the door", ["cause"])
API_REQUESTS = Counter("bridge_api_requests_total", "Calls to a vendor", ["system", "operation", "outcome"])
API_SECONDS = Histogram("bridge_api_request_seconds", "Seconds a vendor took to answer", ["system", "operation"])
