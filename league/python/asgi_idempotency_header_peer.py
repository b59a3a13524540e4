"""asgi-idempotency-header: the middleware with its memory backend, all else at its default."""

from idempotency_header_middleware import IdempotencyHeaderMiddleware
from idempotency_header_middleware.backends import MemoryBackend

from web import application, serve

app = application()
app.add_middleware(IdempotencyHeaderMiddleware, backend=MemoryBackend())
serve(app)
