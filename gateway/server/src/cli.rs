//! The command line, as `sluice --help` shows it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::capacity::Class;
use crate::role::Role;

/// Coupons at storm scale: exact, durable, explained.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Documented exit codes, shown below the help.
const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed (audit: violated; explain: differs) · 2 could not check (audit), not found (explain) or bad usage · \
74 the ledger's disk failed · 78 the configuration is refused";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process: private Redis, SQLite, generated keys, all roles
    Dev(DevArgs),
    /// Run with a configuration file and an external Redis
    Serve(ServeArgs),
    /// Check every invariant that the stores can show; 0 exact, 1 violated, 2 could not check
    Audit(AuditArgs),
    /// Copy the SQLite ledger beside the process that serves it, and check the copy
    Backup(BackupArgs),
    /// Compute a redemption's price again from its frozen terms, step by step
    Explain(ExplainArgs),
    /// What a sale of this size needs, and what gives way first, from measured costs
    Capacity(CapacityArgs),
    /// Make user tokens or passes for tests and load
    Token(TokenArgs),
    /// Make API keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Look at a lane, or act on one that waits for an operator
    Lane {
        #[command(subcommand)]
        command: LaneCommand,
    },
    /// Read a configuration file and say what is wrong with it
    CheckConfig {
        /// The file
        file: PathBuf,
    },
    /// Bring the ledger's schema up to date
    Migrate(LocateArgs),
    /// Ask the ops port whether claims can be served; for container probes
    Healthcheck(HealthcheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where everything is kept
    #[arg(long, default_value = "./var")]
    pub(crate) data_dir: PathBuf,
    /// Create and publish a demo sale where there is none
    #[arg(long)]
    pub(crate) demo: bool,
    /// A configuration file over the defaults of `dev`
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file
    #[arg(long)]
    pub(crate) config: PathBuf,
    /// What this process does: data (claims and checkout over HTTP), control (the admin API),
    /// workers (the lanes' keepers). Less than all of it needs the CQL ledger
    #[arg(long, value_delimiter = ',', default_values = ["data", "control", "workers"])]
    pub(crate) role: Vec<Role>,
}

/// Which system a command is about.
#[derive(Debug, Args)]
pub(crate) struct LocateArgs {
    /// The configuration file of the system
    #[arg(long, conflicts_with = "data_dir")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder of a `sluice dev`
    #[arg(long, default_value = "./var")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) locate: LocateArgs,
    /// Only this coupon
    #[arg(long)]
    pub(crate) coupon: Option<String>,
    /// Print JSON instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) locate: LocateArgs,
    /// The new file; nothing is overwritten
    #[arg(long)]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) locate: LocateArgs,
    /// The redemption
    #[arg(long, required_unless_present = "order", conflicts_with = "order")]
    pub(crate) redemption: Option<String>,
    /// The order that it is the redemption of
    #[arg(long)]
    pub(crate) order: Option<String>,
    /// Print JSON instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// Users who come
    #[arg(long)]
    pub(crate) users: u64,
    /// Seconds in which all of them come
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Units to give away, one to a user
    #[arg(long)]
    pub(crate) coupons: u64,
    /// Different coupons that share users and units evenly
    #[arg(long, default_value_t = 1)]
    pub(crate) sales: u64,
    /// How often each user asks again
    #[arg(long, default_value_t = 1.5)]
    pub(crate) reloads: f64,
    /// The busiest second, as a multiple of the mean second
    #[arg(long, default_value_t = 2.0)]
    pub(crate) peak: f64,
    /// Seconds in which the units are handed out; as --seconds where absent
    #[arg(long)]
    pub(crate) grant_seconds: Option<f64>,
    /// The coupons' durability
    #[arg(long, value_enum, default_value = "ledger")]
    pub(crate) class: Class,
    /// Connections that each user keeps open to a gateway; less than 1 behind a load balancer
    #[arg(long, default_value_t = 1.0)]
    pub(crate) connections_per_user: f64,
    /// Carts that each winner has priced
    #[arg(long, default_value_t = 3.0)]
    pub(crate) quotes_per_winner: f64,
    /// Seconds over which they do
    #[arg(long, default_value_t = 600.0)]
    pub(crate) checkout_seconds: f64,
    /// Hours that the machines are paid for
    #[arg(long, default_value_t = 2.0)]
    pub(crate) hours: f64,
    /// A file of costs instead of the one that is built in (config/costs.toml)
    #[arg(long)]
    pub(crate) costs: Option<PathBuf>,
    /// Price of a core for an hour, over the file's
    #[arg(long, value_parser = parse_price)]
    pub(crate) price_core_hour: Option<f64>,
    /// Price of a GiB of memory for an hour, over the file's
    #[arg(long, value_parser = parse_price)]
    pub(crate) price_gib_hour: Option<f64>,
    /// Price of a terabyte sent out, over the file's
    #[arg(long, value_parser = parse_price)]
    pub(crate) price_tb_egress: Option<f64>,
    /// Print JSON instead of words
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The data folder whose development key signs
    #[arg(long, default_value = "./var")]
    pub(crate) data_dir: PathBuf,
    /// Sign with this key instead
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
    /// One user
    #[arg(long, required_unless_present = "users", conflicts_with = "users")]
    pub(crate) user: Option<String>,
    /// That many users, named by prefix and number
    #[arg(long, requires = "prefix")]
    pub(crate) users: Option<u32>,
    /// What their names begin with
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Groups, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(crate) groups: Vec<String>,
    /// The device the token is bound to
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// The user has no paid order
    #[arg(long, conflicts_with = "existing")]
    pub(crate) new: bool,
    /// The user has a paid order
    #[arg(long)]
    pub(crate) existing: bool,
    /// What they had verified: phone, email, identity
    #[arg(long, value_delimiter = ',')]
    pub(crate) verified: Vec<String>,
    /// How long it is good for: a number and s, m, h or d
    #[arg(long, default_value = "24h", value_parser = parse_duration)]
    pub(crate) ttl: std::time::Duration,
    /// Passes (at most one hour) instead of tokens
    #[arg(long)]
    pub(crate) pass: bool,
    /// Write here instead of to standard output
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it, once
    Create(KeyCreateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyCreateArgs {
    #[command(flatten)]
    pub(crate) locate: LocateArgs,
    /// An operator's role: viewer, operator, approver or admin
    #[arg(long, required_unless_present = "scope", conflicts_with = "scope")]
    pub(crate) role: Option<String>,
    /// A service's scopes: checkout, events
    #[arg(long, value_delimiter = ',')]
    pub(crate) scope: Vec<String>,
    /// What it is for
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LaneCommand {
    /// Where each lane stands
    Status(LaneArgs),
    /// Start a recovery; with --accept-ledger also out of a halt
    Recover {
        /// The lane
        lane: u16,
        /// Go on with the ledger as it is, although Redis knows a newer one: what the lost part of
        /// the ledger held is gone
        #[arg(long)]
        accept_ledger: bool,
        #[command(flatten)]
        admin: LaneArgs,
    },
    /// Give quarantined tickets back before their grace is over
    Release {
        /// The lane
        lane: u16,
        #[command(flatten)]
        admin: LaneArgs,
    },
}

/// How to reach the admin API of the running process.
#[derive(Debug, Args)]
pub(crate) struct LaneArgs {
    /// The admin API; read from the data folder's ready.json where absent
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// An admin key; read from the data folder's ready.json where absent
    #[arg(long, env = "SLUICE_ADMIN_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// The data folder of a `sluice dev`
    #[arg(long, default_value = "./var")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// The ops port; read from the data folder's ready.json where absent
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The data folder of a `sluice dev`
    #[arg(long, default_value = "./var")]
    pub(crate) data_dir: PathBuf,
}

fn parse_price(text: &str) -> Result<f64, String> {
    let price = text
        .parse()
        .ok()
        .filter(|price| (0.0..1e12).contains(price));
    price.ok_or_else(|| format!("`{text}` is no price; write a number from 0 on, as in 0.04"))
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let refusal = || format!("`{text}` is no duration; write a number and s, m, h or d, as in 24h");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(refusal)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _other => return Err(refusal()),
    };
    let number: u64 = number.parse().map_err(|_number| refusal())?;
    let total = number
        .checked_mul(seconds)
        .filter(|&total| total > 0 && total <= 366 * 86_400);
    total
        .map(std::time::Duration::from_secs)
        .ok_or_else(|| format!("`{text}` is out of range; from 1s to 366d"))
}
