"""Everything that answers HTTP: webhooks (POST /webhooks/shipstation) · app · front (which address
answers which path) · addresses (whose request it is) · throttle · gunicorn · console/."""
