"""The tour's scene with an agent: it edits, deletes by shell and tries to leave its area; a part is approved, and undone."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import tempfile
from typing import TYPE_CHECKING, Final

from lastro.errors import LastroError
from lastro.faces.translation import gettext as _
from lastro.messages import N_

if TYPE_CHECKING:
    from lastro.faces.cli.demo import Tour

_FILES: Final = {
    "app.py": "def port():\n    return 8000\n\n\n\n\n\n\n\n\ndef name():\n    return 'web'\n",
    "old.conf": "unused = yes\n",
    "notes.txt": "to do\n",
}
_AGENT: Final = """
sed -i s/8000/9000/ app.py
sed -i s/web/www/ app.py
rm old.conf
echo 'health: ok' > health.txt
echo x > /etc/lastro-was-here || true
cat "$KEY" || true
"""


def agents(tour: Tour) -> None:
    """The scene."""
    if importlib.util.find_spec("starlette") is None:
        tour.say(
            _("This installation runs no agents (pip install 'lastro[agents]'), so this scene is left out.")
        )
        return
    project = tempfile.mkdtemp(prefix="lastro-demo-project-")
    try:
        _scene(tour, os.path.realpath(project))
    finally:
        shutil.rmtree(project, ignore_errors=True)


def _scene(tour: Tour, project: str) -> None:
    for name, text in _FILES.items():
        with open(os.path.join(project, name), "w", encoding="utf-8") as file:
            file.write(text)
    passphrase = secrets.token_hex(8)
    tour.say(_("Who approves has a key of their own, locked with a passphrase."))
    tour.lastro("approver", "add", "--passphrase-stdin", typed=passphrase)
    tour.say(
        f"\n{_('An agent works in a view of the project. Here it is a small script; any coding tool will do.')}"
    )
    for line in _AGENT.strip().splitlines():
        tour.say(f"    {line}")
    key = os.path.join(tour.home, "config", "secrets", "repository.key")
    script = "; ".join(_AGENT.strip().splitlines()).replace('"$KEY"', f"'{key}'")
    tour.lastro("run", "--project", project, "--", "sh", "-c", script, shown="run --project … -- sh -c …")
    if _content(project, "app.py") != _FILES["app.py"] or os.path.exists("/etc/lastro-was-here"):
        raise LastroError(N_("The tour went wrong: the agent changed something live."))
    tour.say(_("What is live is as it was."))
    tour.lastro("proposal", "list")
    tour.lastro("proposal", "show")
    _decide(tour, project, passphrase)


def _decide(tour: Tour, project: str, passphrase: str) -> None:
    tour.say(f"\n{_('Of it, one hunk and the new file are approved; nothing else is written.')}")
    number = (tour.ask("proposal", "list") or {})["proposals"][0]["proposal"]
    name = f"proposal-{number}"
    options = ("--hunk", "app.py:1", "--file", "health.txt", "--yes", "--passphrase-stdin")
    tour.lastro("proposal", "approve", name, *options, typed=passphrase)
    changed = "def port():\n    return 9000\n" in _content(project, "app.py")
    if not changed or "'web'" not in _content(project, "app.py") or not _content(project, "old.conf"):
        raise LastroError(N_("The tour went wrong: not exactly the approved part was written."))
    tour.say(f"\n{_('It is undone, at any later time; and the undo could be undone.')}")
    tour.lastro("undo", name, "--yes", "--passphrase-stdin", typed=passphrase)
    if _content(project, "app.py") != _FILES["app.py"]:
        raise LastroError(N_("The tour went wrong: the undo did not bring the file back."))
    tour.say(f"\n{_('Everything that was decided is signed, and can be verified.')}")
    tour.lastro("audit", "verify")


def _content(project: str, name: str) -> str:
    with open(os.path.join(project, name), encoding="utf-8") as file:
        return file.read()
