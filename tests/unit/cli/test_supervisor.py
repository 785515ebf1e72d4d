"""What the supervisor decides about a process that ended."""

from bridge.cli.supervisor import GiveUp, Restart, after_death


def test_wrong_settings_end_it_at_once_with_the_same_exit_code() -> None:
    decision = after_death(2, seconds_lived=900, quick_deaths=0)

    assert isinstance(decision, GiveUp)
    assert decision.exit_code == 2


def test_process_that_lived_is_started_again_soon() -> None:
    assert after_death(1, seconds_lived=20, quick_deaths=0) == Restart(1.0)
    assert after_death(-9, seconds_lived=86_400, quick_deaths=5) == Restart(1.0)


def test_pauses_grow_and_then_it_is_given_up() -> None:
    decisions = [
        after_death(1, seconds_lived=0.5, quick_deaths=quick_deaths) for quick_deaths in range(1, 7)
    ]

    assert decisions[:5] == [Restart(1.0), Restart(2.0), Restart(4.0), Restart(8.0), Restart(16.0)]
    assert decisions[5] == GiveUp(1, "it ended 6 times in a row right after its start")
