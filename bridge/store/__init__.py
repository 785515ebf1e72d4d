"""The only SQL: one file for each family of tables, and engine/, which runs it.

tables                       the schema, once for both databases
events, deliveries, orders   the journey's own rows, and attempts: each try as it happened
parcels                      which records and numbers speak of which delivery
leases, workers              who works on which row, and until when
rate_limits                  calls left to each vendor, pauses and outages
sweeps, replays, restores    work that enters anew, and databases that came back from a backup
repairs, audit               what people change by hand, and the log of it
marked_shipments             what `bridge ship` marked
shared_state, periodic       what processes leave for each other, and when periodic tasks are due
queries                      what a list is narrowed to, as conditions
reports, search, stats       read-only questions of people and monitors
retention, backup            what is redacted or copied
"""
