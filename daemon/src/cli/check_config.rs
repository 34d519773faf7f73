//! `reeld check-config`: what is wrong with a configuration; of one that is right, what it costs at
//! the worst.

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use reeld_api::Service;
use reeld_capture::{BLOCK_AGE, USUAL_HOLD};
use reeld_config::{Config, ConfigError, Flags, MediaKind, load};
use reeld_ingest::TICK;

use crate::{clock, siprec, tls};

/// What the writer's queue and the scheduler may add on a busy machine.
const MARGIN: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    /// The configuration file; without one, the embedded defaults and the environment are checked
    file: Option<PathBuf>,
}

impl CheckConfig {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match load(self.file.as_deref(), std::env::vars_os(), &Flags::default()) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    writeln!(stderr(), "warning: {warning}")?;
                }
                let Config { api, sip, .. } = &loaded.config;
                for (service, files) in [
                    (Service::API, api.tls.as_ref()),
                    (siprec::SERVICE, sip.tls.as_ref()),
                ] {
                    match tls::read(service, files) {
                        Ok(tls) => {
                            let warnings = tls.map(|tls| tls.warnings(clock::unix_ms()));
                            for warning in warnings.into_iter().flatten() {
                                writeln!(stderr(), "warning: {warning}")?;
                            }
                        }
                        Err(error) => {
                            writeln!(stderr(), "{error:#}")?;
                            return Ok(ExitCode::FAILURE);
                        }
                    }
                }
                write!(stdout(), "ok\n{}", costs(&loaded.config))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(ConfigError::Invalid(problems)) => {
                for problem in problems {
                    writeln!(stderr(), "{problem}")?;
                }
                Ok(ExitCode::FAILURE)
            }
            Err(error @ ConfigError::Read { .. }) => Err(error.into()),
        }
    }
}

/// What a crash loses of each running recording, and what else this configuration costs.
fn costs(config: &Config) -> String {
    let window = config.capture.reorder_window;
    // While a new stream is held the block before it grows old, and is written: the two do not add up.
    let block = BLOCK_AGE.max(USUAL_HOLD);
    let kill = window + TICK + block + MARGIN;
    let power = kill + config.capture.fsync;
    let mut text = format!(
        "kill -9 costs each running recording at most {:.2} s: reorder_window {:.2} + tick {:.2} + block {:.2} + margin {:.2}\n\
         power loss costs it at most {:.2} s: the same + fsync {:.2}\n",
        kill.as_secs_f32(),
        window.as_secs_f32(),
        TICK.as_secs_f32(),
        block.as_secs_f32(),
        MARGIN.as_secs_f32(),
        power.as_secs_f32(),
        config.capture.fsync.as_secs_f32(),
    );
    if config.store.media == MediaKind::Sled {
        text.push_str(
            "store.media = \"sled\" takes up to 3 times the audio's size on disk, and deleting gives back little of it: \
             where recordings come and go, \"local\" is the better one\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_cost_what_the_design_says() {
        let text = costs(&Config::default());
        assert!(
            text.starts_with("kill -9 costs each running recording at most 1.50 s"),
            "{text}"
        );
        assert!(
            text.contains("power loss costs it at most 2.50 s"),
            "{text}"
        );
        assert!(!text.contains("sled"));
    }
}
