"""gunicorn for the receiver: `gunicorn --config deploy/gunicorn.conf.py wsgi:app`. Receiving is
short work: store, answer."""

import os
import sys
import tempfile
from pathlib import Path

from bridge.domain.errors import SettingsError
from bridge.logs import gunicorn_logging
from bridge.settings import Settings

try:
    _settings = Settings.load()
except SettingsError as exc:
    sys.exit(f"The settings are wrong:\n{exc}")

bind = _settings.bind
workers = _settings.web_workers
worker_class = (
    "bridge.web.gunicorn.Threads"  # gunicorn's gthread, and slow senders hold none of them for long
)
threads = 8
preload_app = True  # what is loaded before gunicorn forks is in memory once
timeout = 30
graceful_timeout = (
    25  # under the 30 seconds that Docker, systemd and Kubernetes are usually told to wait
)
keepalive = (
    5  # longer than the pause between two webhooks of a batch, shorter than a proxy's idle limit
)

# ShipStation's requests are small; what is larger is not from there.
limit_request_line = 2048
limit_request_fields = 64
limit_request_field_size = 8190

# Where the processes add up what they count: without it /metrics tells one process's share. Read
# when the application is loaded.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bridge-metrics-")

# The path may hold the webhook token, and every accepted event is logged by the receiver: no access
# log.
logger_class = "bridge.web.gunicorn.Log"
logconfig_dict = gunicorn_logging(_settings.log_format, _settings.log_level)

# A heartbeat file on a slow disk can get a healthy worker killed.
# https://docs.gunicorn.org/en/stable/faq.html#blocking-os-fchmod
if Path("/dev/shm").is_dir():  # noqa: S108  # gunicorn makes its file there unlinked, nobody else can open it
    worker_tmp_dir = "/dev/shm"  # noqa: S108  # the same
