//! A payment service as a user would write it with tonic, its messages written by hand so that nothing is
//! generated; and a client for it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::server::{ClientStreamingService, NamedService, UnaryService};
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ChargeRequest {
    #[prost(uint32, tag = "1")]
    pub(super) amount: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Charge {
    #[prost(uint32, tag = "1")]
    pub(super) number: u32,
    #[prost(uint32, tag = "2")]
    pub(super) amount: u32,
}

/// How the service ends its next call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// With this status, before anything happened.
    Before(Code),
    /// With this status, after the charge.
    After(Code),
}

/// The service: counts its charges.
#[derive(Clone, Debug, Default)]
pub(super) struct Payments {
    charges: Arc<AtomicU32>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
}

impl Payments {
    /// Serves on a free port until the test ends.
    pub(super) async fn serve(&self) -> SocketAddr {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = incoming.local_addr().unwrap();
        let router = tonic::transport::Server::builder().add_service(self.clone());
        tokio::spawn(router.serve_with_incoming(incoming));
        addr
    }

    pub(super) fn charges(&self) -> u32 {
        self.charges.load(Ordering::SeqCst)
    }

    pub(super) fn next(&self, fate: Fate) {
        self.fates.lock().unwrap().push_back(fate);
    }

    /// The metadata of all calls so far.
    pub(super) fn seen(&self) -> Vec<MetadataMap> {
        self.seen.lock().unwrap().clone()
    }

    fn charge(&self, request: Request<ChargeRequest>) -> Result<Response<Charge>, Status> {
        self.seen.lock().unwrap().push(request.metadata().clone());
        let fate = self.fates.lock().unwrap().pop_front();
        if let Some(Fate::Before(code)) = fate {
            return Err(Status::new(code, "refused"));
        }
        let number = self.charges.fetch_add(1, Ordering::SeqCst) + 1;
        match fate {
            Some(Fate::After(code)) => Err(Status::new(code, "broke")),
            _ => {
                let amount = request.into_inner().amount;
                let mut response = Response::new(Charge { number, amount });
                response.metadata_mut().insert("x-receipt", number.into());
                Ok(response)
            }
        }
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

struct ChargeCall(Payments);

impl UnaryService<ChargeRequest> for ChargeCall {
    type Response = Charge;
    type Future = Boxed<Result<Response<Charge>, Status>>;

    fn call(&mut self, request: Request<ChargeRequest>) -> Self::Future {
        let answer = self.0.charge(request);
        Box::pin(async { answer })
    }
}

/// Charges the sum of what is streamed.
struct UploadCall(Payments);

impl ClientStreamingService<ChargeRequest> for UploadCall {
    type Response = Charge;
    type Future = Boxed<Result<Response<Charge>, Status>>;

    fn call(&mut self, request: Request<Streaming<ChargeRequest>>) -> Self::Future {
        let payments = self.0.clone();
        Box::pin(async move {
            let mut stream = request.into_inner();
            let mut amount = 0;
            while let Some(message) = stream.message().await? {
                amount += message.amount;
            }
            payments.charge(Request::new(ChargeRequest { amount }))
        })
    }
}

impl NamedService for Payments {
    const NAME: &'static str = "pay.v1.Payments";
}

impl tower::Service<http::Request<Body>> for Payments {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let payments = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Charge, ChargeRequest>::default();
            let mut server = tonic::server::Grpc::new(codec);
            Ok(match request.uri().path() {
                "/pay.v1.Payments/Charge" => server.unary(ChargeCall(payments), request).await,
                "/pay.v1.Payments/Upload" => {
                    server.client_streaming(UploadCall(payments), request).await
                }
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
}

/// A caller of the service, through whatever `channel` leads through.
#[derive(Clone, Debug)]
pub(super) struct Caller(Grpc<Channel>);

impl Caller {
    pub(super) fn new(channel: Channel) -> Self {
        Self(Grpc::new(channel))
    }

    pub(super) async fn charge(
        &self,
        key: Option<&'static str>,
        amount: u32,
    ) -> Result<Response<Charge>, Status> {
        let mut grpc = self.0.clone();
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/pay.v1.Payments/Charge");
        let codec = ProstCodec::<ChargeRequest, Charge>::default();
        grpc.unary(with_key(Request::new(ChargeRequest { amount }), key), path, codec).await
    }

    pub(super) async fn upload(
        &self,
        key: Option<&'static str>,
        amounts: &'static [u32],
    ) -> Result<Response<Charge>, Status> {
        let mut grpc = self.0.clone();
        grpc.ready().await.unwrap();
        let path = PathAndQuery::from_static("/pay.v1.Payments/Upload");
        let codec = ProstCodec::<ChargeRequest, Charge>::default();
        let messages = amounts.iter().map(|amount| ChargeRequest { amount: *amount });
        let stream = futures_util::stream::iter(messages);
        grpc.client_streaming(with_key(Request::new(stream), key), path, codec).await
    }
}

fn with_key<T>(mut request: Request<T>, key: Option<&'static str>) -> Request<T> {
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Bearer alice".parse().unwrap());
    if let Some(key) = key {
        metadata.insert("idempotency-key", key.parse().unwrap());
    }
    request
}
