"""idemkit: the ASGI middleware with its memory backend.

As the README's production example: `scope` reads the tenant from `X-User-Id`. The lease is 5 s in place of
30 s, so that lease cases end in time; all else is at its default.
"""

from idemkit import HttpConfig, IdempotencyMiddleware, InMemoryBackend

from web import application, serve

app = application()
config = HttpConfig(scope=lambda req: req.headers.get("x-user-id", "anonymous"), lease_ttl_seconds=5.0)
app.add_middleware(IdempotencyMiddleware, backend=InMemoryBackend(), config=config)
serve(app)
