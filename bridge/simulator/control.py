"""The simulator's own routes, under /_simulator: look at the world, put in faults, let a story happen."""

from collections.abc import Callable

from flask import Blueprint, Response, jsonify, request

from bridge.simulator.faults import FaultBox, parse_fault
from bridge.simulator.model import Json
from bridge.simulator.scenarios import SCENARIOS
from bridge.simulator.world import World


def routes(world: World, faults: FaultBox, send: Callable[[Json], Json]) -> Blueprint:
    """`send` signs a webhook body and posts it to whoever subscribed; it returns what was sent and the answers."""
    blueprint = Blueprint("_simulator", __name__, url_prefix="/_simulator")

    @blueprint.get("", strict_slashes=False)
    def state() -> Response:
        return jsonify(world.state() | {"faults": faults.waiting(), "scenarios": {name: one.summary for name, one in SCENARIOS.items()}})

    @blueprint.post("/faults")
    def put_faults() -> tuple[Response, int]:
        """`{"faults": ["status:503:purple_dot.order:2", …]}`"""
        body = request.get_json(silent=True)
        texts = body.get("faults") if isinstance(body, dict) else None
        if not isinstance(texts, list):
            return jsonify({"error": "bad_shape", "message": 'Send {"faults": ["NAME[:argument][:operation[:count]]"]}.'}), 400
        try:
            parsed = [parse_fault(str(text)) for text in texts]
        except ValueError as error:
            return jsonify({"error": "unknown_fault", "message": str(error)}), 400
        for fault in parsed:
            faults.put(fault)
        return jsonify({"faults": faults.waiting()}), 200

    @blueprint.delete("/faults")
    def clear_faults() -> Response:
        faults.clear()
        return jsonify({"faults": []})

    @blueprint.post("/late")
    def apply_late() -> Response:
        return jsonify({"applied": world.apply_late()})

    return _with_scenarios(blueprint, world, send)


def _with_scenarios(blueprint: Blueprint, world: World, send: Callable[[Json], Json]) -> Blueprint:
    @blueprint.post("/ship/<scenario>")
    def ship(scenario: str) -> tuple[Response, int]:
        if scenario not in SCENARIOS:
            return jsonify({"error": "unknown_scenario", "message": f"There are: {', '.join(SCENARIOS)}."}), 404
        bodies = SCENARIOS[scenario].tell(world)
        return jsonify({"scenario": scenario, "webhooks": [send(body) for body in bodies]}), 200

    return blueprint
