//! The binary as a child process, and what is asked of it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::{Value, json};

use crate::http::{Reply, call, wait_for};

/// What most tests change: free ports, one or a few lanes, the protocol's times in seconds.
pub(crate) const QUICK: &str = r#"
[data]
listen = "127.0.0.1:0"
drain_wait_ms = 0
[control]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[ledger]
lanes = 2
[limits]
enabled = false
[keeper]
keeper_lease_ms = 1000
lane_lease_ms = 3000
grace_ms = 4000
renewal_ms = 300
sweep_ms = 500
lease_floor = 64
"#;

/// Waits that a busy machine does not use up: for tests about answers, not about time.
pub(crate) const PATIENT: &str = r#"
[claim]
decide_within_ms = 3000
durable_within_ms = 5000
queue_wait_ms = 1000
call_within_ms = 1500
"#;

/// A command of the binary that ends by itself. Variables of the test's own environment that the
/// binary would read are kept from it.
pub(crate) fn sluice(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    for (name, _value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLUICE") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A command whose disk fails as `shim` is told in `faults`.
fn shimmed(arguments: &[&str], shim: &Path, faults: &Path) -> Command {
    let mut command = sluice(arguments);
    command
        .env("LD_PRELOAD", shim)
        .env("SLUICE_DISK_FAULTS", faults);
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    sluice(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder for one test: the data, the configuration, the log.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a configuration file and returns its path.
    pub(crate) fn config(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("sluice.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `sluice dev` with the quick settings.
    pub(crate) fn dev(&self) -> Running {
        self.dev_with(QUICK)
    }

    pub(crate) fn dev_with(&self, text: &str) -> Running {
        let patient = format!("{text}{PATIENT}\n[hotstate]\nresponse_timeout_ms = 2000\n");
        let config = self.config(&patient);
        self.start(&[
            "dev",
            "--data-dir",
            self.data().to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ])
    }

    /// `sluice serve` with the quick settings on this Redis.
    pub(crate) fn serve(&self, redis_url: &str) -> Running {
        let config = self.serve_config(redis_url);
        self.serve_with(&std::fs::read_to_string(config).unwrap())
    }

    /// As [`serve`](Self::serve), with waits that a busy machine does not use up.
    pub(crate) fn serve_patiently(&self, redis_url: &str) -> Running {
        let config = self.serve_config(redis_url);
        let text = std::fs::read_to_string(&config).unwrap();
        let timeout = "[hotstate]\nresponse_timeout_ms = 2000\n";
        self.serve_with(&(text.replace("[hotstate]\n", timeout) + PATIENT))
    }

    /// `sluice serve` with this configuration. The admin key is made first.
    pub(crate) fn serve_with(&self, text_of_config: &str) -> Running {
        let config = self.config(text_of_config);
        let config = config.to_str().unwrap();
        let key_file = self.folder.path().join("admin.key");
        if !key_file.exists() {
            let made = run(&["key", "create", "--config", config, "--role", "admin"]);
            assert!(made.status.success(), "{}", text(&made.stderr));
            std::fs::write(&key_file, text(&made.stdout).trim()).unwrap();
        }
        let mut running = self.start(&["serve", "--config", config]);
        running.ready["admin_key"] = json!(std::fs::read_to_string(key_file).unwrap());
        running
    }

    pub(crate) fn serve_config(&self, redis_url: &str) -> PathBuf {
        let data = self.data();
        self.config(&format!(
            "data_dir = \"{}\"\n{QUICK}\n[hotstate]\nredis_urls = [\"{redis_url}\"]\n[log]\nformat = \"text\"\n",
            data.display(),
        ))
    }

    /// `sluice serve` with this configuration, its disk failing as `shim` is told in `faults`.
    pub(crate) fn serve_shimmed(&self, text: &str, shim: &Path, faults: &Path) -> Running {
        let config = self.config(text);
        let config = config.to_str().unwrap();
        let made = run(&["key", "create", "--config", config, "--role", "admin"]);
        assert!(
            made.status.success(),
            "{}",
            crate::process::text(&made.stderr)
        );
        let mut running = self.spawn(shimmed(&["serve", "--config", config], shim, faults));
        running.ready["admin_key"] = json!(crate::process::text(&made.stdout).trim());
        running
    }

    /// The same with the configuration that is there, where it is expected not to start.
    pub(crate) fn try_serve_shimmed(&self, shim: &Path, faults: &Path) -> Output {
        let config = self.folder.path().join("sluice.toml");
        let arguments = ["serve", "--config", config.to_str().unwrap()];
        shimmed(&arguments, shim, faults).output().unwrap()
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.spawn(sluice(arguments))
    }

    pub(crate) fn spawn(&self, mut command: Command) -> Running {
        let log = self.folder.path().join("log");
        let open = File::options().create(true).append(true).open(&log);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(open.unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!(
                "{error}: {line:?}\n{}",
                std::fs::read_to_string(&log).unwrap()
            )
        });
        Running {
            child,
            ready,
            data: self.data(),
            log,
        }
    }

    /// Tokens (or, with `--pass`, passes) for `users` users of this prefix.
    pub(crate) fn tokens(&self, prefix: &str, users: usize, more: &[&str]) -> Vec<String> {
        let data = self.data();
        let count = users.to_string();
        let mut arguments = vec!["token", "--data-dir", data.to_str().unwrap()];
        arguments.extend(["--users", &count, "--prefix", prefix]);
        arguments.extend(more);
        let made = run(&arguments);
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout)
            .lines()
            .map(|line| line.split_once(',').unwrap().1.to_owned())
            .collect()
    }

    pub(crate) fn token(&self, user: &str) -> String {
        let data = self.data();
        let made = run(&[
            "token",
            "--data-dir",
            data.to_str().unwrap(),
            "--user",
            user,
        ]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).trim().to_owned()
    }
}

/// A server that listens.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) ready: Value,
    data: PathBuf,
    log: PathBuf,
}

impl Running {
    pub(crate) fn url(&self, plane: &str) -> &str {
        self.ready[plane].as_str().unwrap()
    }

    pub(crate) fn admin_key(&self) -> &str {
        self.ready["admin_key"].as_str().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Status and reasons of `/readyz`.
    pub(crate) fn readyz(&self) -> Reply {
        call(self.url("ops"), "GET", "/readyz", &[], "").unwrap()
    }

    pub(crate) fn wait_ready(&self) {
        wait_for("every lane to serve", 30, || {
            let said = self.readyz();
            (said.status == 200).then_some(())
        });
    }

    /// Waits until `/readyz` says no, and why: a reason with this in it.
    pub(crate) fn wait_not_ready(&self, reason: &str) -> Vec<String> {
        wait_for(&format!("readyz to say {reason:?}"), 20, || {
            let said = self.readyz();
            let reasons: Vec<String> =
                serde_json::from_value(said.json()["reasons"].clone()).unwrap();
            let given = reasons.iter().any(|given| given.contains(reason));
            (said.status == 503 && given).then_some(reasons)
        })
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Reply {
        let key = format!("Bearer {}", self.admin_key());
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let headers = [
            ("authorization", &*key),
            ("content-type", "application/json"),
        ];
        call(self.url("control"), method, path, &headers, &body).unwrap()
    }

    /// Makes a coupon of 5 USD off with `changes` over it, and publishes it.
    pub(crate) fn sale(&self, changes: &Value) -> String {
        let id = self.draft(changes);
        self.act(&id, "publish");
        id
    }

    pub(crate) fn draft(&self, changes: &Value) -> String {
        let mut coupon = json!({
            "name": "Five off", "currency": "USD", "benefit": {"type": "fixed", "off": "5.00"},
            "limits": {"total": 100}, "durability": "ledger",
        });
        for (key, value) in changes.as_object().unwrap() {
            coupon[key] = value.clone();
        }
        let made = self.admin("POST", "/admin/v1/coupons", &coupon);
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["id"].as_str().unwrap().to_owned()
    }

    /// Does `action`, again as long as the lane cannot be reached.
    pub(crate) fn act(&self, coupon: &str, action: &str) {
        let path = format!("/admin/v1/coupons/{coupon}/{action}");
        wait_for(&format!("{action} to be done"), 30, || {
            let done = self.admin("POST", &path, &Value::Null);
            assert!(matches!(done.status, 200 | 503), "{done:?}");
            (done.status == 200).then_some(())
        });
    }

    pub(crate) fn claim(&self, coupon: &str, token: &str) -> Reply {
        self.try_claim(coupon, token, &[]).unwrap()
    }

    pub(crate) fn try_claim(
        &self,
        coupon: &str,
        token: &str,
        more: &[(&str, &str)],
    ) -> std::io::Result<Reply> {
        let bearer = format!("Bearer {token}");
        let mut headers = more.to_vec();
        if !token.is_empty() {
            headers.push(("authorization", &bearer));
        }
        let path = format!("/v1/coupons/{coupon}/claims");
        call(self.url("data"), "POST", &path, &headers, "")
    }

    /// Claims until the answer is final: a coupon that was just published may be warming up.
    pub(crate) fn claim_patiently(&self, coupon: &str, token: &str) -> Reply {
        wait_for("a claim to be decided", 30, || {
            let said = self.claim(coupon, token);
            (said.status != 503 && said.status != 202).then_some(said)
        })
    }

    /// `sluice lane …` against this server.
    pub(crate) fn lane(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["lane"];
        all.extend(arguments);
        all.extend(["--url", self.url("control"), "--key", self.admin_key()]);
        all.extend(["--data-dir", self.data.to_str().unwrap()]);
        run(&all)
    }

    /// Sends TERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        signal(self.pid(), "TERM");
        wait_for("the server to stop", 30, || self.child.try_wait().unwrap())
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself; what counts is that it is gone.
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
    // A process that has just ended needs no signal.
    assert!(sent.unwrap().success() || !runs(pid), "kill -{name} {pid}");
}

/// Whether a process runs (a zombie does not).
pub(crate) fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

/// The `redis-server` children of a process.
pub(crate) fn redis_children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        let Ok(stat) = stat else { continue };
        let rest: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        if stat.contains("(redis-server)") && rest.get(1) == Some(&&*parent.to_string()) {
            found.push(pid);
        }
    }
    found
}
