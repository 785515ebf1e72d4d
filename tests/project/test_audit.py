"""What `make audit` says of pip-audit's report."""

from tests.support.audit import verdict


def test_vulnerability_is_told_with_its_remedy_and_fails() -> None:
    flaw = {"id": "PYSEC-2026-1", "fix_versions": ["2.1"]}

    told, code = verdict(
        {
            "dependencies": [
                {"name": "a", "version": "2.0", "vulns": [flaw]},
                {"name": "b", "version": "1", "vulns": []},
            ]
        }
    )

    assert told == [
        "2 of 2 packages audited, 1 known vulnerabilities.",
        "a 2.0: PYSEC-2026-1, fixed in 2.1",
    ]
    assert code == 1


def test_package_that_could_not_be_looked_up_is_not_called_free_of_them() -> None:
    told, code = verdict(
        {
            "dependencies": [
                {"name": "a", "skip_reason": "not found"},
                {"name": "b", "version": "1", "vulns": []},
            ]
        }
    )

    assert told[0] == "1 of 2 packages audited, 0 known vulnerabilities."
    assert "the other 1" in told[1]
    assert code == 0


def test_without_a_report_nothing_is_claimed() -> None:
    told, code = verdict(None)

    assert "nothing was audited" in told[0]
    assert code == 0
