//! `grpc.*`: what the status of a gRPC call is taken to mean.

use semel::http::Route;
use semel::http::grpc::GrpcCode;
use serde_json::{Value, json};

use super::given::Given;
use super::key::Key;
use crate::cli::suggest::nearest;

pub(super) const KEYS: [Key<Route>; 2] = [
    Key {
        name: "grpc.no_effect",
        set: |route, given| codes(given).map(|codes| route.grpc.no_effect = codes),
        get: |route| names(&route.grpc.no_effect),
        flag: None,
    },
    Key {
        name: "grpc.doubt_on",
        set: |route, given| codes(given).map(|codes| route.grpc.doubt_on = codes),
        get: |route| names(&route.grpc.doubt_on),
        flag: None,
    },
];

fn codes(given: &Given) -> Result<Vec<GrpcCode>, String> {
    given.list(|one| {
        one.read(|name| {
            name.parse().map_err(|error| {
                match nearest(&name.to_ascii_uppercase(), GrpcCode::names().iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("{error}"),
                }
            })
        })
    })
}

fn names(codes: &[GrpcCode]) -> Value {
    json!(codes.iter().map(|code| code.name()).collect::<Vec<_>>())
}
