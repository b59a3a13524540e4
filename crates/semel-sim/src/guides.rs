//! The guides' Rust examples, compiled and run as doc tests. Nothing else.

#[doc = include_str!("../../../docs/guides/protect-an-axum-service.md")]
struct ProtectAnAxumService;
