"""The journey of an event, in order.

process_event (with look_ahead) → find_orders (with open_orders) → create_deliveries; then, for
each delivery, deliver: preflight (with look_together) → POST → settle. retry says when to try
again."""
