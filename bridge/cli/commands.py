"""Every command with its one line, by what a person wants. The command stands in the file of its
name, which is loaded only when the command is called: help and completion answer from here."""

GROUPS = {
    "Set up": {
        "init": "Ask for the keys, check them, write .env.",
        "doctor": "Check everything and say what to do.",
        "webhooks": "Subscriptions at ShipStation: list, ensure, remove.",
        "alerts": "Send a test message to each alert URL.",
        "migrate": "Create or upgrade the database.",
    },
    "Run": {
        "run": "Receiver and worker together.",
        "serve": "The receiver alone.",
        "work": "The worker alone.",
    },
    "Look": {
        "exceptions": "What waits for a person, by reason.",
        "find": "Search parcels and webhooks, in any spelling.",
        "deliveries": "List parcels, newest first.",
        "events": "List webhooks, newest first.",
        "explain": "Why it happened, or why nothing did.",
        "show": "Everything stored about one of them.",
        "orders": "Purple Dot's open orders, and what is missing.",
        "tail": "What happens, as it happens.",
        "audit": "What people did by hand.",
        "export": "Which shipment became which fulfillment, as CSV.",
    },
    "Fix": {
        "retry": "Try a delivery again now.",
        "link": "Choose the order of an ambiguous parcel.",
        "resolve": "Close an exception that was settled elsewhere.",
        "reopen": "Undo a resolve that posted nothing.",
        "replay": "Process stored webhooks again; a dry run first.",
        "reconcile": "Look for what no webhook reported.",
        "ship": "Mark shipments as shipped from a CSV file.",
    },
    "Keep": {
        "backup": "Copy the SQLite database while everything runs.",
        "restored": "Say that an older copy was put back.",
    },
    "Try": {
        "demo": "The whole journey with simulated vendors.",
        "simulator": "Both vendors on this machine.",
    },
}

COMMANDS = {name: line for group in GROUPS.values() for name, line in group.items()}

OTHER_WORDS = {
    "console": "run",
    "delivery": "deliveries",
    "dead": "exceptions",
    "errors": "exceptions",
    "event": "events",
    "failed": "exceptions",
    "fulfill": "ship",
    "grep": "find",
    "held": "exceptions",
    "history": "audit",
    "inbox": "exceptions",
    "list": "deliveries",
    "log": "tail",
    "logs": "tail",
    "order": "orders",
    "parcel": "deliveries",
    "parcels": "deliveries",
    "restore": "restored",
    "search": "find",
    "setup": "init",
    "shipments": "deliveries",
    "start": "run",
    "status": "doctor",
    "subscriptions": "webhooks",
    "sweep": "reconcile",
    "sync": "reconcile",
    "undo": "reopen",
    "upgrade": "migrate",
    "why": "explain",
    "worker": "work",
}
"""What people type instead, and the command that does it."""
