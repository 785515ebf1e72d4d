"""Pure rules: no database, no process, no network. `make test-unit` runs these in seconds."""
