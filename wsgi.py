"""What a WSGI server imports: `gunicorn --config deploy/gunicorn.conf.py wsgi:app`."""

from bridge.app import create_app

app = create_app()
