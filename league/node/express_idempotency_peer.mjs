// express-idempotency: the middleware with its memory adapter and all defaults, on Express 5.
//
// As the README says: the handler returns at once on a hit, and reports its own failure.

import express from "express";
import idempotency from "express-idempotency";

import { Charges, countRoute, handle, serve } from "./charges.mjs";

const app = express();
const charges = new Charges();
countRoute(app, charges);
// The intent of a request is compared by its parsed body, so this comes first. 3 MB: the default, 100 kB,
// is less than one of the tester's requests.
app.use(express.json({ limit: "3mb" }));
// `app.post('*', …)` in the README: Express 5 wants the wildcard named.
app.post("/{*any}", idempotency.idempotency());
app.post(["/charges", "/refunds"], async (req, res) => {
  const service = idempotency.getSharedIdempotencyService();
  if (service.isHit(req)) return;
  await handle(charges, req, res);
  if (res.statusCode >= 500) await service.reportError(req);
});
serve(app);
