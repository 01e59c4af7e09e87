//! By hand: files, text, frames.

use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::carry::{
    Carried, Collector, FRAME_BYTES, MAX_FRAME, MAX_FRAMES, MAX_URI, Progress,
};
use feiqian_offline_cash::transfer::{Nonce, OfferCommitment, OfferOpening};

use crate::world::{NORTH, World, digest};

/// One of each kind.
fn messages(world: &mut World) -> Vec<Carried> {
    let (alice, bob) = (world.person(), world.person());
    let coin = world.coin(NORTH, &alice, 4);
    let [low, high] = world.open(&coin, &[]).remove(0).divide().unwrap();
    let blank = world.blank(NORTH, &bob);
    let item = world.pay(low.divide().unwrap().into());
    let [quarter, _] = high.divide().unwrap();
    let (_, transfer) = world.make_transfer(vec![quarter], &[&blank]);
    let nonce = Nonce(digest("nonce"));
    vec![
        Carried::Request(item.request),
        Carried::Payment(item.payment),
        Carried::Commitment(OfferCommitment(digest("commitment"))),
        Carried::Nonce(nonce),
        Carried::Opening(OfferOpening { offer: world.offer(3, &[&blank]), nonce }),
        Carried::Transfer(transfer),
    ]
}

#[test]
fn everything_survives_files_and_what_is_short_survives_text() {
    let mut world = World::new(60);
    let mut texts = 0;
    for message in messages(&mut world) {
        let file = message.to_file().unwrap();
        assert_eq!(Carried::from_file(&file).unwrap(), message);
        assert!(Carried::from_file(&file[..file.len() - 1]).is_err());
        match message.to_uri() {
            Ok(uri) => {
                assert!(uri.len() <= MAX_URI && uri.starts_with("feiqian:offline:"));
                assert_eq!(Carried::from_uri(&format!(" {uri}\n")).unwrap(), message);
                texts += 1;
            }
            Err(rejection) => {
                assert_eq!(rejection, Rejection::LimitExceeded("1,500 characters as one text"));
                assert!(matches!(message, Carried::Payment(_) | Carried::Transfer(_)));
            }
        }
    }
    assert_eq!(texts, 4);
    for text in ["", "feiqian:", "feiqian:offline:!", "feiqian:offline:AAAA", "http://x"] {
        assert!(matches!(Carried::from_uri(text), Err(Rejection::Malformed(_))), "{text}");
    }
    assert!(Carried::from_uri(&format!("feiqian:offline:{}", "A".repeat(MAX_URI))).is_err());
}

#[test]
fn frames_come_in_any_order_and_more_than_once() {
    let mut world = World::new(61);
    for message in messages(&mut world) {
        let frames = message.to_frames().unwrap();
        assert!(frames.iter().all(|frame| frame.len() <= MAX_FRAME) && frames.len() <= MAX_FRAMES);
        let count = message.to_file().unwrap().len().div_ceil(FRAME_BYTES);
        assert_eq!(frames.len(), count);
        let mut collector = Collector::new();
        for (seen, frame) in frames.iter().rev().enumerate() {
            if seen > 0 {
                let again = collector.add(&frames[count - seen]).unwrap();
                assert_eq!(again, Progress::Waiting { seen, count });
            }
            match collector.add(frame).unwrap() {
                Progress::Complete(carried) => {
                    assert_eq!((*carried, seen + 1), (message.clone(), count));
                }
                waiting => assert_eq!(waiting, Progress::Waiting { seen: seen + 1, count }),
            }
        }
    }
}

#[test]
fn frames_of_two_messages_do_not_mix_and_damage_is_seen() {
    let mut world = World::new(62);
    let messages = messages(&mut world);
    let (one, other) = (messages[1].to_frames().unwrap(), messages[5].to_frames().unwrap());
    let mut collector = Collector::new();
    collector.add(&one[0]).unwrap();
    assert_eq!(collector.add(&other[1]), Err(Rejection::Malformed("a frame of another message")));
    assert!(matches!(collector.add(&one[1]).unwrap(), Progress::Waiting { seen: 2, .. }));
    // A damaged part shows when all are here; the collector starts again.
    let damaged = |frame: &str| {
        let (head, body) = frame.rsplit_once(':').unwrap();
        let letter = if body.starts_with('A') { 'B' } else { 'A' };
        format!("{head}:{letter}{}", &body[1..])
    };
    let mut collector = Collector::new();
    let (first, rest) = one.split_first().unwrap();
    collector.add(&damaged(first)).unwrap();
    let results: Vec<_> = rest.iter().map(|frame| collector.add(frame)).collect();
    assert_eq!(*results.last().unwrap(), Err(Rejection::Malformed("the frames do not fit together")));
    let complete: Vec<_> = one.iter().map(|frame| collector.add(frame).unwrap()).collect();
    assert!(matches!(complete.last(), Some(Progress::Complete(_))));
}

#[test]
fn what_is_no_frame_is_refused_before_memory_is_taken() {
    let sum = "0123456789abcdef";
    let full = "A".repeat(800);
    for frame in [
        String::new(),
        format!("feiqian:frame:0/2:{sum}:{full}"),
        format!("feiqian:frame:3/2:{sum}:{full}"),
        format!("feiqian:frame:+1/2:{sum}:{full}"),
        format!("feiqian:frame:01/2:{sum}:{full}"),
        format!("feiqian:frame:1/{}:{sum}:{full}", MAX_FRAMES + 1),
        format!("feiqian:frame:1/99999999999999999999:{sum}:{full}"),
        format!("feiqian:frame:1/2:{sum}:AAAA"),
        format!("feiqian:frame:2/2:{sum}:"),
        format!("feiqian:frame:1/2:{}:{full}", sum.to_uppercase()),
        format!("feiqian:frame:1/2:{sum}0:{full}"),
        format!("feiqian:frame:1/2:{sum}:{full}:{full}"),
        format!("feiqian:frame:1/2:{sum}:{full}:"),
        format!("feiqian:frame:1/2:{sum}"),
        format!("feiqian:frame:1/2:{sum}:{}", "A".repeat(MAX_FRAME)),
    ] {
        assert!(matches!(Collector::new().add(&frame), Err(Rejection::Malformed(_))), "{frame}");
    }
    let waiting = Collector::new().add(&format!("feiqian:frame:1/2:{sum}:{full}"));
    assert_eq!(waiting, Ok(Progress::Waiting { seen: 1, count: 2 }));
}
