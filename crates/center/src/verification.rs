//! The verification service for cheques: every signature and rule of the document, and what the drawee's register
//! says of it. Needs no account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use feiqian_cheque::messages::{StateRequest, StateResponse, Verdict, VerifyRequest, VerifyResponse};
use feiqian_cheque::{Bundle, ChequeError, ReturnCode, State, Trust, verify};
use feiqian_crypto::Digest;
use feiqian_node::{Caller, call_within};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Text};
use tokio::task::JoinSet;

use crate::service::Center;

/// How long a drawee may take to say where a cheque stands: the verdict does not depend on it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The reason, as far as it fits.
fn reason(text: &str) -> Text<256> {
    let mut end = text.len().min(256);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    Text::new(text.get(..end).unwrap_or_default()).unwrap_or_default()
}

/// A missing revocation list is no word about the cheque: it may be asked about again.
fn refused(id: Digest, error: &ChequeError) -> Verdict {
    let code = if error.lacks_list() { ReturnCode::Technical } else { error.return_code() };
    let (good, code, register) = (false, Some(code), None);
    Verdict { id, good, code, reason: reason(&error.to_string()), register }
}

/// A verdict, and the drawee to ask.
fn judge(file: &[u8], trust: &Trust<'_>) -> (Verdict, Option<String>) {
    let bundle = match Bundle::from_bytes(file) {
        Ok(bundle) => bundle,
        Err(error) => return (refused(Digest::ZERO, &error.into()), None),
    };
    let id = bundle.id().unwrap_or(Digest::ZERO);
    match verify(bundle, trust) {
        Ok(cheque) => {
            let drawee = cheque.cheque().bank.as_str().to_owned();
            let good = Verdict { id, good: true, code: None, reason: Text::default(), register: None };
            (good, Some(drawee))
        }
        Err(error) => (refused(id, &error), None),
    }
}

impl Center {
    /// Judges a batch: documents here, then one question to each drawee. A drawee that does not answer leaves the
    /// register's word out.
    pub(crate) async fn verify_cheques(
        self: &Arc<Self>,
        request: VerifyRequest,
    ) -> Result<VerifyResponse, Fault> {
        let view = self.members.snapshot();
        // One trust for the batch: which list speaks for an authority is found once.
        let judged: Vec<(Verdict, Option<String>)> = {
            let trust = Trust::new(view.root(), view.lists().all(), self.seams.clock.now());
            request.cheques.iter().map(|file| judge(file, &trust)).collect()
        };
        let mut drawees: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, (_, drawee)) in judged.iter().enumerate() {
            if let Some(drawee) = drawee {
                drawees.entry(drawee.clone()).or_default().push(index);
            }
        }
        let mut verdicts: Vec<Verdict> = judged.into_iter().map(|(verdict, _)| verdict).collect();
        let mut asking = JoinSet::new();
        for (drawee, indices) in drawees {
            let ids = indices.iter().filter_map(|index| verdicts.get(*index)).map(|verdict| verdict.id);
            let ids = Bounded::collect(ids)?;
            let center = Arc::clone(self);
            asking.spawn(async move { (indices, center.states(&drawee, StateRequest { ids }).await) });
        }
        while let Some(answered) = asking.join_next().await {
            let Ok((indices, Ok(states))) = answered else { continue };
            for (index, state) in indices.into_iter().zip(states) {
                if let Some(verdict) = verdicts.get_mut(index) {
                    verdict.register = state;
                }
            }
        }
        Ok(VerifyResponse { verdicts: Bounded::new(verdicts)? })
    }

    async fn states(&self, drawee: &str, request: StateRequest) -> Result<Vec<Option<State>>, Fault> {
        let target = self.members.snapshot().target(drawee)?;
        let asked = request.ids.len();
        let network = &*self.seams.network;
        let path = "/v1/cheque/state";
        let answer: StateResponse =
            call_within(network, &target, Caller::Anonymous, path, &request, PATIENCE).await?;
        if answer.states.len() != asked {
            return Err(Fault::new(Code::Unavailable, "the drawee answers another question"));
        }
        Ok(answer.states.into_vec())
    }
}
