"""The only SQL. tables (the schema) · database (transactions) · events, deliveries, orders (the
ledger that is the queue) · leases (claims) · budgets · workers · wake · reports (read-only) ·
migrate."""
