"""Charges as a shop would, with the official SDK, and tells each outcome as one line of JSON.

charges.py URL ORDER[=KEY]...     without a KEY the SDK makes one, as it does for everybody
"""

import json
import sys

import stripe

url, *orders = sys.argv[1:]
client = stripe.StripeClient(
    "sk_test_shop", base_addresses={"api": url}, max_network_retries=2
)


def told(order, **outcome):
    print(json.dumps({"order": order, **outcome}), flush=True)


for wanted in orders:
    order, _, key = wanted.partition("=")
    params = {
        "amount": 1200,
        "currency": "eur",
        "source": "tok_visa",
        "metadata": {"order": order, "note": "tea & cake, \u00e9clair"},
    }
    options = {"idempotency_key": key} if key else {}
    try:
        charge = client.v1.charges.create(params=params, options=options)
    except stripe.StripeError as error:
        told(
            order,
            error=type(error).__name__,
            http=error.http_status,
            body=error.http_body,
        )
    else:
        told(order, charge=charge.id, amount=charge.amount, paid=charge.paid)
