"""Claims stored work and runs it: loop (threads, leases, waking) · periodic (tasks now and
then)."""
