"""The types that every room shares.

events, shipments, parcels, orders   what came in, what left, in which box, what was ordered
actions, deliveries, reasons         what is decided, our duty to do it, and why it stands still
tracking_numbers, redaction          one spelling of a number; what of a text may be stored
durations, text, errors              times as people write them, words for people, the verdicts
"""
