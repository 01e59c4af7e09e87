//! Presentments to one peer that travel together: transport, and nothing else. Each stays itself, idempotent by its own
//! id, answered by itself.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use feiqian_clearing::presentment::{Answer, Answers, Batch, MAX_BATCH, Presented, Presentment};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::network::{CallError, Caller, Network, NetworkError, Target, call_within};

/// How many requests are on their way to one peer at a time: while one is worked on, the next gathers.
const FLIGHTS: usize = 4;
/// The most bytes of the items of one request, and of the outcomes of one answer. A message holds twice that.
const ROOM: usize = Limit::Large.bytes() / 2;

type Replies<A> = Pin<Box<dyn Future<Output = Vec<Result<A, CallError>>> + Send>>;
type Sending<Q, A> = Box<dyn Fn(Vec<Q>) -> Replies<A> + Send + Sync>;

/// Questions to one peer: each request takes all that wait, up to what a message holds. Nobody waits for more to come.
pub struct Carrier<Q, A> {
    waiting: Mutex<Waiting<Q, A>>,
    send: Sending<Q, A>,
}

struct Waiting<Q, A> {
    questions: VecDeque<Question<Q, A>>,
    flights: usize,
}

struct Question<Q, A> {
    question: Q,
    bytes: usize,
    reply: oneshot::Sender<Result<A, CallError>>,
}

impl<Q, A> std::fmt::Debug for Carrier<Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Carrier")
    }
}

impl<Q: Send + 'static, A: Send + 'static> Carrier<Q, A> {
    /// A carrier that sends by `send`, which gives one reply for each question, in their order.
    pub fn new<F>(send: impl Fn(Vec<Q>) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Vec<Result<A, CallError>>> + Send + 'static,
    {
        let waiting = Mutex::new(Waiting { questions: VecDeque::new(), flights: 0 });
        Arc::new(Self { waiting, send: Box::new(move |questions| Box::pin(send(questions))) })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reply to one question of so many bytes.
    ///
    /// # Errors
    /// What sending it came to; [`NetworkError::Lost`] when there was no reply within `patience`, the time in the queue
    /// included.
    pub async fn ask(
        self: &Arc<Self>,
        question: Q,
        bytes: usize,
        patience: Duration,
    ) -> Result<A, CallError> {
        let reply = self.put(question, bytes);
        let lost =
            |reason: &str| NetworkError::Lost { url: "the peer".to_owned(), reason: reason.to_owned() };
        match tokio::time::timeout(patience, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(lost("the request was given up").into()),
            Err(_) => Err(lost(&format!("nothing within {:.1} s", patience.as_secs_f64())).into()),
        }
    }

    fn put(self: &Arc<Self>, question: Q, bytes: usize) -> oneshot::Receiver<Result<A, CallError>> {
        let (reply, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        waiting.questions.push_back(Question { question, bytes, reply });
        if waiting.flights < FLIGHTS {
            waiting.flights = waiting.flights.saturating_add(1);
            tokio::spawn(Arc::clone(self).drive());
        }
        receiver
    }

    /// Sends what waits until nothing does.
    async fn drive(self: Arc<Self>) {
        while let Some(taken) = self.take() {
            let (questions, replies): (Vec<Q>, Vec<_>) =
                taken.into_iter().map(|taken| (taken.question, taken.reply)).unzip();
            let answers = (self.send)(questions).await;
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Who does not wait any more asks again by the item's id.
                let _ = reply.send(answer);
            }
        }
    }

    fn take(&self) -> Option<Vec<Question<Q, A>>> {
        let mut waiting = self.lock();
        let mut taken: Vec<Question<Q, A>> = Vec::new();
        let mut room = ROOM;
        while let Some(next) = waiting.questions.pop_front() {
            if next.reply.is_closed() {
                continue;
            }
            // One that fills a message by itself goes alone.
            if !taken.is_empty() && next.bytes > room {
                waiting.questions.push_front(next);
                break;
            }
            room = room.saturating_sub(next.bytes);
            taken.push(next);
            if taken.len() == MAX_BATCH {
                break;
            }
        }
        if taken.is_empty() {
            waiting.flights = waiting.flights.saturating_sub(1);
            return None;
        }
        Some(taken)
    }
}

/// One carrier for each bank that items are on their way to, under whatever names it: one that hangs holds up no other's.
pub struct Carriers<K, Q, A> {
    by_bank: Mutex<BTreeMap<K, Arc<Carrier<Q, A>>>>,
}

impl<K, Q, A> std::fmt::Debug for Carriers<K, Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Carriers")
    }
}

impl<K, Q, A> Default for Carriers<K, Q, A> {
    fn default() -> Self {
        Self { by_bank: Mutex::default() }
    }
}

impl<K: Ord + Clone, Q, A> Carriers<K, Q, A> {
    /// The carrier to `bank`, made when there is none. Banks come from the members' view: they are few.
    pub fn to(&self, bank: &K, make: impl FnOnce() -> Arc<Carrier<Q, A>>) -> Arc<Carrier<Q, A>> {
        let mut carriers = self.by_bank.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(carriers.entry(bank.clone()).or_insert_with(make))
    }
}

/// The two calls of one peer that do the same: with one presentment, and with several.
#[derive(Clone, Copy, Debug)]
pub struct Paths {
    /// `Presentment<I>` → `Presented<O>`.
    pub one: &'static str,
    /// `Batch<I>` → `Answers<O>`.
    pub many: &'static str,
}

/// Presents `items` to one peer, in one request where there are several. One reply each, in their order.
///
/// What the peer refuses of the request as a whole, for what is in one item or because it knows no such call, must not
/// hold up the others: then each goes alone.
pub async fn present_together<I, O>(
    network: &dyn Network,
    to: &Target,
    paths: Paths,
    items: Vec<Presentment<I>>,
    patience: Duration,
) -> Vec<Result<Presented<O>, CallError>>
where
    I: Serialize + Clone + Sync + Send + 'static,
    O: DeserializeOwned + Send,
{
    let answers = match ask_all(network, to, paths.many, &items, patience).await {
        Ok(answers) => answers,
        Err(CallError::Fault(fault)) if is_about_one(fault.code) => {
            items.iter().map(|_| Answer::Alone).collect()
        }
        Err(error) => return items.iter().map(|_| Err(error.clone())).collect(),
    };
    let mut replies = Vec::with_capacity(items.len());
    for (item, answer) in items.iter().zip(answers) {
        replies.push(match answer {
            Answer::Presented(presented) => Ok(presented),
            Answer::Failed(fault) => Err(fault.into()),
            Answer::Alone => call_within(network, to, Caller::Certified, paths.one, item, patience).await,
        });
    }
    replies
}

/// Codes of a whole request that may be the fault of one item in it.
fn is_about_one(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::Malformed | Code::TooLarge | Code::UnsupportedVersion)
}

async fn ask_all<I, O>(
    network: &dyn Network,
    to: &Target,
    path: &str,
    items: &[Presentment<I>],
    patience: Duration,
) -> Result<Vec<Answer<O>>, CallError>
where
    I: Serialize + Clone + Sync + Send + 'static,
    O: DeserializeOwned + Send,
{
    if items.len() < 2 {
        return Ok(items.iter().map(|_| Answer::Alone).collect());
    }
    let batch = Batch { items: Bounded::new(items.to_vec()).map_err(Fault::from)? };
    let answers: Answers<O> = call_within(network, to, Caller::Certified, path, &batch, patience).await?;
    if answers.answers.len() != items.len() {
        let reason = "it did not answer each item".to_owned();
        return Err(NetworkError::Lost { url: to.url.clone(), reason }.into());
    }
    Ok(answers.answers.into_vec())
}

/// Answers a batch: each item by `answer`, side by side. Where the outcomes would not fit one message, the rest is left to
/// be asked for alone: nothing is undone, since a repeat gets the same answer.
///
/// # Errors
/// `TOO_LARGE` never in practice: there are as many answers as items.
pub async fn answer_batch<I, O, F>(
    batch: Batch<I>,
    answer: impl Fn(Presentment<I>) -> F,
) -> Result<Answers<O>, Fault>
where
    O: Serialize + Send + 'static,
    F: Future<Output = Result<Presented<O>, Fault>> + Send + 'static,
{
    let mut answers: Vec<Option<Answer<O>>> = Vec::new();
    let mut tasks = JoinSet::new();
    for (index, item) in batch.items.into_vec().into_iter().enumerate() {
        answers.push(None);
        let work = answer(item);
        tasks.spawn(async move { (index, work.await) });
    }
    let mut room = ROOM;
    while let Some(done) = tasks.join_next().await {
        // One that panicked is answered below: its panic is in the log.
        let Ok((index, result)) = done else { continue };
        let answer = match result {
            Ok(presented) => {
                let bytes = codec::encode(&presented).map_or(usize::MAX, |bytes| bytes.len());
                match room.checked_sub(bytes) {
                    Some(left) => {
                        room = left;
                        Answer::Presented(presented)
                    }
                    None => Answer::Alone,
                }
            }
            Err(fault) => Answer::Failed(fault),
        };
        if let Some(place) = answers.get_mut(index) {
            *place = Some(answer);
        }
    }
    let failed =
        || Answer::Failed(Fault::new(Code::Internal, "the node failed at this item; its log says where"));
    Ok(Answers {
        answers: Bounded::collect(answers.into_iter().map(|answer| answer.unwrap_or_else(failed)))?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_waits_travels_together_and_each_gets_its_own_reply() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        let carrier = Carrier::new(move |questions: Vec<u32>| {
            seen.lock().unwrap().push(questions.len());
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let odd = |question: u32| Err(Fault::new(Code::WrongRoute, question.to_string()).into());
                questions.into_iter().map(|it| if it % 2 == 1 { odd(it) } else { Ok(it) }).collect()
            }
        });
        let ask = |question: u32| {
            let carrier = Arc::clone(&carrier);
            tokio::spawn(async move { carrier.ask(question, ROOM / 3, Duration::from_secs(9)).await })
        };
        // Each of the first finds a free request; the others wait for one to come back.
        let mut asked = Vec::new();
        for question in 0..4 {
            asked.push(ask(question));
            // The question is put, then the request leaves.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        asked.extend((4..9).map(ask));
        for (question, asked) in (0..9).zip(asked) {
            match asked.await.unwrap() {
                Ok(reply) => assert!(reply == question && question % 2 == 0),
                Err(CallError::Fault(fault)) => assert_eq!(fault.message.as_str(), question.to_string()),
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(*sent.lock().unwrap(), [1, 1, 1, 1, 3, 2], "three fill the room of one message");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_its_patience_and_nothing_is_sent_for_who_left() {
        let sent = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&sent);
        let carrier = Carrier::new(move |questions: Vec<u32>| {
            *seen.lock().unwrap() += questions.len();
            async move {
                tokio::time::sleep(Duration::from_secs(10)).await;
                questions.into_iter().map(Ok).collect()
            }
        });
        let mut asked = Vec::new();
        for question in 0..8 {
            let carrier = Arc::clone(&carrier);
            asked.push(tokio::spawn(async move {
                let patience = Duration::from_secs(if question < 4 { 20 } else { 5 });
                carrier.ask(question, 1, patience).await
            }));
            tokio::task::yield_now().await;
        }
        for (question, asked) in asked.into_iter().enumerate() {
            assert_eq!(asked.await.unwrap().is_ok(), question < 4);
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(*sent.lock().unwrap(), 4);
    }
}
