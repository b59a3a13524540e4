"""The charge application as a FastAPI app, and how it is served."""

import asyncio
import os

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from charges import Charges, Reply


def as_response(reply):
    """A reply of the application as one of Starlette's."""

    async def chunks():
        for chunk in reply.chunks:
            yield chunk
        if reply.broken:
            raise ConnectionError("the application ends the reply here, as it was asked to")

    response = StreamingResponse(chunks(), reply.status) if reply.chunks else Response(reply.body, reply.status)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    response.raw_headers.extend(headers)
    return response


def routes(app, charges):
    """Adds the charges, unprotected but for what stands before them."""

    async def charge(request: Request):
        asked = charges.begin(await request.body())
        if isinstance(asked, Reply):
            return as_response(asked)
        await asyncio.sleep(asked.before)
        booked = charges.book(asked, request.url.path, request.headers.get("authorization"))
        await asyncio.sleep(asked.after)
        return as_response(charges.answer(asked, booked, "gzip" in request.headers.get("accept-encoding", "")))

    for path in ("/charges", "/refunds"):
        app.add_api_route(path, charge, methods=["POST"], response_model=None)
    app.add_api_route("/charges", charge, methods=["PATCH"], response_model=None)
    count_route(app, charges)


def count_route(app, charges):
    async def count(reference: str):
        return JSONResponse({"count": charges.count(reference)})

    app.add_api_route("/charges", count, methods=["GET"], response_model=None)


def application():
    """A new app with the charges on it, for a peer to stand before."""
    app = FastAPI()
    routes(app, Charges())
    return app


def serve(app):
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["LEAGUE_PORT"]), log_level="warning", access_log=False)
