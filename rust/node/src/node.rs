//! One node as its listener sees it: common paths here, the rest by role.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use aistore_core::error::ApiError;
use http::{Method, StatusCode};
use hyper::body::Incoming;

use crate::context::NodeContext;
use crate::gateway::Gateway;
use crate::http::{Query, Reply, Req, path, reply};
use crate::target::Target;
use crate::{daemon, health};

/// A node: what its role adds to the common paths.
pub(crate) struct Node {
    ctx: Arc<NodeContext>,
    role: RoleHandler,
}

/// The role's own part.
pub(crate) enum RoleHandler {
    /// Routes requests.
    Gateway(Gateway),
    /// Stores objects; empty until its store is open.
    Target(OnceLock<TargetParts>),
}

/// A target that is open.
pub(crate) struct TargetParts {
    /// Its handlers.
    pub(crate) target: Arc<Target>,
    /// Its disks.
    pub(crate) store: Arc<aistore_store::Store>,
}

impl Node {
    /// A node that answers as `role` says.
    pub(crate) fn new(ctx: Arc<NodeContext>, role: RoleHandler) -> Self {
        Self { ctx, role }
    }

    /// Shared parts.
    pub(crate) fn ctx(&self) -> &Arc<NodeContext> {
        &self.ctx
    }

    /// The target half, once it is open.
    pub(crate) fn target(&self) -> Option<&TargetParts> {
        match &self.role {
            RoleHandler::Gateway(_) => None,
            RoleHandler::Target(parts) => parts.get(),
        }
    }

    /// Whether this stores objects.
    pub(crate) fn is_target(&self) -> bool {
        matches!(self.role, RoleHandler::Target(_))
    }

    /// The target, where it may answer without being asked by the ordinary way.
    pub(crate) fn quick_target(&self) -> Option<&Target> {
        self.target().filter(|_| self.ctx.is_ready()).map(|parts| &*parts.target)
    }

    /// Puts the opened target in place; later calls change nothing.
    pub(crate) fn set_target(&self, parts: TargetParts) {
        if let RoleHandler::Target(slot) = &self.role {
            let _ = slot.set(parts);
        }
    }

    /// Answers one request; errors become the protocol's envelope.
    pub(crate) async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        remote: SocketAddr,
    ) -> Reply {
        let (parts, body) = request.into_parts();
        let raw_path = parts.uri.path().to_owned();
        let method = parts.method.clone();
        let failed = |err: &ApiError| self.error(err, &method, &raw_path, remote);
        let query = match Query::parse(parts.uri.query().unwrap_or_default()) {
            Ok(query) => query,
            Err(err) => return failed(&err),
        };
        let req = Req {
            method: parts.method,
            raw_path: raw_path.clone(),
            query,
            headers: parts.headers,
            body,
            remote,
            memory: self.ctx.memory.clone(),
        };
        match self.route(req).await {
            Ok(reply) => reply,
            Err(err) => failed(&err),
        }
    }

    async fn route(&self, mut req: Req) -> Result<Reply, ApiError> {
        let trimmed = req.raw_path.trim_start_matches('/');
        let is = |prefix: &str| {
            trimmed
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if is("v1/health") {
            return if req.method == Method::GET || req.method == Method::HEAD {
                health::answer(self, &req)
            } else {
                Ok(reply::method_not_allowed("GET"))
            };
        }
        if is("metrics") {
            if req.method != Method::GET && req.method != Method::HEAD {
                return Ok(reply::method_not_allowed("GET"));
            }
            if let Some(parts) = self.target() {
                self.ctx.disk_health.count(&self.ctx.metrics, &parts.store);
            }
            return Ok(reply::with_type(
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                self.ctx.metrics.exposition(),
            ));
        }
        if is("v1/internal/daemon") {
            return daemon::change(self, &mut req).await;
        }
        if is("v1/daemon") {
            return daemon::answer(self, &mut req).await;
        }
        match &self.role {
            RoleHandler::Gateway(gateway) => gateway.handle(req).await,
            RoleHandler::Target(parts) => match parts.get().filter(|_| self.ctx.is_ready()) {
                Some(parts) => parts.target.handle(req).await,
                // Empty: clients turn an empty 503 into their own "starting up" text.
                None => Ok(reply::empty(StatusCode::SERVICE_UNAVAILABLE)),
            },
        }
    }

    fn error(&self, err: &ApiError, method: &Method, raw_path: &str, remote: SocketAddr) -> Reply {
        let context = reply::ErrorContext {
            method: method.clone(),
            path: path::decode(raw_path).unwrap_or_else(|_| raw_path.to_owned()),
            remote: remote.to_string(),
            node: self.ctx.display(),
        };
        if err.status >= 500 && err.status != 501 {
            tracing::warn!(%method, path = context.path, status = err.status, error = %err.message, "request failed");
        } else {
            tracing::debug!(%method, path = context.path, status = err.status, error = %err.message, "request refused");
        }
        reply::error(err, &context)
    }
}
