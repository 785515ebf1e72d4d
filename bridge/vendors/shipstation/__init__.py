"""The source: what ShipStation sends, and how it is asked, on its two APIs.

webhook, signing_keys              who sent a webhook, and what it says
event_types                        the one table of event types
fields, payloads                   how single fields are read, and the rows that they make up
shipments                          a row of any kind as a shipment
client, lists                      one record or a list, and the lists of what was shipped
fetch, bulk                        what is asked for one event, and for many at once
mark_shipped                       marks shipments as shipped
subscriptions, subscription_calls  which webhooks come to which URL, and how that is changed
"""
