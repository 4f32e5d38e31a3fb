//! Scripts broken on purpose: one piece of text replaced by another.

use anyhow::ensure;
use sluice_hotstate::redis::script::Script;

/// One replacement.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// In which script; `None` is the prologue that most scripts share.
    pub script: Option<Script>,
    /// What stands there.
    pub from: String,
    /// What is to stand there.
    pub to: String,
}

impl Mutation {
    /// Replaces `from` by `to`, in one script or, without one, in the shared prologue.
    #[must_use]
    pub fn new(script: Option<Script>, from: &str, to: &str) -> Self {
        Self {
            script,
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }
}

/// Applies those that concern this script.
#[must_use]
pub fn apply(mutations: &[Mutation], script: Script, text: String) -> String {
    mutations
        .iter()
        .filter(|mutation| mutation.script.is_none_or(|of| of == script))
        .fold(text, |text, mutation| {
            text.replace(&mutation.from, &mutation.to)
        })
}

/// Makes sure that each mutation finds its text exactly once, in the state that the ones before it
/// leave: a script that was rewritten must not turn its mutant into the script itself.
///
/// # Errors
/// Names the first text that is not there, or there more than once.
pub fn verify(mutations: &[Mutation]) -> anyhow::Result<()> {
    for (index, mutation) in mutations.iter().enumerate() {
        let mut concerned = 0;
        for &script in Script::ALL {
            if mutation.script.is_some_and(|of| of != script) {
                continue;
            }
            let before = apply(&mutations[..index], script, script.rendered());
            let found = before.matches(mutation.from.as_str()).count();
            ensure!(
                found <= 1,
                "{}: {found} times {:?}",
                script.name(),
                mutation.from
            );
            concerned += found;
        }
        ensure!(concerned > 0, "no script holds {:?}", mutation.from);
        ensure!(mutation.from != mutation.to, "nothing would change");
    }
    Ok(())
}
