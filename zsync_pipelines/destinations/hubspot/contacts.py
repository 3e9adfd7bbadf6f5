"""HubSpot's contacts as its API has them: properties, inputs of a batch, and what the answer says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zsync_pipelines.destinations.kit.calls import text
from zsync_pipelines.domain.capabilities import FieldSpec, FieldType

_UNTOLD = "HubSpot's answer does not say what became of this contact"
_OPT_OUT = "hs_email_optout"
ANY_TEXT = FieldSpec(finite=True, max_length=65_536)
_SPECS = {
    "number": FieldSpec(types=frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DECIMAL}), finite=True),
    "bool": FieldSpec(types=frozenset({FieldType.BOOLEAN})),
    "date": FieldSpec(types=frozenset({FieldType.DATE})),
    "datetime": FieldSpec(types=frozenset({FieldType.TIMESTAMP})),
}
"""Other types are kept as text by HubSpot."""
Ids = dict[int, str]
Refusals = dict[int, tuple[str, bool]]


def batch_input(trace: str, identity: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """One input of `batch/upsert`. `trace`: what the answer names it by."""
    texts = {name: text(value) for name, value in values.items()}
    return {"idProperty": identity, "id": texts.pop(identity), "objectWriteTraceId": trace, "properties": texts}


def outcomes(answer: Mapping[str, Any], inputs: Sequence[Mapping[str, Any]]) -> tuple[Ids, Refusals]:
    """Record ids, and reasons with whether they are for good, by the number of the input. HubSpot names an input by its
    trace id or by what identifies it."""
    numbers = {given["objectWriteTraceId"]: n for n, given in enumerate(inputs)}
    named = {given["id"]: n for n, given in enumerate(inputs)}
    ids: Ids = {}
    refused: Refusals = {}
    for found in answer["results"]:
        value = (found.get("properties") or {}).get(inputs[0]["idProperty"])
        number = numbers.get(found.get("objectWriteTraceId"), named.get(value))
        if number is not None:
            ids[number] = str(found["id"])
    for error in answer.get("errors") or ():
        context = error.get("context") or {}
        known = [numbers.get(trace) for trace in context.get("objectWriteTraceId") or ()]
        known += [named.get(value) for value in context.get("ids") or ()]
        refused |= {n: (reason_of(error, None), True) for n in known if n is not None and n not in ids}
    return ids, {n: (_UNTOLD, False) for n in range(len(inputs)) if n not in ids} | refused


def reason_of(error: Any, status: int | None) -> str:
    """Category, codes and properties of an error; its message would hold values."""
    error = error if isinstance(error, dict) else {}
    details = [*(error.get("errors") or ()), error]
    codes = {str(detail["code"]) for detail in details if detail.get("code")}
    names = {name for detail in details for name in (detail.get("context") or {}).get("propertyName") or ()}
    about = ", ".join([*sorted(codes), *(f"property '{name}'" for name in sorted(names))])
    told = error.get("category") or "refused"
    return told + (f": {about}" if about else "") + (f" (HTTP {status})" if status else "")


def is_written(known: Mapping[str, Any]) -> bool:
    """Whether a property may be set, by anybody and by us: whether somebody opted out is not ours to say."""
    locked = known.get("calculated") or (known.get("modificationMetadata") or {}).get("readOnlyValue")
    return not locked and not known["name"].startswith(_OPT_OUT)


def spec_of(known: Mapping[str, Any]) -> FieldSpec:
    """What a property takes."""
    kind = known["fieldType"]
    if known["type"] == "enumeration" and kind != "checkbox" and not known.get("externalOptions"):
        types = {FieldType.TEXT, FieldType.BOOLEAN} if kind == "booleancheckbox" else {FieldType.TEXT}
        return FieldSpec(types=frozenset(types), choices=frozenset({"", *(each["value"] for each in known["options"])}))
    return _SPECS.get(known["type"], ANY_TEXT)
