//! Figures a node counts about itself, in the Prometheus text format.
//!
//! | name | kind | labels | counts |
//! |---|---|---|---|
//! | `feiqian_requests_total` | counter | `path`, `code` | requests answered; `code` is `OK` or a fault's code |
//! | `feiqian_request_seconds` | histogram | `path` | time from a request's head to its answer |
//! | `feiqian_connections` | gauge | | connections open |

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Name of the request counter.
pub const REQUESTS_TOTAL: &str = "feiqian_requests_total";
/// Name of the request duration histogram, in seconds.
pub const REQUEST_SECONDS: &str = "feiqian_request_seconds";
/// Name of the open connection gauge.
pub const CONNECTIONS: &str = "feiqian_connections";

/// Upper bounds of the duration buckets, in seconds. Without buckets the exporter would print summaries, which
/// cannot be added up over nodes.
const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the process's recorder; later calls change nothing. Answers whether figures can be rendered: they
/// cannot when other code installed a recorder first.
pub fn install() -> bool {
    HANDLE.get_or_init(build).is_some()
}

fn build() -> Option<PrometheusHandle> {
    // A second thread that installs at the same moment must see the first one's handle: `get_or_init` waits for it.
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS);
    match builder.map(PrometheusBuilder::install_recorder) {
        Ok(Ok(handle)) => Some(handle),
        Ok(Err(error)) | Err(error) => {
            tracing::warn!(%error, "no metrics: another recorder is installed");
            None
        }
    }
}

/// All figures in the Prometheus text format; empty when no recorder was installed.
#[must_use]
pub fn render() -> String {
    let Some(Some(handle)) = HANDLE.get() else { return String::new() };
    handle.run_upkeep();
    handle.render()
}

/// Counts one answered request.
pub(crate) fn answered(path: &'static str, code: &'static str, took: Duration) {
    metrics::counter!(REQUESTS_TOTAL, "path" => path, "code" => code).increment(1);
    metrics::histogram!(REQUEST_SECONDS, "path" => path).record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_install_is_tolerated_and_histograms_have_buckets() {
        assert!(install());
        assert!(install());
        answered("/v1/metrics-test", "OK", Duration::from_millis(3));
        let text = render();
        assert!(text.contains("feiqian_requests_total{path=\"/v1/metrics-test\",code=\"OK\"} 1"), "{text}");
        assert!(
            text.contains("feiqian_request_seconds_bucket{path=\"/v1/metrics-test\",le=\"0.005\"} 1"),
            "{text}"
        );
    }
}
