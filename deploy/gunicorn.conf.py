"""gunicorn for the receiver: `gunicorn --config deploy/gunicorn.conf.py wsgi:app`. The options are
those of `bridge serve`; a line below this one changes them."""

import os
import shutil
import sys

from bridge.domain.errors import BridgeError, SettingsError
from bridge.settings import Settings
from bridge.web import gunicorn

try:
    globals().update(gunicorn.options(Settings.load()))
except SettingsError as exc:
    sys.exit(f"The settings are wrong:\n{exc}")
except BridgeError as exc:
    sys.exit(str(exc))

if gunicorn.METRICS_FOLDER not in os.environ:
    _folder, _lock = gunicorn.make_metrics_folder()

    def on_exit(_server: object) -> None:
        """Leave nothing behind."""
        shutil.rmtree(_folder, ignore_errors=True)
