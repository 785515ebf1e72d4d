"""MOVES: claim → do → record; obeys retry.py. loop (threads, leases, waking) · event_job ·
delivery_job · schedules."""
