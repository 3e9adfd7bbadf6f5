"""Acme: the connector that `docs/writing-a-destination.md` builds, installed as a package of its own would be."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from zsync_pipelines_tests.connectors.case import ConnectorCase
from zsync_pipelines_tests.support.vendors.acme import Acme

PAGE = Path(__file__).parents[3] / "docs" / "writing-a-destination.md"


def _install() -> None:
    """Put the page's code and entry point where Python finds packages."""
    text = PAGE.read_text()
    code = re.search(r"<!-- acme -->\n```python\n(.*?)```", text, re.DOTALL)
    entry = re.search(r'```toml\n\[project.entry-points."(.*?)"\]\n(\w+) = "(.*?)"', text)
    assert code is not None
    assert entry is not None
    folder = Path(tempfile.mkdtemp(prefix="acme-"))
    (folder / "acme.py").write_text(code[1])
    metadata = folder / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")
    sys.path.append(str(folder))


_install()

CASES = [
    ConnectorCase(
        id="acme",
        type="acme",
        server=Acme,
        config=lambda server: {"base_url": server.url, "token": server.token, "list_id": "l1"},
        named=lambda server, name: {"base_url": server.url, "token": server.token, "list_name": name, "create": True},
        mapping={"email": "email", "first_name": "name"},
        held=lambda server: server.members["l1"],
        expected=lambda person: (person.email.lower(), {"name": person.first_name}),
        steps=("reach", "credentials", "list"),
        delete_list=lambda server: server.lists.clear(),
        made_list=lambda server: server.members[max(server.members)],
        max_rows=500,
    )
]
