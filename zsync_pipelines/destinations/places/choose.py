"""Which kind of place a URL names. The only code that asks for a URL's scheme."""

from __future__ import annotations

from difflib import get_close_matches

from zsync_pipelines.destinations.places.clouds import AzurePlace, GooglePlace, S3Place
from zsync_pipelines.destinations.places.local import LocalPlace
from zsync_pipelines.destinations.places.place import Options, Place
from zsync_pipelines.destinations.places.sftp import SftpPlace

_KINDS: dict[str, type[Place]] = {
    "": LocalPlace,
    "file": LocalPlace,
    "s3": S3Place,
    "gs": GooglePlace,
    "az": AzurePlace,
    "sftp": SftpPlace,
}


def kind_of(url: str) -> type[Place]:
    """The kind of place that a URL names by its scheme; a path names a folder. ValueError for a scheme not known."""
    scheme, separator, _ = url.partition("://")
    kind = _KINDS.get(scheme.lower() if separator else "")
    if kind is None:
        known = ", ".join(f"{name}://" for name in _KINDS if name)
        raise ValueError(f"{scheme}:// is not known; use the path of a folder, or one of {known}")
    return kind


def judge_url(url: str) -> None:
    """ValueError, without secrets, if the URL names no place."""
    kind_of(url).judge(url)


def judge_options(url: str, options: Options) -> None:
    """ValueError, without secrets, if the URL's kind of place does not take the options."""
    if "://" not in url and "${" in url:  # nobody knows the kind before the reference is resolved
        return
    kind = kind_of(url)
    if kind.option_names is not None:
        for name in options:
            if name not in kind.option_names:
                raise ValueError(_unknown(name, kind.option_names))
    kind.judge_options(url, options)


def _unknown(name: str, known: frozenset[str]) -> str:
    if not known:
        return "a folder takes no options"
    near = get_close_matches(name, known, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"there is no option '{name}' for this url{hint}; known: {', '.join(sorted(known))}"
