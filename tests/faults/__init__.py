"""Processes killed, disks filled, senders that are slow, requests mutated."""
