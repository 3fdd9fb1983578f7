//! State shared by all measurements: the settings, and one temporary database.

use std::{collections::HashMap, path::Path};

use pgfan::temp_postgres::{Binaries, Options, Sandbox, SandboxError, Search};

use crate::settings::Settings;

pub struct World {
    pub settings: Settings,
    database: Sandbox,
    url: String,
}

impl World {
    pub async fn new(settings: Settings) -> Result<Self, SandboxError> {
        let environment = pgfan::config::environment;
        let (pg_bin, path) = (environment("PG_BIN"), environment("PATH"));
        let binaries = Binaries::find(Search {
            pg_bin: pg_bin.as_deref().map(Path::new),
            path: path.as_deref().map(AsRef::as_ref),
            private: Some(Path::new(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/target/postgres"
            ))),
        })?;
        let database = Sandbox::start(Options::new(binaries)).await?;
        Ok(Self {
            url: database.url(),
            settings,
            database,
        })
    }

    pub fn database_url(&self) -> &str {
        &self.url
    }

    /// The database's address for a client of libpq.
    pub fn libpq_variables(&self) -> HashMap<&'static str, String> {
        HashMap::from([
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.database.port().to_string()),
            ("PGUSER", pgfan::temp_postgres::USER.to_owned()),
            ("PGDATABASE", "postgres".to_owned()),
        ])
    }
}
