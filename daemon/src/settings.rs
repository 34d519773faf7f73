//! The configuration → what each crate is told. The one place where names of the one meet names of
//! the other; nothing is decided here.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use nix::sys::statvfs::statvfs;
use reeld_api::Tls;
use reeld_callbacks::Allow;
use reeld_config::{Config, MediaAuth, MediaKind};
use reeld_model::{Incoming, Rules};
use reeld_store::{Encryption, KeyPlace, Limits, Retention, Store, StoreConfig};

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
        deleted_metadata: config.store.deleted_metadata,
        check_reads_ppm: config.store.check_reads_ppm,
        encryption: encryption(config),
        disk: Default::default(),
    }
}

/// The keys of encryption at rest.
fn encryption(config: &Config) -> Encryption {
    let place = |key: &reeld_config::KeyPlace| match key {
        reeld_config::KeyPlace::File(path) => KeyPlace::File(path.clone()),
        reeld_config::KeyPlace::Credential(name) => KeyPlace::Credential(name.clone()),
    };
    Encryption {
        key: config.store.encryption_key.as_ref().map(place),
        old: config.store.old_encryption_keys.iter().map(place).collect(),
    }
}

/// How much accounts keep.
#[must_use]
pub fn retention(config: &Config) -> Retention {
    let limits = |of: &reeld_config::Limits| Limits {
        age: of.age,
        bytes: of.bytes,
    };
    let own = config.store.account_retention.iter();
    Retention {
        each: limits(&config.store.retention),
        accounts: own.map(|(sid, of)| (*sid, limits(of))).collect(),
    }
}

/// The capture side's settings, on a machine with so many bytes of memory for it.
#[must_use]
pub fn ingest(config: &Config, memory: u64) -> reeld_ingest::Settings {
    let Config { media, capture, .. } = config;
    reeld_ingest::Settings {
        address: media.address,
        advertise: media.advertise,
        ports: media.ports.clone(),
        receive_buffer: media.receive_buffer,
        allow: media.allow.clone(),
        threads: capture.threads,
        max_recordings: capture.max_recordings,
        backlog_bytes: capture.backlog_on(memory),
        reorder_window: capture.reorder_window,
        first_packet: capture.first_packet,
        inactivity: capture.inactivity,
        max_length: capture.max_length,
        conceal: capture.conceal,
        dtmf: match capture.dtmf {
            reeld_config::Dtmf::Silence => reeld_capture::Dtmf::Silence,
            reeld_config::Dtmf::Tone => reeld_capture::Dtmf::Tone,
        },
        rate: match capture.rate {
            reeld_config::Rate::Narrow => reeld_capture::Rate::Narrow,
            reeld_config::Rate::Native => reeld_capture::Rate::Native,
        },
    }
}

/// The SIPREC server's settings, where it listens at `listen`.
#[must_use]
pub fn siprec(
    config: &Config,
    listen: Option<SocketAddr>,
    tls_listen: Option<SocketAddr>,
    incoming: Arc<Incoming>,
) -> reeld_signal::siprec::Settings {
    let Config { sip, media, .. } = config;
    // Where one of the two is off nobody is told of it.
    let reached_at = |listen: Option<SocketAddr>| {
        let own = listen.map(|listen| listen.ip());
        let own = own.filter(|address| !address.is_unspecified());
        let address = sip.advertise.or(own).or(media.advertise);
        let port = listen.map_or(0, |listen| listen.port());
        SocketAddr::new(address.unwrap_or(media.address), port)
    };
    reeld_signal::siprec::Settings {
        allow: sip.allow.clone(),
        routes: sip
            .routes
            .iter()
            .chain(&config.calls.routes)
            .map(route)
            .collect(),
        contact: reached_at(listen),
        tls_contact: reached_at(tls_listen),
        pause: sip.pause,
        channels: sip.channels,
        media_is_local: media.address.is_loopback(),
        incoming,
    }
}

/// A rule of whose account a call is.
fn route(route: &reeld_config::CallRoute) -> reeld_signal::route::Route {
    use reeld_config::CallSource;
    use reeld_signal::route::Source;
    reeld_signal::route::Route {
        account: route.account,
        source: route.source.map(|source| match source {
            CallSource::Sip => Source::Sip,
            CallSource::Rtpengine => Source::Rtpengine,
            CallSource::AudioSocket => Source::AudioSocket,
            CallSource::OpenPort => Source::OpenPort,
        }),
        networks: route.networks.clone(),
        domain: route.domain.clone(),
        header: route.header.clone(),
    }
}

/// The rules of whose account a call is, for those without SIP.
#[must_use]
pub fn routes(config: &Config) -> Vec<reeld_signal::route::Route> {
    config.calls.routes.iter().map(route).collect()
}

/// How an rtpengine is followed that is asked at `address`.
#[must_use]
pub fn rtpengine(
    config: &Config,
    address: IpAddr,
    incoming: Arc<Incoming>,
) -> reeld_signal::rtpengine::Settings {
    let Config {
        rtpengine, media, ..
    } = config;
    // Where it is reached is where its calls come from.
    let by_route = rtpengine.ng.and_then(|ng| {
        let source = reeld_signal::route::Source::Rtpengine;
        let caller = reeld_signal::route::Caller::without_sip(source, ng.ip());
        caller.account(&routes(config), None, None)
    });
    reeld_signal::rtpengine::Settings {
        account: by_route.or(rtpengine.account),
        follow: rtpengine.follow,
        channels: rtpengine.channels,
        delete_delay: rtpengine.delete_delay,
        media_is_local: media.address.is_loopback(),
        address,
        incoming,
    }
}

/// A call's settings, for calls that come out of files.
#[must_use]
pub fn capture(config: &Config) -> reeld_capture::Settings {
    let Config { media, capture, .. } = config;
    reeld_capture::Settings {
        reorder_window: capture.reorder_window,
        first_packet: capture.first_packet,
        inactivity: capture.inactivity,
        max_length: capture.max_length,
        conceal: capture.conceal,
        dtmf: match capture.dtmf {
            reeld_config::Dtmf::Silence => reeld_capture::Dtmf::Silence,
            reeld_config::Dtmf::Tone => reeld_capture::Dtmf::Tone,
        },
        rate: match capture.rate {
            reeld_config::Rate::Narrow => reeld_capture::Rate::Narrow,
            reeld_config::Rate::Native => reeld_capture::Rate::Native,
        },
        allow: media.allow.clone(),
        advertise: media.advertise.unwrap_or(media.address),
        secret: reeld_capture::Secret::default(),
    }
}

/// The API's settings; finished MP3s are cached below `data_dir`.
#[must_use]
pub fn api(config: &Config, data_dir: &Path, tls: Option<Tls>) -> reeld_api::Settings {
    let Config {
        api,
        record,
        encode,
        callbacks,
        ..
    } = config;
    reeld_api::Settings {
        public_url: api.public_url.clone(),
        media_auth: match api.media_auth {
            MediaAuth::Public => reeld_api::MediaAuth::Public,
            MediaAuth::Required => reeld_api::MediaAuth::Required,
        },
        link_lifetime: api.link_lifetime,
        start_unknown_call: api.start_unknown_call,
        timezone: api.timezone.clone(),
        limits: reeld_api::Limits {
            connections: api.max_connections,
            connections_of_address: api.max_connections_per_address,
            rate_of_address: api.rate_per_address,
            rate_of_account: api.rate_per_account,
            rate_media: api.rate_media,
            body_bytes: api.max_body,
            head: api.header_timeout,
            request: api.request_timeout,
            write_stall: api.write_timeout,
            ..reeld_api::Limits::default()
        },
        encode: reeld_api::Encode {
            workers: encode.workers,
            queue: encode.queue,
            cache_bytes: encode.cache_bytes,
            cache_dir: data_dir.join("cache"),
            eager: encode
                .eager
                .iter()
                .map(|format| match format {
                    reeld_config::Encoded::Mp3 => reeld_api::EncodedFormat::Mp3,
                    reeld_config::Encoded::Opus => reeld_api::EncodedFormat::Opus,
                })
                .collect(),
        },
        record: reeld_api::RecordDefaults {
            rules: Rules {
                timeout: record.timeout,
                finish_on_key: record.finish_on_key.clone(),
                max_length: Some(record.max_length),
            },
            trim: record.trim,
        },
        callbacks: Allow::new(callbacks.allow.clone()),
        tls,
    }
}

/// How much of the audit trail a store keeps.
pub fn bound_audit(store: &Store, config: &Config) {
    let audit = config.audit;
    store.bound_audit(if audit.keep.is_zero() {
        0
    } else {
        audit.max_entries
    });
}

/// The sender's settings.
#[must_use]
pub fn callbacks(config: &Config) -> reeld_callbacks::Settings {
    let reeld_config::Callbacks {
        allow,
        concurrency,
        retry_for,
        retry_first,
        retry_most,
    } = config.callbacks.clone();
    reeld_callbacks::Settings {
        allow: Allow::new(allow),
        concurrency,
        link_lifetime: config.api.link_lifetime,
        retry_for,
        retry_first,
        retry_most,
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
