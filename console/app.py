"""The console's application: the same code for the bank's node and the partner's, each for its own side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles

import console.api
import console.pages
from console.access import Right, allowed, right_of
from console.place import Place
from console.problems import ANSWERS, Problem, install
from console.repeats import Remembering
from console.requestlog import RequestLog
from console.security import Guarded
from console.settings import Settings
from party.version import SOFTWARE

API: Final = "/api/v1"
_STATIC: Final = Path(__file__).parent / "static"


class Console(FastAPI):
    """The application; its description has the form of errors, which no route names as its answer."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description."""
        said = super().openapi()
        said.setdefault("components", {}).setdefault("schemas", {}).setdefault(
            "Problem", Problem.model_json_schema()
        )
        return said


def create_app(settings: Settings, place: Place | None = None) -> FastAPI:
    """Return the application over the home of ``settings``; ``place`` is given where it is open already.

    Raises ``UsageError`` if the home is no node's or can't be opened, ``ValueError`` for a route without a right.
    """
    here = Place(settings) if place is None else place

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        yield
        here.close()

    # The description is served by a route of ours, which asks for a right as any other does.
    app = Console(
        title="Veiljoin console",
        version=SOFTWARE.rpartition(" ")[2],
        description="Everything that the pages of this party's console do. Errors are problem+json (RFC 9457); lists "
        "are paged by `limit` and `after`; POSTs may carry an `Idempotency-Key`.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=living,
        separate_input_output_schemas=False,
    )
    app.state.place = here
    install(app)
    described = APIRouter()

    @described.get("/openapi.json", dependencies=[Depends(allowed(Right.SEE))], operation_id="describe")
    def describe() -> dict[str, Any]:
        """Return this description."""
        return app.openapi()

    for router in (described, *_routers(console.api.__name__, console.api.__path__)):
        _check_rights(router)
        app.include_router(router, prefix=API, responses=ANSWERS)
    for router in _routers(console.pages.__name__, console.pages.__path__):
        _check_rights(router)
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(Remembering)
    app.add_middleware(Guarded, origins=settings.origins)
    app.add_middleware(RequestLog)
    return app


def _check_rights(router: APIRouter) -> None:
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise ValueError("a router holds something that is no route, and asks for no right")
        right_of(route)


def _routers(package: str, path: object) -> list[APIRouter]:
    """Return the ``router`` of every module of ``package``, by name; ``order`` puts one before others."""
    found = [import_module(f"{package}.{module.name}") for module in iter_modules(path)]  # type: ignore[arg-type]
    return [module.router for module in sorted(found, key=lambda each: getattr(each, "ORDER", 0))]
