"""The source: who signs (`webhook`, `keys`), what it says (`payloads`), how we ask (`client`), what
to ask for one event (`fetch`)."""
