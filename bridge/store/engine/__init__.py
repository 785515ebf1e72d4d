"""How SQL is run: database, transactions and group commit, migrations, wakeup, ids."""
