//! A new home: keys, enrolment, and what is read back from it.

use async_trait::async_trait;
use feiqian_clearing::membership::About;
use feiqian_node::{Clock, Format, Home, Network, NetworkError, Outgoing, Reply, StreamEntropy, Target};
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{CertificateRequest, Purpose};
use feiqian_wallet::RefreshPolicy;
use feiqian_wallet::init::{InitOptions, enrol, load};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Text, codec};
use serde::Serialize;
use std::sync::Arc;

use crate::world::World;

/// A bank that enrols; `lost` answers do not arrive.
struct Desk {
    world: Arc<World>,
    lost: std::sync::atomic::AtomicBool,
    foreign_key: bool,
}

const TOKEN: &str = "00112233445566778899aabbccddeeff";

fn reply(value: &impl Serialize) -> Reply {
    Reply { status: 200, format: Some(Format::Bincode), body: codec::encode(value).unwrap().into() }
}

#[async_trait]
impl Network for Desk {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let root = self.world.trusted_root();
        if message.path == "/v1/about" {
            return Ok(reply(&About {
                role: Text::new("bank").unwrap(),
                name: Text::new("north").unwrap(),
                version: Text::new("0").unwrap(),
                center: Text::new(format!("https://center:1#sha256={}", root.fingerprint())).unwrap(),
                root: root.fingerprint(),
                root_certificate: Blob::new(root.as_der().to_vec()).unwrap(),
                currency: Some(feiqian_money::Currency::CNY),
                keysets: Bounded::new(Vec::new()).unwrap(),
                now: self.world.now(),
            }));
        }
        assert_eq!((message.path.as_str(), to.expect.is_some()), ("/v1/enrol", true));
        let request: EnrolRequest = codec::decode(&message.body, codec::Limit::Large).unwrap();
        let transport = CertificateRequest::verify(&request.transport).unwrap();
        let signing = CertificateRequest::verify(&request.signing).unwrap();
        assert_eq!((transport.subject().name(), signing.subject().name()), (TOKEN, TOKEN));
        assert_ne!(transport.public_key(), signing.public_key());
        let signing = if self.foreign_key { &transport } else { &signing };
        if self.lost.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Err(NetworkError::Lost { url: to.url.clone(), reason: "lost".into() });
        }
        let wire = |request, purpose| WireChain::from_chain(&self.world.certify(request, purpose)).unwrap();
        Ok(reply(&EnrolResponse {
            bank: feiqian_wire::Name::new("north").unwrap(),
            account: Text::new(TOKEN).unwrap(),
            transport: wire(&transport, Purpose::Client),
            signing: wire(signing, Purpose::Signing),
        }))
    }
}

fn options(code: &str) -> InitOptions {
    InitOptions {
        bank: "https://north:1".parse().unwrap(),
        code: code.to_owned(),
        name: "Alice".to_owned(),
        refresh: RefreshPolicy::Lazy,
    }
}

async fn try_enrol(desk: &Desk, home: &Home, code: &str) -> Result<serde_json::Value, Fault> {
    let (clock, entropy) = (&desk.world.clock, StreamEntropy::new(3, "init"));
    enrol(home, &options(code), &desk.world.trusted_root(), desk, &**clock as &dyn Clock, &entropy).await
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_keys() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::create(dir.path().join("wallet"), "wallet").unwrap();
    let desk = Desk { world: World::new(), lost: true.into(), foreign_key: false };
    let code = format!("{TOKEN}-0123456789abcdef01234567");
    assert_eq!(try_enrol(&desk, &home, "nonsense").await.unwrap_err().code, Code::CodeInvalid);
    assert_eq!(try_enrol(&desk, &home, &code).await.unwrap_err().code, Code::NodeUnreachable);
    assert_eq!(load(&home).unwrap_err().code, Code::WrongHome);
    let key = std::fs::read(home.path("keys/signing.pem")).unwrap();
    let done = try_enrol(&desk, &home, &code).await.unwrap();
    assert_eq!(std::fs::read(home.path("keys/signing.pem")).unwrap(), key);
    assert_eq!(done["words"].as_str().unwrap().split(' ').count(), 24);
    assert_eq!((done["account"].as_str(), done["bank"].as_str()), (Some(TOKEN), Some("north")));
    let parts = load(&home).unwrap();
    assert_eq!(
        (parts.config.refresh, parts.config.center_url.as_str()),
        (RefreshPolicy::Lazy, "https://center:1")
    );
    assert_eq!(try_enrol(&desk, &home, &code).await.unwrap_err().code, Code::Conflict);
}

#[tokio::test]
async fn certificates_of_another_key_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::create(dir.path().join("wallet"), "wallet").unwrap();
    let desk = Desk { world: World::new(), lost: false.into(), foreign_key: true };
    let fault = try_enrol(&desk, &home, &format!("{TOKEN}-00")).await.unwrap_err();
    assert_eq!(fault.code, Code::CertificateInvalid);
    assert!(load(&home).is_err());
}
