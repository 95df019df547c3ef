//! Access control section.

use serde::{Deserialize, Serialize};

use super::macros::sections;
use crate::units::GoDuration;

/// What is shown instead of a secret.
pub const MASK: &str = "**********";

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignatureMethod {
    /// Any of the HMAC ones.
    #[default]
    Hmac,
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// Any of the RSA ones.
    Rsa,
    /// RSA with SHA-256.
    Rs256,
    /// RSA with SHA-384.
    Rs384,
    /// RSA with SHA-512.
    Rs512,
}

sections! {
    /// Who may do what.
    AuthConf {
        /// Requests need a token.
        client_auth_required: bool = false,
        /// Tokens signed with a configured key.
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<SignatureConf> = None,
        /// What a token must say.
        #[serde(skip_serializing_if = "Option::is_none")]
        required_claims: Option<ClaimsConf> = None,
        /// Tokens of an identity provider.
        #[serde(skip_serializing_if = "Option::is_none")]
        oidc: Option<OidcConf> = None,
        /// Requests between nodes.
        #[serde(skip_serializing_if = "Option::is_none")]
        intra_cluster: Option<IntraClusterConf> = None,
    }

    /// Signature key.
    SignatureConf {
        /// Secret or public key; never shown, see [`MASK`].
        key: String = String::new(),
        /// Method.
        method: SignatureMethod = SignatureMethod::Hmac,
    }

    /// What a token must say.
    ClaimsConf {
        /// Audiences; one must match.
        aud: Vec<String> = Vec::new(),
    }

    /// Identity providers.
    OidcConf {
        /// Issuers, compared byte for byte.
        allowed_iss: Vec<String> = Vec::new(),
        /// File with certificates for the issuers.
        issuer_ca_bundle: String = String::new(),
        /// Cached keys.
        jwks_cache: JwksCacheConf = JwksCacheConf::default(),
    }

    /// Cached issuer keys.
    JwksCacheConf {
        /// Shortest time between fetches after an unknown key, at least 1 s.
        min_rotation_refresh: GoDuration = GoDuration::from_secs(10),
        /// Shortest time between periodic fetches, at least 5 min.
        min_background_refresh: GoDuration = GoDuration::from_secs(300),
    }

    /// Requests between nodes.
    IntraClusterConf {
        /// File with the secret that joining nodes prove to know.
        node_join_secret_path: String = String::new(),
        /// Life of a key; 0 = for ever, else at least 1 h.
        ttl: GoDuration = GoDuration::from_secs(0),
        /// Clock difference allowed, at most 10 min.
        nonce_window: GoDuration = GoDuration::from_secs(60),
        /// How long an old key is still good, at most 1 h.
        rotation_grace: GoDuration = GoDuration::from_secs(60),
        /// Sign requests between nodes.
        request_auth: bool = false,
    }
}
