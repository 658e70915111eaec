//! What else the machine does: numbers taken beside a compiler say little.

use std::{fs, thread, time::Duration};

/// `/proc` counts in these, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that all cores together were busy so far; absent where there is no `/proc`.
pub fn busy_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let times = stat.lines().next()?.split_whitespace().skip(1);
    // user, nice, system
    Some(times.take(3).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND)
}

/// How many cores there are.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Waits for a quiet moment, but not for ever; says whether it came.
pub async fn quiet(patience: Duration) -> bool {
    const LOOK: Duration = Duration::from_millis(250);
    let mut waited = Duration::ZERO;
    while waited < patience {
        let before = busy_seconds();
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
        let Some((before, after)) = before.zip(busy_seconds()) else { return true };
        if (after - before) / LOOK.as_secs_f64() < 0.15 {
            return true;
        }
    }
    false
}

/// The machine, in a line.
pub fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let model = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib: f64 = memory.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let release = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    format!("{} cores ({model}), {:.0} GiB of memory, Linux {release}, loopback", cores(), kib / 1024.0 / 1024.0)
}
