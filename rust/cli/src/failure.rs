//! Why a command failed, and what it says on stderr.

use std::io;
use std::path::PathBuf;

use aistore_client::ClientError;
use aistore_core::bucket::NameError;
use aistore_core::error::{ApiError, ErrorBody};
use aistore_core::template::TemplateError;

/// Exit status of success.
pub(crate) const EXIT_OK: i32 = 0;
/// Exit status of any error, wrong usage included.
pub(crate) const EXIT_ERROR: i32 = 1;
/// Exit status after Ctrl-C. The original tool exits 0 here; a script that asked for a transfer and
/// did not get it must be able to see that, so this one follows the shell's convention, 128 + signal.
pub(crate) const EXIT_INTERRUPTED: i32 = 130;
/// Exit status after SIGTERM.
pub(crate) const EXIT_TERMINATED: i32 = 143;

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// The command line or an input file makes no sense; nothing was done.
    #[error("{0}")]
    Usage(String),
    /// The cluster refused, or could not be reached.
    #[error("{0}")]
    Client(Box<ClientError>),
    /// A local file.
    #[error("cannot {action} \"{}\": {source}", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// File or directory.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Reading standard input or writing standard output.
    #[error("{stream}: {source}")]
    Stream {
        /// Which one.
        stream: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// Nobody reads standard output any more, as in `ais ls | head`: not an error.
    #[error("standard output is closed")]
    OutputClosed,
    /// Part of a multi-object command failed; each failure has been reported.
    #[error("{failed} of {total} {what} failed")]
    Partial {
        /// Failed ones.
        failed: u64,
        /// All of them.
        total: u64,
        /// What they are.
        what: &'static str,
    },
    /// Data arrived damaged, or a local task died.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Wrong usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A local file operation.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// A failed write to standard output; a closed pipe is told apart.
    pub(crate) fn stdout(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Stream { stream: "standard output", source }
        }
    }

    /// Status of the answer, when the cluster refused.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Client(err) => err.status(),
            _ => None,
        }
    }

    /// Exit status of the process.
    pub(crate) fn exit_code(&self) -> i32 {
        if matches!(self, Self::OutputClosed) { EXIT_OK } else { EXIT_ERROR }
    }

    /// The text after `Error: `, with the remedy where there is one. `endpoint` is the gateway's URL.
    pub(crate) fn describe(&self, endpoint: &str) -> String {
        match self {
            Self::Client(err) => describe_client(err, endpoint),
            other => other.to_string(),
        }
    }
}

fn describe_client(err: &ClientError, endpoint: &str) -> String {
    match err {
        // Whoever answered does not speak the protocol: a proxy on the way, or another server.
        ClientError::Api { error, method, url, body } if is_foreign(error, body) => {
            format!(
                "{} (status {} from {method} {url}; if that is not an aistore node, set AIS_ENDPOINT or --endpoint)",
                error.message, error.status
            )
        }
        ClientError::Api { error, .. } => {
            let class =
                if error.tcode.is_empty() { String::new() } else { format!("{}: ", error.tcode) };
            let hint = if error.status == 401 && error.message.contains("token required") {
                " (set AIS_AUTHN_TOKEN, or AIS_AUTHN_TOKEN_FILE)"
            } else {
                ""
            };
            format!("{class}{}{hint}", error.message)
        }
        ClientError::Connect { url, source } if url.starts_with(endpoint) => format!(
            "AIStore cannot be reached at {endpoint}: {source}\n\
             Set AIS_ENDPOINT (or --endpoint) to the URL of a running gateway, or start a cluster with \"aisnode\"."
        ),
        ClientError::Connect { url, source } => format!(
            "a node of the cluster cannot be reached at {url}: {source}\n\
             Check with \"ais show cluster\" that all nodes are up, and that this machine can reach them."
        ),
        other => other.to_string(),
    }
}

/// Whether an error did not come from an aistore node: no envelope, no class, and none of the names
/// that our own messages always hold.
fn is_foreign(error: &ApiError, body: &str) -> bool {
    error.tcode.is_empty()
        && !error.message.contains("://")
        && serde_json::from_str::<ErrorBody>(body).is_err()
}

impl From<ClientError> for Failure {
    fn from(err: ClientError) -> Self {
        Self::Client(Box::new(err))
    }
}

impl From<NameError> for Failure {
    fn from(err: NameError) -> Self {
        Self::Usage(err.to_string())
    }
}

impl From<TemplateError> for Failure {
    fn from(err: TemplateError) -> Self {
        Self::Usage(err.to_string())
    }
}

/// A blocking task that panicked or was cancelled with the runtime.
impl From<tokio::task::JoinError> for Failure {
    fn from(err: tokio::task::JoinError) -> Self {
        Self::Other(format!("internal task failed: {err}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(status: u16, tcode: &str, message: &str) -> Failure {
        let error = ApiError::new(status, tcode, message);
        let (method, url) = ("GET".to_owned(), "http://h/v1".to_owned());
        let body = format!(r#"{{"message":"{message}","status":{status}}}"#);
        Failure::from(ClientError::Api { error, method, url, body })
    }

    #[test]
    fn errors_of_the_cluster_show_class_and_message() {
        assert_eq!(api(404, "ErrBckNotFound", "no b").describe("http://h"), "ErrBckNotFound: no b");
        assert_eq!(api(400, "", "bad").describe("http://h"), "bad");
        assert!(api(401, "", "token required").describe("http://h").contains("AIS_AUTHN_TOKEN"));
    }

    #[test]
    fn an_answer_from_another_kind_of_server_names_the_url() {
        let error = ApiError::new(404, "", "not found");
        let (method, url) = ("GET".to_owned(), "http://h/v1".to_owned());
        let body = "<html>not found</html>".to_owned();
        let text =
            Failure::from(ClientError::Api { error, method, url, body }).describe("http://h");
        assert!(
            text.contains("404 from GET http://h/v1") && text.contains("AIS_ENDPOINT"),
            "{text}"
        );
    }

    #[test]
    fn an_unreachable_gateway_names_url_and_remedy() {
        let refused = |url: &str| {
            Failure::from(ClientError::Connect { url: url.into(), source: "refused".into() })
        };
        let text = refused("http://h:1/v1/daemon?what=smap").describe("http://h:1");
        assert!(text.contains("cannot be reached at http://h:1: refused"), "{text}");
        assert!(text.contains("AIS_ENDPOINT"), "{text}");
        assert!(refused("http://t:2/v1/x").describe("http://h:1").contains("http://t:2/v1/x"));
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_all_else_is() {
        let closed = Failure::stdout(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.exit_code(), 0);
        let full = Failure::stdout(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), 1);
        assert_eq!(api(500, "", "x").exit_code(), 1);
    }
}
