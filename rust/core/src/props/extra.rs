//! Provider-specific bucket settings.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::patch::require;
use crate::units::OptionalSize;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Provider-specific settings; keys at their defaults are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtraProps {
    /// Amazon S3.
    pub aws: AwsProps,
    /// Google Cloud Storage.
    pub gcp: GcpProps,
    /// Oracle Cloud.
    pub oci: OciProps,
    /// Text for the bucket's owner, at most 128 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub custom: String,
}

/// Amazon S3.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwsProps {
    /// Region, at most 64 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cloud_region: String,
    /// http or https URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Credentials profile, at most 256 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Names per listing page, at most 10000; 0 = the default.
    #[serde(skip_serializing_if = "is_zero")]
    pub max_pagesize: u32,
    /// Object size from which uploads go in parts, 5 MiB to 5 GiB.
    #[serde(skip_serializing_if = "OptionalSize::is_default")]
    pub multipart_size: OptionalSize,
}

/// Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcpProps {
    /// Credentials file, an absolute path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub application_creds: String,
}

/// Oracle Cloud.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OciProps {
    /// Region, at most 64 bytes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "signature fixed by serde")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl ExtraProps {
    pub(super) fn validate(&self) -> Result<(), ApiError> {
        let custom = &self.custom;
        let good = custom.len() <= 128 && !custom.chars().any(char::is_control);
        require(good, "extra.custom", custom, "at most 128 bytes without control characters")?;
        let aws = &self.aws;
        let endpoint = &aws.endpoint;
        require(
            endpoint.is_empty() || is_http_url(endpoint),
            "extra.aws.endpoint",
            endpoint,
            "an http or https URL",
        )?;
        if let OptionalSize::Bytes(size) = aws.multipart_size {
            let good = (5 * MIB..=5 * GIB).contains(&size);
            let shown = crate::units::format_size(size);
            require(good, "extra.aws.multipart_size", shown, "0, -1, or 5MiB to 5GiB")?;
        }
        let pages = aws.max_pagesize;
        require(pages <= 10_000, "extra.aws.max_pagesize", pages, "0 to 10000")?;
        label("extra.aws.profile", &aws.profile, 256)?;
        label("extra.aws.cloud_region", &aws.cloud_region, 64)?;
        label("extra.oci.region", &self.oci.region, 64)?;
        let path = &self.gcp.application_creds;
        let good = path.is_empty() || is_clean_path(path);
        require(good, "extra.gcp.application_creds", path, "an absolute path without . or .. or //")
    }
}

/// Short text without blanks at its edges.
fn label(key: &str, value: &str, max: usize) -> Result<(), ApiError> {
    let good = value.len() <= max && value.trim() == value;
    require(good, key, value, &format!("at most {max} bytes without blanks at the edges"))
}

fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn is_clean_path(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part)) && !path.contains('\0')
}
