"""What was given: the BRIDGE_ names of the environment and `.env`, before anything is judged."""

from collections.abc import Mapping

from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource

MAY_BE_EMPTY = frozenset({"reference_pattern"})
"""Elsewhere an empty value means "not set", as in a copied env.example."""


def given_values(settings: type[BaseSettings], environ: Mapping[str, str] | None) -> dict[str, str]:
    """{attribute name: text}, unknown names included, the prefix cut off; `environ` shuts out the process's environment and `.env`."""
    prefix = settings.model_config["env_prefix"].lower()
    given = {}
    for name, value in _sources(settings, environ).items():
        attribute = name.lower().removeprefix(prefix)
        if attribute != name.lower() and value is not None and (value.strip() or attribute in MAY_BE_EMPTY):
            given[attribute] = value.strip()
    return given


def _sources(settings: type[BaseSettings], environ: Mapping[str, str] | None) -> Mapping[str, str | None]:
    if environ is not None:
        return environ
    return {**DotEnvSettingsSource(settings).env_vars, **EnvSettingsSource(settings).env_vars}
