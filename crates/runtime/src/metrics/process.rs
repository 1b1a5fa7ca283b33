//! Metrics of the process itself, by the names that Prometheus gives them everywhere: `process_*`.
//!
//! They are read from Linux when the page is asked for. What cannot be read has no series.

use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::process_usage::ProcessUsage;

/// In which Linux counts the time of processes (`USER_HZ`): the same on each architecture that the
/// gateway is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the metrics of the process.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// In seconds since the Unix epoch. Read once: with the clock it would change, and look like a
    /// restart.
    started_at: Option<f64>,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        Self {
            started_at: started_at(),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let usage = ProcessUsage::read();
        let times = read("/proc/self/stat").and_then(|stat| ProcessTimes::parse(&stat));
        if let Some(times) = times {
            let help = "User and system CPU time spent, in seconds";
            let metric = encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                MetricType::Counter,
            )?;
            ConstCounter::new(times.cpu_seconds).encode(metric)?;
        }
        gauge(
            &mut encoder,
            "process_start_time_seconds",
            "When the process started, in seconds since the Unix epoch",
            self.started_at,
        )?;
        gauge(
            &mut encoder,
            "process_resident_memory_bytes",
            "Resident memory, in bytes",
            usage.resident_bytes.map(whole),
        )?;
        gauge(
            &mut encoder,
            "process_open_fds",
            "Open files, connections included",
            usage.open_files.map(whole),
        )?;
        gauge(
            &mut encoder,
            "process_max_fds",
            "How many files may be open",
            Some(whole(usage.open_files_limit)),
        )
    }
}

/// Writes a gauge, if its value is known.
fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<f64>,
) -> Result<(), fmt::Error> {
    let Some(value) = value else {
        return Ok(());
    };
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

/// Prometheus knows only floating-point numbers; they hold whole ones up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn whole(number: u64) -> f64 {
    number as f64
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// When the process started, by the clock of now and the time since the boot.
fn started_at() -> Option<f64> {
    let times = ProcessTimes::parse(&read("/proc/self/stat")?)?;
    let uptime = read("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next()?.parse().ok()?;
    let age = Duration::try_from_secs_f64(uptime - times.started_after_boot).ok()?;
    let started = SystemTime::now().checked_sub(age)?;
    Some(started.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// What `/proc/self/stat` says of times, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ProcessTimes {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl ProcessTimes {
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the name in parentheses, which may hold spaces and parentheses.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        // From the third field on: utime is the 14th, stime the 15th, starttime the 22nd.
        let ticks = |field: usize| fields.get(field - 3)?.trim().parse::<u64>().ok();
        Some(Self {
            cpu_seconds: whole(ticks(14)?.checked_add(ticks(15)?)?) / TICKS_PER_SECOND,
            started_after_boot: whole(ticks(22)?) / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricsRegistry;

    #[test]
    fn the_times_of_a_process_are_read_whatever_its_name_is() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 12345 1 2 3\n";
        let times = ProcessTimes::parse(stat);
        let expected = ProcessTimes {
            cpu_seconds: 3.0,
            started_after_boot: 123.45,
        };
        assert_eq!(times, Some(expected));
        for broken in [
            "",
            "7 (a",
            "7 (a) S 1 2",
            "7 (a) S x x x x x x x x x x x x x x x x x x x",
        ] {
            assert_eq!(ProcessTimes::parse(broken), None, "{broken}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_page_of_a_process_shows_its_version_and_what_it_uses() {
        let page = MetricsRegistry::of_process("1.2.3").encode();
        let value = |name: &str| -> f64 {
            let line = page.lines().find(|line| line.starts_with(name));
            let (_, value) = line.unwrap().split_once(' ').unwrap();
            value.parse().unwrap()
        };
        assert!(
            page.contains("ringback_build_info{version=\"1.2.3\"} 1\n"),
            "{page}"
        );
        assert!(
            page.contains("# TYPE process_cpu_seconds counter\n"),
            "{page}"
        );
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        assert!(value("process_resident_memory_bytes ") > 1_000_000.0);
        assert!(value("process_open_fds ") < value("process_max_fds "));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - value("process_start_time_seconds ");
        assert!((-1.0..3_600.0).contains(&age), "{age}");
        assert_eq!(page.matches("# EOF").count(), 1, "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
    }
}
