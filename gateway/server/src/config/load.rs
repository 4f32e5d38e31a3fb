//! Reading the layers and putting them together.

use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat};

use super::document::{Document, name_of, nearest};
use super::section::Settings;
use super::{ConfigError, DEFAULT};

/// Keys whose values are lists: in the environment their items are separated by commas.
const LISTS: [&str; 4] = [
    "hotstate.redis_urls",
    "data.trusted_proxies",
    "data.cors_origins",
    "identity.algorithms",
];
/// The prefix of environment variables.
const PREFIX: &str = "SLUICE";

/// One text layer over the defaults.
pub(crate) struct Layer {
    /// What messages call it.
    pub(crate) name: String,
    /// The TOML.
    pub(crate) text: String,
}

impl Layer {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: PathBuf::from(path),
            source,
        })?;
        Ok(Self {
            name: name_of(path),
            text,
        })
    }
}

/// Puts the layers together: the defaults, `layers` in order, then the variables of `environment`
/// that begin with `SLUICE__`.
pub(crate) fn load(
    layers: &[Layer],
    environment: &[(String, String)],
) -> Result<Settings, ConfigError> {
    let known = Document::parse("config/default.toml", DEFAULT)?;
    let mut documents = Vec::new();
    let mut builder = Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
    for layer in layers {
        let document = Document::parse(&layer.name, &layer.text)?;
        document.refuse_unlike(&known)?;
        documents.push(document);
        builder = builder.add_source(File::from_str(&layer.text, FileFormat::Toml));
    }
    let variables = variables(environment, &known)?;
    let names = variables.clone();
    let mut source = Environment::with_prefix(PREFIX)
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
        .list_separator(",")
        .source(Some(variables.into_iter().collect()));
    for list in LISTS {
        source = source.with_list_parse_key(list);
    }
    let merged = builder
        .add_source(source)
        .build()
        .map_err(|error| ConfigError::Value {
            place: "configuration".to_owned(),
            key: String::new(),
            message: error.to_string(),
        })?;
    let settings: Settings = serde_path_to_error::deserialize(merged).map_err(|error| {
        let key = error.path().to_string();
        ConfigError::Value {
            place: place_of(&key, &documents, &names),
            message: format!("is not acceptable: {}", error.inner()),
            key,
        }
    })?;
    settings
        .validate()
        .map_err(|(key, message)| ConfigError::Value {
            place: place_of(&key, &documents, &names),
            key,
            message,
        })?;
    Ok(settings)
}

/// The variables that concern us; an unknown one is refused like an unknown key.
fn variables(
    environment: &[(String, String)],
    known: &Document,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix("SLUICE__") else {
            continue;
        };
        let key = rest.to_ascii_lowercase().replace("__", ".");
        if !known.lines.contains_key(&key) {
            return Err(ConfigError::UnknownKey {
                place: format!("environment variable {name}"),
                hint: nearest(&key, known),
                key,
            });
        }
        found.push((name.clone(), value.clone()));
    }
    Ok(found)
}

/// Where the value in force was set: the last layer that has the key.
fn place_of(key: &str, documents: &[Document], variables: &[(String, String)]) -> String {
    let variable = format!("{PREFIX}__{}", key.to_ascii_uppercase().replace('.', "__"));
    if variables.iter().any(|(name, _value)| *name == variable) {
        return format!("environment variable {variable}");
    }
    // An item of a list has no line of its own: the list's is named.
    let list = key.split('[').next().unwrap_or(key);
    documents
        .iter()
        .rev()
        .find_map(|document| document.place_of(list))
        .unwrap_or_else(|| "config/default.toml".to_owned())
}
