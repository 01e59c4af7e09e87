//! Calls by plain HTTPS with JSON bodies, as `curl` or another language makes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use feiqian_node::{
    Caller, Endpoint, Format, HttpsNetwork, Network, Outgoing, Reply, SystemClock, Target, Trust,
    first_contact,
};
use feiqian_online_cash::keyset::Keyset;
use serde_json::{Value, json};

use crate::world::{World, wait_until};

struct Client {
    network: HttpsNetwork,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// Trusts the root that `url` names.
    fn new(url: &str) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let endpoint: Endpoint = url.parse().unwrap();
        let root = runtime.block_on(first_contact(&endpoint, Arc::new(SystemClock))).unwrap();
        let trust = Arc::new(Trust::new(root, Arc::new(SystemClock)));
        Self { network: HttpsNetwork::new(trust, None), runtime }
    }

    fn send(&self, url: &str, path: &str, body: Option<&str>) -> Reply {
        let target = Target::anyone(url.split_once('#').unwrap().0);
        let message = Outgoing {
            path: path.to_owned(),
            body: body.map_or_else(Bytes::new, |body| Bytes::from(body.to_owned())),
            format: Format::Json,
            caller: Caller::Anonymous,
            timeout: Duration::from_secs(20),
        };
        self.runtime.block_on(self.network.send(&target, message)).unwrap()
    }

    fn json(&self, url: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let reply = self.send(url, path, body);
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or(Value::Null))
    }
}

#[test]
fn every_node_tells_about_itself() {
    let world = World::shopping("1.00");
    let client = Client::new(&world.url("center"));
    for (name, role) in [("center", "center"), ("north", "bank"), ("shop", "merchant")] {
        let url = world.url(name);
        let (status, about) = client.json(&url, "/v1/about", None);
        assert_eq!((status, &about["role"], &about["name"]), (200, &role.into(), &name.into()), "{about}");
        assert_eq!(about["root"].as_str().unwrap(), world.root());
        assert!(about["center"].as_str().unwrap().contains(&world.root()));
        assert_eq!(client.send(&url, "/healthz", None).status, 200);
        let metrics = client.send(&url, "/metrics", None);
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        assert!(text.contains("feiqian_requests_total{path=\"/v1/about\",code=\"OK\"}"), "{text}");
    }
    let (status, directory) = client.json(&world.url("center"), "/v1/directory", None);
    assert_eq!(status, 200);
    assert_eq!(directory["banks"].as_array().unwrap().len(), 2, "{directory}");
    let (status, keysets) = client.json(&world.url("north"), "/v1/keysets", None);
    assert_eq!(status, 200, "{keysets}");
}

#[test]
fn coins_are_begun_in_json_and_strangers_get_nothing() {
    let world = World::banks();
    let (north, client) = (world.url("north"), Client::new(&world.url("center")));
    let unknown =
        json!({"request": "11".repeat(32), "outputs": [{"denomination": "22".repeat(32), "count": 1}]});
    let (status, fault) = client.json(&north, "/v1/issue/begin", Some(&unknown.to_string()));
    assert_eq!((status, &fault["code"]), (422, &"DENOMINATION_UNKNOWN".into()), "{fault}");
    let (status, fault) = client.json(&north, "/v1/account", None);
    assert_eq!((status, &fault["code"]), (401, &"UNAUTHENTICATED".into()), "{fault}");
    for (body, code) in [
        ("{", "MALFORMED"),
        ("[]", "MALFORMED"),
        ("{\"request\":1}", "MALFORMED"),
        (&unknown.to_string().replace("\"count\":1", "\"count\":1,\"more\":2"), "MALFORMED"),
        (&format!("{unknown} {{}}"), "MALFORMED"),
        (&"[".repeat(2000), "MALFORMED"),
        (&format!("\"{}\"", "x".repeat(2 << 20)), "TOO_LARGE"),
    ] {
        let (_, fault) = client.json(&north, "/v1/issue/begin", Some(body));
        assert_eq!(fault["code"], code, "{fault} for {}", &body[..body.len().min(80)]);
    }
    let (status, _) = client.json(&north, "/v1/nowhere", None);
    assert_eq!(status, 404);
    // A session of one coin, opened in JSON, the same again for the same id.
    // A bank is ready before its first keys are pinned.
    let denomination = wait_until(Duration::from_secs(20), || {
        first_denomination(&client.json(&north, "/v1/keysets", None).1)
    });
    let denomination = denomination.unwrap();
    let begin = json!({"request": "33".repeat(32), "outputs": [{"denomination": denomination, "count": 1}]});
    let (status, offer) = client.json(&north, "/v1/issue/begin", Some(&begin.to_string()));
    assert_eq!(status, 200, "{offer}");
    assert_eq!(offer["open"]["commitments"].as_array().unwrap().len(), 1, "{offer}");
    assert_eq!(client.json(&north, "/v1/issue/begin", Some(&begin.to_string())).1, offer);
    let other = begin.to_string().replace("\"count\":1", "\"count\":2");
    let (status, fault) = client.json(&north, "/v1/issue/begin", Some(&other));
    assert_eq!((status, &fault["code"]), (409, &"CONFLICT".into()), "{fault}");
}

/// The id of the first key of the first keyset, computed from the key.
fn first_denomination(keysets: &Value) -> Option<String> {
    let keyset: Keyset = serde_json::from_value(keysets.get(0)?.clone()).unwrap();
    Some(keyset.keys[0].id().to_string())
}

#[test]
fn a_client_of_another_root_sends_nothing() {
    let (one, two) = (World::banks(), World::banks());
    let client = Client::new(&one.url("center"));
    let target = Target::anyone(two.url("north").split_once('#').unwrap().0);
    let message = Outgoing {
        path: "/v1/about".to_owned(),
        body: Bytes::new(),
        format: Format::Json,
        caller: Caller::Anonymous,
        timeout: Duration::from_secs(20),
    };
    let refused = client.runtime.block_on(client.network.send(&target, message)).unwrap_err();
    assert!(matches!(refused, feiqian_node::NetworkError::Untrusted { .. }), "{refused}");
}
