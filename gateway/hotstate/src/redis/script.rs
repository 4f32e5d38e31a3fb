//! The scripts: which there are, how they are rendered, and how many keys each takes.
//!
//! Texts live in `lua/`, one transition per file, and are constant: nothing is formatted into
//! them, so loading one again, on any server, is always safe. `lua/README.md` is the contract.

use metrics::Histogram;

const PROLOGUE: &str = include_str!("../../../../lua/prologue.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $stem:literal, $keys:literal, $form:ident;)*) => {
        /// A script, by its transition.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Script {
            $($(#[$doc])* $name,)*
        }

        impl Script {
            /// Every script.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name: the file's, without the number of keys.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $stem,)* }
            }

            /// How many keys it takes.
            #[must_use]
            pub const fn keys(self) -> usize {
                match self { $(Self::$name => $keys,)* }
            }

            /// Its file, as written.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!(
                        "../../../../lua/", $stem, "-", stringify!($keys), ".lua"
                    )),)*
                }
            }

            const fn form(self) -> Form {
                match self { $(Self::$name => Form::$form,)* }
            }
        }
    };
}

/// Whether the common prologue goes in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It works in a lane.
    Lane,
    /// It has no lane.
    Bare,
}

scripts! {
    /// Decides a batch of claims.
    Claim = "claim", 7, Lane;
    /// Reads a definition.
    Definition = "definition", 3, Lane;
    /// Reads a page of winners.
    Winners = "winners", 3, Lane;
    /// Reads the shared winner filter.
    FilterLoad = "filter_load", 3, Lane;
    /// Shares a winner filter.
    FilterStore = "filter_store", 3, Lane;
    /// Puts a revision in force.
    Install = "install", 4, Lane;
    /// Puts a lease on the list.
    Lease = "lease", 2, Lane;
    /// Says that nothing is left in the ledger.
    Final = "final", 2, Lane;
    /// Takes leases off the list.
    Retire = "retire", 2, Lane;
    /// Publishes the mark and trims.
    Mark = "mark", 4, Lane;
    /// Sets a claim aside.
    Refuse = "refuse", 6, Lane;
    /// Puts a new keeper in charge.
    Take = "take", 3, Lane;
    /// Prolongs the lane's lease.
    Renew = "renew", 5, Lane;
    /// Begins a recovery.
    Fence = "fence", 3, Lane;
    /// Stops a lane.
    Halt = "halt", 1, Lane;
    /// Makes a lane serve.
    Open = "open", 3, Lane;
    /// Starts a hydration.
    HydrateBegin = "hydrate_begin", 8, Lane;
    /// Fills claims in.
    HydrateClaims = "hydrate_claims", 5, Lane;
    /// Ends a hydration.
    HydrateFinish = "hydrate_finish", 6, Lane;
    /// Removes a coupon's state.
    Forget = "forget", 7, Lane;
    /// Unlinks a key of an ended epoch.
    Sweep = "sweep", 2, Lane;
    /// Reads the lane hash.
    Facts = "facts", 3, Lane;
    /// Reads the outbox.
    Outbox = "outbox", 2, Lane;
    /// Reads the refused set.
    Refused = "refused", 2, Lane;
    /// Reads a coupon's figures.
    Figures = "figures", 2, Lane;
    /// Lists a lane's coupons.
    Coupons = "coupons", 3, Lane;
    /// Reads a page of claims.
    Claims = "claims", 2, Lane;
    /// Takes a slice of a request quota.
    Limits = "limits", 1, Bare;
}

impl Script {
    /// The text that is sent: the file with the prologue after its first line, which has to stay
    /// first because Redis reads the flags there.
    #[must_use]
    pub fn rendered(self) -> String {
        let source = self.source();
        match self.form() {
            Form::Bare => source.to_owned(),
            Form::Lane => {
                let (shebang, body) = source.split_once('\n').unwrap_or((source, ""));
                format!("{shebang}\n{PROLOGUE}{body}")
            }
        }
    }
}

/// A script ready to be called: its hash, and where its calls are timed.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) script: Script,
    pub(super) text: redis::Script,
    /// What is sent where the server does not know the hash.
    pub(super) source: String,
    pub(super) duration: Histogram,
}

/// All scripts, made once per client.
#[derive(Debug)]
pub(super) struct Handles(Vec<Handle>);

impl Handles {
    pub(super) fn new() -> Self {
        Self::rewritten(&|_script, text| text)
    }

    /// As [`new`](Self::new), from texts that went through `rewrite`.
    pub(super) fn rewritten(rewrite: &dyn Fn(Script, String) -> String) -> Self {
        let handle = |&script: &Script| {
            let source = rewrite(script, script.rendered());
            Handle {
                script,
                text: redis::Script::new(&source),
                source,
                duration: metrics::histogram!(
                    "sluice_hotstate_call_duration_seconds", "script" => script.name()
                ),
            }
        };
        Self(Script::ALL.iter().map(handle).collect())
    }

    pub(super) fn of(&self, script: Script) -> &Handle {
        // `ALL` is in the order of declaration, which is what `as` counts.
        &self.0[script as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Script};

    #[test]
    fn headers_state_the_arity_that_the_handle_has() {
        for &script in Script::ALL {
            let source = script.source();
            let stated = format!("-- KEYS ({}):", script.keys());
            assert!(
                source.contains(&stated),
                "{} lacks `{stated}`",
                script.name()
            );
            assert!(source.starts_with("#!lua"), "{}", script.name());
            assert!(
                source.contains(&format!("\n-- {}: ", script.name())),
                "{}",
                script.name()
            );
            for part in [
                "\n-- ARGV: ",
                "\n-- Returns: ",
                "\n-- Called by: ",
                "\n-- Guards: ",
            ] {
                assert!(source.contains(part), "{} lacks {part:?}", script.name());
            }
            let used = (1..=9)
                .filter(|n| source.contains(&format!("KEYS[{n}]")))
                .max();
            let indexed = source.contains("KEYS[filled - 1]");
            assert!(
                used == Some(script.keys())
                    || indexed
                    || script.form() == Form::Lane && used.unwrap_or(1).max(1) <= script.keys(),
                "{} uses {used:?}",
                script.name()
            );
        }
    }

    #[test]
    fn handles_are_found_by_their_script() {
        let handles = super::Handles::new();
        for &script in Script::ALL {
            assert_eq!(handles.of(script).script, script);
        }
    }
}
