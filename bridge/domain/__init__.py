"""The types that every room shares: events, shipments, orders, actions, reasons, errors,
redaction."""
