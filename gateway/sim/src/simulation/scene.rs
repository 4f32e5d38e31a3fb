//! Scenes: worlds in which one thing goes wrong again and again, and little else.
//!
//! An ordinary world has a bit of everything, so what needs three faults in a row within a second is
//! rare in it. A scene brings such a row about. Every fourth seed is one; the seed says which, and the
//! dice say the rest. What breaks a rule that only a scene puts to the test is hunted in that scene.

use sluice_workers::KeeperSettings;

use super::dice::Dice;
use super::link::Weather;
use super::process::keeper_settings;

/// One seed of so many is a scene.
const EVERY: u64 = 4;
/// A definition arrives once more so long after it did: longer than most changes last.
const INSTALL_ECHO_MS: u64 = 700;
/// So long after a coupon was filled in, so that claims were granted in between.
const HYDRATION_ECHO_MS: u64 = 2_000;

/// What a world is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scene {
    /// A bit of everything.
    Ordinary,
    /// Scripts break off in the midst of their writes, and their callers repeat.
    TornScripts,
    /// An old primary goes on for one process for longer than the lane's lease.
    OldPrimary,
    /// What hydrates a coupon arrives a second time while the coupon is served.
    HydrationEchoes,
    /// A coupon changes all the time; installations arrive a second time, claims late.
    Changes,
    /// Hot state forgets what was acknowledged as `hot`, as soon as the class is another one. Grace is
    /// long enough for everything that is left to be sold within it.
    LostHotClaims,
    /// Answers to the opening and closing of leases are lost.
    LostAnswers,
    /// The ledger comes from a backup that misses some claims and nothing else.
    OldLedger,
}

/// The coupons of a scene, where it says something of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wares {
    /// From so many units to so many, which is left out.
    pub(super) total: (u64, u64),
    /// In a thousand: how many are of class `hot`.
    pub(super) hot: u32,
    /// In a thousand: how many allow two claims per user.
    pub(super) two_each: u32,
}

// === impl Scene ===

impl Scene {
    const RARE: [Self; 7] = [
        Self::TornScripts,
        Self::OldPrimary,
        Self::HydrationEchoes,
        Self::Changes,
        Self::LostHotClaims,
        Self::LostAnswers,
        Self::OldLedger,
    ];

    /// What the world of a seed is about.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        if seed % EVERY != EVERY - 1 {
            return Self::Ordinary;
        }
        let number = (seed / EVERY) % Self::RARE.len() as u64;
        Self::RARE[usize::try_from(number).unwrap_or(0)]
    }

    /// Under which name it is counted.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "scene: ordinary",
            Self::TornScripts => "scene: torn scripts",
            Self::OldPrimary => "scene: old primary",
            Self::HydrationEchoes => "scene: hydration echoes",
            Self::Changes => "scene: changes",
            Self::LostHotClaims => "scene: lost hot claims",
            Self::LostAnswers => "scene: lost answers",
            Self::OldLedger => "scene: old ledger",
        }
    }

    /// How long things go wrong.
    pub(super) const fn storm_ms(self) -> u64 {
        match self {
            Self::OldPrimary | Self::OldLedger => 11_000,
            _shorter => 8_000,
        }
    }

    pub(super) fn keeper_settings(self) -> KeeperSettings {
        let usual = keeper_settings();
        match self {
            // What the old primary has goes round, and no lease is made between backup and end.
            Self::OldPrimary | Self::OldLedger => KeeperSettings {
                lease_floor: 64,
                lease_floor_max: 64,
                ..usual
            },
            Self::LostHotClaims => KeeperSettings {
                grace_ms: 16_000,
                retention_ms: 20_000,
                ..usual
            },
            _usual => usual,
        }
    }

    pub(super) fn weather(self, dice: &mut Dice) -> Weather {
        let rough = dice.below(4);
        let share = |of: u64| u32::try_from(rough * of).unwrap_or(0);
        match self {
            Self::Ordinary => Weather {
                not_carried_out: share(6),
                answer_lost: share(6),
                late: share(8),
                twice: share(6),
                deadly: share(1),
                is_calm: false,
            },
            Self::Changes => Weather {
                late: 120,
                ..Weather::default()
            },
            _calm => Weather {
                late: share(2),
                ..Weather::default()
            },
        }
    }

    /// In a thousand: how often the answer of this call is lost, besides what the weather loses.
    pub(super) fn loses_answer_of(self, what: &str) -> u32 {
        match (self, what) {
            (Self::LostAnswers, "install_lease") => 250,
            (Self::LostAnswers, "close_lease") => 350,
            _others => 0,
        }
    }

    /// When this call arrives a second time, if it does.
    pub(super) fn echoes(self, what: &str) -> Option<u64> {
        match (self, what) {
            (Self::HydrationEchoes, "hydrate_begin" | "hydrate_claims" | "hydrate_finish") => {
                Some(HYDRATION_ECHO_MS)
            }
            (Self::Changes, "install") => Some(INSTALL_ECHO_MS),
            _others => None,
        }
    }

    /// The pause of an operator between two changes, in milliseconds; `None` where nobody changes
    /// anything.
    pub(super) const fn operator_pauses(self) -> Option<(u64, u64)> {
        match self {
            Self::Ordinary | Self::LostAnswers => Some((150, 1_100)),
            Self::Changes => Some((60, 500)),
            Self::TornScripts
            | Self::OldPrimary
            | Self::HydrationEchoes
            | Self::LostHotClaims
            | Self::OldLedger => None,
        }
    }

    /// What is sold; `None` where the dice decide.
    pub(super) const fn wares(self) -> Option<Wares> {
        let (total, hot, two_each) = match self {
            Self::Ordinary => return None,
            Self::TornScripts => ((30, 60), 600, 500),
            Self::OldPrimary => ((70, 110), 1_000, 0),
            Self::HydrationEchoes => ((40, 80), 1_000, 300),
            Self::Changes => ((40, 80), 500, 0),
            Self::LostHotClaims => ((6, 14), 1_000, 0),
            Self::LostAnswers => ((20, 40), 300, 0),
            Self::OldLedger => ((70, 110), 0, 0),
        };
        Some(Wares {
            total,
            hot,
            two_each,
        })
    }

    /// The pause of strangers who come one after the other, in milliseconds; `None` where none come.
    pub(super) const fn stream_pauses(self) -> Option<(u64, u64)> {
        match self {
            Self::Ordinary => None,
            Self::LostHotClaims => Some((150, 400)),
            Self::Changes => Some((30, 160)),
            Self::TornScripts
            | Self::OldPrimary
            | Self::HydrationEchoes
            | Self::LostAnswers
            | Self::OldLedger => Some((50, 250)),
        }
    }
}
