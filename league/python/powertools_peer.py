"""Powertools for AWS Lambda: `idempotent` around a Lambda handler, records in Redis.

Each request becomes an event as API Gateway would send it. The key names the caller and the header, as the
documentation composes keys of several fields; without the header nothing is kept, as it documents. An
invocation has 5 s: then Lambda ends it, and its claim may be taken over. With LEAGUE_VALIDATE the payload is
validated, too.
"""

import base64
import os
import time

from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, exceptions, idempotent
from aws_lambda_powertools.utilities.idempotency.persistence.cache import CachePersistenceLayer
from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool

from charges import Charges, Reply, told
from web import as_response, count_route, serve

app, charges = FastAPI(), Charges()
config = IdempotencyConfig(
    event_key_jmespath='headers."idempotency-key" && [headers."x-user-id", headers."idempotency-key"]',
    payload_validation_jmespath="body" if os.environ.get("LEAGUE_VALIDATE") else "",
)
records = CachePersistenceLayer(host="127.0.0.1", port=int(os.environ["LEAGUE_REDIS"]), ssl=False)


class TimedOut(BaseException):
    """Lambda ended the invocation: no code of it runs any more, so nothing may catch this on the way."""


class Context:
    """Of one invocation, as Lambda gives it to the handler."""

    function_name = "charge"

    def __init__(self):
        self.ends = time.monotonic() + 5

    def get_remaining_time_in_millis(self):
        return int((self.ends - time.monotonic()) * 1000)

    def work(self, seconds):
        """The handler is busy for so long, or until it is ended."""
        left = self.ends - time.monotonic()
        time.sleep(max(0, min(seconds, left)))
        if seconds > left:
            raise TimedOut


@idempotent(config=config, persistence_store=records)
def handler(event, context):
    asked = charges.begin(event["body"])
    if isinstance(asked, Reply):
        return proxied(asked)
    context.work(asked.before)
    booked = charges.book(asked, event["rawPath"], event["headers"].get("authorization"))
    context.work(asked.after)
    return proxied(charges.answer(asked, booked, "gzip" in event["headers"].get("accept-encoding", "")))


def proxied(reply):
    """A reply in API Gateway's form: all of it JSON. It joins repeated headers and knows no streams."""
    headers = {}
    for name, value in reply.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body = reply.body or b"".join(reply.chunks or [])
    encoded = base64.b64encode(body).decode()
    return {"statusCode": reply.status, "headers": headers, "body": encoded, "isBase64Encoded": True}


async def charge(request: Request):
    headers = {name.lower(): value for name, value in request.headers.items()}
    event = {"version": "2.0", "rawPath": request.url.path, "headers": headers}
    event["rawQueryString"] = request.url.query
    event["requestContext"] = {"http": {"method": request.method, "path": request.url.path}}
    event["body"] = (await request.body()).decode("utf-8", "replace")
    try:
        result = await run_in_threadpool(handler, event, Context())
    except TimedOut:
        return as_response(told(504, {"message": "Endpoint request timed out"}))
    except exceptions.IdempotencyAlreadyInProgressError:
        return as_response(told(409, {"detail": "in progress"}))
    except exceptions.IdempotencyValidationError:
        return as_response(told(422, {"detail": "another payload under this key"}))
    body = base64.b64decode(result["body"])
    return as_response(Reply(result["statusCode"], body, list(result["headers"].items())))


for path in ("/charges", "/refunds"):
    app.add_api_route(path, charge, methods=["POST"], response_model=None)
count_route(app, charges)
serve(app)
