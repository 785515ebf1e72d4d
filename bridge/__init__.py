"""Tells Purple Dot what ShipStation shipped. Verbs are stages, nouns are things.

receive         ENTERS       a webhook: raw body, authenticated, stored, answered translate/
TRANSLATED   pure: what was fetched → shipments → what to tell Purple Dot; one table {event type:
translator} resolve         asks Purple Dot which fulfillment orders a page of shipments belongs to
place           PLACED       under the order's lock: what a shipment still owes becomes a delivery,
once deliver/        LEAVES       look first, then write; settle what is unclear; return a receipt
worker          MOVES        claim, do, record; holds no rules of its own reconcile       SWEPT
what ShipStation lists and no webhook told of goes in at the top compare         COMPARED     both
sides, and the ledger between them; reads only retry           pure: when to try again, or to give
up budget          calls a minute to each vendor, by lane; stays away while one fails store/
STORED       the only SQL: events, records, deliveries, attempts, budgets, migrations shipstation/
the source:      webhook (verify, identify), payloads, client; its words stay in there purple_dot/
the destination: payloads, client; its words stay in there api_client      shared by both clients:
timeouts, no redirects, budget, status → our errors doctor          one finding a line: how it is,
and what to do; contract: the vendors' fields that we count on watch           looks every minute
for what a person should hear of, by the pure rules of alerts, and has notify send it subscribe
sees to it that ShipStation tells us, and looks every day whether it still does outline         what
of a text from outside may be stored: its shape, without names and addresses mend            by
hand: retry, link, fulfill the rest, resolve; the same for commands and console replay
before it is done by hand: what can be replayed, and what each would tell explain         a story as
sentences: why it stands where it stands filters         the filter line of lists, as a query
console/        the operator's pages: overview, exceptions, lists, one event's whole story, mending
simulator/      both vendors on loopback, signing for real and able to fail cli/            the
commands scrape          /metrics: what the processes counted, and what stands in the database brake
wrong tokens without end are sent away unheard; gunicorn_worker: slow senders hold no thread app
the receiver as a WSGI application wiring          settings in; the ledger, the clients and the
worker out

Foundations: events, shipments, orders, actions (the things), reasons, errors (the verdicts),
settings, logs, metrics, alerts, notify. Who may import whom is written in pyproject.toml and
checked by `make test`."""

__version__ = "0.1.0"
