"""How SQL is run: database (connections, transactions), group_commit, driver_errors, upsert,
migrate, wakeup, ids."""
