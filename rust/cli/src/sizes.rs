//! Sizes and durations as tables show them.

use std::time::Duration;

use clap::ValueEnum;

/// How sizes are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Units {
    /// Powers of 1024: KiB, MiB.
    #[default]
    Iec,
    /// Powers of 1000: KB, MB.
    Si,
    /// Plain bytes, and nanoseconds for durations.
    Raw,
}

impl Units {
    /// A size in bytes, two decimals from the first unit up.
    pub(crate) fn size(self, bytes: u64) -> String {
        let (base, names): (f64, [&str; 6]) = match self {
            Self::Raw => return bytes.to_string(),
            Self::Iec => (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]),
            Self::Si => (1000.0, ["KB", "MB", "GB", "TB", "PB", "EB"]),
        };
        #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
        let mut value = bytes as f64;
        if value < base {
            return format!("{bytes}B");
        }
        let mut unit = "";
        for name in names {
            value /= base;
            unit = name;
            // Compared as printed, so that 1023.999 KiB reads as 1.00MiB and not 1024.00KiB.
            if (value * 100.0).round() / 100.0 < base {
                break;
            }
        }
        format!("{value:.2}{unit}")
    }

    /// Bytes per second.
    pub(crate) fn rate(self, bytes: u64, elapsed: Duration) -> String {
        format!("{}/s", self.size(per_second(bytes, elapsed)))
    }

    /// A duration, coarse: the two largest units.
    pub(crate) fn duration(self, value: Duration) -> String {
        if self == Self::Raw {
            return value.as_nanos().to_string();
        }
        let seconds = value.as_secs();
        let (days, hours, minutes, rest) =
            (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        match (days, hours, minutes) {
            (0, 0, 0) if seconds == 0 => format!("{}ms", value.as_millis()),
            (0, 0, 0) if seconds < 10 => format!("{:.1}s", value.as_secs_f64()),
            (0, 0, 0) => format!("{rest}s"),
            (0, 0, _) => format!("{minutes}m{rest}s"),
            (0, _, _) => format!("{hours}h{minutes}m"),
            _ => format!("{days}d{hours}h"),
        }
    }
}

/// Average rate, safe for intervals near zero.
pub(crate) fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let micros = elapsed.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_each_system() {
        let cases = [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1_000, "1000B", "1.00KB"),
            (1_536, "1.50KiB", "1.54KB"),
            (1_048_575, "1.00MiB", "1.05MB"),
            (3 << 30, "3.00GiB", "3.22GB"),
            (u64::MAX, "16.00EiB", "18.45EB"),
        ];
        for (bytes, iec, si) in cases {
            assert_eq!(Units::Iec.size(bytes), iec);
            assert_eq!(Units::Si.size(bytes), si);
            assert_eq!(Units::Raw.size(bytes), bytes.to_string());
        }
    }

    #[test]
    fn durations_keep_two_units() {
        let cases = [
            (0, "0ms"),
            (7, "7.0s"),
            (42, "42s"),
            (125, "2m5s"),
            (7_380, "2h3m"),
            (180_000, "2d2h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Units::Iec.duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(Units::Raw.duration(Duration::from_micros(2)), "2000");
    }

    #[test]
    fn rates_survive_an_instant() {
        assert_eq!(Units::Iec.rate(2 << 20, Duration::from_secs(2)), "1.00MiB/s");
        assert_eq!(per_second(u64::MAX, Duration::ZERO), u64::MAX);
    }
}
