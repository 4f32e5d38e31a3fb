//! Signing tokens and passes: for development, load tests and the command line. A merchant's
//! issuer signs its own tokens; a serving gateway signs passes only.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use sluice_domain::eligibility::Shopper;
use sluice_domain::terms::Verified;

use super::pass::{PassKeys, PassKeysError};

/// What a PKCS#8 document of an Ed25519 key has before its 32 secret bytes (RFC 8410).
const ED25519_PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The key files of a development server, all in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevKeyFiles {
    /// The Ed25519 key that signs tokens: PKCS#8 in PEM. Secret.
    pub token_key: PathBuf,
    /// Its public half as a JSON Web Key Set: what a gateway reads.
    pub jwks: PathBuf,
    /// Pass keys: one base64url key of 32 bytes per line, the first one signs. Secret.
    pub pass_keys: PathBuf,
}

/// Signs tokens and passes.
pub struct DevSigner {
    key: EncodingKey,
    header: Header,
    issuer: String,
    audience: String,
    passes: Option<PassKeys>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file cannot be read or written.
    #[error("{path} cannot be used")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The key is not Ed25519 or P-256 in PKCS#8 PEM.
    #[error("the key is no Ed25519 or P-256 key in PKCS#8 PEM")]
    Key(#[source] jsonwebtoken::errors::Error),
    /// The pass keys are unusable.
    #[error("the pass keys cannot be used")]
    PassKeys(#[from] PassKeysError),
    /// Passes are asked for and there is no pass key.
    #[error("there is no pass key to make passes with")]
    NoPassKey,
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random(#[source] getrandom::Error),
    /// The key set cannot be written as JSON.
    #[error("the key set cannot be written")]
    Json(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct TokenClaims<'a> {
    sub: &'a str,
    iss: &'a str,
    aud: &'a str,
    exp: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    verified: &'a [Verified],
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
}

// === impl DevKeyFiles ===

impl DevKeyFiles {
    /// The files' places in a folder, whether they are there or not.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            token_key: folder.join("token-key.pem"),
            jwks: folder.join("jwks.json"),
            pass_keys: folder.join("pass.keys"),
        }
    }
}

/// Makes the key files of a development server where they are missing, readable by the owner
/// only. Files that are there are left alone, so tokens outlive a restart.
///
/// # Errors
/// When a file cannot be made, or the token key that is there is broken.
pub fn generate_dev_keys(folder: &Path) -> Result<DevKeyFiles, SignError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| file_error(folder, source))?;
    let files = DevKeyFiles::in_folder(folder);
    if !files.token_key.exists() {
        let mut document = ED25519_PKCS8_HEAD.to_vec();
        document.extend_from_slice(&random_key()?);
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(&document)
        );
        write_secret(&files.token_key, pem.as_bytes())?;
    }
    if !files.jwks.exists() {
        let signer = DevSigner::from_file(&files.token_key, "", "")?;
        write_secret(&files.jwks, &signer.public_key_set()?)?;
    }
    if !files.pass_keys.exists() {
        let text = format!(
            "# Pass keys: base64url of 32 bytes, one per line. The first signs, all verify.\n{}\n",
            URL_SAFE_NO_PAD.encode(random_key()?)
        );
        write_secret(&files.pass_keys, text.as_bytes())?;
    }
    Ok(files)
}

// === impl DevSigner ===

impl DevSigner {
    /// Takes a private key: Ed25519 (signs `EdDSA`) or P-256 (signs `ES256`), PKCS#8 in PEM.
    /// Tokens name the key by its RFC 7638 thumbprint.
    ///
    /// # Errors
    /// When it is neither.
    pub fn from_pem(pem: &[u8], issuer: &str, audience: &str) -> Result<Self, SignError> {
        let (key, algorithm) = match EncodingKey::from_ed_pem(pem) {
            Ok(key) => (key, Algorithm::EdDSA),
            Err(_not_ed25519) => (
                EncodingKey::from_ec_pem(pem).map_err(SignError::Key)?,
                Algorithm::ES256,
            ),
        };
        let jwk = Jwk::from_encoding_key(&key, algorithm).map_err(SignError::Key)?;
        let mut header = Header::new(algorithm);
        header.kid = Some(
            jwk.thumbprint(ThumbprintHash::SHA256)
                .map_err(SignError::Key)?,
        );
        Ok(Self {
            key,
            header,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            passes: None,
        })
    }

    /// Reads the private key from a file.
    ///
    /// # Errors
    /// When it cannot be read or is no such key.
    pub fn from_file(path: &Path, issuer: &str, audience: &str) -> Result<Self, SignError> {
        let pem = fs::read(path).map_err(|source| file_error(path, source))?;
        Self::from_pem(&pem, issuer, audience)
    }

    /// Adds pass keys, so that passes can be made.
    ///
    /// # Errors
    /// When the file cannot be read or holds no keys.
    pub fn with_pass_keys(mut self, path: &Path) -> Result<Self, SignError> {
        let text = fs::read(path).map_err(|source| file_error(path, source))?;
        self.passes = Some(PassKeys::parse(&text)?);
        Ok(self)
    }

    /// A token for this shopper.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign_token(&self, shopper: &Shopper, expires_at_s: u64) -> Result<String, SignError> {
        let claims = TokenClaims {
            sub: shopper.user.as_str(),
            iss: &self.issuer,
            aud: &self.audience,
            exp: expires_at_s,
            groups: &shopper.groups,
            new: shopper.is_new,
            verified: &shopper.verified,
            device: shopper.device.as_deref(),
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(SignError::Key)
    }

    /// A pass for this shopper.
    ///
    /// # Errors
    /// When there is no pass key.
    pub fn sign_pass(&self, shopper: &Shopper, expires_at_s: u64) -> Result<String, SignError> {
        let keys = self.passes.as_ref().ok_or(SignError::NoPassKey)?;
        Ok(keys.issue(shopper, expires_at_s))
    }

    /// The public half, as a JSON Web Key Set document.
    ///
    /// # Errors
    /// When the key has no public half of a known kind.
    pub fn public_key_set(&self) -> Result<Vec<u8>, SignError> {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.header.alg).map_err(SignError::Key)?;
        jwk.common.key_id.clone_from(&self.header.kid);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let set = jsonwebtoken::jwk::JwkSet { keys: vec![jwk] };
        serde_json::to_vec_pretty(&set).map_err(SignError::Json)
    }
}

impl std::fmt::Debug for DevSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevSigner")
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

fn random_key() -> Result<[u8; 32], SignError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(SignError::Random)?;
    Ok(key)
}

/// Writes a file that did not exist, for the owner's eyes.
fn write_secret(path: &Path, text: &[u8]) -> Result<(), SignError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        })
        .map_err(|source| file_error(path, source))
}

fn file_error(path: &Path, source: std::io::Error) -> SignError {
    SignError::File {
        path: path.to_owned(),
        source,
    }
}
