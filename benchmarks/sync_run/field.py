"""Who takes part: scripts, the packages that each needs, and how often each runs."""

from __future__ import annotations

import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path

SCRIPTS = Path(__file__).parent / "contestants"


@dataclass(frozen=True)
class Contestant:
    """`packages`: pinned, for a virtual environment of its own; none is this one. `slow` ones run once.

    `writes`: whether it has a table that must equal the audience afterwards.
    """

    name: str
    script: str
    packages: tuple[str, ...] = ()
    slow: bool = False
    writes: bool = True

    @property
    def table(self) -> str:
        return f"crm_{self.script}"

    def command(self, python: Path) -> list[str]:
        return [str(python), str(SCRIPTS / f"{self.script}.py")]


COPY_OUT = Contestant("bare COPY out", "copy_out", writes=False)
COPYING = Contestant("COPY by hand", "copying")
OURS = Contestant("zsync", "ours")
_PSYCOPG = "psycopg[binary]==3.3.9"
_PSYCOPG2 = "psycopg2-binary==2.9.13"
PEERS = (
    Contestant("DuckDB by hand", "duckdb_by_hand", ("duckdb==2.0.0", _PSYCOPG)),
    Contestant(
        "polars, ConnectorX", "polars_connectorx", ("polars==2.1.0", "pyarrow==26.0.1", "connectorx==0.4.6", _PSYCOPG)
    ),
    Contestant("pandas", "pandas_script", ("pandas==3.1.1", "sqlalchemy==2.1.9", _PSYCOPG2), slow=True),
    Contestant(
        "dlt merge",
        "dlt_merge",
        ("dlt[postgres]==1.31.0", "pyarrow==26.0.1", "numpy==2.4.6", "sqlalchemy==2.1.9", _PSYCOPG2),
        slow=True,
    ),
    Contestant("drt-core mirror, diff", "drt_mirror", ("drt-core==1.2.1", _PSYCOPG2), slow=True),
)
LEFT_OUT = "DuckDB's PostgreSQL extension is left out: it is no package, but a download from DuckDB's own server"


@dataclass
class Environments:
    """Virtual environments of contestants in `cache`, made when they are first asked for."""

    cache: Path
    notes: list[str] = field(default_factory=list)

    def python(self, contestant: Contestant) -> Path | None:
        """The interpreter that has the contestant's packages; None, and a note, if they cannot be installed."""
        if not contestant.packages:
            return Path(sys.executable)
        folder = self.cache / contestant.script
        python, made = folder / "bin" / "python", folder / "installed.txt"
        wanted = "\n".join(contestant.packages)
        if not (made.exists() and made.read_text() == wanted):
            venv.create(folder, clear=True, with_pip=True)
            install = [str(python), "-m", "pip", "install", "--quiet", *contestant.packages]
            done = subprocess.run(install, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1]
                self.notes.append(f"{contestant.name} is left out: its packages cannot be installed ({reason})")
                return None
            made.write_text(wanted)
        return python
