//! Replicated cluster metadata on openraft: map, buckets, configuration, membership.
