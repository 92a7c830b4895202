//! The machine the figures were taken on, and the memory this process holds.

use std::{fmt, fs, io, thread};

/// The line printed under every report, without which a figure means nothing.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
}

impl Machine {
    /// Reads the machine's description; what the system does not tell is called unknown.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: cpu_model(&cpuinfo).unwrap_or("unknown CPU").to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: if kernel.is_empty() { "unknown".to_owned() } else { kernel.trim().to_owned() },
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cores == 1 { "core" } else { "cores" };
        write!(out, "{}, {} {plural}, kernel {}", self.cpu, self.cores, self.kernel)
    }
}

/// Bytes of this process that are in memory now.
pub(crate) fn resident_bytes() -> io::Result<u64> {
    resident("self")
}

/// Bytes of another process that are in memory now.
pub(crate) fn resident_bytes_of(process: u32) -> io::Result<u64> {
    resident(&process.to_string())
}

fn resident(process: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    parse_resident(&status).ok_or_else(|| io::Error::other("no line `VmRSS: … kB`"))
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_one_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Brand X: 3 GHz\nmodel name\t: Other\n";
        assert_eq!(cpu_model(cpuinfo), Some("Brand X: 3 GHz"));
        assert_eq!(cpu_model("processor : 0\n"), None);
    }

    #[test]
    fn resident_memory_is_kibibytes() {
        assert_eq!(parse_resident("VmSize:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12_288));
        assert_eq!(parse_resident("VmRSS:\t 12 MB\n"), None);
        assert_eq!(parse_resident("VmRSS:\t 18446744073709551615 kB\n"), None);
        assert_eq!(parse_resident(""), None);
    }

    #[test]
    fn the_line_names_all_three() {
        let machine = Machine { cpu: "Brand X".into(), cores: 1, kernel: "6.1".into() };
        assert_eq!(machine.to_string(), "Brand X, 1 core, kernel 6.1");
    }
}
