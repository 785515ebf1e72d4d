"""`make soak`: half an hour of webhooks under mixed faults, and at the end the sum: ids sent
against ids told or excepted."""
