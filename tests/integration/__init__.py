"""One part at a time, on real databases or against the in-process simulator."""
