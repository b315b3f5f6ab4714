"""The tour's scene with the gateway: a question answered offline, and a provider that dies in the middle of an answer."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lastro.errors import LastroError
from lastro.faces.cli.demo_providers import provider
from lastro.faces.translation import gettext as _
from lastro.messages import N_

if TYPE_CHECKING:
    from lastro.faces.cli.demo import Tour

MODEL: Final = "smollm2"
_ROUTE: Final = """
[routes.edit]
match = {kinds = ["edit"]}
models = ["dying/writer", "steady/writer"]
"""
_SHOWN: Final = (
    "x-lastro-provider",
    "x-lastro-model",
    "x-lastro-attempts",
    "x-lastro-route",
    "x-lastro-exchange",
)
_PATIENCE_S: Final = 120


def gateway(tour: Tour) -> None:
    """The scene."""
    if importlib.util.find_spec("aiohttp") is None:
        tour.say(
            _("This installation has no gateway (pip install 'lastro[gateway]'), so this scene is left out.")
        )
        return
    offline = _model(tour)
    tour.say(f"\n{_('Two providers are added. The first dies in the middle of each answer.')}")
    with provider("writer", dies=True) as dying, provider("writer", dies=False) as steady:
        for name, url in (("dying", dying), ("steady", steady)):
            tour.lastro("gateway", "providers", "add", name, "--base-url", url, "--local", "--no-test")
        with open(os.path.join(tour.home, "config", "gateway.toml"), "a", encoding="utf-8") as file:
            file.write(_ROUTE)
        for line in _ROUTE.strip().splitlines():
            tour.say(f"    {line}")
        with tour.running("gateway", "serve", "--port", "0", until="listening") as listening:
            address = str(listening.parameters["address"])
            if offline:
                _offline(tour, address)
            _failover(tour, address)
            tour.lastro("gateway", "usage")


def _model(tour: Tour) -> bool:
    """An offline model in the scratch home: the one of this user's own installation if it is there, else fetched. Whether there is one."""
    if importlib.util.find_spec("xllamacpp") is None:
        tour.say(
            _(
                "The offline engine is not installed (pip install 'lastro[offline]'); no question is asked offline."
            )
        )
        return False
    own = f"{tour.context.places.data}/gateway/models/{MODEL}/model.gguf"
    if os.path.exists(own):
        tour.lastro("gateway", "models", "import", own, "--name", MODEL)
        return True
    try:
        tour.lastro("gateway", "models", "pull", MODEL)
    except LastroError:
        tour.say(_("No offline model could be fetched, so no question is asked offline."))
        return False
    return True


def _offline(tour: Tour, address: str) -> None:
    tour.say(
        f"\n{_('A question is asked in the dialect of Chat Completions; a model on this machine answers it.')}"
    )
    question = {
        "model": "offline/smollm2",
        "messages": [{"role": "user", "content": "What is a symbolic link? Answer in one sentence."}],
        "max_tokens": 60,
        "temperature": 0,
    }
    headers, raw = _post(address, question)
    answer = json.loads(raw)
    tour.say(f"    {' '.join(answer['choices'][0]['message']['content'].split())}")
    _show(tour, headers)


def _failover(tour: Tour, address: str) -> None:
    tour.say(
        f"\n{_('A tool asks for an edit. The provider dies inside the call of a tool; another takes over unseen.')}"
    )
    tour.lastro("gateway", "routes", "explain", "--task", "edit")
    function = {"name": "edit_file", "parameters": {"type": "object"}}
    question = {
        "model": "auto",
        "stream": True,
        "messages": [{"role": "user", "content": "Set the number of workers to 4."}],
        "tools": [{"type": "function", "function": function}],
    }
    headers, raw = _post(address, question, task="edit")
    name, arguments = _tool_call(raw)
    tour.say(f"    {name}({arguments})")
    _show(tour, headers)
    if headers.get("x-lastro-provider") != "steady" or headers.get("x-lastro-attempts") != "2":
        raise LastroError(N_("The tour went wrong: the second provider did not take over."))
    json.loads(arguments)  # whole, not one that was cut
    exchange = headers["x-lastro-exchange"]
    tour.wait_for(exchange, lambda: tour.ask("gateway", "exchanges", "show", exchange) is not None)
    tour.lastro("gateway", "exchanges", "show", exchange)


def _post(address: str, body: Mapping[str, Any], *, task: str = "") -> tuple[dict[str, str], bytes]:
    """The headers and the body of the answer to a call of Chat Completions."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
    headers = {"content-type": "application/json"}
    if task:
        headers["x-lastro-task"] = task
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        return {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def _tool_call(stream: bytes) -> tuple[str, str]:
    """Name and arguments of the call in a streamed answer."""
    name = arguments = ""
    for chunk in _chunks(stream):
        for choice in chunk.get("choices", ()):
            for call in choice["delta"].get("tool_calls", ()):
                name += call["function"].get("name", "")
                arguments += call["function"].get("arguments", "")
    return name, arguments


def _chunks(stream: bytes) -> Iterator[dict[str, Any]]:
    for line in stream.decode().splitlines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def _show(tour: Tour, headers: Mapping[str, str]) -> None:
    for name in _SHOWN:
        if name in headers:
            tour.say(f"    {name}: {headers[name]}")
