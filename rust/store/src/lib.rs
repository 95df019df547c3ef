//! The disks of one target: mountpaths, blobs and the ordered index.
