"""The charge application behind each Python peer: it heeds no key and goes every way that the tester asks for.

An effect is a line in a ledger file, so that it is counted through a crash of the process. What stands in
`behaviour` decides how a charge goes; the names and their meaning are those of the tester's own sample.
"""

import gzip
import json
import os
import threading
from dataclasses import dataclass, field

# A refusal before the effect, the first time that an operation is tried.
REFUSALS = {"fails-before": 500, "unauthorized": 401, "forbidden": 403, "rate-limited": 429, "declines": 402}


@dataclass
class Reply:
    """A reply, as bytes or in chunks; a broken one ends within its body."""

    status: int
    body: bytes = b""
    headers: list = field(default_factory=list)
    chunks: list | None = None
    broken: bool = False


@dataclass
class Asked:
    """What is asked of a charge."""

    reference: str
    amount: object
    behaviour: str
    before: float
    after: float


def compact(document):
    """As the frameworks write JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def told(status, document):
    return Reply(status, compact(document), [("content-type", "application/json")])


class Charges:
    """The books. Safe to use from several threads."""

    def __init__(self, ledger=None):
        self.path = ledger or os.environ["LEAGUE_LEDGER"]
        self.guard = threading.Lock()
        self.booked, self.calls, self.made = {}, {}, 0
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as lines:
                for line in lines:
                    self._count(line.strip())

    def _count(self, reference):
        self.booked[reference] = self.booked.get(reference, 0) + 1
        self.made += 1

    def count(self, reference):
        with self.guard:
            return self.booked.get(reference, 0)

    def begin(self, body):
        """What is asked, or the reply of a refusal."""
        try:
            given = json.loads(body)
            asked = Asked(given["reference"], given["amount"], given.get("behaviour") or "", 0, 0)
            slow = given.get("slow_ms", 0) / 1000
        except (ValueError, KeyError, TypeError):
            return told(400, {"detail": "send JSON with `reference` and `amount`"})
        with self.guard:
            calls = self.calls[asked.reference] = self.calls.get(asked.reference, 0) + 1
        if asked.behaviour == "invalid":
            return told(400, {"detail": "refused before anything happened"})
        if calls == 1 and asked.behaviour in REFUSALS:
            return told(REFUSALS[asked.behaviour], {"detail": "refused before anything happened"})
        asked.before = slow if asked.behaviour == "slow" else 0
        asked.after = slow if asked.behaviour == "slow-after" else 0
        return asked

    def book(self, asked, path, account):
        """The effect."""
        with self.guard:
            with open(self.path, "a", encoding="utf-8") as ledger:
                ledger.write(asked.reference + "\n")
            self._count(asked.reference)
            made = self.made
        return {"id": f"ch_{made}", "reference": asked.reference, "amount": asked.amount, "path": path, "account": account}

    def answer(self, asked, charge, accepts_gzip=False):
        """The reply to a charge that was booked."""
        name, ident, text = asked.behaviour, charge["id"].encode(), compact(charge)
        media = [("content-type", "application/json")]
        octets = [("content-type", "application/octet-stream")]
        location = ("location", f"/charges/{charge['id']}")
        halves = [text[: len(text) // 2], text[len(text) // 2 :]]
        links = ['</charges>; rel="collection"', '</help, me>; rel="help"']
        many = [("link", link) for link in links] + [location, ("etag", f'"{charge["id"]}"'), ("content-language", "en")]
        replies = {
            "no-content": Reply(204),
            "empty": Reply(200, b"", media),
            "binary": Reply(200, bytes(range(256)) + ident, octets),
            "redirect": Reply(303, b"see there", [("content-type", "text/plain"), location]),
            "streamed": Reply(201, b"", media, chunks=halves),
            "headers": Reply(201, text, media + many),
            "cookie": Reply(201, text, media + [("set-cookie", f"session={charge['id']}; HttpOnly")]),
            "fails-after": told(500, {"detail": "it broke"}),
            "truncates": Reply(201, b"", media, chunks=halves[:1], broken=True),
        }
        if name == "large":
            return Reply(200, ident * (1_600_000 // len(ident)) + b".", octets)
        if name == "compressed" and accepts_gzip:
            coded = [("content-encoding", "gzip"), ("vary", "Accept-Encoding")]
            return Reply(201, gzip.compress(text), media + coded)
        return replies.get(name, Reply(201, text, media))
