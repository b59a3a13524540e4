"""DBOS: the charge is a workflow whose id is the key, the effect is a step of it; SQLite, the default.

As the idempotency tutorial says: `SetWorkflowID` with the key of the request, which has to be unique in the
whole application. What a web framework refuses (input, credentials, rate) is refused before the workflow.
"""

import os

from dbos import DBOS, SetWorkflowID
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from charges import Asked, Charges, Reply, told
from web import as_response, count_route, serve

app, charges = FastAPI(), Charges()
DBOS(config={
    "name": "league-charges",
    "system_database_url": f"sqlite:///{os.environ['LEAGUE_DATA']}/dbos.sqlite",
    # A restart of the same code is the same version, and so recovers what was cut off.
    "application_version": "1",
    "log_level": "WARNING",
})


class Declined(Exception):
    """The bank says no, or is out of order: the workflow ends with that."""


@DBOS.step()
def book(asked, path, account):
    return charges.book(Asked(**asked), path, account)


@DBOS.workflow()
def charge_once(asked, path, account):
    if asked["behaviour"] in ("declines", "fails-before"):
        raise Declined(asked["behaviour"])
    DBOS.sleep(asked["before"])
    booked = book(asked, path, account)
    DBOS.sleep(asked["after"])
    if asked["behaviour"] == "fails-after":
        raise RuntimeError("it broke")
    return booked


def run(key, *arguments):
    if key is None:
        return charge_once(*arguments)
    with SetWorkflowID(key):
        return charge_once(*arguments)


async def charge(request: Request):
    asked = charges.begin(await request.body())
    declines = isinstance(asked, Reply) and asked.status in (402, 500)
    if isinstance(asked, Reply) and not declines:
        return as_response(asked)
    if declines:
        asked = Asked("", 0, "declines" if asked.status == 402 else "fails-before", 0, 0)
    key, account = request.headers.get("idempotency-key"), request.headers.get("authorization")
    try:
        booked = await run_in_threadpool(run, key or None, vars(asked), request.url.path, account)
    except Declined as reason:
        return as_response(told(402 if str(reason) == "declines" else 500, {"detail": str(reason)}))
    return as_response(charges.answer(asked, booked, "gzip" in request.headers.get("accept-encoding", "")))


for path in ("/charges", "/refunds"):
    app.add_api_route(path, charge, methods=["POST"], response_model=None)
count_route(app, charges)
DBOS.launch()
serve(app)
