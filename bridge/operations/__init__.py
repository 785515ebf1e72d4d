"""What surrounds the journey, for the worker's periodic tasks, the commands and the console.

sweep, compare               what no webhook reported, and where ShipStation and Purple Dot differ
repair, repair_runs, replay  what a person does by hand: to one, to many, from the beginning
explain, open_orders         why something stands where it stands, and what Purple Dot waits for
lookup                       what both vendors say now of a number
alerts, alert_check          what a person must be alerted of, and who was sent what
heartbeat, health            whether webhooks can be received and processed, and who learns of it
metrics_exporter             /metrics
doctor, vendor_drift         is all as it must be, and do the vendors answer as we know them
subscriptions                whether ShipStation's webhooks come to us
public_address               whether a test webhook through the public address arrives
filters                      the filter line of lists
"""
