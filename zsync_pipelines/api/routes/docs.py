"""The OpenAPI document and pages that show it; what they load lies in an installed package, not on the network."""

from __future__ import annotations

import json
from importlib.resources import files

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from zsync_pipelines.api.auth import browser

router = APIRouter(include_in_schema=False, dependencies=[Depends(browser)])
_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_INLINE = "'self' 'unsafe-inline'"
_POLICY = f"default-src 'self'; script-src {_INLINE}; style-src {_INLINE}; img-src 'self' data:"
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>zsync API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({dom_id: "#docs", deepLinking: true, displayRequestDuration: true, spec: DOCUMENT})
</script>
</body>
</html>
"""


@router.get("/openapi.json")
def openapi(request: Request) -> Response:
    """Everything, as OpenAPI 3.1."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request) -> Response:
    """The document as a page to try it on. It holds the document itself: a browser may fetch it in ways that leave the
    key out."""
    document = json.dumps(request.app.openapi()).replace("</", "<\\/")
    return HTMLResponse(_PAGE.replace("DOCUMENT", document), headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/{name}")
def asset(name: str) -> Response:
    """A file of Swagger UI."""
    path = files("fastapi_offline") / "static" / name
    if name not in _ASSETS or not path.is_file():
        raise HTTPException(404)
    return FileResponse(str(path), media_type=_ASSETS[name], headers={"Cache-Control": "private, max-age=86400"})
