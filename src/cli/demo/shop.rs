//! The demo's data: an application's table, and a task that changes it.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::Client;
use tracing::warn;

use super::super::database::open;
use crate::source::conninfo::ConnInfo;

/// The table, and the channel of its trigger.
pub(super) const CHANNEL: &str = "orders";

/// The payload has the fields that PGCacheWatch's client decodes, and the row's key: TRUNCATE has
/// no key, and a changed key sends both. PostgreSQL sends equal payloads of one transaction once,
/// so `sent_at` is the transaction's time, not the clock's.
const SCHEMA: &str = "
    CREATE TABLE orders (
        id integer PRIMARY KEY,
        status text NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now());
    INSERT INTO orders SELECT id, 'new' FROM generate_series(1, 5) AS id;
    CREATE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        key integer;
    BEGIN
        FOREACH key IN ARRAY ARRAY[OLD.id, NEW.id] LOOP
            CONTINUE WHEN key IS NULL AND TG_LEVEL = 'ROW';
            PERFORM pg_notify(TG_TABLE_NAME, json_build_object(
                'operation', lower(TG_OP), 'table', TG_TABLE_NAME, 'sent_at', now(),
                'id', key, 'status', NEW.status)::text);
        END LOOP;
        RETURN NULL;
    END $$;
    CREATE TRIGGER orders_change AFTER INSERT OR UPDATE OR DELETE ON orders
        FOR EACH ROW EXECUTE FUNCTION notify_change();
    CREATE TRIGGER orders_emptied AFTER TRUNCATE ON orders
        FOR EACH STATEMENT EXECUTE FUNCTION notify_change();";

const CHANGE: &str = "
    UPDATE orders SET changed_at = now(),
        status = (ARRAY['new', 'paid', 'packed', 'sent'])[1 + floor(random() * 4)::int]
    WHERE id = (SELECT 1 + floor(random() * 5)::int)";

/// The application that writes to the table.
pub(super) struct Shop {
    database: Arc<ConnInfo>,
    client: Client,
}

impl Shop {
    /// Creates the table.
    pub(super) async fn open(database: &Arc<ConnInfo>) -> Result<Self, Box<dyn Error>> {
        let client = open(database).await?.client;
        client.batch_execute(SCHEMA).await?;
        Ok(Self {
            database: Arc::clone(database),
            client,
        })
    }

    /// Changes a row every second, and reconnects when its session ends: an experiment with lost
    /// sessions often ends this one too.
    pub(super) async fn keep_busy(mut self) {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            seconds.tick().await;
            if self.client.batch_execute(CHANGE).await.is_err() {
                warn!("the demo's writer has lost its session");
                if let Ok(session) = open(&self.database).await {
                    self.client = session.client;
                }
            }
        }
    }
}
