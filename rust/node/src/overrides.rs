//! Settings of this one node, over those of the cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aistore_cluster::ClusterState;
use aistore_core::config::{ClusterConfig, ConfigLayer, check_scope};
use aistore_core::error::ApiError;
use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::watch;

use crate::process::write_atomically;

/// File in the node's directory that holds the settings that stay.
const FILE: &str = "node-config.json";

/// The layers over the cluster's configuration: what stays, and over it what ends with the process.
#[derive(Debug)]
pub struct Overrides {
    path: PathBuf,
    layers: Mutex<Layers>,
    changes: watch::Sender<u64>,
    /// The last answer of [`current`](Self::current).
    last: ArcSwapOption<Effective>,
}

/// A configuration as it came out, and from what.
#[derive(Debug)]
struct Effective {
    /// Version of the cluster's state, number of changes of the layers.
    of: (u64, u64),
    config: Arc<ClusterConfig>,
}

#[derive(Debug, Clone, Default)]
struct Layers {
    kept: ConfigLayer,
    transient: ConfigLayer,
}

impl Layers {
    fn over(&self, config: &ClusterConfig) -> Result<ClusterConfig, ApiError> {
        self.transient.over(&self.kept.over(config)?)
    }
}

impl Overrides {
    /// Reads the settings stored in `dir`, if any. A damaged file is reported in the log and not used.
    pub(crate) fn open(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let kept = read(&path).unwrap_or_else(|why| {
            let path = path.display();
            tracing::error!(%path, error = why, "the node's own settings are not used: repair or remove the file");
            ConfigLayer::default()
        });
        let layers = Layers { kept, ..Layers::default() };
        Self {
            path,
            layers: Mutex::new(layers),
            changes: watch::Sender::new(0),
            last: ArcSwapOption::empty(),
        }
    }

    /// The configuration that this node goes by under a state; made anew only when one of both changed.
    pub(crate) fn current(&self, state: &ClusterState) -> Arc<ClusterConfig> {
        // The number first: a change in between makes the next call look again.
        let of = (state.version, *self.changes.borrow());
        if let Some(last) = self.last.load().as_deref().filter(|last| last.of == of) {
            return last.config.clone();
        }
        let config = Arc::new(self.effective(&state.config));
        self.last.store(Some(Arc::new(Effective { of, config: config.clone() })));
        config
    }

    /// The configuration that this node goes by.
    fn effective(&self, config: &ClusterConfig) -> ClusterConfig {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        layers.over(config).unwrap_or_else(|err| {
            // Possible when the cluster's side of a rule over two settings changed later.
            tracing::warn!(error = %err, "the node's own settings contradict the cluster's and are not used");
            config.clone()
        })
    }

    /// Tells of changes.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Puts a change by sections over what is set. Writes a file: for the blocking pool.
    ///
    /// # Errors
    ///
    /// 400 for a setting that does not exist, is not valid or is the cluster's; 501 for a transient
    /// change that could have no effect; 500 when it cannot be stored.
    pub(crate) fn change(
        &self,
        config: &ClusterConfig,
        change: &Value,
        transient: bool,
    ) -> Result<(), ApiError> {
        // Unknown names first: they are neither the node's nor the cluster's.
        config.patched(change)?;
        check_scope(change, transient)?;
        self.update(|layers| {
            let layer = if transient { &mut layers.transient } else { &mut layers.kept };
            *layer = layer.with(change);
            layers.over(config).map(|_| ())
        })
    }

    /// Drops all settings of this node. Writes a file: for the blocking pool.
    ///
    /// # Errors
    ///
    /// 500 when it cannot be stored.
    pub(crate) fn reset(&self) -> Result<(), ApiError> {
        self.update(|layers| {
            *layers = Layers::default();
            Ok(())
        })
    }

    fn update(
        &self,
        change: impl FnOnce(&mut Layers) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let mut current = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = current.clone();
        change(&mut next)?;
        if next.kept != current.kept {
            self.store(&next.kept).map_err(|err| {
                ApiError::internal(format!("cannot store {}: {err}", self.path.display()))
            })?;
        }
        *current = next;
        drop(current);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    fn store(&self, kept: &ConfigLayer) -> io::Result<()> {
        if kept.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => Err(err),
                _ => Ok(()),
            };
        }
        write_atomically(&self.path, &serde_json::to_vec(kept.as_json())?)
    }
}

fn read(path: &Path) -> Result<ConfigLayer, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(ConfigLayer::default()),
        Err(err) => return Err(err.to_string()),
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|err| err.to_string())?;
    ConfigLayer::from_json(value).ok_or_else(|| "not a JSON object".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kept_settings_survive_a_restart_and_transient_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let config = ClusterConfig::default();
        let overrides = Overrides::open(folder.path());
        overrides.change(&config, &json!({"space": {"highwm": 91}}), false).unwrap();
        overrides.change(&config, &json!({"log": {"level": "4"}}), true).unwrap();
        let now = overrides.effective(&config);
        assert_eq!((now.space.highwm, now.log.level.as_str()), (91, "4"));
        let again = Overrides::open(folder.path());
        let now = again.effective(&config);
        assert_eq!((now.space.highwm, now.log.level.as_str()), (91, "3"));
        again.reset().unwrap();
        assert_eq!(Overrides::open(folder.path()).effective(&config), config);
        again.reset().unwrap();
    }

    #[test]
    fn bad_changes_leave_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let config = ClusterConfig::default();
        let overrides = Overrides::open(folder.path());
        for (change, transient, status) in [
            (json!({"space": {"highwm": 1000}}), false, 400),
            (json!({"colour": {}}), false, 400),
            (json!({"checksum": {"type": "md5"}}), false, 400),
            (json!({"memsys": {"to_gc": "3GiB"}}), true, 501),
        ] {
            let err = overrides.change(&config, &change, transient).unwrap_err();
            assert_eq!(err.status, status, "{err}");
        }
        assert_eq!(overrides.effective(&config), config);
    }

    #[test]
    fn the_current_configuration_follows_state_and_layers() {
        let folder = tempfile::tempdir().unwrap();
        let overrides = Overrides::open(folder.path());
        let mut state = ClusterState { version: 1, ..ClusterState::default() };
        let first = overrides.current(&state);
        assert!(Arc::ptr_eq(&first, &overrides.current(&state)));
        overrides.change(&state.config, &json!({"space": {"highwm": 91}}), true).unwrap();
        assert_eq!(overrides.current(&state).space.highwm, 91);
        (state.version, state.config.space.out_of_space) = (2, 99);
        let now = overrides.current(&state);
        assert_eq!((now.space.highwm, now.space.out_of_space), (91, 99));
        overrides.reset().unwrap();
        assert_eq!(overrides.current(&state).space.highwm, 90);
    }

    #[test]
    fn a_damaged_file_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "[1").unwrap();
        let config = ClusterConfig::default();
        assert_eq!(Overrides::open(folder.path()).effective(&config), config);
    }
}
