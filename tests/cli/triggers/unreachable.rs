//! A database that is unreachable or refuses the login: the same message as
//! that of `pgfan check`.

use crate::support::{
    Database,
    gateway_process::pgfan,
    program::{Ended, run},
};

async fn at(command: &[&str], url: &str) -> Ended {
    run(pgfan().args(command).args(["--database-url", url])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_with_the_remedy_that_check_gives() {
    let database = Database::new().await;
    let (server, _) = database.url.rsplit_once('/').unwrap();
    let elsewhere = format!("{server}/elsewhere");
    for (url, remedy) in [
        (
            "postgresql://me@127.0.0.1:1/db",
            "start PostgreSQL there, or check PGHOST",
        ),
        (
            "postgresql://me@no.such.host.invalid/db",
            "check the name of the host: PGHOST",
        ),
        (&elsewhere, "name a database that exists: PGDATABASE"),
    ] {
        let ended = at(&["triggers", "show"], url).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let [says, what_to_do] = ended.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("not two lines: {ended:?}");
        };
        assert!(
            what_to_do.starts_with(&format!("remedy: {remedy}")),
            "{ended:?}"
        );
        let check = at(&["check", "--listen", "127.0.0.1:0"], url).await;
        let finding = format!("fail  database    {says}\n                  {what_to_do}\n");
        assert!(
            check.stdout.contains(&finding),
            "{finding:?} is not in {check:?}"
        );
    }
}
