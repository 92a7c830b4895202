//! Network namespaces on a bridge, with a packet filter in each.

use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Where this is set, being unable to make a network is a failure.
const NEEDED: &str = "ODEON_NEED_NAMESPACES";

/// As many namespaces as there are hosts, and one with the bridge between them. All go when this is dropped.
pub(crate) struct Network {
    prefix: String,
    hosts: usize,
}

impl Network {
    /// A network of so many hosts; or why there can be none, printed as tests print what they skip, and a failure where
    /// [`NEEDED`] is set.
    pub(crate) fn new(hosts: usize) -> Option<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self { prefix: format!("odf{}-{number}", std::process::id()), hosts };
        match network.build() {
            Ok(()) => Some(network),
            Err(why) => {
                assert!(std::env::var_os(NEEDED).is_none(), "{NEEDED} is set, and {why}");
                println!("skipped: no network of namespaces can be made here: {why}");
                None
            }
        }
    }

    fn build(&self) -> Result<(), String> {
        let hub = self.hub();
        run(&["ip", "netns", "add", &hub])?;
        run(&["ip", "-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
        run(&["ip", "-n", &hub, "link", "set", "bridge", "up"])?;
        for host in 0..self.hosts {
            let (name, port, address) = (self.name(host), format!("port{host}"), Self::address(host));
            run(&["ip", "netns", "add", &name])?;
            let link = ["ip", "link", "add", "name", &port, "netns", &hub, "type", "veth", "peer"];
            run(&[&link[..], &["name", "eth0", "netns", &name]].concat())?;
            run(&["ip", "-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
            run(&["ip", "-n", &name, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
            run(&["ip", "-n", &name, "link", "set", "eth0", "up"])?;
            run(&["ip", "-n", &name, "link", "set", "lo", "up"])?;
            self.filter(host, "add table inet faults")?;
            self.filter(host, "add chain inet faults in { type filter hook input priority 0; }")?;
        }
        // Probed here, so that a kernel without it is a reason to skip and not to fail.
        self.filter(0, "add rule inet faults in numgen random mod 100 < 1 drop")?;
        self.mend(0);
        Ok(())
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    fn name(&self, host: usize) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// The address of a host.
    pub(crate) fn address(host: usize) -> String {
        format!("10.99.0.{}", host + 1)
    }

    /// What is put before a command to run it at a host.
    pub(crate) fn prefix(&self, host: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.name(host)].map(str::to_owned).into()
    }

    fn filter(&self, host: usize, rule: &str) -> Result<(), String> {
        run(&["ip", "netns", "exec", &self.name(host), "nft", rule])
    }

    /// From now on nothing from one host arrives at the other.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        let rule = format!("add rule inet faults in ip saddr {} drop", Self::address(from));
        self.filter(to, &rule).expect("a rule as it was tried before");
    }

    /// From now on so many of 100 packets that arrive at the host are lost.
    pub(crate) fn lose(&self, host: usize, percent: u32) {
        let rule = format!("add rule inet faults in numgen random mod 100 < {percent} drop");
        self.filter(host, &rule).expect("a rule as it was tried before");
    }

    /// From now on everything arrives at the host again.
    pub(crate) fn mend(&self, host: usize) {
        self.filter(host, "flush chain inet faults in").expect("the chain is there");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in (0..self.hosts).map(|host| self.name(host)).chain([self.hub()]) {
            // One that was never made is not there.
            let _ = run(&["ip", "netns", "delete", &name]);
        }
    }
}

fn run(command: &[&str]) -> Result<(), String> {
    let text = command.join(" ");
    match Command::new(command[0]).args(&command[1..]).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("`{text}`: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("there is no `{}`", command[0])),
        Err(error) => Err(format!("`{text}`: {error}")),
    }
}
