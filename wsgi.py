"""What a WSGI server imports: `gunicorn --config deploy/gunicorn.conf.py wsgi:app`."""

from bridge.web.app import create_app

app = create_app()
