"""Whether the process lives, whether an upload would work, and what is counted."""

import json

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from services.gateway.parts import PartsOf

router = APIRouter(tags=["operation"])


@router.get("/", summary="What this is")
async def root() -> Response:
    return PlainTextResponse("Scandock: XNAT-compatible image session import. The API is described at /docs.\n")


@router.get("/healthz", summary="The process is alive")
async def healthz() -> Response:
    return PlainTextResponse("ok\n")


@router.get("/readyz", summary="An upload would work; else 503 and what is missing")
async def readyz(parts: PartsOf) -> Response:
    missing = await parts.readiness.missing()
    body = json.dumps({"ready": not missing, "missing": list(missing)})
    return Response(body, 503 if missing else 200, media_type="application/json")


@router.get("/metrics", summary="Prometheus metrics")
async def metrics() -> Response:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
