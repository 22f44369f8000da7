use std::io::BufReader;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use adieu::serve::rustls::pki_types::pem::PemObject;
use adieu::serve::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use adieu::serve::rustls::server::WebPkiClientVerifier;
use adieu::serve::rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use adieu::serve::{Draining, Serve};
use adieu::{App, StopReport};
use axum::Extension;
use axum::routing::get;

use super::client::Client;
use super::{anywhere, port, routes, tell_port};
use crate::scene::{play, say, scene};

/// A certificate and its key, in one text. Made by the service, which says it.
fn certificate() -> String {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "-", "-out", "-"])
        .stderr(Stdio::null())
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "no certificate");
    String::from_utf8(made.stdout).expect("text")
}

fn service() -> StopReport {
    let pem = certificate();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
    say(&format!("certificate {}", pem.lines().collect::<Vec<_>>().join("|")));
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("a root");
    // Whoever has a certificate shows it.
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build().expect("a verifier");
    let config = ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(vec![certificate], key);
    let settings = Serve::new().tls(config.expect("they fit")).handshake(Duration::from_millis(300));
    let app = App::new("tls");
    let shown = |Extension(draining): Extension<Draining>| async move {
        let lengths: Vec<usize> = draining.peer_certificates().iter().map(|one| one.len()).collect();
        format!("{lengths:?}")
    };
    let server = app.serve_with("api", anywhere(), routes().route("/shown", get(shown)), settings);
    tell_port(&app, &server);
    drop(server);
    app.run()
}

#[test]
fn through_tls_answers_are_finished_and_half_a_handshake_holds_nothing() {
    play(scene!(through_tls_answers_are_finished_and_half_a_handshake_holds_nothing), service, |mut service| {
        let pem = service.hears_of("certificate ").replace('|', "\n");
        let port = port(&mut service);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")).expect("a root");
        let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
        let connect = || {
            let name = ServerName::try_from("localhost").expect("a name");
            let connection = ClientConnection::new(Arc::clone(&config), name).expect("a client");
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
            Client { stream: BufReader::new(StreamOwned::new(connection, stream)) }
        };
        let (mut busy, mut idle) = (connect(), connect());
        assert_eq!(idle.get("/").body, "hello");
        // The first byte of a handshake.
        let mut half = Client::connect(port);
        half.send("\x16");
        busy.send("GET /pieces HTTP/1.1\r\nHost: here\r\n\r\n");
        service.hears("asked for pieces");
        service.signal("TERM");
        // Within the linger.
        while !idle.get("/").last {}
        assert_eq!(busy.answer().expect("an answer").body, "piece ".repeat(6));
        // With a close_notify, without which reading to the end is an error.
        assert!(busy.ends() && idle.ends());
        assert_eq!(service.ends().code(), Some(0));
        drop(half);
    });
}

#[test]
fn the_certificates_that_a_client_has_shown_are_known_to_its_requests() {
    play(scene!(the_certificates_that_a_client_has_shown_are_known_to_its_requests), service, |mut service| {
        let pem = service.hears_of("certificate ").replace('|', "\n");
        let port = port(&mut service);
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a root");
        let builder = || ClientConfig::builder().with_root_certificates(roots.clone());
        let get = |config: ClientConfig| {
            let name = ServerName::try_from("localhost").expect("a name");
            let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
            Client { stream: BufReader::new(StreamOwned::new(connection, stream)) }.get("/shown").body
        };
        assert_eq!(get(builder().with_no_client_auth()), "[]");
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
        let known = builder().with_client_auth_cert(vec![certificate.clone()], key).expect("they fit");
        assert_eq!(get(known), format!("[{}]", certificate.len()));
        service.signal("TERM");
        assert_eq!(service.ends().code(), Some(0));
    });
}
