"""`make audit`: which installed packages have known vulnerabilities, by pip-audit; and how many
could not be asked about."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PIP_AUDIT = [
    str(Path(sys.executable).parent / "pip-audit"),
    "--skip-editable",
    "--progress-spinner",
    "off",
    "--format",
    "json",
]


def verdict(report: Mapping[str, Any] | None) -> tuple[list[str], int]:
    """Sentences, and the exit code: 1 for a vulnerability alone. pip-audit itself calls what it
    couldn't look up free of them."""
    if report is None:
        return [
            "pip-audit could not ask PyPI for vulnerabilities: nothing was audited. "
            "Try again where the network allows it."
        ], 0
    packages = report["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, "
        f"fixed in {', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    told = [
        f"{len(packages) - len(skipped)} of {len(packages)} packages audited, "
        f"{len(found)} known vulnerabilities.",
        *found,
    ]
    if skipped:
        told.append(
            f"PyPI's list of vulnerabilities was not to be had for the other {len(skipped)}: "
            "that says nothing about them."
        )
    return told, int(bool(found))


def main() -> int:
    ran = subprocess.run(PIP_AUDIT, capture_output=True, text=True, check=False)
    try:
        report = json.loads(ran.stdout)
    except ValueError:
        report = None
    told, code = verdict(report)
    sys.stdout.write("\n".join(told) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
