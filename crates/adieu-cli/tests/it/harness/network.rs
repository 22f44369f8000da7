//! Two network namespaces with a wire between them: what loopback never loses can be lost here.

use std::process::Command;

use super::build::tool;

/// A server's and a client's namespace. Dropped, both are gone.
#[derive(Debug)]
pub(crate) struct Network {
    server: String,
    client: String,
}

/// The server's address.
pub(crate) const HOST: &str = "10.211.55.1";

impl Network {
    pub(crate) fn new() -> Self {
        // Tests that run at the same time are threads of one process, or processes.
        let unique = format!("{}-{:?}", std::process::id(), std::thread::current().id());
        let unique: String = unique.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let network = Self { server: format!("adieu-s-{unique}"), client: format!("adieu-c-{unique}") };
        let (server, client) = (network.server.as_str(), network.client.as_str());
        for name in [server, client] {
            ip(&["netns", "add", name]);
        }
        ip(&["-n", server, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", client]);
        for (name, address) in [(server, "10.211.55.1/24"), (client, "10.211.55.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "wire"]);
            ip(&["-n", name, "link", "set", "wire", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        network
    }

    /// The words before a command that runs on the server's side.
    pub(crate) fn server(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.server]
    }

    /// The words before a command that runs on the client's side.
    pub(crate) fn client(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.client]
    }

    /// From now on the server hears nothing of its clients but that they want to connect.
    pub(crate) fn lose_all_but_syn(&self, port: u16) {
        self.iptables("-A", port);
    }

    /// The end of that.
    pub(crate) fn lose_nothing(&self, port: u16) {
        self.iptables("-D", port);
    }

    fn iptables(&self, what: &str, port: u16) {
        let port = port.to_string();
        let rule = ["iptables", "-w", what, "INPUT", "-p", "tcp", "--dport", &port, "!", "--syn", "-j", "DROP"];
        tool(Command::new("ip").args(&self.server()[1..]).args(rule));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            // One that could not be made is not there either.
            drop(Command::new("ip").args(["netns", "delete", name]).output());
        }
    }
}

fn ip(words: &[&str]) {
    tool(Command::new("ip").args(words));
}
