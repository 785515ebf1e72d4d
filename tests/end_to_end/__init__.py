"""The whole bridge as its users run it: gunicorn and worker processes."""
