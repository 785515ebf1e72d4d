"""Runs a state machine on one database: the same few runs each time, or, where a person asks for
more, so many of them, longer and elsewhere each time."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def accepted_in(
    machine: type[RuleBasedStateMachine], database_url: str, *, few: int, steps: int, asked_for: int
) -> int:
    """How many fulfillments Purple Dot accepted in all the runs together. A law that doesn't hold
    is raised, with the shortest story that breaks it."""
    counts: list[int] = []

    class OnThisDatabase(machine):  # type: ignore[misc, valid-type]  # known only when it is called
        url = database_url

        def teardown(self) -> None:
            super().teardown()
            if hasattr(self, "bridge"):
                counts.append(len(self.bridge.accepted()))

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=asked_for or few,
            stateful_step_count=40 if asked_for else steps,
            derandomize=not asked_for,
            database=None,
            deadline=None,
            phases=set(Phase) - {Phase.explain},
            suppress_health_check=list(HealthCheck),
        ),
    )
    return sum(counts)
