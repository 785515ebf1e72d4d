"""The journey of an event, in order."""
