"""Assets made directly of their parts.

`@dg.asset` finds out what a function takes and gives by looking at its signature and annotations several times over. Of
four thousand functions that are four functions a thousand times, that takes longer than all else; here it is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from zsync_pipelines.orchestration.tags import RESOURCE

Results = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]
Body = Callable[..., Results]
"""Takes the context, the run's options (`RunOptionsResource`) and the inputs by name."""

_OUTPUT = "result"
_REFERENCE = dg.In(dict[str, Any])
_ORDER_ONLY = dg.In(dg.Nothing)


def asset(
    key: dg.AssetKey,
    *,
    group_name: str,
    tags: Mapping[str, str],
    description: str,
    kinds: set[str] | None = None,
    deps: Sequence[dg.AssetKey] = (),
    ins: Mapping[str, dg.AssetKey] | None = None,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
    output_required: bool = True,
) -> Callable[[Body], dg.AssetsDefinition]:
    """As `@dg.asset`; the inputs `ins` are references (dicts), and `deps` only come before."""

    def decorate(body: Body) -> dg.AssetsDefinition:
        def compute(context: dg.AssetExecutionContext, inputs: Mapping[str, Any]) -> Results:
            return body(context, getattr(context.resources, RESOURCE), **inputs)

        name = key.to_python_identifier()
        before = {"_".join(dep.path): dep for dep in deps}
        inputs = {**before, **(ins or {})}
        checks = {f"{name}_{check.name}": check for check in check_specs}
        out, check_out = dg.Out(is_required=output_required), dg.Out(dg.Any)
        op = dg.OpDefinition(
            compute,
            name,
            ins={input_name: _ORDER_ONLY if input_name in before else _REFERENCE for input_name in inputs},
            outs={_OUTPUT: out, **dict.fromkeys(checks, check_out)},
            required_resource_keys={RESOURCE},
            description=description,
        )
        spec = dg.AssetSpec(
            key,
            deps=list(inputs.values()),
            description=description,
            group_name=group_name,
            tags=tags,
            kinds=kinds,
            skippable=not output_required,
        )
        return dg.AssetsDefinition(
            keys_by_input_name=inputs,
            keys_by_output_name={_OUTPUT: key},
            node_def=op,
            check_specs_by_output_name=checks,
            specs=[spec],
        )

    return decorate
