//! A listing that is handed out piece by piece; memory stays flat however large the bucket is.

use aistore_core::bucket::Bucket;
use aistore_core::list::{ListEntry, ListMsg};

use super::scan::{Merge, ScanError};
use super::{first_message, listed_by_targets};
use crate::client::Client;
use crate::error::ClientError;
use crate::request::ListOptions;
use crate::routing::STALE_MAP_RETRIES;

/// Entries of one bucket, piece by piece. Dropping it early ends the listing.
pub struct ListStream {
    client: Client,
    bucket: Bucket,
    options: ListOptions,
    state: State,
    stale: u32,
    given: usize,
}

enum State {
    /// To be asked of the targets.
    Start,
    Scan(Box<Merge>),
    /// Page by page through the gateway; the message asks for the next one.
    Pages(Box<ListMsg>),
    End,
}

impl std::fmt::Debug for ListStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListStream").field("given", &self.given).finish_non_exhaustive()
    }
}

impl Client {
    /// Lists like [`Client::list_all`], without holding more than what is handed out next and a few
    /// pages per target. Sends nothing yet.
    pub fn list_stream(&self, bucket: &Bucket, options: ListOptions) -> ListStream {
        let state = if listed_by_targets(bucket, &options) {
            State::Start
        } else {
            State::Pages(Box::new(first_message(&options)))
        };
        let (client, bucket) = (self.clone(), bucket.clone());
        ListStream { client, bucket, options, state, stale: STALE_MAP_RETRIES, given: 0 }
    }
}

impl ListStream {
    /// The next entries, about `wanted` of them (a page may be larger); empty at the end.
    ///
    /// After an error the stream is at its end.
    pub async fn next(&mut self, wanted: usize) -> Result<Vec<ListEntry>, ClientError> {
        let left = match self.options.limit {
            0 => usize::MAX,
            limit => limit.saturating_sub(self.given),
        };
        let mut entries = match wanted.max(1).min(left) {
            0 => Vec::new(),
            wanted => self.step(wanted).await.inspect_err(|_| self.state = State::End)?,
        };
        entries.truncate(left);
        self.given += entries.len();
        if entries.is_empty() {
            self.state = State::End;
        }
        Ok(entries)
    }

    async fn step(&mut self, wanted: usize) -> Result<Vec<ListEntry>, ClientError> {
        loop {
            let scanned = match &mut self.state {
                State::End => return Ok(Vec::new()),
                State::Pages(_) => return self.page().await,
                State::Start => match self.client.open_scan(&self.bucket, &self.options).await {
                    Ok(merge) => {
                        self.state = State::Scan(Box::new(merge));
                        continue;
                    }
                    Err(error) => Err(error),
                },
                State::Scan(merge) => {
                    let mut entries = Vec::with_capacity(wanted.min(super::MAX_PAGE_SIZE));
                    let outcome = merge.fill(&mut entries, wanted).await;
                    // What came before an error is good; the error shows again with the next piece.
                    if let Some(last) = entries.last() {
                        self.options.start_after.clone_from(&last.name);
                        if outcome.is_err() {
                            self.state = State::Start;
                        }
                        return Ok(entries);
                    }
                    outcome.map(|()| entries)
                }
            };
            match scanned {
                Ok(entries) => return Ok(entries),
                Err(ScanError::Failed(error)) => return Err(error),
                Err(ScanError::Stale) if self.stale > 0 => {
                    self.stale -= 1;
                    self.client.refresh_map().await;
                    // Goes on behind the last name that was handed out.
                    self.state = State::Start;
                }
                Err(ScanError::Unknown | ScanError::Stale) => {
                    self.state = State::Pages(Box::new(first_message(&self.options)));
                }
            }
        }
    }

    async fn page(&mut self) -> Result<Vec<ListEntry>, ClientError> {
        let State::Pages(message) = &mut self.state else { return Ok(Vec::new()) };
        loop {
            let page = self.client.list_page(&self.bucket, message).await?;
            let last = page.continuation_token.is_empty();
            if !last && page.continuation_token == message.continuation_token {
                let text = "listing does not move on".to_owned();
                let url = self.client.endpoint().to_owned();
                return Err(ClientError::Protocol { url, message: text });
            }
            message.uuid = page.uuid;
            message.continuation_token = page.continuation_token;
            message.start_after.clear();
            if last {
                self.state = State::End;
                return Ok(page.entries);
            }
            // An empty page in the middle is not the end.
            if !page.entries.is_empty() {
                return Ok(page.entries);
            }
        }
    }
}
