//! The configuration → what each crate is told. The one place where names of the one meet names of
//! the other; nothing is decided here.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use reeld_config::{Config, MediaKind};
use reeld_store::StoreConfig;

/// The store's settings, for the data folder by the path that this process uses for it
/// ([`crate::owner::enter`]).
#[must_use]
pub fn store(config: &Config, data_dir: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: data_dir.to_owned(),
        media: match config.store.media {
            MediaKind::Local => reeld_store::MediaKind::Local,
            MediaKind::Sled => reeld_store::MediaKind::Sled,
        },
        min_free_bytes: config.store.min_free_on(disk_size(data_dir)),
        catalog_cache_bytes: config.store.cache,
    }
}

/// The capture side's settings.
#[must_use]
pub fn ingest(config: &Config) -> reeld_ingest::Settings {
    let Config { media, capture, .. } = config;
    reeld_ingest::Settings {
        address: media.address,
        advertise: media.advertise,
        ports: media.ports.clone(),
        receive_buffer: media.receive_buffer,
        allow: media.allow.clone(),
        threads: capture.threads,
        max_recordings: capture.max_recordings,
        reorder_window: capture.reorder_window,
        first_packet: capture.first_packet,
        inactivity: capture.inactivity,
        max_length: capture.max_length,
    }
}

/// The size in bytes of the disk that a folder lies on, or will lie on once it is made. Where no
/// one says it, the disk counts as large.
fn disk_size(folder: &Path) -> u64 {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folder
        .ancestors()
        .find_map(|folder| statvfs(folder).ok())
        .map_or(u64::MAX, |disk| {
            disk.blocks().saturating_mul(disk.fragment_size())
        })
}
