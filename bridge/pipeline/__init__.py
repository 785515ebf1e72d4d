"""The journey of an event, in order.

process_event: read_event (with look_ahead) → find_orders (with open_orders) → create_deliveries;
then, for each delivery, deliver: preflight (with look_together) → POST → settle → outcomes, or
decide_again where its order or lines are not known. retry says when to try again."""
