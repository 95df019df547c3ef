//! Buckets: list, create, destroy, properties.

use aistore_core::bucket::{Bucket, Provider};
use aistore_core::headers::BUCKET_PROPS;
use aistore_core::wire::ActionMsg;
use http::Method;
use serde_json::Value;

use crate::client::Client;
use crate::error::ClientError;
use crate::request::Call;

/// A request about one bucket.
pub(crate) fn bucket_call(method: Method, bucket: &Bucket) -> Result<Call, ClientError> {
    bucket.validate().map_err(|e| ClientError::Invalid(e.to_string()))?;
    let call = Call::new(method, format!("/v1/buckets/{}", bucket.name))
        .query("provider", bucket.provider.as_str());
    if bucket.namespace.is_global() {
        return Ok(call);
    }
    Ok(call.query("namespace", &bucket.namespace.to_string()))
}

impl Client {
    /// Buckets of one provider, or of all.
    pub async fn list_buckets(
        &self,
        provider: Option<Provider>,
    ) -> Result<Vec<Bucket>, ClientError> {
        let mut call = Call::new(Method::GET, "/v1/buckets");
        if let Some(provider) = provider {
            call = call.query("provider", provider.as_str());
        }
        let call = call.json(&ActionMsg::new("list", Value::Null))?;
        Ok(self.call(call).await?.json::<Option<Vec<Bucket>>>()?.unwrap_or_default())
    }

    /// Creates a bucket; `props` is a patch of the default properties.
    pub async fn create_bucket(
        &self,
        bucket: &Bucket,
        props: Option<Value>,
    ) -> Result<(), ClientError> {
        let message = ActionMsg::new("create-bck", props.unwrap_or(Value::Null));
        self.call(bucket_call(Method::POST, bucket)?.json(&message)?).await.map(drop)
    }

    /// Destroys a bucket with all its objects.
    pub async fn destroy_bucket(&self, bucket: &Bucket) -> Result<(), ClientError> {
        let message = ActionMsg::new("destroy-bck", Value::Null);
        self.call(bucket_call(Method::DELETE, bucket)?.json(&message)?).await.map(drop)
    }

    /// Properties of a bucket, in wire form.
    pub async fn head_bucket(&self, bucket: &Bucket) -> Result<Value, ClientError> {
        let reply = self.call(bucket_call(Method::HEAD, bucket)?).await?;
        let text = reply.header(BUCKET_PROPS).unwrap_or("null");
        serde_json::from_str(text).map_err(|e| ClientError::Protocol {
            url: reply.url.clone(),
            message: format!("bucket properties are not JSON: {e}"),
        })
    }

    /// Changes some properties of a bucket; keys that are not in `patch` stay as they are.
    pub async fn patch_bucket(&self, bucket: &Bucket, patch: Value) -> Result<(), ClientError> {
        let message = ActionMsg::new("set-bprops", patch);
        self.call(bucket_call(Method::PATCH, bucket)?.json(&message)?).await.map(drop)
    }
}
