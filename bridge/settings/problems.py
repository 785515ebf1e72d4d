"""What is wrong with the settings, in sentences: "BRIDGE_NAME: what is wrong; what to do". No sentence holds a value."""

import difflib
import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

from bridge.settings.values import HOW_TO_MAKE_A_TOKEN, as_written

PREFIX = "BRIDGE_"
WHERE_SHIPSTATION_KEYS_ARE = "ShipStation makes keys under Settings > Account > API Settings"

REMEDIES = {
    "webhook_tokens": HOW_TO_MAKE_A_TOKEN,
    "purple_dot_access_token": "copy the store's private access token from Purple Dot's merchant portal, API keys",
}
"""What to do about a setting that must be there and is not."""

PLAIN_WORDS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_parsing": "must be true or false",
}
"""Sentences for pydantic's error types whose own say it less plainly."""

# Kubernetes puts these into every pod beside a Service that is named "bridge"; they are no one's mistake.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_KUBERNETES = re.compile(r"service_host|service_port(_\w+)?|port(_\d+_(tcp|udp|sctp)(_\w+)?)?")


def all_problems(settings: type[BaseSettings], given: Mapping[str, str], invalid: ValidationError | None) -> list[str]:
    """Every mistake at once: unreadable or missing values in the table's order, then contradictions, then unknown names."""
    errors = invalid.errors(include_url=False, include_input=False) if invalid else []
    return [*(_sentence(settings, error) for error in errors), *_contradictions(given), *_unknown_names(settings, given)]


def _sentence(settings: type[BaseSettings], error: ErrorDetails) -> str:
    attribute = str(error["loc"][0])
    told = error.get("ctx", {}).get("error")
    if isinstance(told, ValueError):
        return f"{_name(attribute)}: {told}"
    wrong = PLAIN_WORDS.get(error["type"]) or error["msg"].replace("Input should be", "must be")
    remedy = REMEDIES.get(attribute) or f"correct it, or leave it out for {as_written(settings.model_fields[attribute].default)}"
    return f"{_name(attribute)}: {wrong}; {remedy}"


def _contradictions(given: Mapping[str, str]) -> Iterator[str]:
    key, secret = "shipstation_v1_api_key", "shipstation_v1_api_secret"
    if not given.keys() & {"shipstation_api_key", key, secret}:
        yield f"{_name('shipstation_api_key')}: is missing, and so is the V1 pair; set at least one. {WHERE_SHIPSTATION_KEYS_ARE}"
    for missing, other in ((secret, key), (key, secret)):
        if missing not in given and other in given:
            yield f"{_name(missing)}: is missing while {_name(other)} is set; set both or neither. {WHERE_SHIPSTATION_KEYS_ARE}"
    operator, viewer = given.get("console_password"), given.get("console_readonly_password")
    if viewer and not operator:
        yield f"{_name('console_readonly_password')}: opens nothing while the console is off; set {_name('console_password')} too"
    elif viewer and viewer == operator:
        yield f"{_name('console_readonly_password')}: is the operator's password as well; choose another"


def _unknown_names(settings: type[BaseSettings], given: Mapping[str, str]) -> Iterator[str]:
    known = settings.model_fields
    for attribute in sorted(given.keys() - known.keys()):
        if _KUBERNETES.fullmatch(attribute):
            continue
        nearest = difflib.get_close_matches(attribute, known, n=1, cutoff=0.6)
        remedy = f"did you mean {_name(nearest[0])}?" if nearest else "remove it, or look its name up in README.md"
        yield f"{_name(attribute)}: is no setting; {remedy}"


def _name(attribute: str) -> str:
    return PREFIX + attribute.upper()
