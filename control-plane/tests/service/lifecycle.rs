//! Start and end.

use luthien_control_plane::{Config, ControlPlane, StartError};
use luthien_proto::message::Outcome;
use luthien_service::{Shutdown, config::Document};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use uuid::Uuid;

use crate::harness::{Plane, started};

#[tokio::test]
async fn a_shutdown_lets_running_calls_end() {
    let (plane, id) = (Plane::start(""), Uuid::now_v7());
    let mut watch = HealthClient::new(plane.channel().await)
        .watch(HealthCheckRequest { service: "luthien.v1.PolicyService".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.reply().await;

    plane.shutdown.begin();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(plane.ask("/readyz", &[]).await.0, 503);
    stream.end(Outcome::Delivered);
    stream.close().await.unwrap();
    assert_eq!(plane.restarted("").await.record(id).await["outcome"], "delivered");
}

#[tokio::test]
async fn the_end_of_the_grace_period_cuts_calls_and_puts_that_on_record() {
    let (plane, id) = (Plane::start(""), Uuid::now_v7());
    let mut stream = plane.enforce().await;
    stream.tell(started(id));
    stream.reply().await;

    plane.shutdown.end_now();
    assert_eq!(stream.close().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(plane.restarted("").await.record(id).await["outcome"], "unknown");
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let plane = Plane::start("");
    for listen in [format!("grpc_listen: {}", plane.policy), format!("http_listen: {}", plane.admin)] {
        let text = format!("control_plane:\n  database: sqlite://{}\n  {listen}", plane.database().display());
        let document = Document::parse("luthien.yaml", &text, |_| None).unwrap();
        let error = ControlPlane::start(Config::load(&document).unwrap(), &Shutdown::new()).err().unwrap();
        assert!(matches!(error, StartError::Listen(..)), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_an_error_that_names_it() {
    let text = "control_plane: { grpc_listen: '127.0.0.1:0', http_listen: '127.0.0.1:0', admin: { token: t }, \
                database: 'sqlite:///nowhere/luthien.db' }";
    let document = Document::parse("luthien.yaml", text, |_| None).unwrap();
    let error = ControlPlane::start(Config::load(&document).unwrap(), &Shutdown::new()).err().unwrap();
    assert!(error.to_string().contains("/nowhere/luthien.db"), "{error}");
}
