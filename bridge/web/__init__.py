"""Everything that answers HTTP: webhooks (POST /webhooks/shipstation), app, throttle, gunicorn,
console/."""
