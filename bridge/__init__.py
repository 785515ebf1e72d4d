"""Posts to Purple Dot what ShipStation shipped. One sentence a room, the upper ones first.

cli/         The commands, one file each, named like the command.
web/         Everything that answers HTTP: webhooks (ENTERS), the app, the console.
services     Settings in, running parts out: the only wiring.
worker/      Claims stored work and runs it; the periodic tasks.
operations/  What surrounds the journey: sweep, compare, replay, repair, explain, alerts, health.
pipeline/    The journey, in order: process_event, read_event, find_orders, create_deliveries,
             preflight, deliver (LEAVES), settle; retry says when to try again.
vendors/     How we talk to both vendors: one HTTP client, rate limits, shipstation/, purple_dot/.
translate/   Pure rules: which order, which lines, what becomes of a shipment, which carrier name.
store/       The only SQL: engine/, and one file for each family of tables.
domain/      The types that all rooms share, and the closed lists of reasons and errors.
simulator/   Both vendors on localhost, for the demo and the tests.
settings     Every BRIDGE_ setting. logs: log lines, secrets masked. metrics: the counters.

Who may import whom is written in pyproject.toml and checked by `make lint`.
"""

__version__ = "0.1.0"
