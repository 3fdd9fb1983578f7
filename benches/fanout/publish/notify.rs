//! NOTIFY, all messages of one call in one transaction.

use tokio_postgres::{Client, NoTls, Statement};

use super::{Message, PublishResult};

pub struct Notify {
    client: Client,
    statement: Statement,
}

impl Notify {
    pub async fn connect(url: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let sql = "SELECT count(pg_notify(channel, payload)) \
                   FROM unnest($1::text[], $2::text[]) AS message (channel, payload)";
        let statement = client.prepare(sql).await?;
        Ok(Self { client, statement })
    }

    pub async fn publish(&self, messages: &[Message]) -> PublishResult {
        let channels = messages.iter().map(|message| message.channel.as_str());
        let channels: Vec<&str> = channels.collect();
        let texts: Vec<String> = messages.iter().map(Message::text).collect();
        self.client
            .query(&self.statement, &[&channels, &texts])
            .await?;
        Ok(())
    }
}
