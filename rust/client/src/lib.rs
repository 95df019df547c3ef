//! Native async client: pooling, map-aware routing, parallel reads, GetBatch.
