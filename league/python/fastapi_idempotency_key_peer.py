"""fastapi-idempotency-key: the middleware with its SQLite backend, which its README advises for one node.

The middleware's arguments are those of the README's quick start.
"""

import os

from fastapi_idempotency_key import IdempotencyMiddleware, SQLiteBackend

from web import application, serve

app = application()
app.add_middleware(
    IdempotencyMiddleware,
    backend=SQLiteBackend(database_path=os.path.join(os.environ["LEAGUE_DATA"], "idempotency.db")),
    header_name="Idempotency-Key",
    default_ttl=86400,
)
serve(app)
