use std::{net::IpAddr, time::Duration};

use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use crate::{
    besieged::Besieged,
    guests::{connect, loopback},
    support::{until, within},
};

/// Limit of open calls of one address.
const CALLS: usize = 256;

async fn channel(besieged: &Besieged, from: IpAddr) -> Channel {
    let to = besieged.address();
    let connector = tower::service_fn(move |_: http::Uri| async move {
        Ok::<_, std::io::Error>(TokioIo::new(connect(from, to).await))
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// A call of the health service that does not end.
async fn watch(channel: &Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut client = HealthClient::new(channel.clone());
    let watched = client.watch(HealthCheckRequest::default()).await?;
    let mut answers = watched.into_inner();
    within("how it is", answers.message()).await?;
    Ok(answers)
}

async fn is_healthy(channel: &Channel) -> Result<bool, Status> {
    let mut client = HealthClient::new(channel.clone());
    let answer = client.check(HealthCheckRequest::default()).await?;
    Ok(answer.into_inner().status == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a11_calls_that_need_no_token_are_bounded_too() {
    let mut besieged = Besieged::new().await;
    let mine = channel(&besieged, loopback(2)).await;
    let mut watching = Vec::new();
    for _ in 0..CALLS {
        watching.push(watch(&mine).await.unwrap());
    }
    assert_eq!(
        watch(&mine).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    // Applies to each of the services.
    let list = v1alpha::ServerReflectionRequest::default();
    let mut reflection =
        v1alpha::server_reflection_client::ServerReflectionClient::new(mine.clone());
    let refused = reflection
        .server_reflection_info(stream::iter([list]))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    // A single check is answered, regardless of the open calls of this address.
    assert!(is_healthy(&mine).await.unwrap());
    let other = channel(&besieged, loopback(3)).await;
    assert!(is_healthy(&other).await.unwrap());
    besieged.others_are_served().await;
    drop(watching);
    until("there is room again", || async {
        watch(&mine).await.is_ok()
    })
    .await;
    besieged.gateway.stop().await;
}

/// Its question is answered; then it sends nothing and keeps the stream open.
/// The same in both versions of the protocol.
macro_rules! never_ending_question {
    ($channel:expr, $version:ident) => {
        async {
            use $version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
            };
            let question = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let begun = Instant::now();
            let questions = stream::iter([question]).chain(stream::pending());
            let mut client = ServerReflectionClient::new($channel);
            let answers = client.server_reflection_info(questions).await;
            let mut answers = answers.unwrap().into_inner();
            let answer = within("an answer", answers.message()).await;
            assert!(answer.unwrap().is_some());
            let end = within("an end", answers.message()).await;
            assert!(!matches!(end, Ok(Some(_))), "{end:?}");
            begun.elapsed()
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a06_a_question_about_the_api_that_never_ends_is_ended() {
    let mut besieged = Besieged::new().await;
    let mine = channel(&besieged, loopback(2)).await;
    let v1 = never_ending_question!(mine.clone(), v1);
    let v1alpha = never_ending_question!(mine.clone(), v1alpha);
    let (v1, v1alpha) = tokio::join!(v1, v1alpha);
    for after in [v1, v1alpha] {
        assert!(
            after > Duration::from_secs(9) && after < Duration::from_secs(14),
            "{after:?}"
        );
    }
    besieged.others_are_served().await;
    besieged.gateway.stop().await;
}
