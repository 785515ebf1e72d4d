"""A browser without a screen: signs in to the console of an application, reads its pages and sends
its forms, as a person would."""

import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

OPERATOR, VIEWER = "correct-horse", "battery-staple"
PASSWORDS = {"BRIDGE_CONSOLE_PASSWORD": OPERATOR, "BRIDGE_CONSOLE_READONLY_PASSWORD": VIEWER}
SIGN_IN = "/console/sign-in"
VOID = frozenset({"meta", "link", "input", "br", "line", "rect", "img"})


def token_in(page: str) -> str:
    return re.findall(r'name="csrf" value="([^"]+)"', page)[0]


def sign_in(client: FlaskClient, password: str = OPERATOR, **fields: str) -> TestResponse:
    csrf = token_in(client.get(SIGN_IN).text)
    return client.post(SIGN_IN, data={"csrf": csrf, "password": password} | fields)


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, its words, and its forms
    with their fields."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.forms: list[dict[str, Any]] = []
        self.words = ""
        self._inside_form = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.elements.append((tag, named))
        if tag == "form":
            self.forms.append(
                {"action": named.get("action"), "method": named.get("method"), "fields": {}}
            )
            self._inside_form = True
        if (
            tag in ("input", "select")
            and self._inside_form
            and named.get("name")
            and named.get("type") != "checkbox"
        ):
            self.forms[-1]["fields"][named["name"]] = named.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside_form = self._inside_form and tag != "form"

    def handle_data(self, data: str) -> None:
        self.words += data

    def __contains__(self, text: str) -> bool:
        return " ".join(text.split()) in " ".join(self.words.split())

    def form(self, ending: str) -> dict[str, Any]:
        """The first form whose action ends so."""
        return next(form for form in self.forms if (form["action"] or "").endswith(ending))


@dataclass
class Reader:
    """Somebody who has signed in."""

    client: FlaskClient

    def page(self, path: str, *, status: int = 200) -> Page:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return Page(answer.text)

    def send(self, path: str, ending: str, *, ids: list[str] | None = None, **fields: str) -> Page:
        """Fill in a form of this page and follow where it leads."""
        form = self.page(path).form(ending)
        data = form["fields"] | fields | ({"id": ids} if ids else {})
        return Page(
            self.client.post(unescape(form["action"]), data=data, follow_redirects=True).text
        )


def reader(app: Flask, password: str = OPERATOR) -> Reader:
    client = app.test_client()
    assert sign_in(client, password, name="Anna").status_code == 303
    return Reader(client)
