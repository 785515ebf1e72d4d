"""How SQL is run.

database                  connections and transactions, on either of the two
sqlite, postgresql        how each is opened and set up
limits, deadlines         until when a transaction may wait
availability              nobody waits behind a wait that is known to be in vain
group_commit              many threads, one durable commit
driver_errors             what the drivers raise, in our words
upsert, ids               INSERT … ON CONFLICT, and ids that sort by time
migrate                   the schema's versions
wakeup                    how a worker learns that there is work
files                     files that are there whole or not at all
"""
