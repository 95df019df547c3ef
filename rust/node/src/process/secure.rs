//! Certificates at start, and keeping them current while the node runs.

use std::sync::Arc;
use std::time::Duration;

use aistore_client::tls::{Tls, TlsOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::options::Options;
use crate::tls::ServerTls;

/// How often the certificate's files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How this process proves who it is, and whom it trusts.
pub(super) struct Security {
    /// Our certificate, when we serve `https://`.
    pub(super) own: Option<Arc<ServerTls>>,
    /// Trust in other nodes.
    pub(super) peers: Tls,
}

/// Reads all certificate files.
///
/// # Errors
///
/// Text for the operator that names the file.
pub(super) async fn open(options: &Options) -> Result<Security, String> {
    let (files, peers) = (
        options.tls.clone(),
        TlsOptions {
            ca: options.tls_ca.clone(),
            system_too: true,
            client_cert: None,
            skip_verify: options.tls_skip_verify,
        },
    );
    let read = tokio::task::spawn_blocking(move || {
        let own = files.map(|(cert, key)| ServerTls::open(cert, key)).transpose();
        let own = own.map_err(|err| err.to_string())?.map(Arc::new);
        let peers = Tls::new(peers);
        let chain = own.as_ref().map(|own| own.trusted()).unwrap_or_default();
        peers.trust(&chain).map_err(|err| err.to_string())?;
        Ok(Security { own, peers })
    });
    read.await.map_err(|err| format!("start-up failed: {err}"))?
}

/// Reads the certificate again when its files change, and at SIGHUP.
pub(super) async fn keep_current(own: Arc<ServerTls>, peers: Tls) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(err) => {
            tracing::warn!(error = %err, "cannot watch for SIGHUP");
            return;
        }
    };
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let (own, peers) = (own.clone(), peers.clone());
        let looked = tokio::task::spawn_blocking(move || {
            if !asked && !own.has_changed() {
                return Ok(false);
            }
            own.reload()?;
            peers.trust(&own.trusted())?;
            Ok::<_, aistore_client::tls::TlsError>(true)
        });
        match looked.await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!("certificate read again"),
            Ok(Err(err)) => {
                tracing::error!(error = %err, "certificate not read again: the old one stays in use");
            }
            Err(err) => tracing::error!(error = %err, "certificate not read again"),
        }
    }
}
